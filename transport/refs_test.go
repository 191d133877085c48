package transport

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// keeper is a target that keeps what it is given and makes what it is asked for.
type keeper struct {
	kept     *Stub
	released atomic.Int32 // how many of those made
	argument *Stub
}

func (k *keeper) target() *Target {
	return NewTarget(map[string]Method{
		"keep": func(_ context.Context, c *Call) (any, error) {
			s, err := c.Stub(0)
			if err == nil {
				k.kept = s.Dup()
			}
			return nil, err
		},
		"look": func(_ context.Context, c *Call) (any, error) {
			s, err := c.Stub(0)
			k.argument = s
			return nil, err
		},
		"use":  func(ctx context.Context, c *Call) (any, error) { return k.kept.Call("", c.Arg(0)).Await(ctx) },
		"drop": func(context.Context, *Call) (any, error) { k.kept.Release(); return nil, nil },
		"make": func(context.Context, *Call) (any, error) { return k.made(), nil },
		"makeMany": func(context.Context, *Call) (any, error) {
			return map[string]any{"one": k.made(), "more": []*Target{k.made(), k.made()}, "name": "many"}, nil
		},
		"makeSlowly": func(context.Context, *Call) (any, error) {
			time.Sleep(time.Second)
			return k.made(), nil
		},
		"echo": func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil },
	})
}

func (k *keeper) made() *Target {
	return NewTarget(map[string]Method{
		"hello": func(context.Context, *Call) (any, error) { return "hello", nil },
	}).OnRelease(func() { k.released.Add(1) })
}

// settle lets both sides finish and expects them to hold nothing.
func expectEmpty(t *testing.T, sessions ...*Session) {
	t.Helper()
	synctest.Wait()
	for i, s := range sessions {
		if got := s.Stats(); got != (Stats{}) {
			t.Errorf("side %d holds %+v", i, got)
		}
	}
}

func TestArgumentsEndWithTheirCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		client, server := pair(t, Config{}, Config{Main: k.target()})
		released := 0
		f := NewFunc(func(context.Context, *Call) (any, error) { return nil, nil }).OnRelease(func() { released++ })
		must[any](t, client.Main().Call("look", f))
		synctest.Wait()
		if released != 1 {
			t.Errorf("released %d times, want once", released)
		}
		if _, err := k.argument.Call("").Await(t.Context()); err == nil {
			t.Error("an argument was called after its call")
		}
		expectEmpty(t, client, server)
	})
}

func TestADupKeepsAnArgument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: (&keeper{}).target()})
		released := 0
		f := NewFunc(func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil }).OnRelease(func() { released++ })
		must[any](t, client.Main().Call("keep", f))
		synctest.Wait()
		if got := must[string](t, client.Main().Call("use", "still there")); got != "still there" || released != 0 {
			t.Errorf("got %q; released %d times", got, released)
		}
		must[any](t, client.Main().Call("drop"))
		must[any](t, client.Main().Call("drop")) // a second Release is nothing
		synctest.Wait()
		if released != 1 {
			t.Errorf("released %d times, want once", released)
		}
		expectEmpty(t, client, server)
	})
}

func TestAReturnedTargetLivesAsLongAsItsStubs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		client, server := pair(t, Config{}, Config{Main: k.target()})
		one := must[*Stub](t, client.Main().Call("make"))
		two := one.Dup()
		one.Release()
		one.Release()
		if got := must[string](t, two.Call("hello")); got != "hello" || k.released.Load() != 0 {
			t.Errorf("got %q; released %d times", got, k.released.Load())
		}
		two.Release()
		expectEmpty(t, client, server)
		if k.released.Load() != 1 {
			t.Errorf("released %d times, want once", k.released.Load())
		}
		if _, err := two.Call("hello").Await(t.Context()); !errors.Is(err, errReleased) {
			t.Errorf("call of a released stub: got %v", err)
		}
	})
}

