package gateway

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/gateway/lines"
)

// eventWriter writes a stream of events.
type eventWriter struct {
	controller *http.ResponseController

	mu sync.Mutex
	w  http.ResponseWriter
}

// silence is how long nothing is said to a client at most, so that proxies and
// clients know that the connection lives.
const silence = 12 * time.Second

// writing is how long a client may take to read what it is sent.
const writing = 30 * time.Second

// send writes an event. A response of a gateway has no line breaks: services
// may send some, within white space.
func (e *eventWriter) send(name string, data []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.controller.SetWriteDeadline(time.Now().Add(writing)) // not every server has one
	message := append([]byte("event: "), name...)
	message = append(message, "\ndata: "...)
	for _, b := range data {
		switch b {
		case '\r', '\n': // never inside a string
			b = ' '
		}
		message = append(message, b)
	}
	if _, err := e.w.Write(append(message, '\n', '\n')); err != nil {
		return err
	}
	return e.controller.Flush()
}

func (e *eventWriter) flush() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.controller.Flush()
}

// keepAlive sends comments until ctx ends. What it returns closes when it has
// ended.
func (e *eventWriter) keepAlive(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(silence)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if e.comment() != nil {
					return
				}
			}
		}
	}()
	return done
}

func (e *eventWriter) comment() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.controller.SetWriteDeadline(time.Now().Add(writing))
	if _, err := e.w.Write([]byte(":\n\n")); err != nil {
		return err
	}
	return e.controller.Flush()
}

// eventReader reads a stream of events (HTML §9.2).
type eventReader struct {
	r        *bufio.Reader
	limit    int
	comments int // so far: signs of life, and no more
	data     bytes.Buffer
	begun    bool
	returned bool // the last line ended with a carriage return; a line feed would belong to it
}

// next returns the next event. Its data is valid until the next call.
func (e *eventReader) next() (name string, data []byte, err error) {
	e.data.Reset()
	for {
		line, err := e.line()
		if err != nil {
			return "", nil, err
		}
		if !e.begun {
			e.begun = true
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			if name == "" && e.data.Len() == 0 {
				continue // comments keep the connection alive
			}
			return name, e.data.Bytes(), nil
		}
		field, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			e.comments++
		case "event":
			name = value
		case "data":
			if e.data.Len() > 0 {
				e.data.WriteByte('\n')
			}
			e.data.WriteString(value)
		}
		if e.data.Len() > e.limit {
			return "", nil, lines.ErrTooLong
		}
	}
}

// line reads to the end of a line, which may be long, and is a carriage return, a
// line feed or both. It does not wait for what may come behind that.
func (e *eventReader) line() ([]byte, error) {
	var long []byte
	for {
		if _, err := e.r.Peek(1); err != nil {
			return nil, err
		}
		come, _ := e.r.Peek(e.r.Buffered())
		if e.returned && come[0] == '\n' {
			come = come[1:]
			_, _ = e.r.Discard(1) // it is buffered
		}
		e.returned = false
		end := bytes.IndexAny(come, "\r\n")
		if end < 0 {
			long = append(long, come...)
			_, _ = e.r.Discard(len(come))
			if len(long) > e.limit+len("data: ") {
				return nil, lines.ErrTooLong
			}
			continue
		}
		e.returned = come[end] == '\r'
		line := come[:end]
		if long != nil {
			line = append(long, line...)
		}
		_, _ = e.r.Discard(end + 1)
		return line, nil // of the reader's buffer: it is valid until the next read
	}
}
