package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// start runs a relay before target until the test ends, and returns its address.
func start(t *testing.T, target string) string {
	t.Helper()
	said, out := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, "127.0.0.1:0", &relay{target: target}, out) }()
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

// target serves on WebSocket a function that calls the function it is given,
// and hands its sessions out.
func target(t *testing.T) (url string, sessions <-chan *transport.Session) {
	t.Helper()
	list := make(chan *transport.Session, 10)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg.Add(1)
		defer wg.Done()
		c, err := ws.Accept(w, r, ws.Options{})
		if err != nil {
			return
		}
		s := transport.NewSession(c, transport.Config{Main: transport.NewFunc(ask)})
		list <- s
		_ = s.Run(ctx)
	}))
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		server.Close()
	})
	return server.URL, list
}

func ask(ctx context.Context, c *transport.Call) (any, error) {
	f, ok := c.Arg(0).(*transport.Stub)
	if !ok {
		return c.Arg(0), nil
	}
	transport.Concurrent(ctx)
	return f.Call("", "who is there?").Await(ctx)
}

func connect(t *testing.T, address string) *transport.Session {
	t.Helper()
	c, err := ws.Dial(t.Context(), "ws://"+address, ws.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := transport.NewSession(c, transport.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-s.Done()
	})
	return s
}

func TestTheTargetCallsBack(t *testing.T) {
	url, _ := target(t)
	s := connect(t, start(t, url))
	me := transport.NewFunc(func(_ context.Context, c *transport.Call) (any, error) { return c.Arg(0).(string) + " me", nil })
	if got, err := s.Main().Call("", me).Await(t.Context()); got != "who is there? me" {
		t.Errorf("got %v (%v)", got, err)
	}
}

func TestEndsArriveAsTheyWere(t *testing.T) {
	url, sessions := target(t)
	address := start(t, url)
	for _, c := range []struct {
		reason error
		want   string
	}{
		{&transport.Error{Name: "RangeError", Message: "enough"}, "session ended: the peer aborted: enough"},
		{&transport.ClosedError{Code: 4001, Reason: "moved"}, "session ended: the peer closed the connection (4001): moved"},
		{&transport.ClosedError{Code: 1006}, "session ended: the connection was cut"},
	} {
		client := connect(t, address)
		server := <-sessions
		server.Abort(c.reason)
		<-client.Done()
		if got := client.Err().Error(); got != c.want {
			t.Errorf("at the client: got %q, want %q", got, c.want)
		}
		client = connect(t, address)
		server = <-sessions
		client.Abort(c.reason)
		<-server.Done()
		if got := server.Err().Error(); got != c.want {
			t.Errorf("at the target: got %q, want %q", got, c.want)
		}
	}
}

func TestBatches(t *testing.T) {
	url, _ := target(t)
	b := transport.NewBatch("http://"+start(t, url)+"/", &http.Client{}, transport.Config{})
	echo := b.Main().Call("", b.Main().Call("", "again"))
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := echo.Await(t.Context()); got != "again" {
		t.Errorf("got %v (%v)", got, err)
	}
}

func TestATargetThatIsDown(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	address := start(t, gone.URL)
	_, err := ws.Dial(t.Context(), "ws://"+address, ws.Options{})
	if err == nil || !strings.Contains(err.Error(), "502") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("WebSocket: got %v", err)
	}
	b := transport.NewBatch("http://"+address+"/", &http.Client{}, transport.Config{})
	call := b.Main().Call("")
	if err := b.Send(t.Context()); err == nil || !strings.Contains(err.Error(), "502") {
		t.Errorf("batch: got %v", err)
	}
	if _, err := call.Await(t.Context()); !errors.Is(err, transport.ErrBroken) {
		t.Errorf("call: got %v", err)
	}
}