func TestPipeliningAloneNeedsNoStub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		client, server := pair(t, Config{}, Config{Main: k.target()})
		made := client.Main().Call("makeSlowly")
		hello := made.Call("hello")
		made.Release() // before it is resolved: the call goes through all the same
		if got := must[string](t, hello); got != "hello" {
			t.Errorf("got %q", got)
		}
		expectEmpty(t, client, server)
		if k.released.Load() != 1 {
			t.Errorf("released %d times, want once", k.released.Load())
		}
	})
}

func TestStubsInsideAResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		client, server := pair(t, Config{}, Config{Main: k.target()})
		many := client.Main().Call("makeMany")
		if got := must[string](t, many.Get("more", 1).Call("hello")); got != "hello" {
			t.Errorf("pipelined through an array: got %q", got)
		}
		got := must[struct {
			One  *Stub   `json:"one"`
			More []*Stub `json:"more"`
		}](t, many)
		for _, s := range append(got.More, got.One) {
			if hello := must[string](t, s.Call("hello")); hello != "hello" {
				t.Errorf("got %q", hello)
			}
			s.Release()
		}
		expectEmpty(t, client, server)
		if k.released.Load() != 3 {
			t.Errorf("released %d times, want 3", k.released.Load())
		}
	})
}

func TestAnUnwantedResultIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		client, server := pair(t, Config{}, Config{Main: k.target()})
		p := client.Main().Call("makeSlowly").Pull()
		synctest.Wait()
		p.Release()
		p.Release()
		time.Sleep(2 * time.Second)
		expectEmpty(t, client, server)
		if k.released.Load() != 1 {
			t.Errorf("released %d times, want once", k.released.Load())
		}
		if _, err := p.Await(t.Context()); !errors.Is(err, errDropped) {
			t.Errorf("await after release: got %v", err)
		}
	})
}

func TestAResultOfTheWrongTypeIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		client, server := pair(t, Config{}, Config{Main: k.target()})
		if _, err := Await[string](t.Context(), client.Main().Call("make")); err == nil || err.Error() != "want a string, got a stub" {
			t.Errorf("got %v", err)
		}
		expectEmpty(t, client, server)
		if k.released.Load() != 1 {
			t.Errorf("released %d times, want once", k.released.Load())
		}
	})
}

func TestAnArgumentMayBeReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: (&keeper{}).target()})
		released := 0
		f := NewFunc(func(context.Context, *Call) (any, error) { return "mine", nil }).OnRelease(func() { released++ })
		back := must[*Stub](t, client.Main().Call("echo", f))
		if got := must[string](t, back.Call("")); got != "mine" {
			t.Errorf("got %q", got)
		}
		back.Release()
		expectEmpty(t, client, server)
		if released != 1 {
			t.Errorf("released %d times, want once", released)
		}
	})
}

func TestAFailedCallExportsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: (&keeper{}).target()})
		released := 0
		f := NewFunc(nil).OnRelease(func() { released++ })
		_, err := client.Main().Call("look", f, []any{f, make(chan int)}).Await(t.Context())
		if err == nil || err.Error() != "a value of type chan int cannot be sent" {
			t.Errorf("got %v", err)
		}
		expectEmpty(t, client, server)
		if released != 1 {
			t.Errorf("released %d times, want once", released)
		}
		loop := map[string]any{}
		loop["self"] = loop
		if _, err := client.Main().Call("look", loop).Await(t.Context()); !errors.Is(err, errTooDeep) {
			t.Errorf("a value that contains itself: got %v", err)
		}
		expectEmpty(t, client, server)
	})
}

