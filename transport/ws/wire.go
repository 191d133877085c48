package ws

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wire is the network connection below a WebSocket. Between cork and uncork
// what is written gathers, to leave in one system call; reads take as much
// from the network as there is. It notes when something moved either way.
type wire struct {
	net.Conn
	moved atomic.Int64 // when something was last read or written, in ns since start
	start time.Time

	in   []byte // read and not yet taken; the reader's alone
	room []byte

	mu     sync.Mutex
	corked bool
	out    []byte
}

const (
	readRoom = 32 << 10 // bytes asked of the network at once
	gather   = 64 << 10 // bytes gathered at most before they are written
	stride   = 1 << 20  // bytes of one write, so that progress shows
)

func newWire(c net.Conn) *wire {
	return &wire{Conn: c, room: make([]byte, readRoom), start: time.Now()}
}

// silence is how long nothing has moved either way.
func (w *wire) silence() time.Duration {
	return time.Since(w.start) - time.Duration(w.moved.Load())
}

func (w *wire) progress() { w.moved.Store(int64(time.Since(w.start))) }

func (w *wire) Read(p []byte) (int, error) {
	if len(w.in) == 0 {
		if len(p) >= len(w.room) {
			return w.receive(p)
		}
		n, err := w.receive(w.room)
		if n == 0 {
			return 0, err
		}
		w.in = w.room[:n]
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

func (w *wire) receive(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.progress()
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.corked {
		return len(p), w.send(p)
	}
	w.out = append(w.out, p...)
	if len(w.out) >= gather {
		return len(p), w.flush()
	}
	return len(p), nil
}

func (w *wire) cork() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = true
}

func (w *wire) uncork() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	return w.flush()
}

func (w *wire) flush() error {
	out := w.out
	w.out = w.out[:0]
	return w.send(out)
}

func (w *wire) send(p []byte) error {
	for len(p) > 0 {
		n, err := w.Conn.Write(p[:min(len(p), stride)])
		if err != nil {
			return err
		}
		w.progress()
		p = p[n:]
	}
	return nil
}
