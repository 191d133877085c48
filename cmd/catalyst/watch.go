package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

// watchEvent is the contract's WatchEvent. A long snapshot comes in parts; all
// but the last say more.
type watchEvent struct {
	Type   string  `json:"type"`
	Index  uint64  `json:"index"`
	Route  *route  `json:"route"`
	ID     string  `json:"id"`
	Routes []route `json:"routes"`
	More   bool    `json:"more"`
}

func routeWatch(c *client) *cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Follow changes until Ctrl-C",
		Long: `Follow changes until Ctrl-C: first what there is, then every change once and in
order. When the node goes away, the watch goes on at the next address where it
stopped. With -o json each line of stdout is one event.`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := &watch{client: c, out: bufio.NewWriter(cmd.OutOrStdout()), errs: cmd.ErrOrStderr()}
			if cmd.Flags().Changed("from-index") {
				w.resume(from)
			}
			return w.run(cmd.Context())
		},
	}
	cmd.Flags().Uint64Var(&from, "from-index", 0, "leave out what there is, and begin after this index")
	return cmd
}

// watch is one `route watch`, over however many sessions it takes.
type watch struct {
	*client
	out  *bufio.Writer
	errs io.Writer

	known atomic.Bool   // at is set
	at    atomic.Uint64 // everything up to here has been printed
}

func (w *watch) resume(index uint64) {
	w.at.Store(index)
	w.known.Store(true)
}

// run follows one node after the other. Only when none answers at the very
// start does it give up.
func (w *watch) run(ctx context.Context) error {
	t := tries{timeout: w.timeout, wait: 100 * time.Millisecond}
	deadline, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	begun := false
	for {
		for _, address := range w.addresses {
			err := w.follow(ctx, address, begun, func() { begun = true })
			switch {
			case ctx.Err() != nil:
				return nil // Ctrl-C is how a watch ends
			case !transient(err):
				return w.verdict(address, err)
			}
			t.note(address, err)
			if begun && !isDial(err) {
				t = tries{timeout: w.timeout, wait: 100 * time.Millisecond}
				fmt.Fprintf(w.errs, "%s: %s\n", address, t.reason(err))
			}
		}
		if !begun && (!t.reached() || deadline.Err() != nil) {
			return t.failure()
		}
		t.pause(ctx)
	}
}

// follow prints one node's events until its session ends.
func (w *watch) follow(ctx context.Context, address string, again bool, begun func()) error {
	dialing, cancel := context.WithTimeout(ctx, w.dialPatience())
	defer cancel()
	l, err := w.dial(dialing, address)
	if err != nil {
		return err
	}
	defer l.close()
	if again {
		fmt.Fprintf(w.errs, "%s: going on from index %d\n", address, w.at.Load())
	}
	options := map[string]any{}
	if w.known.Load() {
		options["fromIndex"] = w.at.Load()
	}
	starting, stop := context.WithTimeout(ctx, w.timeout)
	defer stop()
	broken := make(chan error, 1) // stdout is gone
	callback := transport.NewFunc(func(_ context.Context, call *transport.Call) (any, error) {
		err := w.print(call.Arg(0))
		if err != nil {
			select {
			case broken <- err:
			default:
			}
		}
		return nil, err
	})
	if _, err := l.scope.Call("watchRoutes", callback, options).Await(starting); err != nil {
		return err
	}
	begun()
	return w.attend(ctx, l, broken)
}

// attend waits for the end of a session that delivers events.
func (w *watch) attend(ctx context.Context, l *link, broken <-chan error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-broken:
		return refused("", "write to stdout: %v", err)
	case <-l.session.Done():
		return l.session.Err()
	}
}

// print writes one event, and remembers it when it is complete.
func (w *watch) print(answer any) error {
	var e watchEvent
	if err := transport.Decode(answer, &e); err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	if w.output == "json" {
		line := json.NewEncoder(w.out)
		line.SetEscapeHTML(false)
		if err := line.Encode(plain(answer)); err != nil {
			return err
		}
	} else {
		e.print(w.out)
	}
	if e.Type != "lagged" && !e.More {
		w.resume(e.Index)
	}
	return w.out.Flush()
}

// print writes an event as a person reads it: index, what happened, to what.
func (e watchEvent) print(out io.Writer) {
	switch e.Type {
	case "snapshot":
		for _, r := range e.Routes {
			e.line(out, "have", r.ID, &r)
		}
		if !e.More {
			fmt.Fprintf(out, "%s  %8d  now watching\n", clock(), e.Index)
		}
	case "lagged":
		fmt.Fprintf(out, "%s  %8d  lagged: changes were missed; all that there is follows\n", clock(), e.Index)
	default:
		e.line(out, e.Type, e.ID, e.Route)
	}
}

func (e watchEvent) line(out io.Writer, what, id string, r *route) {
	fmt.Fprintf(out, "%s  %8d  %-6s  %s", clock(), e.Index, what, id)
	if r != nil && what != "delete" {
		fmt.Fprintf(out, "  %s  path %s", r.Service.Endpoint, strings.Join(r.Path, ">"))
		if r.Stale {
			fmt.Fprint(out, "  stale")
		}
		if !r.Best {
			fmt.Fprint(out, "  not the best")
		}
	}
	fmt.Fprintln(out)
}

func clock() string { return time.Now().Format("15:04:05") }
