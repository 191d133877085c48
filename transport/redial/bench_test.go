package redial

import (
	"context"
	"testing"

	"github.com/catalyst/orchestrator/transport"
)

// BenchmarkCall compares a call by way of a Handle with one on the session.
func BenchmarkCall(b *testing.B) {
	echo := transport.NewTarget(map[string]transport.Method{
		"echo": transport.Method1(func(_ context.Context, n int) (int, error) { return n, nil }),
	})
	ctx, cancel := context.WithCancel(b.Context())
	served := make(chan error, 1)
	c := New(func(context.Context) (transport.Conn, error) {
		ours, theirs := transport.Pipe()
		session := transport.NewSession(theirs, transport.Config{Main: echo})
		go func() { served <- session.Run(ctx) }()
		return ours, nil
	}, Config{})
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	if _, err := Call[int](ctx, c.Main(), "echo", 1); err != nil {
		b.Fatal(err)
	}
	direct := c.link.session.Main()
	b.Run("handle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Call[int](ctx, c.Main(), "echo", 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("stub", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := transport.Invoke[int](ctx, direct, "echo", 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	cancel()
	<-ran
	<-served
}
