package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// script is a service that speaks HTTP as a test tells it. Asked what it is, it says that it has a: Int.
type script struct {
	t      testing.TB
	l      net.Listener
	asked  atomic.Int64 // requests, introspection aside
	opened atomic.Int64 // connections on which they came
	say    func(conn net.Conn, r *http.Request) (goOn bool)

	mu   sync.Mutex
	open []net.Conn
}

func newScript(t testing.TB, say func(conn net.Conn, r *http.Request) bool) *script {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, l: l, say: say}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open = append(s.open, conn)
			s.mu.Unlock()
			wg.Go(func() { s.converse(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, conn := range s.open {
			conn.Close()
		}
		s.mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *script) named(name string) Service {
	return Service{Name: name, URL: "http://" + s.l.Addr().String() + "/graphql"}
}

func (s *script) converse(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for n := 0; ; n++ {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		if bytes.Contains(body, []byte("__schema")) {
			answered(conn, string(scriptSchema(s.t)), "Connection: close")
			return
		}
		if n == 0 {
			s.opened.Add(1)
		}
		s.asked.Add(1)
		if !s.say(conn, request) {
			return
		}
	}
}

func scriptSchema(t testing.TB) []byte {
	data := introspectionOfSDL(t, `type Query { a(s: String): Int } type Mutation { m: Int }`)
	return append(append([]byte(`{"data":`), data...), '}')
}

// answered is a whole answer of status 200.
func answered(w io.Writer, body string, headers ...string) {
	headers = append(headers, fmt.Sprintf("Content-Length: %d", len(body)))
	_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n"+strings.Join(headers, "\r\n")+"\r\n\r\n"+body)
}

const oneA = `{"data":{"a":1}}`

// A service that says nothing of it closes the connection after each answer, sooner or later than the next query comes.
func TestAQueryIsAskedAgainWhenItsLineWasClosed(t *testing.T) {
	for name, hangUp := range map[string]func(net.Conn) bool{
		"before it comes": func(net.Conn) bool { return false },
		"when it is there": func(conn net.Conn) bool {
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, func(conn net.Conn, _ *http.Request) bool { answered(conn, oneA); return hangUp(conn) })
			g := gatewayOf(t, Config{}, s.named("s"))
			for range 20 {
				wantEqual(t, post(t, g, `{ a }`), oneA)
			}
		})
	}
}

func TestANewLineThatIsClosedIsAFault(t *testing.T) {
	s := newScript(t, func(net.Conn, *http.Request) bool { return false })
	g := gatewayOf(t, Config{}, s.named("s"))
	wantHas(t, post(t, g, `{ a }`), `"a":null`, "service s broke off")
	if n := s.asked.Load(); n != 1 {
		t.Errorf("the service was asked %d times, want once", n)
	}
}

func TestAHalfAnswerIsNotAskedForAgain(t *testing.T) {
	s := newScript(t, func(conn net.Conn, _ *http.Request) bool {
		answered(conn, oneA)
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"data\"")
		return false
	})
	g := gatewayOf(t, Config{}, s.named("s"))
	wantEqual(t, post(t, g, `{ a }`), oneA)
	wantHas(t, post(t, g, `{ a }`), `"a":null`, "service s broke off")
	if n := s.opened.Load(); n != 1 {
		t.Errorf("the service was asked over %d lines, want 1", n)
	}
}

func TestAMutationIsNeverAskedTwice(t *testing.T) {
	s := newScript(t, func(conn net.Conn, _ *http.Request) bool {
		answered(conn, `{"data":{"m":1}}`)
		r, err := http.ReadRequest(bufio.NewReader(conn))
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		return false
	})
	g := gatewayOf(t, Config{}, s.named("s"))
	wantEqual(t, post(t, g, `mutation { m }`), `{"data":{"m":1}}`)
	wantHas(t, post(t, g, `mutation { m }`), `"m":null`, "service s broke off")
	if n := s.asked.Load(); n != 1 {
		t.Errorf("it was asked again %d times", n-1)
	}
}

// What a service says without being asked answers no question.
func TestMoreThanAnAnswerEndsTheLine(t *testing.T) {
	s := newScript(t, func(conn net.Conn, _ *http.Request) bool {
		var all bytes.Buffer
		answered(&all, oneA)
		answered(&all, `{"data":{"a":2}}`)
		_, _ = conn.Write(all.Bytes())
		return true
	})
	g := gatewayOf(t, Config{}, s.named("s"))
	for range 10 {
		wantEqual(t, post(t, g, `{ a }`), oneA)
	}
}

