package ws

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/coder/websocket"
)

func TestOnlyAllowedPagesAndHosts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := Options{Origins: []string{"console.example.com", "localhost:5173"}, Hosts: []string{r.Header.Get("X-Own-Host"), "site.example.com"}}
		c, err := Accept(w, r, o)
		if err != nil {
			return
		}
		_ = c.Close(nil)
	}))
	defer server.Close()
	own := strings.TrimPrefix(server.URL, "http://")
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{own, "", 101},
		{own, "http://" + own, 101},
		{own, "https://" + strings.ToUpper(own), 101},
		{own, "https://console.example.com", 101},
		{own, "http://localhost:5173", 101},
		{"site.example.com", "http://site.example.com", 101},
		{own, "http://evil.example.com", 403},
		{own, "http://localhost:5174", 403},
		{own, "http://console.example.com.evil.example", 403},
		{own, "null", 403},
		{own, "file://", 403},
		{own, "::bad", 403},
		{"rebound.example.com", "http://rebound.example.com", 403},
		{"rebound.example.com", "", 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = c.host
		for k, v := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
			"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "X-Own-Host": own,
		} {
			r.Header.Set(k, v)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("host %q, origin %q: got %d, want %d", c.host, c.origin, response.StatusCode, c.status)
		}
	}
}

func TestDialSaysWhatTheServerSaid(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "not today", http.StatusTeapot)
	}))
	defer server.Close()
	_, err := Dial(t.Context(), server.URL, Options{})
	if err == nil || !strings.Contains(err.Error(), "418 I'm a teapot: not today") {
		t.Errorf("got %v", err)
	}
	if _, err := Dial(t.Context(), "ftp://x/", Options{}); err == nil {
		t.Error("a URL of another scheme was accepted")
	}
}

