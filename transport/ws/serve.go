package ws

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// leaving is how long requests may take to end once a server is told to.
const leaving = 5 * time.Second

// Serve serves HTTP at l until ctx ends. It returns when every request has been
// answered or was cut off, and handle has returned from each WebSocket that it
// accepted. handle gets a context that ends with the server: that of a request
// also ends when a client is cut off just before its upgrade is complete.
func Serve(ctx context.Context, l net.Listener, handle func(context.Context, http.ResponseWriter, *http.Request)) error {
	var handling sync.WaitGroup // the server itself does not wait for WebSockets
	defer handling.Wait()
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			handling.Add(1)
			defer handling.Done()
			handle(ctx, w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		<-ctx.Done()
		late, cancel := context.WithTimeout(context.Background(), leaving)
		defer cancel()
		if server.Shutdown(late) != nil {
			_ = server.Close() // who has not ended by now is cut off
		}
	})
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
