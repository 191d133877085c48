package interop

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

type (
	target = transport.Target
	call   = transport.Call
	method = transport.Method
)

// api is what client.mjs calls; see api.mjs for the same in JavaScript.
type api struct {
	seen     []any
	kept     *transport.Stub
	disposed atomic.Int64
	sunken   *sunken
	stats    func() transport.Stats
}

func newAPI(stats func() transport.Stats) *target {
	a := &api{stats: stats}
	return transport.NewTarget(map[string]method{
		"echo":          func(_ context.Context, c *call) (any, error) { return c.Arg(0), nil },
		"add":           a.add,
		"note":          a.note,
		"seen":          func(context.Context, *call) (any, error) { return a.seen, nil },
		"counter":       a.counter,
		"laterCounter":  a.laterCounter,
		"counters":      a.counters,
		"disposed":      func(context.Context, *call) (any, error) { return a.disposed.Load(), nil },
		"list":          a.list,
		"describe":      a.describe,
		"later":         a.later,
		"call":          a.call,
		"tell":          a.tell,
		"keepTarget":    a.keep,
		"tellKept":      a.tellKept,
		"drop":          a.drop,
		"stats":         a.count,
		"fail":          a.fail,
		"failMany":      a.failMany,
		"read":          read,
		"collect":       collect,
		"produce":       produce,
		"produceBadly":  produceBadly,
		"counterStream": counterStream,
		"ignore":        func(context.Context, *call) (any, error) { return nil, nil },
		"write":         write,
		"abort":         abort,
		"leaveOpen":     leaveOpen,
		"sink":          a.sink,
		"sunk":          a.sunk,
		"slowly":        slowly,
	})
}

func (a *api) add(_ context.Context, c *call) (any, error) {
	var x, y float64
	if err := errors.Join(c.Decode(0, &x), c.Decode(1, &y)); err != nil {
		return nil, err
	}
	return x + y, nil
}

func (a *api) note(_ context.Context, c *call) (any, error) {
	a.seen = append(a.seen, c.Arg(0))
	return transport.Undefined{}, nil
}

func newCounter(value float64, released func()) *target {
	t := transport.NewTarget(map[string]method{
		"add": func(_ context.Context, c *call) (any, error) {
			var n float64
			err := c.Decode(0, &n)
			value += n
			return value, err
		},
	})
	return t.OnRelease(released)
}

func (a *api) counter(_ context.Context, c *call) (any, error) {
	var start float64
	if err := c.Decode(0, &start); err != nil {
		return nil, err
	}
	return newCounter(start, func() { a.disposed.Add(1) }), nil
}

func (a *api) laterCounter(ctx context.Context, c *call) (any, error) {
	pause(ctx)
	return a.counter(ctx, c)
}

func (a *api) counters(context.Context, *call) (any, error) {
	return struct {
		List []*target `json:"list"`
		Name string    `json:"name"`
	}{[]*target{newCounter(1, func() {}), newCounter(2, func() {})}, "two"}, nil
}

type item struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

func (a *api) list(context.Context, *call) (any, error) {
	return struct {
		Items []item `json:"items"`
		None  *item  `json:"none"`
	}{Items: []item{{1, "one"}, {2, "two"}, {3, "three"}}}, nil
}

func (a *api) describe(_ context.Context, c *call) (any, error) {
	return fmt.Sprintf("%v:%v", c.Arg(0), c.Arg(1)), nil
}

// pause makes an answer late.
func pause(ctx context.Context) {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (a *api) later(ctx context.Context, c *call) (any, error) {
	pause(ctx)
	return c.Arg(0), nil
}

// call calls back; more calls may come meanwhile.
func (a *api) call(ctx context.Context, c *call) (any, error) {
	f, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	transport.Concurrent(ctx)
	var args []any
	for i := 1; i < c.Len(); i++ {
		args = append(args, c.Arg(i))
	}
	return f.Call("", args...).Await(ctx)
}

func (a *api) tell(ctx context.Context, c *call) (any, error) {
	listener, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	return listener.Call("tell", c.Arg(1)).Await(ctx)
}

func (a *api) keep(_ context.Context, c *call) (any, error) {
	listener, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	a.kept = listener.Dup()
	return nil, nil
}

func (a *api) tellKept(ctx context.Context, c *call) (any, error) {
	return a.kept.Call("tell", c.Arg(0)).Await(ctx)
}

func (a *api) drop(context.Context, *call) (any, error) {
	a.kept.Release()
	return nil, nil
}

func (a *api) count(context.Context, *call) (any, error) {
	s := a.stats()
	return map[string]any{"imports": s.Imports, "exports": s.Exports}, nil
}

func (a *api) fail(context.Context, *call) (any, error) {
	return nil, &transport.Error{Name: "RangeError", Message: "out of range", Props: map[string]any{
		"code": "too_large", "limit": 7, "when": time.UnixMilli(0),
		"cause": &transport.Error{Name: "TypeError", Message: "the cause"},
	}}
}

func (a *api) failMany(context.Context, *call) (any, error) {
	return nil, &transport.Error{Name: "AggregateError", Message: "many", Props: map[string]any{
		"errors": []any{&transport.Error{Message: "first"}, &transport.Error{Message: "second"}},
	}}
}
