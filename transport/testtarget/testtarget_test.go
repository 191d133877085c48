package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// start serves on a free port until the test ends, and returns the address.
func start(t *testing.T) string {
	t.Helper()
	said, out := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, "127.0.0.1:0", out) }()
	line := make([]byte, 100)
	n, err := said.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "listening on "))
}

func TestEveryMethod(t *testing.T) {
	address := start(t)
	c, err := ws.Dial(t.Context(), "ws://"+address, ws.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := transport.NewSession(c, transport.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = s.Run(ctx) }()
	defer func() {
		cancel()
		<-s.Done()
	}()
	main := s.Main()
	double := transport.NewFunc(func(_ context.Context, c *call) (any, error) { return c.Arg(0).(float64) * 2, nil })
	counter := main.Call("makeCounter", 4)
	got := func(p *transport.Promise) any {
		v, err := p.Await(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		method string
		args   []any
		want   any
	}{
		{"square", []any{3}, 9.0},
		{"callSquare", []any{main, 5}, map[string]any{"result": 25.0}},
		{"callFunction", []any{double, 7}, map[string]any{"result": 14.0}},
		{"incrementCounter", []any{counter}, 5.0},
		{"incrementCounter", []any{counter, 10}, 15.0},
		{"generateFibonacci", []any{1}, []any{0.0}},
		{"generateFibonacci", []any{7}, []any{0.0, 1.0, 1.0, 2.0, 3.0, 5.0, 8.0}},
		{"returnNull", nil, nil},
		{"returnUndefined", nil, transport.Undefined{}},
		{"returnNumber", []any{6}, 6.0},
	} {
		if v := got(main.Call(c.method, c.args...)); !reflect.DeepEqual(v, c.want) {
			t.Errorf("%s: got %v, want %v", c.method, v, c.want)
		}
	}
	if v := got(counter.Call("increment")); v != 16.0 {
		t.Errorf("increment: got %v, want 16", v)
	}
	for method, want := range map[string]string{
		"throwError":        "RangeError: test error",
		"callSquare":        "TypeError: argument 1: want a stub or function, got undefined",
		"generateFibonacci": "RangeError: argument 1: want a length from 0 to 1048576",
	} {
		_, err := main.Call(method).Await(t.Context())
		e := (*transport.Error)(nil)
		if !errors.As(err, &e) || e.Name+": "+e.Message != want {
			t.Errorf("%s: got %v, want %s", method, err, want)
		}
	}
}

func TestBatchesArePosts(t *testing.T) {
	url := "http://" + start(t) + "/"
	b := transport.NewBatch(url, &http.Client{}, transport.Config{})
	sum := b.Main().Call("makeCounter", 4).Call("increment", 3)
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := sum.Await(t.Context()); v != 7.0 {
		t.Errorf("got %v (%v), want 7", v, err)
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodOptions} {
		request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := (&http.Client{}).Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: got %s, want 405", method, response.Status)
		}
	}
}
