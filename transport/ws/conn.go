package ws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/catalyst/orchestrator/transport"
	"github.com/coder/websocket"
)

// conn is a transport.Conn. No context reaches the library's Read and Write:
// one that ends there closes the connection without a word.
type conn struct {
	ws     *websocket.Conn
	wire   *wire
	ping   time.Duration
	in     bytes.Buffer
	binary atomic.Bool   // the peer sent a message that is not text
	stop   func() bool   // of the first Read's ctx, which all Reads share
	over   chan struct{} // closed when a Read has failed
	why    error         // of that; set before over is closed
}

func newConn(ws *websocket.Conn, wire *wire, o Options) *conn {
	ws.SetReadLimit(o.MessageBytes)
	return &conn{ws: ws, wire: wire, ping: o.Ping, over: make(chan struct{})}
}

// Ready says whether more has come from the peer, as a rule its next message.
func (c *conn) Ready() bool { return c.wire.left.Load() > 0 }

func (c *conn) Read(ctx context.Context) ([]byte, error) {
	message, err := c.read(ctx)
	if err != nil && c.why == nil {
		c.why = err
		close(c.over)
	}
	return message, err
}

func (c *conn) read(ctx context.Context) ([]byte, error) {
	if c.stop == nil && ctx.Done() != nil {
		c.stop = context.AfterFunc(ctx, c.hangUp)
	}
	kind, r, err := c.ws.Reader(context.Background())
	if err != nil {
		return nil, readError(err)
	}
	if kind != websocket.MessageText {
		c.binary.Store(true)
		return nil, errBinary
	}
	c.in.Reset()
	if c.in.Cap() > keptBuffer {
		c.in = bytes.Buffer{}
	}
	if _, err := c.in.ReadFrom(r); err != nil {
		return nil, readError(err)
	}
	return c.in.Bytes(), nil
}

// keptBuffer is the largest buffer kept for the next message, in bytes.
const keptBuffer = 256 << 10

func readError(err error) error {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return &transport.ClosedError{Code: int(closed.Code), Reason: closed.Reason}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return &transport.ClosedError{Code: int(websocket.StatusAbnormalClosure)}
	}
	return fmt.Errorf("read: %w", err)
}

var errBinary = errors.New("a message is text, not binary")

func (c *conn) Write(ctx context.Context, messages ...[]byte) error {
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, c.hangUp)()
	}
	c.wire.cork()
	for _, m := range messages {
		if err := c.ws.Write(context.Background(), websocket.MessageText, m); err != nil {
			_ = c.wire.uncork() // has the same error, or comes too late
			return c.reason(err)
		}
	}
	if err := c.wire.uncork(); err != nil {
		return c.reason(err)
	}
	return nil
}

// reason is why the connection is over, when that is why a write failed: the
// reader may have met the peer's goodbye and not said so yet.
func (c *conn) reason(failed error) error {
	if !errors.Is(failed, net.ErrClosed) && !errors.Is(failed, syscall.EPIPE) && !errors.Is(failed, syscall.ECONNRESET) {
		return failed
	}
	patience := time.NewTimer(parting)
	defer patience.Stop()
	select {
	case <-c.over:
		return c.why
	case <-patience.C:
		return failed
	}
}

const (
	// parting is how long Close waits for the peer's goodbye.
	parting = time.Second
	// reasoning is parting when there is a reason to tell: a peer that is busy
	// sending reads it late, and not at all once the connection is cut.
	reasoning = 5 * time.Second
)

// sessionFailed is the close code for a session that did not end well; the
// reference uses it, too.
const sessionFailed = websocket.StatusCode(3000)

// Close says goodbye with the reason, which is cut to the 123 bytes that a
// close frame holds.
func (c *conn) Close(reason error) error {
	code, text := c.goodbye(reason)
	if code == websocket.StatusAbnormalClosure {
		c.hangUp()
		return nil
	}
	for len(text) > 123 || !utf8.ValidString(text) {
		text = text[:min(len(text), 124)-1]
	}
	patience := parting
	if reason != nil {
		patience = reasoning
	}
	defer time.AfterFunc(patience, c.hangUp).Stop()
	return c.ws.Close(code, text)
}

func (c *conn) goodbye(reason error) (websocket.StatusCode, string) {
	var closed *transport.ClosedError
	switch {
	case c.binary.Load():
		return websocket.StatusUnsupportedData, errBinary.Error()
	case errors.As(reason, &closed):
		return websocket.StatusCode(closed.Code), closed.Reason
	case reason != nil:
		return sessionFailed, reason.Error()
	}
	return websocket.StatusNormalClosure, ""
}

// hangUp cuts the connection; whatever uses it fails.
func (c *conn) hangUp() { _ = c.wire.Conn.Close() }

// KeepAlive pings the peer whenever nothing has moved for a while, and fails
// when that goes unanswered. It returns nil when ctx ends.
func (c *conn) KeepAlive(ctx context.Context) error {
	if c.ping <= 0 {
		return nil
	}
	timer := time.NewTimer(c.ping)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if silence := c.wire.silence(); silence < c.ping {
			timer.Reset(c.ping - silence)
			continue
		}
		if err := c.askForLife(ctx); err != nil {
			return fmt.Errorf("the peer gave no sign of life for %v: %w", 2*c.ping, err)
		}
		timer.Reset(c.ping)
	}
}

func (c *conn) askForLife(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, c.ping)
	defer cancel()
	if err := c.ws.Ping(wait); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
