package node

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/transport"
)

const (
	maxWatchers   = 10_000 // on one node
	snapshotPart  = 5_000  // routes in one snapshot event
	watchWindow   = 64     // events sent before the consumer must have taken them
	watchPatience = time.Minute
)

// WatchEvent is the contract's WatchEvent. A snapshot of many routes comes in
// parts, all but the last of which say more.
type WatchEvent struct {
	Type   string   `json:"type"`
	Index  uint64   `json:"index"`
	Route  *Route   `json:"route,omitempty"`
	ID     string   `json:"id,omitempty"`
	Routes *[]Route `json:"routes,omitempty"`
	More   bool     `json:"more,omitempty"`
}

// watchRoutes starts a subscription; releasing what it returns stops it.
func (s *cliScope) watchRoutes(ctx context.Context, c *transport.Call) (any, error) {
	callback, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	var options struct {
		FromIndex   *uint64 `json:"fromIndex"`
		Consistency string  `json:"consistency"` // of the snapshot, as in a query
	}
	if err := c.Decode(1, &options); err != nil {
		return nil, err
	}
	n := s.n
	start := query{Consistency: options.Consistency}
	if options.FromIndex != nil {
		start.Consistency = "stale" // the index says what was seen
	}
	table, err := n.table(ctx, start)
	if err != nil {
		return nil, edge(err)
	}
	if n.counts.watchers.Add(1) > maxWatchers {
		n.counts.watchers.Add(-1)
		return nil, failure(overloaded, "%d clients watch this node already: watch another node", maxWatchers)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watcher{source: n.machine, callback: callback.Dup(), allowed: func() error { return n.holds(s.credential) }}
	n.wg.Go(func() {
		defer n.counts.watchers.Add(-1)
		defer w.callback.Release()
		why := w.run(ctx, table, options.FromIndex)
		n.log.Debug("watch ended", "why", why)
		if s.end != nil && n.holds(s.credential) != nil {
			s.end(why) // it would wait for events for good
		}
	})
	return transport.NewTarget(nil).OnRelease(func() { cancel(errUnsubscribed) }), nil
}

var (
	errUnsubscribed = errors.New("unsubscribed")
	errConsumer     = errors.New("the watcher takes no events")
)

// watcher delivers every committed change to one callback, once and in order.
// It holds only the version last delivered: a slow consumer costs the node
// nothing, and one that the table's change log has left behind is told so and
// starts over.
type watcher struct {
	source   *fsm.Machine
	callback *transport.Stub
	allowed  func() error // still; a token that is revoked is a change, too
	at       uint64       // the version delivered

	last   *transport.Promise // the latest event's, not yet waited for
	unread int                // events sent since the consumer last answered
}

// run delivers until ctx ends or the consumer takes no more, and says why.
func (w *watcher) run(ctx context.Context, t *fsm.Table, from *uint64) error {
	if from != nil && *from > t.Version() {
		// This node is behind what the client saw elsewhere.
		var err error
		if t, err = w.catchUp(ctx, *from); err != nil {
			return err
		}
	}
	if from != nil && knows(t, *from) {
		w.at = *from
	} else if err := w.snapshot(ctx, t); err != nil {
		return err
	}
	for {
		t := w.source.Table()
		if t.Version() == w.at {
			var err error
			if t, err = w.source.Await(ctx, w.at); err != nil {
				return err
			}
		}
		if err := w.allowed(); err != nil {
			return err
		}
		if err := w.deliver(ctx, t); err != nil {
			return err
		}
	}
}

// catchUp waits for a version that another node already had; when it does not
// come (a client may name any number) the watch starts from a snapshot.
func (w *watcher) catchUp(ctx context.Context, version uint64) (*fsm.Table, error) {
	wait, cancel := context.WithTimeout(ctx, minIndexWait)
	defer cancel()
	t, err := w.source.Await(wait, version-1)
	if err != nil && ctx.Err() == nil {
		return w.source.Table(), nil
	}
	return t, err
}

func knows(t *fsm.Table, version uint64) bool {
	_, ok := t.Changes(version)
	return ok
}

func (w *watcher) deliver(ctx context.Context, t *fsm.Table) error {
	changes, ok := t.Changes(w.at)
	if !ok {
		if err := w.send(ctx, WatchEvent{Type: "lagged", Index: t.Version()}); err != nil {
			return err
		}
		return w.snapshot(ctx, t)
	}
	for c := range changes {
		if c.Route != nil {
			if err := w.send(ctx, event(t, c)); err != nil {
				return err
			}
		}
		w.at = c.Index
	}
	w.at = t.Version()
	return w.settle(ctx)
}

func event(t *fsm.Table, c fsm.Change) WatchEvent {
	id := c.Route.ID()
	if c.Deleted {
		r := view(c.Route, false)
		return WatchEvent{Type: "delete", Index: c.Index, ID: id, Route: &r}
	}
	r := view(c.Route, t.IsBest(c.Route))
	return WatchEvent{Type: "put", Index: c.Index, ID: id, Route: &r}
}

func (w *watcher) snapshot(ctx context.Context, t *fsm.Table) error {
	next, stop := iter.Pull(t.All())
	defer stop()
	r, ok := next()
	for {
		part := []Route{}
		for ; ok && len(part) < snapshotPart; r, ok = next() {
			part = append(part, view(r, t.IsBest(r)))
		}
		if err := w.send(ctx, WatchEvent{Type: "snapshot", Index: t.Version(), Routes: &part, More: ok}); err != nil {
			return err
		}
		if err := w.settle(ctx); err != nil {
			return err
		}
		if !ok {
			w.at = t.Version()
			return nil
		}
	}
}

// send passes one event on, and waits for the consumer when too many are out.
func (w *watcher) send(ctx context.Context, e WatchEvent) error {
	if w.last != nil {
		w.last.Release()
	}
	w.last = w.callback.Call("", e)
	w.unread++
	if w.unread < watchWindow {
		return nil
	}
	return w.settle(ctx)
}

// settle waits until the consumer has taken all that was sent: calls arrive in
// order, so the answer to the last is the answer to all. What the callback
// itself throws is its own affair.
func (w *watcher) settle(ctx context.Context) error {
	if w.last == nil {
		return nil
	}
	p := w.last
	w.last, w.unread = nil, 0
	ctx, cancel := context.WithTimeoutCause(ctx, watchPatience, errConsumer)
	defer cancel()
	if _, err := p.Await(ctx); errors.Is(err, transport.ErrBroken) {
		return err
	}
	return context.Cause(ctx)
}
