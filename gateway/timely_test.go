package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// piped is a listener of pipes: connections whose time can be a bubble's.
type piped chan net.Conn

func (p piped) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p piped) Close() error   { return nil }
func (p piped) Addr() net.Addr { return &net.UnixAddr{} }

func (p piped) dial() net.Conn {
	here, there := net.Pipe()
	p <- there
	return here
}

// overPipes serves a gateway over pipes.
func (w *world) overPipes(g *Gateway) piped {
	p := make(piped)
	server := Server(g.Handler())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(p)
	}()
	w.Cleanup(func() {
		close(p)
		_ = server.Close()
		<-done
	})
	return p
}

const head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

func TestAClientThatDoesNotSendIsLeft(t *testing.T) {
	inBubble(t, func(w *world) {
		_, isA := w.stub("a", `type Query { a: Int }`)
		g, _ := w.start()
		tell(w, g, isA)
		c := w.overPipes(g).dial()
		defer c.Close()
		start := time.Now()
		if _, err := io.WriteString(c, head+"Content-Length: 1000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(c)
		wantHas(t, string(got), "HTTP/1.1 400", "the body broke off")
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it was left after %v", took)
		}
	})
}

func TestAClientThatDoesNotReadIsLeft(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a: String }`)
		a.value("Query.a", strings.Repeat("long", 10_000))
		g, _ := w.start()
		tell(w, g, isA)
		c := w.overPipes(g).dial()
		defer c.Close()
		if _, err := io.WriteString(c, head+"Content-Length: 15\r\n\r\n{\"query\":\"{a}\"}"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got, err := io.ReadAll(c); err == nil && strings.HasSuffix(string(got), `"}}`) {
			t.Error("it got all of the response after a minute")
		}
	})
}

// TestATimelyClientHasAllTheTime: the deadline for sending does not end what takes longer.
func TestATimelyClientHasAllTheTime(t *testing.T) {
	inBubble(t, func(w *world) {
		w.cfg.Limits.Time = 2 * time.Minute
		a, isA := w.stub("a", `type Query { a: Int }`)
		a.on("Query.a", func(map[string]any) any {
			time.Sleep(100 * time.Second)
			return 7
		})
		g, _ := w.start()
		tell(w, g, isA)
		p := w.overPipes(g)
		c := p.dial()
		defer c.Close()
		if _, err := io.WriteString(c, head+"Content-Length: 15\r\n\r\n{\"query\":\"{a}\"}"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		wantEqual(t, string(body), `{"data":{"a":7}}`)
	})
}

// TestASlowClientGetsALongResponse: what counts is that it goes on reading.
func TestASlowClientGetsALongResponse(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a: String }`)
		a.value("Query.a", strings.Repeat("long", 1_500_000))
		g, _ := w.start()
		tell(w, g, isA)
		c := w.overPipes(g).dial()
		defer c.Close()
		if _, err := io.WriteString(c, head+"Content-Length: 15\r\n\r\n{\"query\":\"{a}\"}"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(0)
		for err == nil {
			var read int64
			time.Sleep(time.Second)
			read, err = io.CopyN(io.Discard, response.Body, 80_000)
			n += read
		}
		if want := int64(len(`{"data":{"a":""}}`) + 6_000_000); n != want {
			t.Errorf("it got %d bytes, want %d: %v", n, want, err)
		}
	})
}

func TestHalfOfAClientIsToldNothingOfOurs(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a: Int }`)
		g, _ := w.start()
		tell(w, g, isA)
		hang(a)
		ctx, cancel := context.WithCancel(w.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "/graphql", strings.NewReader(`{"query":"{a}"}`))
		r.Header.Set("Content-Type", "application/json")
		wantHas(t, serve(g, r).Body.String(), `"message":"service a was not waited for"`)
	})
}
