package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// messageBytes is the longest message accepted, as the reference's 32 MiB.
const messageBytes = 32 << 20

var (
	options = ws.Options{MessageBytes: messageBytes}
	limits  = transport.Limits{ // the reference has none but the first
		MessageBytes: messageBytes, BufferedBytes: 256 << 20,
		Calls: 1 << 20, Exports: 1 << 20, Imports: 1 << 20,
	}
)

// patience is how long requests may take to end once the server is told to.
const patience = 5 * time.Second

// serve serves at address until ctx ends, and returns when every conversation
// has ended. It says on out where it listens.
func serve(ctx context.Context, address string, out io.Writer) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	h := &handler{}
	defer h.sessions.Wait()
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler:           h,
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

// handler serves a target to each WebSocket and to each POST.
type handler struct {
	sessions sync.WaitGroup // the server does not wait for WebSockets
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.sessions.Add(1)
	defer h.sessions.Done()
	cfg := transport.Config{Main: newTestTarget(), Limits: limits, Log: slog.Default()}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		if c, err := ws.Accept(w, r, options); err == nil {
			_ = transport.NewSession(c, cfg).Run(r.Context()) // the peer has been told what there is to tell
		}
		return
	}
	if err := options.Allow(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	transport.ServeBatch(w, r, cfg)
}
