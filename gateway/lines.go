package gateway

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// network is how services are asked unless Config.Transport says otherwise:
// queries over lines where that is possible, and all else by net/http.
type network struct{ *http.Transport }

// lines asks one service its queries. Three goroutines take part in each
// request of net/http's client, and waking them costs several times what the
// gateway itself does (docs/adr/0013). Here a request stays in the goroutine of
// who asks. That is kept simple by what lines leave to net/http: TLS, whatever
// may not be asked twice, what is long, and what is no matter of one request and
// one answer.
type lines struct {
	address string
	head    []byte // of each request, to the value of Content-Length
	dial    func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	idle  []*line     // the one used last is the last
	sweep *time.Timer // ends lines that are idle for long; nil when none is idle
}

const (
	idleTime = 90 * time.Second
	// longRequest is what is written before an answer is read. More could wait
	// for a service that has answered already and waits for that to be read.
	longRequest = 32 << 10
	// keptRequest is the largest buffer for a request that a line keeps.
	keptRequest = 4 << 10
)

// newLines is nil for what is not plain HTTP, or has a name that only net/http
// knows how to write.
func newLines(u *url.URL, header http.Header, n *network) *lines {
	if u.Scheme != "http" || strings.ContainsFunc(u.Host, func(r rune) bool { return r == '%' || r > unicode.MaxASCII }) {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	head := bytes.NewBufferString("POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n")
	_ = header.Write(head) // it makes spaces of line breaks
	head.WriteString("Content-Length: ")
	return &lines{address: net.JoinHostPort(u.Hostname(), port), head: head.Bytes(), dial: n.DialContext}
}

// size is about how long a question is to write.
func (q question) size() int {
	size := len(q.body)
	for name, values := range q.forwarded {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	return size
}

// ask asks over a line that is there or else over a new one.
func (l *lines) ask(ctx context.Context, q question, limit int64, buf *bytes.Buffer) (reply, error) {
	if c := l.take(q.until); c != nil {
		a, err := l.askOver(ctx, c, q, limit, buf)
		if !errors.Is(err, errSilent) || ctx.Err() != nil {
			return a, err
		}
		// It hung up while the line was idle. The other lines are idle for longer.
		l.drop(time.Now())
	}
	c, err := l.open(ctx, q.until)
	if err != nil {
		return reply{}, err
	}
	return l.askOver(ctx, c, q, limit, buf)
}

func (l *lines) open(ctx context.Context, until time.Time) (*line, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, until, errLate)
	defer cancel()
	conn, err := l.dial(ctx, "tcp", l.address)
	if err != nil {
		return nil, lateOr(ctx, err)
	}
	_ = conn.SetDeadline(until) // it holds, or the next call says what is wrong
	return newLine(conn), nil
}

func (l *lines) askOver(ctx context.Context, c *line, q question, limit int64, buf *bytes.Buffer) (reply, error) {
	c.out = l.request(c.out[:0], q)
	a, err := c.ask(ctx, limit, buf)
	if a.last {
		_ = c.conn.Close()
		return a, err
	}
	l.put(c)
	return a, err
}

func (l *lines) request(out []byte, q question) []byte {
	out = append(out, l.head...)
	out = strconv.AppendInt(out, int64(len(q.body)), 10)
	out = append(out, "\r\n"...)
	if len(q.forwarded) > 0 {
		var b bytes.Buffer
		_ = q.forwarded.Write(&b)
		out = append(out, b.Bytes()...)
	}
	out = append(out, "\r\n"...)
	return append(out, q.body...)
}

// take is the line used last, if one is idle, to be used until then.
func (l *lines) take(until time.Time) *line {
	for {
		c := l.pop()
		if c == nil {
			return nil
		}
		// The deadline of its last question has passed, and would be in the way of a look.
		if c.conn.SetDeadline(until) == nil && c.quiet() {
			return c
		}
		_ = c.conn.Close()
	}
}

func (l *lines) pop() *line {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.idle) - 1
	if last < 0 {
		return nil
	}
	c := l.idle[last]
	l.idle[last] = nil
	l.idle = l.idle[:last]
	return c
}

// put keeps a line for the next request.
func (l *lines) put(c *line) {
	if cap(c.out) > keptRequest {
		c.out = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.since = time.Now()
	l.idle = append(l.idle, c)
	if l.sweep == nil {
		l.sweep = time.AfterFunc(idleTime, l.sweepIdle)
	}
}

// drop ends the lines that are idle since then or before.
func (l *lines) drop(then time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.idle) && !l.idle[n].since.After(then) {
		_ = l.idle[n].conn.Close()
		n++
	}
	l.idle = slices.Delete(l.idle, 0, n)
}

func (l *lines) sweepIdle() {
	l.drop(time.Now().Add(-idleTime))
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) == 0 {
		l.sweep = nil
		return
	}
	l.sweep.Reset(time.Until(l.idle[0].since.Add(idleTime)))
}