// net/http knows more of HTTP than lines do.
func TestAnOddServiceIsAskedByNetHTTP(t *testing.T) {
	for name, header := range map[string]string{
		"a header in two lines": "X: y,\r\n z",
		"its length twice":      fmt.Sprintf("Content-Length: %d", len(oneA)),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t, func(conn net.Conn, _ *http.Request) bool { answered(conn, oneA, header); return true })
			g := gatewayOf(t, Config{}, s.named("s"))
			for range 3 {
				wantEqual(t, post(t, g, `{ a }`), oneA)
			}
			if n := s.asked.Load(); n != 4 {
				t.Errorf("three queries were asked %d times, want the first twice", n)
			}
		})
	}
}

func TestAnAnswerMayBeTheLast(t *testing.T) {
	for _, header := range []string{"Connection: close", "connection: x , Close"} {
		s := newScript(t, func(conn net.Conn, _ *http.Request) bool { answered(conn, oneA, header); return true })
		g := gatewayOf(t, Config{}, s.named("s"))
		for range 3 {
			wantEqual(t, post(t, g, `{ a }`), oneA)
		}
		if n := s.opened.Load(); n != 3 {
			t.Errorf("%s: three queries went over %d lines", header, n)
		}
	}
}

// Who goes away takes the question back.
func TestAQueryThatIsGivenUpEndsItsLine(t *testing.T) {
	came, gone := make(chan struct{}), make(chan error, 1)
	s := newScript(t, func(conn net.Conn, _ *http.Request) bool {
		close(came)
		_, err := conn.Read(make([]byte, 1))
		gone <- err
		return false
	})
	g := gatewayOf(t, Config{}, s.named("s"))
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, "/graphql", strings.NewReader(`{"query":"{ a }"}`))
	r.Header.Set("Content-Type", "application/json")
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve(g, r)
	}()
	<-came
	cancel()
	if err := <-gone; err == nil {
		t.Error("the service was sent more")
	}
	<-served
}

func TestASilentServiceIsGivenUp(t *testing.T) {
	s := newScript(t, func(conn net.Conn, _ *http.Request) bool { _, _ = conn.Read(make([]byte, 1)); return false })
	g := gatewayOf(t, Config{Limits: Limits{Time: 50 * time.Millisecond}}, s.named("s"))
	wantHas(t, post(t, g, `{ a }`), `"a":null`, "service s did not answer in time")
}

// A long question goes another way: one that reads while it writes.
func TestALongQuestionMayBeAnsweredEarly(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			head, err := http.ReadRequest(r)
			if err == nil && head.ContentLength < 10_000 {
				_, _ = io.Copy(io.Discard, head.Body)
				answered(conn, string(scriptSchema(t)), "Connection: close")
			} else {
				answered(conn, oneA)
				_, _ = io.Copy(io.Discard, r) // until it is hung up
			}
			conn.Close()
		}
	}()
	g := gatewayOf(t, Config{Limits: Limits{BodyBytes: 32 << 20}}, Service{Name: "s", URL: "http://" + l.Addr().String()})
	got := post(t, g, `query($s: String) { a(s: $s) }`, `{"s":"`+strings.Repeat("x", 16<<20)+`"}`)
	wantEqual(t, got, oneA)
	l.Close()
	g.cfg.Transport.(*network).CloseIdleConnections()
	<-served
}

func TestHeadersGoOverLines(t *testing.T) {
	var got http.Header
	s := newScript(t, func(conn net.Conn, r *http.Request) bool { got = r.Header; answered(conn, oneA); return true })
	service := s.named("s")
	service.Token = "own"
	g := gatewayOf(t, Config{ForwardHeaders: []string{"authorization", "x-trace"}}, service)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(`{"query":"{ a }"}`))
	r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer of-the-client"}, "X-Trace": {"1", "2\r\nX-Smuggled: 1"}}
	wantEqual(t, serve(g, r).Body.String(), oneA)
	wantEqual(t, fmt.Sprint(got["Authorization"], got["X-Trace"], got["X-Smuggled"], got["Idempotency-Key"]), "[Bearer own] [1 2  X-Smuggled: 1] [] []")
	wantEqual(t, got.Get("Accept")+" "+got.Get("Content-Type"), "application/graphql-response+json, application/json;q=0.9 application/json")
}

func TestLinesDoNotGoAroundATransportThatWasGiven(t *testing.T) {
	given := newTransport(Limits{}.withDefaults())
	if s := newService(Service{Name: "s", URL: "http://h"}, given, Limits{}.withDefaults()); s.lines != nil {
		t.Error("they do")
	}
	if s := newService(Service{Name: "s", URL: "http://h"}, &network{given}, Limits{}.withDefaults()); s.lines == nil {
		t.Error("there are none without one")
	}
}
