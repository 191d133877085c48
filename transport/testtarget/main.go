// Command testtarget serves the TestTarget of the reference's own tests, on
// WebSocket and as HTTP batches, until it gets SIGINT or SIGTERM.
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
	listen := flag.String("listen", "127.0.0.1:8080", "`address` to serve at; port 0 is any free one")
	flag.Parse()
	debug.SetGCPercent(400) // a heap of a few megabytes is collected all the time otherwise
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := serve(ctx, *listen, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testtarget:", err)
		os.Exit(1)
	}
}
