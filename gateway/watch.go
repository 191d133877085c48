package gateway

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

const (
	// maxWatches is how often one session may watch.
	maxWatches = 4
	// watchGather is how long a change waits for those that follow it: a new
	// service is on the list, heard and served within moments.
	watchGather = 50 * time.Millisecond
	// watchPatience is how long a callback may take.
	watchPatience = time.Minute
)

// watchers are those who watch the status over one session.
type watchers struct {
	g       *Gateway
	wg      sync.WaitGroup
	watches atomic.Int64
}

// watchStatus answers with the status, and from then on calls back with it
// whenever a service stands otherwise, until the session ends or the callback
// fails. One call is under way at a time; what changes meanwhile is told at
// once by the next. A fence alone is no news.
func (w *watchers) watchStatus(ctx context.Context, c *transport.Call) (any, error) {
	callback, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	if w.watches.Add(1) > maxWatches {
		w.watches.Add(-1)
		return nil, fmt.Errorf("this session watches %d times already", maxWatches)
	}
	status, changed := w.g.standing()
	kept := callback.Dup()
	w.wg.Go(func() {
		defer w.watches.Add(-1)
		defer kept.Release()
		w.g.watch(ctx, kept, status, changed)
	})
	return status.told(), nil
}

// watch tells a callback of every status but the one that it knows.
func (g *Gateway) watch(ctx context.Context, callback *transport.Stub, known Status, changed <-chan struct{}) {
	for {
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(watchGather):
		case <-ctx.Done():
			return
		}
		var now Status
		if now, changed = g.standing(); reflect.DeepEqual(now.Services, known.Services) {
			continue
		}
		known = now
		if err := tellWatcher(ctx, callback, now); err != nil {
			if ctx.Err() == nil {
				g.log.Debug("a watch of the status ends", "err", err)
			}
			return
		}
	}
}

var errWatcher = errors.New("the callback did not return in time")

func tellWatcher(ctx context.Context, callback *transport.Stub, s Status) error {
	ctx, cancel := context.WithTimeoutCause(ctx, watchPatience, errWatcher)
	defer cancel()
	_, err := callback.Call("", s.told()).Await(ctx)
	return err
}
