package gateway

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

// errSilent is that a service hung up without a byte of an answer.
var errSilent = errors.New("the service hung up")

// ask sends what is in out and reads the answer, its body into buf. The end of
// ctx ends the line; the connection's deadline makes it errLate.
func (c *line) ask(ctx context.Context, limit int64, buf *bytes.Buffer) (reply, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	a, err := c.converse(limit, buf)
	if !stop() || err != nil || c.r.Buffered() > 0 { // more than an answer is as bad as less
		a.last = true
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errLate
	}
	return a, err
}

func (c *line) converse(limit int64, buf *bytes.Buffer) (reply, error) {
	_, unsent := c.conn.Write(c.out)
	if _, err := c.r.Peek(1); err != nil {
		return reply{}, errors.Join(errSilent, err)
	}
	a, err := readAnswer(c.r, limit, buf)
	a.last = a.last || unsent != nil // it may have answered without reading all
	return a, err
}
