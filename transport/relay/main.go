// Command relay stands between Cap'n Web programs: it offers the main object
// of a target to whoever connects, on WebSocket and as HTTP batches, until it
// gets SIGINT or SIGTERM. Each client has a session of its own with the target,
// so that what ends the one ends the other, in the same way.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "`address` to serve at; port 0 is any free one")
	target := flag.String("target", "", "`URL` of the target: ws, wss, http or https")
	flag.Parse()
	debug.SetGCPercent(400) // a heap of a few megabytes is collected all the time otherwise
	if flag.NArg() > 0 || *target == "" {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := serve(ctx, *listen, &relay{target: *target}, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}
