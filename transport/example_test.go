package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/catalyst/orchestrator/transport"
)

// connect serves main to a client in the same process until stop is called.
func connect(main *transport.Target) (client *transport.Stub, stop func()) {
	near, far := transport.Pipe()
	here, there := transport.NewSession(near, transport.Config{}), transport.NewSession(far, transport.Config{Main: main})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = here.Run(ctx) })
	wg.Go(func() { _ = there.Run(ctx) })
	return here.Main(), func() {
		cancel()
		wg.Wait()
	}
}

// A session serves its main object and calls the peer's; here over a pipe in
// memory. Package ws has connections over WebSocket.
func ExampleSession() {
	greeter := transport.NewTarget(map[string]transport.Method{
		"hello": func(_ context.Context, call *transport.Call) (any, error) {
			var name string
			if err := call.Decode(0, &name); err != nil {
				return nil, err
			}
			return "Hello, " + name + "!", nil
		},
	})
	near, far := transport.Pipe()
	client := transport.NewSession(near, transport.Config{})
	server := transport.NewSession(far, transport.Config{Main: greeter})

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Run(ctx) })
	wg.Go(func() { _ = client.Run(ctx) })
	defer wg.Wait()
	defer cancel()

	greeting, err := transport.Invoke[string](ctx, client.Main(), "hello", "World")
	fmt.Println(greeting, err)
	_, err = transport.Invoke[string](ctx, client.Main(), "hello", 7)
	fmt.Println(err)
	// Output:
	// Hello, World! <nil>
	// argument 1: want a string, got a number
}

// Go functions become methods with decoded arguments. The target lists what a
// peer can call, and nothing else can be.
func ExampleMethod2() {
	type Point struct {
		X int `json:"x"`
		Y int `json:"y"`
	}
	calculator := transport.NewTarget(map[string]transport.Method{
		"pi":  transport.Method0(func(context.Context) (float64, error) { return 3.14, nil }),
		"add": transport.Method2(func(_ context.Context, a, b int) (int, error) { return a + b, nil }),
		"move": transport.Method2(func(_ context.Context, from Point, by *Point) (Point, error) {
			if by == nil { // absent
				by = &Point{X: 1}
			}
			return Point{from.X + by.X, from.Y + by.Y}, nil
		}),
		"log": transport.Proc1(func(_ context.Context, text string) error {
			fmt.Println("log:", text)
			return nil
		}),
	})
	client, stop := connect(calculator)
	defer stop()
	ctx := context.Background()

	fmt.Println(transport.Invoke[int](ctx, client, "add", 1, 2))
	fmt.Println(transport.Invoke[Point](ctx, client, "move", Point{1, 1}))
	fmt.Println(transport.Invoke[any](ctx, client, "log", "done"))
	_, err := transport.Invoke[int](ctx, client, "add", 1, "two")
	fmt.Println(err)
	// Output:
	// 3 <nil>
	// {2 1} <nil>
	// log: done
	// {} <nil>
	// argument 2: want a number, got a string
}

// account is an object that login returns, by reference.
func account(name string) *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"name":    transport.Method0(func(context.Context) (string, error) { return name, nil }),
		"friends": transport.Method0(func(context.Context) ([]string, error) { return []string{"bob", "carol"}, nil }),
	})
}

func bank() *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"login": transport.Method1(func(_ context.Context, name string) (*transport.Target, error) {
			return account(name), nil
		}),
		"greet": transport.Method1(func(_ context.Context, name string) (string, error) {
			return "Hello, " + name + "!", nil
		}),
	})
}

// Calls on a result that has not come yet travel at once, as do results that
// are passed on as arguments: all three calls take one round trip.
func ExamplePromise_Call() {
	client, stop := connect(bank())
	defer stop()

	alice := client.Call("login", "alice")
	defer alice.Release() // it is not awaited
	name := alice.Call("name")
	defer name.Release()
	greeting, err := transport.Await[string](context.Background(), client.Call("greet", name))
	fmt.Println(greeting, err)
	// Output: Hello, alice! <nil>
}

