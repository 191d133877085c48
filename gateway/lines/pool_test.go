package lines

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const oneA = `{"data":{"a":1}}`

func answer(w io.Writer, body string) {
	_, _ = fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func soon() Question { return Question{Body: []byte("{}"), Until: time.Now().Add(time.Minute)} }

// server answers each request on each connection as say does, and counts the connections.
func server(t *testing.T, say func(net.Conn)) (p *Pool, opened *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opened = new(atomic.Int64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			opened.Add(1)
			wg.Go(func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, request.Body)
					say(conn)
				}
			})
		}
	})
	p = NewPool(&url.URL{Scheme: "http", Host: l.Addr().String()}, nil, new(net.Dialer).DialContext)
	t.Cleanup(func() {
		l.Close()
		p.drop(time.Now())
		wg.Wait()
	})
	return p, opened
}

func wantOneA(t *testing.T, p *Pool) {
	t.Helper()
	var buf bytes.Buffer
	if a, err := p.Ask(t.Context(), soon(), 100, &buf); err != nil || a.Status != http.StatusOK || buf.String() != oneA {
		t.Fatalf("got %+v, %q, %v", a, buf.String(), err)
	}
}

func TestQuestionsShareALine(t *testing.T) {
	p, opened := server(t, func(conn net.Conn) { answer(conn, oneA) })
	for range 5 {
		wantOneA(t, p)
		_ = p.idle[0].conn.SetDeadline(time.Unix(1, 0)) // as if the time of that question were over
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("five questions went over %d lines, want 1", n)
	}
}

func TestWhatWasNotAskedForIsNoAnswer(t *testing.T) {
	more := make(chan struct{})
	p, _ := server(t, func(conn net.Conn) {
		answer(conn, oneA)
		<-more
		answer(conn, `{"data":{"a":2}}`)
	})
	for range 10 {
		wantOneA(t, p)
		more <- struct{}{}
		for p.idle[0].quiet() {
			runtime.Gosched() // until it has come
		}
	}
}

func TestAPoolThatIsClosedKeepsNoLine(t *testing.T) {
	p, opened := server(t, func(conn net.Conn) { answer(conn, oneA) })
	wantOneA(t, p)
	p.Close()
	for range 2 {
		wantOneA(t, p)
		if len(p.idle) > 0 {
			t.Error("a line was kept")
		}
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("three questions went over %d lines, want 3", n)
	}
}

func TestLinesThatAreIdleForLongEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int64
		p := NewPool(&url.URL{Scheme: "http", Host: "s"}, nil, func(context.Context, string, string) (net.Conn, error) {
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
					answer(far, oneA)
				}
			}()
			return near, nil
		})
		ask := func() {
			var buf bytes.Buffer
			if a, err := p.Ask(t.Context(), soon(), 100, &buf); err != nil || a.Status != 200 || buf.String() != oneA {
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
	for text, want := range map[string]bool{
		"http://h/graphql?x=1": true, "http://h:8080": true, "http://[::1]:80/": true,
		"https://h/graphql": false, "http://b\u00fccher/": false, "http://[fe80::1%25lo]/": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if p := NewPool(u, nil, nil); (p != nil) != want {
			t.Errorf("%s goes over lines: %v, want %v", text, !want, want)
		}
	}
	p := NewPool(&url.URL{Scheme: "http", Host: "h", RawQuery: "x=1"}, http.Header{"Authorization": {"Bearer a\r\nX: b"}}, nil)
	if head := string(p.head); !strings.HasPrefix(head, "POST /?x=1 HTTP/1.1\r\nHost: h\r\n") || !strings.Contains(head, "Authorization: Bearer a  X: b\r\n") || p.address != "h:80" {
		t.Errorf("to %s goes %q", p.address, head)
	}
}
