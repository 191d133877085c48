package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"
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
