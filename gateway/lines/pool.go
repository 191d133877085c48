package lines

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

// Pool is the lines to one server.
type Pool struct {
	address string
	head    []byte // of each request, to the value of Content-Length
	dial    Dial

	mu    sync.Mutex
	idle  []*line     // the one used last is the last
	sweep *time.Timer // ends lines that are idle for long; nil when none is idle
	over  bool        // no line is kept
}

const (
	idleTime = 90 * time.Second
	// longRequest is what is written before an answer is read. More could wait
	// for a service that has answered already and waits for that to be read.
	longRequest = 32 << 10
	// keptRequest is the largest buffer for a request that a line keeps.
	keptRequest = 4 << 10
)

// Dial opens a connection, as net.Dialer's DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewPool is for questions with these headers. It is nil for what is not plain
// HTTP, or has a name that only net/http knows how to write.
func NewPool(u *url.URL, header http.Header, dial Dial) *Pool {
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
	return &Pool{address: net.JoinHostPort(u.Hostname(), port), head: head.Bytes(), dial: dial}
}

// Question is a request by POST that may be asked twice.
type Question struct {
	Body   []byte
	Header http.Header // beside the pool's; what the pool has must not be in it
	Until  time.Time   // when an answer is of no more use
}

// Short says whether a question can go over a line.
func (q Question) Short() bool { return q.size() <= longRequest }

// size is about how long a question is to write.
func (q Question) size() int {
	size := len(q.Body)
	for name, values := range q.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	return size
}

// Ask asks over a line that is there or else over a new one, and reads at most
// limit bytes of the answer's body into buf. The error is ErrLate, ErrTooLong,
// ErrGarbled, ctx's own, or what the network said.
func (p *Pool) Ask(ctx context.Context, q Question, limit int64, buf *bytes.Buffer) (Answer, error) {
	if c := p.take(q.Until); c != nil {
		a, err := p.askOver(ctx, c, q, limit, buf)
		if !errors.Is(err, errSilent) || ctx.Err() != nil {
			return a, err
		}
		// It hung up while the line was idle. The other lines are idle for longer.
		p.drop(time.Now())
	}
	c, err := p.open(ctx, q.Until)
	if err != nil {
		return Answer{}, err
	}
	return p.askOver(ctx, c, q, limit, buf)
}

func (p *Pool) open(ctx context.Context, until time.Time) (*line, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, until, ErrLate)
	defer cancel()
	conn, err := p.dial(ctx, "tcp", p.address)
	if err != nil {
		return nil, Late(ctx, err)
	}
	_ = conn.SetDeadline(until) // it holds, or the next call says what is wrong
	return newLine(conn), nil
}

func (p *Pool) askOver(ctx context.Context, c *line, q Question, limit int64, buf *bytes.Buffer) (Answer, error) {
	c.out = p.request(c.out[:0], q)
	a, err := c.ask(ctx, limit, buf)
	if a.last {
		_ = c.conn.Close()
		return a, err
	}
	p.put(c)
	return a, err
}

func (p *Pool) request(out []byte, q Question) []byte {
	out = append(out, p.head...)
	out = strconv.AppendInt(out, int64(len(q.Body)), 10)
	out = append(out, "\r\n"...)
	if len(q.Header) > 0 {
		var b bytes.Buffer
		_ = q.Header.Write(&b)
		out = append(out, b.Bytes()...)
	}
	out = append(out, "\r\n"...)
	return append(out, q.Body...)
}

// take is the line used last, if one is idle, to be used until then.
func (p *Pool) take(until time.Time) *line {
	for {
		c := p.pop()
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

func (p *Pool) pop() *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return nil
	}
	c := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return c
}

// put keeps a line for the next request.
func (p *Pool) put(c *line) {
	if cap(c.out) > keptRequest {
		c.out = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		_ = c.conn.Close()
		return
	}
	c.since = time.Now()
	p.idle = append(p.idle, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(idleTime, p.sweepIdle)
	}
}

// Close ends the lines, those in use after their answer. Who still has questions
// may ask them.
func (p *Pool) Close() {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.drop(time.Now())
}

// drop ends the lines that are idle since then or before.
func (p *Pool) drop(then time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.idle) && !p.idle[n].since.After(then) {
		_ = p.idle[n].conn.Close()
		n++
	}
	p.idle = slices.Delete(p.idle, 0, n)
}

func (p *Pool) sweepIdle() {
	p.drop(time.Now().Add(-idleTime))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		p.sweep = nil
		return
	}
	p.sweep.Reset(time.Until(p.idle[0].since.Add(idleTime)))
}
