package ws_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// A server accepts each WebSocket and runs a session over it; a client dials.
func Example() {
	greeter := transport.NewTarget(map[string]transport.Method{
		"hello": transport.Method1(func(_ context.Context, name string) (string, error) {
			return "Hello, " + name + "!", nil
		}),
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := ws.Accept(w, r, ws.Options{})
		if err != nil {
			return // the request is answered
		}
		_ = transport.NewSession(conn, transport.Config{Main: greeter}).Run(r.Context())
	}))
	defer server.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	conn, err := ws.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http"), ws.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	session := transport.NewSession(conn, transport.Config{})
	go func() { _ = session.Run(ctx) }()
	fmt.Println(transport.Invoke[string](ctx, session.Main(), "hello", "World"))
	cancel()
	<-session.Done()
	// Output: Hello, World! <nil>
}
