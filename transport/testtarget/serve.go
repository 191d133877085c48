package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"

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

// serve serves at address until ctx ends, and returns when every conversation
// has ended. It says on out where it listens.
func serve(ctx context.Context, address string, out io.Writer) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on %s\n", l.Addr())
	return ws.Serve(ctx, l, answer)
}

// answer serves a target to each WebSocket and to each POST. A WebSocket ends
// with ctx: the request's own ends when a client is cut off early.
func answer(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	cfg := transport.Config{Main: newTestTarget(), Limits: limits, Log: slog.Default()}
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		if c, err := ws.Accept(w, r, options); err == nil {
			_ = transport.NewSession(c, cfg).Run(ctx) // the peer has been told what there is to tell
		}
		return
	}
	if err := options.Allow(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	transport.ServeBatch(w, r, cfg)
}
