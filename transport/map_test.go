package transport

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

type route struct {
	Service struct {
		Name string `json:"name"`
	} `json:"service"`
	ID   int   `json:"id"`
	Tags []int `json:"tags"`
}

// registry has things to map over.
func registry() *Target {
	routes := make([]*route, 3)
	for i := range routes {
		routes[i] = &route{ID: i, Tags: []int{10 * i, 10*i + 1}}
		routes[i].Service.Name = fmt.Sprint("service", i)
	}
	return NewTarget(map[string]Method{
		"routes": func(context.Context, *Call) (any, error) {
			return map[string]any{"routes": routes, "none": (*route)(nil), "one": routes[1]}, nil
		},
		"routesSlowly": func(context.Context, *Call) (any, error) {
			time.Sleep(time.Second)
			return routes, nil
		},
		"join": func(_ context.Context, c *Call) (any, error) { return fmt.Sprint(c.Arg(0), "+", c.Arg(1)), nil },
		"targets": func(context.Context, *Call) (any, error) {
			return []any{echo(), map[string]any{"deep": echo()}}, nil
		},
		"fail": func(context.Context, *Call) (any, error) { return nil, errors.New("no") },
	})
}

func TestMapRunsAtThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: registry()})
		main := client.Main()
		routes, slow := main.Call("routes"), main.Call("routesSlowly")
		whole := routes.Get("routes").Map(func(r *Item) any { return r })
		for _, c := range []struct {
			p    *Promise
			want any
		}{
			{routes.Get("routes").Map(func(r *Item) any { return r.Get("service", "name") }), []any{"service0", "service1", "service2"}},
			{routes.Get("one").Map(func(r *Item) any { return r.Get("id") }), 1.0},
			{routes.Get("none").Map(func(r *Item) any { return r.Get("id") }), nil},
			{routes.Get("routes").Map(func(r *Item) any { return "constant" }), []any{"constant", "constant", "constant"}},
			{routes.Get("routes").Map(func(r *Item) any { return r.Get("tags", 1) }), []any{1.0, 11.0, 21.0}},
			{
				slow.Map(func(r *Item) any {
					id := r.Capture(main).Call("join", r.Get("id"), r.Get("service").Get("name"))
					return map[string]any{"twice": r.Capture(main).Call("join", id, id), "list": []any{r.Get("id")}}
				}),
				[]any{
					map[string]any{"twice": "0+service0+0+service0", "list": []any{0.0}},
					map[string]any{"twice": "1+service1+1+service1", "list": []any{1.0}},
					map[string]any{"twice": "2+service2+2+service2", "list": []any{2.0}},
				},
			},
			{
				routes.Get("routes").Map(func(r *Item) any {
					return r.Get("tags").Map(func(tag *Item) any { return tag.Capture(main).Call("join", r.Get("id"), tag) })
				}),
				[]any{[]any{"0+0", "0+1"}, []any{"1+10", "1+11"}, []any{"2+20", "2+21"}},
			},
			{whole.Get(2, "id"), 2.0},
		} {
			got, err := c.p.Await(t.Context())
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, %v\nwant %v", got, err, c.want)
			}
		}
		for _, p := range []*Promise{routes, slow, whole} {
			p.Release()
		}
		expectEmpty(t, client, server)
	})
}

func TestMapReturnsStubs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: registry()})
		targets := client.Main().Call("targets")
		echoed := targets.Get(0).Map(func(x *Item) any { return []any{x.Call("echo", "called in a map")} })
		if got := must[string](t, echoed.Get(0)); got != "called in a map" {
			t.Errorf("got %q", got)
		}
		all := must[[]any](t, targets.Map(func(x *Item) any { return x }))
		stub := all[1].(map[string]any)["deep"].(*Stub)
		if got := must[string](t, stub.Call("echo", "alive")); got != "alive" {
			t.Errorf("got %q", got)
		}
		ReleaseAll(all)
		echoed.Release()
		targets.Release()
		expectEmpty(t, client, server)
	})
}

func TestMapCapturesAnObjectOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: registry()})
		third, _ := pair(t, Config{}, Config{Main: registry()}) // reached through the client
		routes := client.Main().Call("routesSlowly")
		joined := routes.Map(func(r *Item) any { return r.Capture(third.Main()).Call("join", "far", r.Get("id")) })
		routes.Release()
		if got := must[[]string](t, joined); len(got) != 3 || got[2] != "far+2" {
			t.Errorf("got %q", got)
		}
		expectEmpty(t, client, server)
	})
}

func TestMapOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: registry()})
		main := client.Main()
		failure, routes := main.Call("fail"), main.Call("routesSlowly")
		_, err := failure.Map(func(r *Item) any { return r }).Await(t.Context())
		if err == nil || err.Error() != "no" {
			t.Errorf("got %v", err)
		}
		each := routes.Map(func(r *Item) any { return r.Capture(main).Call("fail") })
		failure.Release()
		routes.Release()
		if _, err := each.Await(t.Context()); err == nil || err.Error() != "no" {
			t.Errorf("got %v", err)
		}
		expectEmpty(t, client, server)
	})
}

func TestAMapsFunctionMustStayAmongItsItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: registry()})
		routes := client.Main().Call("routesSlowly")
		var stray *Item
		fine := routes.Map(func(r *Item) any { stray = r; return 1 })
		for name, p := range map[string]*Promise{
			"in another map": routes.Map(func(*Item) any { return stray }),
			"in a call":      client.Main().Call("join", stray),
			"a new target":   routes.Map(func(r *Item) any { return r.Call("x", NewFunc(nil)) }),
			"a channel":      routes.Map(func(r *Item) any { return make(chan int) }),
		} {
			if _, err := p.Await(t.Context()); err == nil {
				t.Errorf("an item used %s: no error", name)
			}
		}
		fine.Release()
		routes.Release()
		time.Sleep(2 * time.Second)
		expectEmpty(t, client, server)
	})
}
