package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// stream carries the actions of a file to the site, many in flight, over one
// session at a time. It promises: actions on one service take effect in the
// order of the file, and each takes effect once, whatever becomes of leaders,
// nodes and sessions meanwhile. For the first, an action waits for the answer
// to an earlier one on the same service; for the second, what was not answered
// is sent again under its requestId.
type stream struct {
	*client
	inFlight int
	answered func(i *item, answer any, err error) // called by one goroutine at a time

	backlog []*item // to be sent before anything new, in file order
	count   atomic.Int64
}

var errStalled = errors.New("the node stopped answering")

// run sends all items and returns when each is answered, or says why not.
func (s *stream) run(ctx context.Context, items <-chan *item) error {
	t := s.newTries()
	var since time.Time // when the trouble began that lasts
	for {
		for _, address := range s.addresses {
			before := s.count.Load()
			err := s.at(ctx, address, items)
			switch {
			case err == nil:
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			case !transient(err):
				return s.verdict(address, err)
			}
			if s.count.Load() > before {
				t, since = s.newTries(), time.Time{}
			}
			t.note(address, err)
		}
		if since.IsZero() {
			since = time.Now()
		}
		hopeless := s.count.Load() == 0 && !t.reached()
		if hopeless || time.Since(since) > s.timeout {
			return t.failure()
		}
		if !t.pause(ctx) {
			return ctx.Err()
		}
	}
}

// at streams to one node until all is answered, or there is trouble. What is
// then unanswered is the backlog.
func (s *stream) at(ctx context.Context, address string, items <-chan *item) error {
	dialing, cancel := context.WithTimeout(ctx, s.dialPatience())
	defer cancel()
	l, err := s.dial(dialing, address)
	if err != nil {
		return err
	}
	defer l.close()
	life, end := context.WithCancelCause(ctx)
	defer end(nil)
	f := &flow{stream: s, busy: map[string]bool{}, sent: make(chan sent, s.inFlight), troubled: make(chan struct{})}
	f.freed.L = &f.mu
	f.stall = time.AfterFunc(s.timeout, func() {
		if f.waiting.Load() {
			end(errStalled)
		}
	})
	defer f.stall.Stop()
	var collector sync.WaitGroup
	collector.Go(func() { f.collect(life) })
	unsent := f.send(life, l.scope, items)
	close(f.sent)
	collector.Wait()
	s.backlog = append(f.again, unsent...)
	slices.SortFunc(s.backlog, func(a, b *item) int { return a.line - b.line })
	return f.trouble
}

// flow is the part of a stream that goes over one session.
type flow struct {
	*stream
	sent    chan sent // in the order of sending; its capacity is the window
	stall   *time.Timer
	waiting atomic.Bool // for an answer

	again    []*item       // sent and not answered; the collector's
	troubled chan struct{} // closed when nothing more should be sent

	mu      sync.Mutex
	freed   sync.Cond       // a key is no longer busy, or there is trouble
	busy    map[string]bool // keys with an item on its way
	trouble error
}

type sent struct {
	item   *item
	answer *transport.Promise
}

// send sends the backlog, then what comes in, until there is nothing more or
// trouble. It returns what it took and did not send.
func (f *flow) send(ctx context.Context, scope *transport.Promise, items <-chan *item) (unsent []*item) {
	backlog := f.backlog
	for {
		var i *item
		if len(backlog) > 0 {
			i, backlog = backlog[0], backlog[1:]
		} else if i = f.next(ctx, items); i == nil {
			return nil
		}
		if !f.claim(i.key) {
			return append([]*item{i}, backlog...)
		}
		f.sent <- sent{i, scope.Call("applyAction", i.body).Pull()}
	}
}

// next is the next item, or nil when there is none or trouble.
func (f *flow) next(ctx context.Context, items <-chan *item) *item {
	select {
	case i := <-items:
		return i
	case <-f.troubled:
		return nil
	case <-ctx.Done():
		f.stop(context.Cause(ctx))
		return nil
	}
}

// claim waits until nothing else about key is on its way; false means trouble.
func (f *flow) claim(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.busy[key] && f.trouble == nil {
		f.freed.Wait()
	}
	if f.trouble != nil {
		return false
	}
	f.busy[key] = true
	return true
}

// collect takes the answers in the order in which the actions were sent.
func (f *flow) collect(ctx context.Context) {
	for s := range f.sent {
		f.stall.Reset(f.timeout)
		f.waiting.Store(true)
		answer, err := s.answer.Await(ctx)
		f.waiting.Store(false)
		if transient(err) || codeOf(err) == "unauthenticated" {
			s.answer.Release()
			f.again = append(f.again, s.item)
			f.stop(err)
			continue
		}
		f.free(s.item.key)
		f.count.Add(1)
		f.answered(s.item, answer, err)
	}
}

func (f *flow) free(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, key)
	f.freed.Broadcast()
}

// stop keeps anything more from being sent over this session.
func (f *flow) stop(trouble error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trouble == nil {
		f.trouble = trouble
		close(f.troubled)
		f.freed.Broadcast()
	}
}
