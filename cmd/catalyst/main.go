// Command catalyst runs nodes of a Catalyst site and talks to them. It promises
// scripts a fixed exit status, with -o json one JSON document on stdout, and
// people one line that says what is wrong and one with the way out.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run(onDisk{})) }

// run is the program, with what it knows of nodes' files; it returns the exit
// status.
func run(files nodeFiles) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, unless a wrapper such as
	// timeout(1) merely sent the first one twice.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	root := newRoot(os.Stdin, os.Stdout, os.Stderr, files)
	return report(os.Stderr, root.ExecuteContext(ctx))
}
