package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

func TestQueriesShareALine(t *testing.T) {
	s := newScript(t, func(conn net.Conn, _ *http.Request) bool { answered(conn, oneA); return true })
	g := gatewayOf(t, Config{}, s.named("s"))
	for range 5 {
		wantEqual(t, post(t, g, `{ a }`), oneA)
		for s := range g.Schema().services {
			_ = s.lines.idle[0].conn.SetDeadline(time.Unix(1, 0)) // as if the time of that question were over
		}
	}
	if n := s.opened.Load(); n != 1 {
		t.Errorf("five queries went over %d lines, want 1", n)
	}
}

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

func TestWhatWasNotAskedForIsNoAnswer(t *testing.T) {
	more := make(chan struct{})
	s := newScript(t, func(conn net.Conn, _ *http.Request) bool {
		answered(conn, oneA)
		<-more
		answered(conn, `{"data":{"a":2}}`)
		return true
	})
	g := gatewayOf(t, Config{}, s.named("s"))
	for range 10 {
		wantEqual(t, post(t, g, `{ a }`), oneA)
		more <- struct{}{}
		for s := range g.Schema().services {
			for s.lines.idle[0].quiet() {
				runtime.Gosched() // until it has come
			}
		}
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

func TestLinesThatAreIdleForLongEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int64
		l := &lines{dial: func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			open.Add(1)
			go func() {
				defer open.Add(-1)
				r := bufio.NewReader(far)
				for {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					time.Sleep(time.Second) // two that ask at once get two lines
					answered(far, oneA)
				}
			}()
			return near, nil
		}}
		l.head = []byte("POST / HTTP/1.1\r\nHost: s\r\nContent-Length: ")
		ask := func() {
			var buf bytes.Buffer
			if a, err := l.ask(t.Context(), question{body: []byte("{}"), until: time.Now().Add(time.Minute)}, 100, &buf); err != nil || a.status != 200 || buf.String() != oneA {
				t.Errorf("got %+v, %q, %v", a, buf.String(), err)
			}
		}
		wait := func(d time.Duration, want int64) {
			time.Sleep(d)
			synctest.Wait()
			if got := open.Load(); got != want {
				t.Errorf("at %v %d lines are open, want %d", time.Now(), got, want)
			}
		}
		var both sync.WaitGroup
		both.Go(ask)
		both.Go(ask)
		both.Wait()
		wait(idleTime/2, 2)
		ask()
		wait(idleTime/2+time.Second, 1)
		wait(idleTime, 0)
		ask()
		wait(idleTime+time.Second, 0)
	})
}

func TestLinesAreForPlainHTTP(t *testing.T) {
	n := &network{newTransport(Limits{}.withDefaults())}
	for url, want := range map[string]bool{
		"http://h/graphql?x=1": true, "http://h:8080": true, "http://[::1]:80/": true,
		"https://h/graphql": false, "http://bücher/": false, "http://[fe80::1%25lo]/": false,
	} {
		if s := newService(Service{Name: "s", URL: url}, n, Limits{}.withDefaults()); (s.lines != nil) != want {
			t.Errorf("%s goes over lines: %v, want %v", url, !want, want)
		}
	}
	if s := newService(Service{Name: "s", URL: "http://h"}, n.Transport, Limits{}.withDefaults()); s.lines != nil {
		t.Error("lines go around a transport that was given")
	}
	s := newService(Service{Name: "s", URL: "http://h?x=1", Token: "a\r\nX: b"}, n, Limits{}.withDefaults())
	wantHas(t, string(s.lines.head), "POST /?x=1 HTTP/1.1\r\nHost: h\r\n", "Authorization: Bearer a  X: b\r\n")
	wantEqual(t, s.lines.address, "h:80")
}

