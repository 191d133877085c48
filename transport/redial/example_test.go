package redial_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/redial"
)

// flaky returns a dial function for a server whose connections can be cut.
func flaky(main *transport.Target) (dial func(context.Context) (transport.Conn, error), cut func()) {
	var mu sync.Mutex
	var last transport.Conn
	dial = func(context.Context) (transport.Conn, error) {
		near, far := transport.Pipe()
		go func() { _ = transport.NewSession(far, transport.Config{Main: main}).Run(context.Background()) }()
		mu.Lock()
		defer mu.Unlock()
		last = far
		return near, nil
	}
	return dial, func() {
		mu.Lock()
		defer mu.Unlock()
		_ = last.Close(nil)
	}
}

// A program keeps a client running and calls what it has opened, whichever
// connection there is. With package ws, dial is
//
//	func(ctx context.Context) (transport.Conn, error) { return ws.Dial(ctx, url, ws.Options{}) }
func Example() {
	dial, cut := flaky(transport.NewTarget(map[string]transport.Method{
		"login": transport.Method1(func(_ context.Context, name string) (*transport.Target, error) {
			fmt.Println("login of", name)
			return transport.NewTarget(map[string]transport.Method{
				"greet": transport.Method0(func(context.Context) (string, error) { return "Hello, " + name + "!", nil }),
			}), nil
		}),
	}))
	client := redial.New(dial, redial.Config{MinWait: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = client.Run(ctx) })
	defer wg.Wait()
	defer cancel()

	alice := client.Main().Open("login", "alice")
	defer alice.Release()
	greet := func() {
		greeting, err := redial.Call[string](ctx, alice.Idempotent(), "greet")
		switch {
		case errors.Is(err, redial.ErrUnknownOutcome):
			fmt.Println("sent, and not answered:", err)
		case errors.Is(err, transport.ErrUnsent):
			fmt.Println("not sent:", err)
		default:
			fmt.Println(greeting, err)
		}
	}
	greet()
	cut()
	greet()
	// Output:
	// login of alice
	// Hello, alice! <nil>
	// login of alice
	// Hello, alice! <nil>
}

// A subscription goes on in each session, and its owner learns of the gaps.
func ExampleHandle_Subscribe() {
	dial, cut := flaky(transport.NewTarget(map[string]transport.Method{
		"watch": transport.Proc2(func(ctx context.Context, from int, tell *transport.Stub) error {
			_, err := transport.Invoke[any](ctx, tell, "", from+1)
			return err
		}),
	}))
	client := redial.New(dial, redial.Config{MinWait: time.Millisecond})

	seen := 0
	onChange := transport.NewFunc(transport.Proc1(func(_ context.Context, index int) error {
		seen = index
		fmt.Println("change", index)
		return nil
	}))
	states := make(chan error, 10) // notify must not block
	watch := client.Main().Subscribe(func(err error) { states <- err },
		func(main *transport.Promise) *transport.Promise { return main.Call("watch", seen, onChange) })

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = client.Run(ctx) })
	fmt.Println("watching:", <-states == nil)
	cut()
	fmt.Println("lost:", errors.Is(<-states, transport.ErrBroken))
	fmt.Println("watching:", <-states == nil)
	watch.Release()
	cancel()
	wg.Wait()
	// Output:
	// change 1
	// watching: true
	// lost: true
	// change 2
	// watching: true
}
