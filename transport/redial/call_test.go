package redial

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

func TestACallWaitsForASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, map[string]transport.Method{
			"name": transport.Method0(func(context.Context) (string, error) { return "server", nil }),
			"no": transport.Proc0(func(context.Context) error {
				return &transport.Error{Message: "no", Props: map[string]any{"code": "denied"}}
			}),
		})
		s.down = errDown
		c := New(s.dial, Config{})
		run(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := Call[string](ctx, c.Main(), "name")
		if !errors.Is(err, transport.ErrUnsent) || !errors.Is(err, errDown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while the server is down: %v", err)
		}
		time.AfterFunc(time.Hour, func() { s.goDown(nil) })
		if name, err := Call[string](t.Context(), c.Main(), "name"); err != nil || name != "server" {
			t.Errorf("got %q, %v", name, err)
		}
		_, err = Call[any](t.Context(), c.Main().Idempotent(), "no")
		if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Code() != "denied" || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("a rejection: %v", err)
		}
	})
}

func TestAfterRunCallsAreUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, nil)
		s.down = errDown
		c := New(s.dial, Config{})
		early := make(chan error, 1)
		go func() {
			_, err := Call[any](t.Context(), c.Main(), "early")
			early <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if err := <-early; !errors.Is(err, transport.ErrUnsent) {
			t.Errorf("a call before Run: %v", err)
		}
		if _, err := Call[any](t.Context(), c.Main(), "late"); !errors.Is(err, transport.ErrUnsent) {
			t.Errorf("a call after Run: %v", err)
		}
		if err := c.Run(t.Context()); err == nil {
			t.Error("a second Run was accepted")
		}
	})
}

func TestOutcomesOfACallWhoseSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		c := New(w.dial, Config{})
		run(t, c)
		start := func(ctx context.Context, h *Handle) chan error {
			ended := make(chan error, 1)
			go func() {
				_, err := Call[int](ctx, h, "x")
				ended <- err
			}()
			return ended
		}
		x := []string{`["push",["pipeline",0,["x"],[]]]`, `["pull",1]`}

		w.accept()
		once, again := start(t.Context(), c.Main()), (chan error)(nil)
		w.expect(x...)
		w.cut()
		if err := <-once; !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, transport.ErrBroken) || errors.Is(err, transport.ErrUnsent) {
			t.Errorf("a call that was sent: %v", err)
		}

		w.accept()
		again = start(t.Context(), c.Main().Idempotent())
		w.expect(x...)
		w.cut()
		w.accept()
		w.expect(x...)
		w.say(`["resolve",1,7]`)
		if err := <-again; err != nil {
			t.Errorf("an idempotent call: %v", err)
		}
		w.expect(`["release",1,1]`)
		w.cut()

		w.accept()
		ctx, cancel := context.WithCancelCause(t.Context())
		again = start(ctx, c.Main().Idempotent())
		w.expect(x...)
		w.cut()
		synctest.Wait()
		cancel(errDown) // before the next session
		if err := <-again; !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, transport.ErrUnsent) {
			t.Errorf("an idempotent call that was not repeated: %v", err)
		}

		// A context that ended because another call was unsent says nothing
		// about this one.
		w.accept()
		ctx, cancel = context.WithCancelCause(t.Context())
		once = start(ctx, c.Main())
		w.expect(x...)
		cancel(transport.ErrUnsent)
		if err := <-once; !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, transport.ErrUnsent) {
			t.Errorf("a call given up: %v", err)
		}
		w.expect(`["release",1,1]`)
		if state := c.State(); !state.Connected {
			t.Errorf("a call given up ended the connection: %+v", state)
		}
	})
}

func TestAPipelineIsRepeatedOnlyIfNothingOfItWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		gates := make(chan *gate, 10)
		c := New(func(ctx context.Context) (transport.Conn, error) {
			ours, _ := w.dial(ctx)
			g := &gate{Conn: ours, open: make(chan struct{}, 1), closed: make(chan struct{})}
			gates <- g
			return g, nil
		}, Config{})
		run(t, c)
		errs := make(chan error, 3)
		go func() {
			_, err := Call[any](t.Context(), c.Main(), "stuck")
			errs <- err
		}()
		w.accept()
		g := <-gates
		synctest.Wait() // "stuck" was handed over
		runs := 0
		go func() {
			_, err := Do[any](t.Context(), c.Main(), func(p *transport.Promise) *transport.Promise {
				runs++
				return p.Call("a").Call("b")
			})
			errs <- err
		}()
		synctest.Wait()
		_ = g.Conn.Close(nil)
		if err := <-errs; !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("a call in a Write that failed: %v", err)
		}
		w.accept()
		g = <-gates
		close(g.open)
		w.expect(`["push",["pipeline",0,["a"],[]]]`, `["push",["pipeline",1,["b"],[]]]`, `["pull",2]`)
		if runs != 2 {
			t.Errorf("the pipeline ran %d times", runs)
		}
		w.cut()
		if err := <-errs; !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("a pipeline that was sent: %v", err)
		}

		w.accept()
		g = <-gates
		next := make(chan struct{})
		runs = 0
		go func() {
			_, err := Do[any](t.Context(), c.Main(), func(p *transport.Promise) *transport.Promise {
				runs++
				a := p.Call("a")
				<-next
				return a.Call("b")
			})
			errs <- err
		}()
		synctest.Wait() // "a" was handed over
		close(next)
		synctest.Wait()
		_ = g.Conn.Close(nil)
		if err := <-errs; !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, transport.ErrUnsent) || runs != 1 {
			t.Errorf("a pipeline of which the beginning was sent: %v, after %d runs", err, runs)
		}
	})
}