func TestAnswersOfHTTP(t *testing.T) {
	const limit = 40
	long := strings.Repeat("x", limit)
	for _, c := range []struct {
		name, text, body string
		status           int
		last             bool
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "{}", 200, false},
		{"case and space", "HTTP/1.1 200\ncontent-length:2 \nX:\n\n{}", "{}", 200, false},
		{"nothing", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, false},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, false},
		{"as much as may be", "HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + long, long, 200, false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n", "{}", 200, false},
		{"as many chunks as may be", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + long + "\r\n0\r\n\r\n", long, 200, false},
		{"chunks and length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "{}", 200, true},
		{"to the end", "HTTP/1.1 200 OK\r\n\r\n{}", "{}", 200, true},
		{"the last", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\n{}", "{}", 200, true},
		{"older", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}", "{}", 200, true},
		{"later", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\n{}", "{}", 500, false},
		{"a long header", "HTTP/1.1 200 OK\r\nSet-Cookie: " + strings.Repeat("x", 20<<10) + "\r\nContent-Length: 2\r\n\r\n{}", "{}", 200, false},

		{"too much", "HTTP/1.1 200 OK\r\nContent-Length: 41\r\n\r\n" + long + "x", "too long", 0, true},
		{"too much to come", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", "too long", 0, true},
		{"too much in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n29\r\n" + long + "x\r\n0\r\n\r\n", "too long", 0, true},
		{"too much to the end", "HTTP/1.1 200 OK\r\n\r\n" + long + "x", "too long", 0, true},
		{"headers without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 20<<10), "not of HTTP", 0, true},
		{"a header without end", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 100<<10), "not of HTTP", 0, true},
		{"always later", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), "not of HTTP", 0, true},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "not of HTTP", 0, true},
		{"newer", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"no number", "HTTP/1.1 2OO OK\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"long number", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"no HTTP", "220 mail.example.com ESMTP\r\n", "not of HTTP", 0, true},
		{"no colon", "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"bad value", "HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"folded", "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 2\r\n\r\n{}", "not of HTTP", 0, true},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "not of HTTP", 0, true},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", "not of HTTP", 0, true},
		{"length with sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}", "not of HTTP", 0, true},
		{"packed", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "not of HTTP", 0, true},
		{"older chunks", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "not of HTTP", 0, true},
		{"bad trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx\r\n\r\n", "not of HTTP", 0, true},
		{"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n", "invalid byte", 0, true},
		{"broken off", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", "EOF", 0, true},
		{"broken off in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}", "EOF", 0, true},
		{"broken off after it", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "EOF", 0, true},
		{"broken off early", "HTTP/1.1 200 OK\r\nContent-Le", "EOF", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var buf bytes.Buffer
			a, err := readAnswer(bufio.NewReaderSize(strings.NewReader(c.text), 4<<10), limit, &buf)
			if err != nil {
				wantHas(t, err.Error(), c.body)
				a.status = 0
			} else {
				wantEqual(t, buf.String(), c.body)
			}
			if a.status != c.status || err == nil && a.last != c.last {
				t.Errorf("got status %d, last %v, %v, want %d, %v", a.status, a.last, err, c.status, c.last)
			}
		})
	}
}

// FuzzAnswer: what is taken is what net/http takes it for, and ends where that ends.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200\ncontent-length:2 \nX:\n\n{}",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\n1\r\n}\r\n0\r\nT: x\r\n\r\nmore",
		"HTTP/1.0 204 No\r\nConnection: a, close\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	const limit = 1000
	f.Fuzz(func(t *testing.T, text []byte) {
		var got bytes.Buffer
		ours := bufio.NewReader(bytes.NewReader(text))
		a, err := readAnswer(ours, limit, &got)
		if err != nil {
			return
		}
		theirs := bufio.NewReader(bytes.NewReader(text))
		response := &http.Response{StatusCode: 100}
		for response.StatusCode < 200 {
			if response, err = http.ReadResponse(theirs, nil); err != nil {
				t.Fatalf("%q was taken: %v", text, err)
			}
		}
		body, err := io.ReadAll(response.Body)
		if err != nil && strings.Contains(err.Error(), "trailer") {
			return // it wants carriage returns in there
		}
		if err != nil || response.StatusCode != a.status || !bytes.Equal(body, got.Bytes()) {
			t.Fatalf("%q: got %d and %q, want %d and %q, %v", text, a.status, got.Bytes(), response.StatusCode, body, err)
		}
		if a.last {
			return
		}
		if response.Close {
			t.Fatalf("%q: another answer is awaited", text)
		}
		left, _ := io.ReadAll(ours)
		want, _ := io.ReadAll(theirs)
		if !bytes.Equal(left, want) {
			t.Fatalf("%q: %q is left, want %q", text, left, want)
		}
	})
}

// TestAnswersComeInPieces: where a packet ends says nothing.
func TestAnswersComeInPieces(t *testing.T) {
	const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
	for at := 1; at < len(text); at++ {
		near, far := net.Pipe()
		go func() {
			_, _ = io.CopyN(io.Discard, far, 4)
			_, _ = io.WriteString(far, text[:at])
			_, _ = io.WriteString(far, text[at:])
		}()
		c := newLine(near)
		c.out = []byte("POST")
		var buf bytes.Buffer
		a, err := c.ask(t.Context(), 10, &buf)
		if err != nil || a.last || buf.String() != "{}" {
			t.Errorf("in two at %d: got %+v, %q, %v", at, a, buf.String(), err)
		}
		near.Close()
		far.Close()
	}
}
