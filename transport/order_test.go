package transport

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// notebook is a target that writes down its calls.
type notebook struct {
	mu    sync.Mutex
	notes []string
}

func (n *notebook) write(v any) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, fmt.Sprint(v))
	return len(n.notes)
}

func (n *notebook) target() *Target {
	return NewTarget(map[string]Method{
		"note": func(_ context.Context, c *Call) (any, error) {
			return n.write(c.Arg(0)), nil
		},
		"slowly": func(ctx context.Context, c *Call) (any, error) {
			time.Sleep(time.Second)
			n.write(c.Arg(0))
			return c.Arg(0), nil
		},
		"beside": func(ctx context.Context, c *Call) (any, error) {
			Concurrent(ctx)
			time.Sleep(time.Second)
			return c.Arg(0), nil
		},
		"another": func(context.Context, *Call) (any, error) { return n.target(), nil },
		"anotherSlowly": func(context.Context, *Call) (any, error) {
			time.Sleep(time.Second)
			return n.target(), nil
		},
		"fail": func(context.Context, *Call) (any, error) { return nil, &Error{Message: "it failed"} },
	})
}

func (n *notebook) expect(t *testing.T, want ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !reflect.DeepEqual(n.notes, want) {
		t.Errorf("got notes %q, want %q", n.notes, want)
	}
}

// must awaits p and fails the test on a rejection.
func must[T any](t testing.TB, p *Promise) T {
	t.Helper()
	v, err := Await[T](t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCallsOfOneTargetKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target()})
		var want []string
		for i := range 1000 {
			client.Main().Call("note", i).Release()
			want = append(want, fmt.Sprint(i))
		}
		must[any](t, client.Main().Call("note", "end"))
		book.expect(t, append(want, "end")...)
	})
}

func TestACallWaitsForTheOneBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target()})
		start := time.Now()
		client.Main().Call("slowly", "first").Release()
		must[any](t, client.Main().Call("note", "second"))
		book.expect(t, "first", "second")
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want one second", took)
		}
	})
}

func TestConcurrentLetsTheNextCallStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, server := pair(t, Config{}, Config{Main: book.target()})
		start := time.Now()
		var beside []*Promise
		for i := range 10 {
			beside = append(beside, client.Main().Call("beside", i))
		}
		must[any](t, client.Main().Call("note", "meanwhile"))
		if took := time.Since(start); took != 0 {
			t.Errorf("the next call waited %v", took)
		}
		if got := server.Stats().Running; got != 10 {
			t.Errorf("%d calls are running, want 10", got)
		}
		for i, p := range beside {
			if got := must[int](t, p); got != i {
				t.Errorf("call %d gave %d", i, got)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("together they took %v, want one second", took)
		}
	})
}

func TestConcurrentOutsideACallDoesNothing(t *testing.T) {
	Concurrent(t.Context())
	Concurrent(context.Background())
}

func TestOtherTargetsDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target()})
		other := must[*Stub](t, client.Main().Call("another"))
		defer other.Release()
		client.Main().Call("slowly", "slow").Release()
		must[any](t, other.Call("note", "quick"))
		book.expect(t, "quick")
	})
}

func TestPipelinedCallsArriveInOrderWhenThePromiseResolves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target()})
		later := client.Main().Call("anotherSlowly")
		for i := range 3 {
			later.Call("note", i).Release()
		}
		stub := must[*Stub](t, later) // known only after the pipelined calls are on their way
		defer stub.Release()
		must[any](t, stub.Call("note", 3))
		book.expect(t, "0", "1", "2", "3")
	})
}

func TestPromisesInArgumentsAreAwaitedAndKeepTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target()})
		slow := must[*Stub](t, client.Main().Call("another"))
		defer slow.Release()
		value := slow.Call("slowly", "value")
		client.Main().Call("note", value).Release()
		must[any](t, client.Main().Call("note", "after"))
		book.expect(t, "value", "value", "after")

		_, err := client.Main().Call("note", map[string]any{"deep": []any{client.Main().Call("fail")}}).Await(t.Context())
		if err == nil || err.Error() != "it failed" {
			t.Errorf("a rejected argument: got %v", err)
		}
	})
}

func TestAPromiseOfTheCallersOwnAsArgument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target()})
		third, _ := pair(t, Config{}, Config{Main: (&notebook{}).target()})
		value := third.Main().Call("slowly", "from another session")
		if got := must[int](t, client.Main().Call("note", value)); got != 1 {
			t.Errorf("got %d", got)
		}
		book.expect(t, "from another session")
	})
}

func TestAMethodMayCallItsCallerBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := NewTarget(map[string]Method{
			"ask": func(ctx context.Context, c *Call) (any, error) {
				f, err := c.Stub(0)
				if err != nil {
					return nil, err
				}
				return f.Call("", "question").Await(ctx)
			},
			"askAgain": func(ctx context.Context, c *Call) (any, error) {
				Concurrent(ctx) // the callback will call this target
				f, err := c.Stub(0)
				if err != nil {
					return nil, err
				}
				return f.Call("").Await(ctx)
			},
			"plain": func(context.Context, *Call) (any, error) { return "plain", nil },
		})
		client, _ := pair(t, Config{}, Config{Main: server})
		answer := NewFunc(func(_ context.Context, c *Call) (any, error) { return fmt.Sprint("answer to ", c.Arg(0)), nil })
		if got := must[string](t, client.Main().Call("ask", answer)); got != "answer to question" {
			t.Errorf("got %q", got)
		}
		through := NewFunc(func(ctx context.Context, _ *Call) (any, error) { return client.Main().Call("plain").Await(ctx) })
		if got := must[string](t, client.Main().Call("askAgain", through)); got != "plain" {
			t.Errorf("got %q", got)
		}
	})
}

func TestALateCallIsNotHurriedByItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target()})
		p := client.Main().Call("slowly", "done")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := p.Await(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v, want the deadline", err)
		}
		if v, err := p.Await(t.Context()); v != "done" || err != nil {
			t.Errorf("awaited again: got %v, %v", v, err)
		}
	})
}
