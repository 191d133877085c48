package redial

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// ledger counts, for each call, how often it happened.
type ledger struct {
	mu     sync.Mutex
	next   int
	counts map[int]int
}

func (l *ledger) id() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next
}

func (l *ledger) count(id int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[id]++
}

// shaky is a connection that is slow to write, and that when it is cut may or
// may not have delivered what it was writing.
type shaky struct {
	transport.Conn
	cut  chan struct{}
	once sync.Once
}

func (s *shaky) Write(ctx context.Context, messages ...[]byte) error {
	select {
	case <-time.After(rand.N(2 * time.Millisecond)):
		return s.Conn.Write(ctx, messages...)
	case <-s.cut:
		if rand.N(2) == 0 {
			_ = s.Conn.Write(ctx, messages[:rand.N(len(messages)+1)]...)
		}
		_ = s.Conn.Close(nil)
		return io.ErrClosedPipe
	}
}

func (s *shaky) Close(reason error) error {
	s.once.Do(func() { close(s.cut) })
	return s.Conn.Close(reason)
}

// TestEveryCallIsAccountedFor restarts a server 1,000 times under callers of
// all kinds, and compares what they were told with what happened.
func TestEveryCallIsAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		happened := &ledger{counts: map[int]int{}}
		do := transport.Method1(func(ctx context.Context, id int) (int, error) {
			happened.count(id)
			transport.Concurrent(ctx)
			time.Sleep(rand.N(2 * time.Millisecond))
			if id%10 == 0 {
				return 0, &transport.Error{Message: "refused"}
			}
			return id, nil
		})
		s := serve(t, map[string]transport.Method{
			"do": do,
			"then": transport.Method1(func(ctx context.Context, id int) (*transport.Target, error) {
				happened.count(id)
				return transport.NewTarget(map[string]transport.Method{"do": do}), nil
			}),
		})
		conns := make(chan *shaky, 1)
		c := New(func(ctx context.Context) (transport.Conn, error) {
			conn, err := s.dial(ctx)
			if err != nil {
				return nil, err
			}
			k := &shaky{Conn: conn, cut: make(chan struct{})}
			select {
			case <-conns:
			default:
			}
			conns <- k
			return k, nil
		}, Config{MinWait: time.Millisecond, MaxWait: 4 * time.Millisecond})
		child := c.Main().Open("then", happened.id())
		clients, stopClient := context.WithCancel(t.Context())
		var running, calling sync.WaitGroup
		running.Go(func() { _ = c.Run(clients) })

		book := &book{t: t, outcomes: map[string]int{}}
		callers, stopCallers := context.WithCancel(t.Context())
		for n := range 15 {
			calling.Go(func() {
				for callers.Err() == nil {
					book.call(t.Context(), c.Main(), child, happened, n%5)
					time.Sleep(rand.N(time.Millisecond))
				}
			})
		}
		for i := range 1000 {
			time.Sleep(rand.N(12 * time.Millisecond))
			switch i % 3 {
			case 0:
				s.restart()
			case 1:
				_ = (<-conns).Close(nil)
			case 2:
				s.goDown(errDown)
				time.Sleep(rand.N(6 * time.Millisecond))
				s.goDown(nil)
			}
		}
		stopCallers()
		calling.Wait()
		stopClient()
		running.Wait()
		if len(c.objects) != 1 {
			t.Errorf("%d objects are left, want the one that was not released", len(c.objects))
		}
		s.restart()
		s.wg.Wait() // nothing happens any more
		book.audit(happened.counts)
	})
}

// book notes what callers were told about their calls.
type book struct {
	t *testing.T

	mu       sync.Mutex
	entries  []entry
	outcomes map[string]int
}

type entry struct {
	outcome    string
	ids        []int
	idempotent bool
}

func (b *book) call(ctx context.Context, main, child *Handle, ids *ledger, kind int) {
	ctx, cancel := context.WithTimeout(ctx, 1+rand.N(20*time.Millisecond))
	defer cancel()
	e := entry{ids: []int{ids.id()}}
	var got int
	var err error
	switch kind {
	case 0:
		got, err = Call[int](ctx, main, "do", e.ids[0])
	case 1:
		e.idempotent = true
		got, err = Call[int](ctx, main.Idempotent(), "do", e.ids[0])
	case 2:
		got, err = Call[int](ctx, child, "do", e.ids[0])
	case 3:
		e.ids = append(e.ids, ids.id())
		got, err = Do[int](ctx, main, func(p *transport.Promise) *transport.Promise {
			return p.Call("then", e.ids[0]).Call("do", e.ids[1])
		})
	case 4: // what opens the object may happen in each session
		h := main.Open("then", ids.id())
		got, err = Call[int](ctx, h, "do", e.ids[0])
		h.Release()
	}
	last := e.ids[len(e.ids)-1]
	switch rejected := (*transport.Error)(nil); {
	case err == nil && got != last:
		b.t.Errorf("call %d was answered %d", last, got)
	case err == nil, errors.As(err, &rejected) && rejected.Message == "refused":
		e.outcome = "answered"
	case errors.Is(err, transport.ErrUnsent) && !errors.Is(err, ErrUnknownOutcome):
		e.outcome = "unsent"
	case errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, transport.ErrUnsent):
		e.outcome = "unknown"
	default:
		b.t.Errorf("call %d: %v", last, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
	b.outcomes[e.outcome]++
}

func (b *book) audit(happened map[int]int) {
	for _, e := range b.entries {
		for _, id := range e.ids {
			n := happened[id]
			if e.outcome == "answered" && n == 0 || e.outcome == "unsent" && n > 0 || n > 1 && !e.idempotent {
				b.t.Errorf("a call that was %s happened %d times (idempotent: %v)", e.outcome, n, e.idempotent)
			}
			switch {
			case n > 1:
				b.outcomes["repeated"]++
			case n == 1 && e.outcome == "unknown":
				b.outcomes["unknown that happened"]++
			case n == 0 && e.outcome == "unknown":
				b.outcomes["unknown that did not"]++
			}
		}
	}
	for _, outcome := range []string{"answered", "unsent", "unknown", "repeated", "unknown that happened", "unknown that did not"} {
		if b.outcomes[outcome] == 0 {
			b.t.Errorf("no call was %s: the test shows nothing", outcome)
		}
	}
	b.t.Logf("%v", b.outcomes)
}