// The function is recorded here and runs at the peer, for each element: one
// round trip, however long the list is.
func ExamplePromise_Map() {
	client, stop := connect(bank())
	defer stop()

	alice := client.Call("login", "alice")
	defer alice.Release()
	friends := alice.Call("friends")
	defer friends.Release()
	greetings, err := transport.Await[[]string](context.Background(), friends.Map(func(friend *transport.Item) any {
		return friend.Capture(client).Call("greet", friend)
	}))
	fmt.Printf("%q %v\n", greetings, err)
	// Output: ["Hello, bob!" "Hello, carol!"] <nil>
}

// A function passed as an argument can be called by the peer.
func ExampleNewFunc() {
	client, stop := connect(transport.NewTarget(map[string]transport.Method{
		"count": transport.Method2(func(ctx context.Context, to int, tell *transport.Stub) (string, error) {
			for i := range to {
				if _, err := tell.Call("", i+1).Await(ctx); err != nil {
					return "", err
				}
			}
			return "counted", nil
		}),
	}))
	defer stop()

	callback := transport.NewFunc(transport.Proc1(func(_ context.Context, n int) error {
		fmt.Println(n)
		return nil
	}))
	fmt.Println(transport.Invoke[string](context.Background(), client, "count", 3, callback))
	// Output:
	// 1
	// 2
	// 3
	// counted <nil>
}

// Stubs among a call's arguments are released when it returns: what is kept is
// a Dup, which is released when it is no longer needed.
func ExampleStub_Dup() {
	var listener *transport.Stub
	client, stop := connect(transport.NewTarget(map[string]transport.Method{
		"listen": transport.Proc1(func(_ context.Context, f *transport.Stub) error {
			listener = f.Dup()
			return nil
		}),
		"publish": transport.Proc1(func(ctx context.Context, news string) error {
			_, err := transport.Invoke[any](ctx, listener, "", news)
			return err
		}),
		"close": transport.Proc0(func(context.Context) error {
			listener.Release()
			return nil
		}),
	}))
	defer stop()
	ctx := context.Background()

	released := make(chan struct{})
	print := transport.NewFunc(transport.Proc1(func(_ context.Context, news string) error {
		fmt.Println(news)
		return nil
	})).OnRelease(func() { close(released) })
	for _, call := range []*transport.Promise{
		client.Call("listen", print),
		client.Call("publish", "rain"),
		client.Call("publish", "sun"),
		client.Call("close"),
	} {
		if _, err := call.Await(ctx); err != nil {
			fmt.Println(err)
		}
	}
	<-released
	fmt.Println("released")
	// Output:
	// rain
	// sun
	// released
}

// Errors cross with their own properties, and are matched by the code.
func ExampleError() {
	client, stop := connect(transport.NewTarget(map[string]transport.Method{
		"withdraw": transport.Method1(func(_ context.Context, amount int) (int, error) {
			return 0, &transport.Error{
				Name:    "RangeError",
				Message: "not enough money",
				Props:   map[string]any{"code": "insufficient", "missing": amount - 10},
			}
		}),
	}))
	defer stop()

	_, err := transport.Invoke[int](context.Background(), client, "withdraw", 50)
	var rejection *transport.Error
	switch {
	case errors.As(err, &rejection) && rejection.Code() == "insufficient":
		fmt.Println(rejection.Name, rejection.Message, rejection.Props["missing"])
	case errors.Is(err, transport.ErrUnsent):
		fmt.Println("it did not happen: try again")
	case errors.Is(err, transport.ErrBroken):
		fmt.Println("it may have happened")
	}
	// Output: RangeError not enough money 40
}

// A batch gathers calls and carries them in one HTTP request.
func ExampleBatch() {
	server := httptest.NewServer(transport.BatchHandler(func(*http.Request) *transport.Target { return bank() }, transport.Config{}))
	defer server.Close()
	ctx := context.Background()

	batch := transport.NewBatch(server.URL, nil, transport.Config{})
	alice := batch.Main().Call("login", "alice")
	friends := alice.Call("friends")
	greeting := batch.Main().Call("greet", alice.Call("name"))
	if err := batch.Send(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(transport.Await[string](ctx, greeting))
	fmt.Println(transport.Await[[]string](ctx, friends))
	// Output:
	// Hello, alice! <nil>
	// [bob carol] <nil>
}