// TestAStubTravelsOn has a front that passes calls on to a back, as a follower
// does to its leader: results, promises and callbacks cross both sessions.
func TestAStubTravelsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		toBack, back := pair(t, Config{}, Config{Main: k.target()})
		front := NewTarget(map[string]Method{
			"login": func(context.Context, *Call) (any, error) { return toBack.Main().Call("makeSlowly"), nil },
			"keep":  func(_ context.Context, c *Call) (any, error) { return toBack.Main().Call("keep", c.Arg(0)), nil },
			"use":   func(_ context.Context, c *Call) (any, error) { return toBack.Main().Call("use", c.Arg(0)), nil },
			"drop":  func(context.Context, *Call) (any, error) { return toBack.Main().Call("drop"), nil },
			"each": func(context.Context, *Call) (any, error) {
				return []any{toBack.Main().Call("echo", 1), map[string]any{"two": toBack.Main().Call("echo", 2)}}, nil
			},
			"back": func(context.Context, *Call) (any, error) { return toBack.Main(), nil },
		})
		client, server := pair(t, Config{}, Config{Main: front})

		start := time.Now()
		login := client.Main().Call("login")
		if got := must[string](t, login.Call("hello")); got != "hello" || time.Since(start) != time.Second {
			t.Errorf("got %q after %v", got, time.Since(start))
		}
		stub := must[*Stub](t, login)
		if got := must[string](t, stub.Call("hello")); got != "hello" {
			t.Errorf("got %q", got)
		}
		stub.Release()

		released := 0
		f := NewFunc(func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil }).OnRelease(func() { released++ })
		must[any](t, client.Main().Call("keep", f))
		if got := must[string](t, client.Main().Call("use", "far")); got != "far" || released != 0 {
			t.Errorf("got %q; released %d times", got, released)
		}
		must[any](t, client.Main().Call("drop"))

		if got := must[[]any](t, client.Main().Call("each")); len(got) != 2 || got[0] != 1.0 || got[1].(map[string]any)["two"] != 2.0 {
			t.Errorf("promises inside a result: got %v", got)
		}
		direct := must[*Stub](t, client.Main().Call("back"))
		if got := must[string](t, direct.Call("echo", "through")); got != "through" {
			t.Errorf("got %q", got)
		}
		direct.Release()
		expectEmpty(t, client, server, toBack, back)
		if released != 1 || k.released.Load() != 1 {
			t.Errorf("released %d and %d times, want once each", released, k.released.Load())
		}
	})
}

func TestNothingIsLeftAfterManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		client, server := pair(t, Config{}, Config{Main: k.target()})
		f := NewFunc(func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil })
		for i := range 500 {
			must[any](t, client.Main().Call("keep", f))
			made := client.Main().Call("make")
			hello := made.Call("hello")
			if got := must[string](t, client.Main().Call("use", hello)); got != "hello" {
				t.Fatalf("round %d: got %q", i, got)
			}
			hello.Release()
			must[*Stub](t, made).Release()
			must[any](t, client.Main().Call("drop"))
			client.Main().Call("makeMany").Release()
		}
		expectEmpty(t, client, server)
		if want := int32(4 * 500); k.released.Load() != want {
			t.Errorf("released %d times, want %d", k.released.Load(), want)
		}
	})
}

func TestAValueThatContainsItselfHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		loop := map[string]any{}
		loop["a"], loop["b"] = loop, []any{loop}
		type node struct{ Next, Other *node }
		ring := &node{}
		ring.Next, ring.Other = ring, ring
		client, server := pair(t, Config{}, Config{Main: NewTarget(map[string]Method{
			"loop": func(context.Context, *Call) (any, error) { return loop, nil },
			"ring": func(context.Context, *Call) (any, error) { return ring, nil },
		})})
		for _, name := range []string{"loop", "ring"} {
			if _, err := client.Main().Call(name).Await(t.Context()); err == nil || err.Error() != errTooDeep.Message {
				t.Errorf("%s: got %v", name, err)
			}
		}
		expectEmpty(t, client, server)
	})
}

func TestAHeldTargetOutlivesItsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := 0
		target := NewFunc(nil).OnRelease(func() { released++ })
		other := NewFunc(nil).OnRelease(func() { released += 10 })
		release := Hold(1, []any{map[string]*Target{"a": target}}, other)
		for range 2 {
			w := script(t, Config{})
			w.s.Main().Call("keep", target)
			synctest.Wait()
			_ = w.conn.Close(nil)
			<-w.s.Done()
		}
		if released != 0 {
			t.Errorf("released %d between sessions", released)
		}
		release()
		if released != 11 {
			t.Errorf("released %d, want each once", released)
		}
	})
}
