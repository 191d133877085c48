// Package lines asks a server over plain HTTP/1.1, a question at a time on each
// connection, in the goroutine of who asks. Three goroutines take part in each
// request of net/http's client, and waking them costs several times what the
// gateway itself does (docs/adr/0013). This is kept simple by what is left to
// net/http: TLS, whatever may not be asked twice, what is long, and what is no
// matter of one request and one answer. It knows nothing of GraphQL.
package lines

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"time"
)

// line is a connection to a service, with one request on it at a time.
type line struct {
	conn  net.Conn
	r     *bufio.Reader
	out   []byte    // the request
	since time.Time // idle since
	peek  peek
}

func newLine(conn net.Conn) *line {
	c := &line{conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}
	c.peek.at(conn)
	return c
}

// ErrLate is that there is no time left for an answer.
var ErrLate = errors.New("there is no time left")

// errSilent is that a service hung up without a byte of an answer.
var errSilent = errors.New("the service hung up")

// ask sends what is in out and reads the answer, its body into buf. The end of
// ctx ends the line; the connection's deadline makes it ErrLate.
func (c *line) ask(ctx context.Context, limit int64, buf *bytes.Buffer) (Answer, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	a, err := c.converse(limit, buf)
	if !stop() || err != nil || c.r.Buffered() > 0 { // more than an answer is as bad as less
		a.last = true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrLate
	}
	return a, err
}

func (c *line) converse(limit int64, buf *bytes.Buffer) (Answer, error) {
	_, unsent := c.conn.Write(c.out)
	if _, err := c.r.Peek(1); err != nil {
		return Answer{}, errors.Join(errSilent, err)
	}
	a, err := readAnswer(c.r, limit, buf)
	a.last = a.last || unsent != nil // it may have answered without reading all
	return a, err
}

// Late is ErrLate when that is the cause for which ctx ended and err came about.
func Late(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) == ErrLate {
		return ErrLate
	}
	return err
}
