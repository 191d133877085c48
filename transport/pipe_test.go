package transport

import (
	"context"
	"testing"
	"testing/synctest"
)

// pair runs two sessions over a pipe until the test ends, and joins them.
func pair(t testing.TB, a, b Config) (*Session, *Session) {
	t.Helper()
	ca, cb := Pipe()
	sa, sb := NewSession(ca, a), NewSession(cb, b)
	ctx, cancel := context.WithCancel(context.Background())
	for _, s := range []*Session{sa, sb} {
		go func() { _ = s.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		<-sa.Done()
		<-sb.Done()
	})
	return sa, sb
}

func echo() *Target {
	return NewTarget(map[string]Method{
		"echo": func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil },
	})
}

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, Config{}, Config{Main: echo()})
		got, err := Await[string](t.Context(), client.Main().Call("echo", "hello"))
		if err != nil || got != "hello" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

// failing is a function that always fails with err.
func failing(err error) *Target {
	return NewFunc(func(context.Context, *Call) (any, error) { return nil, err })
}
