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

	begun bool // a node has taken the watch, now or before
	told  bool // that no node answers
	tries tries

	known atomic.Bool   // at is set
	at    atomic.Uint64 // everything up to here has been printed
}

func (w *watch) resume(index uint64) {
	w.at.Store(index)
	w.known.Store(true)
}

// run follows one node after the other. Once a watch has begun it goes on
// until ctx ends; one that does not begin within the timeout gives up.
func (w *watch) run(ctx context.Context) error {
	w.tries = w.newTries()
	starting, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	for {
		for _, address := range w.addresses {
			err := w.follow(ctx, address)
			if ctx.Err() != nil {
				return nil // Ctrl-C is how a watch ends
			}
			if !transient(err) {
				return w.verdict(address, err)
			}
			w.tries.note(address, err)
			if w.begun && !isDial(err) {
				fmt.Fprintf(w.errs, "%s: %s\n", address, w.tries.reason(err))
			}
		}
		if !w.begun && (!w.tries.reached() || starting.Err() != nil) {
			return w.tries.failure()
		}
		if w.begun && !w.told && !w.tries.reached() {
			fmt.Fprintf(w.errs, "%v; trying until Ctrl-C\n", w.tries.failure())
			w.told = true
		}
		w.tries.pause(ctx)
	}
}

// follow prints one node's events until its session ends.
func (w *watch) follow(ctx context.Context, address string) error {
	dialing, cancel := context.WithTimeout(ctx, w.dialPatience())
	defer cancel()
	l, err := w.dial(dialing, address)
	if err != nil {
		return err
	}
	defer l.close()
	if w.begun {
		fmt.Fprintf(w.errs, "%s: going on from index %d\n", address, w.at.Load())
	}
	options := map[string]any{}
	if w.known.Load() {
		options["fromIndex"] = w.at.Load()
	}
	starting, stop := context.WithTimeout(ctx, w.timeout)
	defer stop()
	broken := make(chan error, 1)
	if _, err := l.scope.Call("watchRoutes", w.callback(broken), options).Await(starting); err != nil {
		return err
	}
	w.begun, w.told, w.tries = true, false, w.newTries()
	return w.attend(ctx, l, broken)
}

// callback prints the events that it is called with. When stdout is gone, it
// says so on broken.
func (w *watch) callback(broken chan<- error) *transport.Target {
	return transport.NewFunc(func(_ context.Context, call *transport.Call) (any, error) {
		err := w.print(call.Arg(0))
		if err != nil {
			select {
			case broken <- err:
			default:
			}
		}
		return nil, err
	})
}

// attend waits for the end of a session that delivers events.
func (w *watch) attend(ctx context.Context, l *link, broken <-chan error) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-broken:
		return refused("", "%v", err)
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
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
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
