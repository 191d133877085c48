package transport_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/catalyst/orchestrator/transport"
)

// A stream in the arguments is read by the method, here as an io.Reader, and
// one in the result by the caller, here chunk by chunk.
func ExampleReadable() {
	client, stop := connect(transport.NewTarget(map[string]transport.Method{
		"words": transport.Method1(func(_ context.Context, text *transport.Readable) (*transport.Readable, error) {
			all, err := io.ReadAll(text)
			words := strings.Fields(string(all))
			return transport.NewReadable(func(context.Context) (any, error) {
				if len(words) == 0 {
					return nil, io.EOF
				}
				word := words[0]
				words = words[1:]
				return word, nil
			}, nil), err
		}),
	}))
	defer stop()
	ctx := context.Background()

	text := transport.ReadableFrom(strings.NewReader("so much to say"))
	words, err := transport.Invoke[*transport.Readable](ctx, client, "words", text)
	if err != nil {
		fmt.Println(err)
		return
	}
	for word, err := range words.All(ctx) {
		fmt.Println(word, err)
	}
	// Output:
	// so <nil>
	// much <nil>
	// to <nil>
	// say <nil>
}

// A Writable in the arguments is written by the method; Close tells it that all
// has arrived.
func ExampleWritable() {
	client, stop := connect(transport.NewTarget(map[string]transport.Method{
		"report": transport.Proc1(func(_ context.Context, out *transport.Writable) error {
			fmt.Fprint(out, "all is ")
			fmt.Fprint(out, "well")
			return out.Close()
		}),
	}))
	defer stop()

	var report strings.Builder
	_, err := client.Call("report", transport.WritableTo(&report)).Await(context.Background())
	fmt.Println(report.String(), err)
	// Output: all is well <nil>
}

// The peer sees a proxy's target as if it were there itself.
func ExampleStub_proxy() {
	far, stop := connect(transport.NewTarget(map[string]transport.Method{
		"double": transport.Method1(func(_ context.Context, n int) (int, error) { return 2 * n, nil }),
	}))
	defer stop()
	ours, theirs := transport.Pipe()
	proxy := transport.NewSession(ours, transport.Config{Main: far, Proxy: true})
	client := transport.NewSession(theirs, transport.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = proxy.Run(ctx) }()
	go func() { _ = client.Run(ctx) }()

	n, err := transport.Invoke[int](ctx, client.Main(), "double", client.Main().Call("double", 5))
	fmt.Println(n, err)
	// Output: 20 <nil>
}