func TestDialOverTLS(t *testing.T) {
	var sessions sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := Accept(w, r, Options{}); err == nil {
			sessions.Go(func() { _ = transport.NewSession(c, transport.Config{Main: echo()}).Run(ctx) })
		}
	}))
	defer server.Close()
	defer sessions.Wait()
	defer cancel()
	c, err := Dial(ctx, "wss"+strings.TrimPrefix(server.URL, "https"), Options{Client: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	s := transport.NewSession(c, transport.Config{})
	sessions.Go(func() { _ = s.Run(ctx) })
	if got, err := transport.Await[string](ctx, s.Main().Call("echo", "secret")); got != "secret" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestALongMessageEndsTheConnection(t *testing.T) {
	url := serve(t, transport.Config{Main: echo()}, Options{MessageBytes: 1000})
	s := dial(t, url, transport.Config{})
	_, err := s.Main().Call("echo", strings.Repeat("x", 2000)).Await(t.Context())
	if !errors.Is(err, transport.ErrBroken) || !strings.Contains(err.Error(), "1009") {
		t.Errorf("got %v, want a close with 1009, message too big", err)
	}
	again := dial(t, url, transport.Config{})
	if got, err := transport.Await[string](t.Context(), again.Main().Call("echo", "short")); got != "short" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTheReasonOfAnAbortArrives(t *testing.T) {
	c, _, err := websocket.Dial(t.Context(), serve(t, transport.Config{}, Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	_, abort, err := c.Read(t.Context())
	if err != nil || !strings.HasPrefix(string(abort), `["abort",["error","Error","bad RPC message`) {
		t.Errorf("got %s, %v", abort, err)
	}
	_, _, err = c.Read(t.Context())
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 3000 || !strings.HasPrefix(closed.Reason, "bad RPC message") {
		t.Errorf("got %v, want a close with code 3000 and the reason", err)
	}
}

func TestBinaryMessagesAreRefused(t *testing.T) {
	c, _, err := websocket.Dial(t.Context(), serve(t, transport.Config{}, Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(t.Context(), websocket.MessageBinary, []byte(`["push",1]`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusUnsupportedData {
		t.Errorf("got %v, want a close with code 1003", err)
	}
}

// linkConn is one end of a link in memory that can be cut without a sign.
type linkConn struct {
	net.Conn
	cut    *atomic.Bool
	writes *atomic.Int64
}

func (c *linkConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	if c.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// linked is two sessions over a WebSocket in memory. Nothing passes it any
// more once cut is set.
type linked struct {
	client, served *transport.Session
	cut            atomic.Bool
	writes         atomic.Int64       // of the client
	leave          context.CancelFunc // ends the client
}

func link(t *testing.T, o Options, server transport.Config) *linked {
	t.Helper()
	l := &linked{}
	near, far := net.Pipe()
	listener := &oneListener{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	listener.conn <- &linkConn{far, &l.cut, new(atomic.Int64)}
	accepted := make(chan transport.Conn, 1)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = web.Serve(listener) })
	o.Client = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return &linkConn{near, &l.cut, &l.writes}, nil
	}}}
	c, err := Dial(t.Context(), "ws://memory/rpc", o)
	if err != nil {
		t.Fatal(err)
	}
	l.client, l.served = transport.NewSession(c, transport.Config{}), transport.NewSession(<-accepted, server)
	ctx, cancel := context.WithCancel(t.Context())
	there, leave := context.WithCancel(ctx)
	l.leave = leave
	wg.Go(func() { _ = l.client.Run(there) })
	wg.Go(func() { _ = l.served.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = web.Close()
		wg.Wait()
	})
	return l
}

// oneListener accepts one connection.
type oneListener struct {
	conn   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

func TestAPeerThatVanishedIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := link(t, Options{Ping: 10 * time.Second}, transport.Config{Main: echo()})
		time.Sleep(time.Hour) // idle, and alive by its pings
		if got, err := transport.Await[string](t.Context(), l.client.Main().Call("echo", "alive")); got != "alive" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		l.cut.Store(true)
		start := time.Now()
		call := l.client.Main().Call("echo", "lost")
		if _, err := call.Await(t.Context()); !errors.Is(err, transport.ErrBroken) {
			t.Errorf("got %v", err)
		}
		<-l.served.Done()
		if took := time.Since(start); took > 40*time.Second {
			t.Errorf("it took %v to find out", took)
		}
		if err := l.client.Err(); !strings.Contains(err.Error(), "no sign of life for 20s") {
			t.Errorf("the session ended with %v", err)
		}
	})
}

func TestABatchIsOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := link(t, Options{}, transport.Config{Main: echo()})
		synctest.Wait()
		before := l.writes.Load()
		var calls []*transport.Promise
		for i := range 100 {
			calls = append(calls, l.client.Main().Call("echo", i).Pull())
		}
		for i, p := range calls {
			if got, err := transport.Await[int](t.Context(), p); got != i || err != nil {
				t.Errorf("call %d: got %d, %v", i, got, err)
			}
		}
		synctest.Wait()
		if got := l.writes.Load() - before; got > 60 {
			t.Errorf("300 messages left in %d writes", got)
		}
	})
}

func TestAnExpiredWaitLeavesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := transport.NewTarget(map[string]transport.Method{
			"slow": func(context.Context, *transport.Call) (any, error) { time.Sleep(time.Minute); return "done", nil },
		})
		l := link(t, Options{}, transport.Config{Main: slow})
		p := l.client.Main().Call("slow")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if v, err := p.Await(t.Context()); v != "done" || err != nil {
			t.Errorf("got %v, %v", v, err)
		}
	})
}

func TestAGoodbyeIsUnderstood(t *testing.T) {
	err := readError(websocket.CloseError{Code: 1001, Reason: "bye"})
	if !errors.Is(err, io.EOF) || err.Error() != "the peer closed the connection (1001): bye" {
		t.Errorf("got %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := link(t, Options{}, transport.Config{})
		synctest.Wait()
		start := time.Now()
		l.leave()
		<-l.client.Done()
		<-l.served.Done()
		if err := l.served.Err(); !errors.Is(err, io.EOF) || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

func TestBothSidesMustSpeakTheProtocol(t *testing.T) {
	const spoken = "graphql-transport-ws"
	with := serve(t, transport.Config{Main: echo()}, Options{Protocol: spoken})
	without := serve(t, transport.Config{Main: echo()}, Options{})
	for _, c := range []struct{ url, protocol, refusal string }{
		{with, spoken, ""},
		{without, "", ""},
		{with, "", "400 Bad Request: offer the subprotocol " + spoken},
		{with, "other", "400 Bad Request: offer the subprotocol " + spoken},
		{without, spoken, "the server does not speak " + spoken},
	} {
		conn, err := Dial(t.Context(), c.url, Options{Protocol: c.protocol})
		if conn != nil {
			_ = conn.Close(nil)
		}
		if refused := err != nil; refused != (c.refusal != "") || refused && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("dial with protocol %q: got %v, want %q", c.protocol, err, c.refusal)
		}
	}
}
