package main

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/catalyst/orchestrator/transport/ws"
)

// serve serves at address until ctx ends, and returns when every conversation
// has ended. It says on out where it listens.
func serve(ctx context.Context, address string, r *relay, out io.Writer) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "listening on %s\n", l.Addr())
	return ws.Serve(ctx, l, r.answer)
}
