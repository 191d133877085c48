package transport

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
)

type point struct {
	X int `json:"x"`
	Y int `json:"y"`
}

func typed() *Target {
	return NewTarget(map[string]Method{
		"name": Method0(func(context.Context) (string, error) { return "typed", nil }),
		"move": Method1(func(_ context.Context, p point) (point, error) { return point{p.X + 1, p.Y}, nil }),
		"add":  Method2(func(_ context.Context, a, b int) (int, error) { return a + b, nil }),
		"cut": Method3(func(_ context.Context, text string, from int, to *int) (string, error) {
			if to == nil {
				return text[from:], nil
			}
			return text[from:*to], nil
		}),
		"nothing": Proc0(func(context.Context) error { return nil }),
		"refuse":  Proc1(func(_ context.Context, why string) error { return errors.New(why) }),
		"tell": Proc2(func(ctx context.Context, f *Stub, what any) error {
			_, err := Invoke[any](ctx, f, "", what)
			return err
		}),
		"three": Proc3(func(_ context.Context, a bool, b []string, c map[string]float64) error {
			return fmt.Errorf("%v %v %v", a, b, c)
		}),
	})
}

func TestTypedMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, Config{}, Config{Main: typed()})
		main := client.Main()
		for _, c := range []struct {
			method string
			args   []any
			want   string
		}{
			{"name", nil, "typed <nil>"},
			{"move", []any{point{1, 2}}, "map[x:2 y:2] <nil>"},
			{"move", []any{map[string]any{"x": "one"}}, `<nil> argument 1: x: want a number, got a string`},
			{"add", []any{1, 2}, "3 <nil>"},
			{"add", []any{1, 2, 3}, "3 <nil>"},
			{"add", []any{1}, "1 <nil>"},
			{"add", []any{Undefined{}, 2}, "2 <nil>"},
			{"add", []any{1, "2"}, "<nil> argument 2: want a number, got a string"},
			{"add", []any{1, nil}, "<nil> argument 2: want a number, got null"},
			{"cut", []any{"abcdef", 2}, "cdef <nil>"},
			{"cut", []any{"abcdef", 2, nil}, "cdef <nil>"},
			{"cut", []any{"abcdef", 2, 4}, "cd <nil>"},
			{"cut", []any{"abcdef", 2, 0.5}, "<nil> argument 3: want a whole number that fits int, got 0.5"},
			{"nothing", nil, "{} <nil>"},
			{"refuse", []any{"because"}, "<nil> because"},
			{"tell", nil, "<nil> argument 1: want a stub or function, got undefined"},
			{"tell", []any{nil}, "<nil> argument 1: want a stub or function, got null"},
			{"three", []any{true, []string{"a"}, map[string]int{"b": 1}}, "<nil> true [a] map[b:1]"},
		} {
			v, err := Invoke[any](t.Context(), main, c.method, c.args...)
			if got := fmt.Sprint(v, " ", err); got != c.want {
				t.Errorf("%s(%v): got %s\nwant %s", c.method, c.args, got, c.want)
			}
		}
		told := ""
		listener := NewFunc(Proc1(func(_ context.Context, what string) error { told = what; return nil }))
		if _, err := Invoke[Undefined](t.Context(), main, "tell", listener, "hello"); err != nil || told != "hello" {
			t.Errorf("told %q, %v", told, err)
		}
		if sum, err := Invoke[int](t.Context(), main, "add", main.Call("add", 1, 2), 3); err != nil || sum != 6 {
			t.Errorf("got %d, %v", sum, err)
		}
	})
}

func TestInvokeSendsNothingForACallerWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		called := false
		client, _ := pair(t, Config{}, Config{Main: NewTarget(map[string]Method{
			"call": Proc0(func(context.Context) error { called = true; return nil }),
			"hang": Proc0(func(ctx context.Context) error { Concurrent(ctx); <-ctx.Done(); return nil }),
			"name": Method0(func(context.Context) (string, error) { return "alive", nil }),
		})})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := Invoke[any](ctx, client.Main(), "call")
		synctest.Wait()
		if called || !errors.Is(err, ErrUnsent) || !errors.Is(err, context.Canceled) || errors.Is(err, ErrBroken) {
			t.Errorf("called: %v, %v", called, err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 1)
		defer cancel()
		if _, err := Invoke[any](ctx, client.Main(), "hang"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnsent) {
			t.Errorf("a call that hangs: got %v", err)
		}
		if name, err := Invoke[string](t.Context(), client.Main(), "name"); err != nil || name != "alive" {
			t.Errorf("after a deadline: got %q, %v", name, err)
		}
	})
}
