package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
)

// TestManyAtOnceLeaveNothing has both sides call, pipeline, pass on, dup and
// release at random from many goroutines. Every answer is right, and in the
// end neither side holds anything.
func TestManyAtOnceLeaveNothing(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{}
				peer := func() *Target {
					return NewTarget(map[string]Method{
						"echo": func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil },
						"make": func(context.Context, *Call) (any, error) { return k.made(), nil },
						"call": func(ctx context.Context, c *Call) (any, error) {
							Concurrent(ctx)
							f, err := c.Stub(0)
							if err != nil {
								return nil, err
							}
							return f.Call("", c.Arg(1)).Await(ctx)
						},
						"passOn": func(_ context.Context, c *Call) (any, error) {
							f, err := c.Stub(0)
							if err != nil {
								return nil, err
							}
							return f.Call("", c.Arg(1)), nil
						},
					})
				}
				a, b := pair(t, Config{Main: peer()}, Config{Main: peer()})
				var wg sync.WaitGroup
				for g := range uint64(8) {
					s := a
					if g%2 == 1 {
						s = b
					}
					wg.Go(func() { roam(t, s.Main(), rand.New(rand.NewPCG(seed, g))) })
				}
				wg.Wait()
				expectEmpty(t, a, b)
			})
		})
	}
}

// roam does things at random, and checks what comes of them.
func roam(t *testing.T, main *Stub, r *rand.Rand) {
	double := func() *Target {
		return NewFunc(func(_ context.Context, c *Call) (any, error) { return 2 * c.Arg(0).(float64), nil })
	}
	var shared *Stub
	for i := range 200 {
		var p *Promise
		want := any(float64(2 * i))
		switch r.IntN(7) {
		case 0:
			p = main.Call("call", double(), i)
		case 1:
			p = main.Call("passOn", double(), i)
		case 2:
			echo := main.Call("echo", i)
			p = main.Call("call", double(), echo)
			echo.Release()
		case 3:
			made := main.Call("make")
			p, want = made.Call("hello"), "hello"
			if r.IntN(2) == 0 {
				made.Pull()
			}
			made.Release()
		case 4:
			if shared == nil {
				shared = must[*Stub](t, main.Call("make"))
			}
			copied := shared.Dup()
			p, want = copied.Call("hello"), "hello"
			go copied.Release()
			if r.IntN(3) == 0 {
				shared.Release()
				shared = nil
			}
		case 5:
			wrapped := main.Call("echo", map[string]any{"f": double(), "n": []any{i}})
			p = wrapped.Get("f").Call("", wrapped.Get("n", 0))
			wrapped.Release()
		case 6:
			list := main.Call("echo", []any{i, i})
			mapped := list.Map(func(n *Item) any { return n.Capture(main).Call("echo", n) })
			list.Release()
			p, want = mapped.Get(1).Pull(), float64(i)
			mapped.Release()
		}
		if r.IntN(4) == 0 {
			p.Release()
			continue
		}
		if got, err := p.Await(t.Context()); err != nil || got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
	if shared != nil {
		shared.Release()
	}
}
