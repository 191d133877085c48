package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// patience is how long requests may take to end once the server is told to.
const patience = 5 * time.Second

// serve serves at address until ctx ends, and returns when every conversation
// has ended. It says on out where it listens.
func serve(ctx context.Context, address string, r *relay, out io.Writer) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer r.sessions.Wait()
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			r.answer(ctx, w, request)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close() // who has not ended by now is cut off
		}
	})
	fmt.Fprintf(out, "listening on %s\n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
