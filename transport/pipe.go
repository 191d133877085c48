package transport

import (
	"context"
	"io"
	"slices"
	"sync"
)

// Pipe returns the two ends of a connection in memory, for tests and
// simulations: it starts nothing and works in a synctest bubble. A Write
// never waits for the reader.
func Pipe() (Conn, Conn) {
	a, b := newPipeQueue(), newPipeQueue()
	return &pipeEnd{in: a, out: b}, &pipeEnd{in: b, out: a}
}

type pipeEnd struct{ in, out *pipeQueue }

func (p *pipeEnd) Read(ctx context.Context) ([]byte, error) { return p.in.take(ctx) }

func (p *pipeEnd) Ready() bool {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	return len(p.in.messages) > 0
}

func (p *pipeEnd) Write(_ context.Context, messages ...[]byte) error { return p.out.add(messages) }

func (p *pipeEnd) Close(error) error {
	p.in.close()
	p.out.close()
	return nil
}

// pipeQueue holds messages one way.
type pipeQueue struct {
	more chan struct{} // holds a token when there may be something to take

	mu       sync.Mutex
	messages [][]byte
	closed   bool
}

func newPipeQueue() *pipeQueue { return &pipeQueue{more: make(chan struct{}, 1)} }

func (q *pipeQueue) add(messages [][]byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return io.ErrClosedPipe
	}
	for _, m := range messages {
		q.messages = append(q.messages, slices.Clone(m))
	}
	q.signal()
	return nil
}

func (q *pipeQueue) take(ctx context.Context) ([]byte, error) {
	for {
		if m, ok, err := q.next(); ok || err != nil {
			return m, err
		}
		select {
		case <-q.more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (q *pipeQueue) next() (message []byte, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.messages) > 0:
		message, q.messages = q.messages[0], q.messages[1:]
		return message, true, nil
	case q.closed:
		return nil, false, io.EOF
	}
	return nil, false, nil
}

func (q *pipeQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

func (q *pipeQueue) signal() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}
