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
	left atomic.Int32 // bytes of in

	mu      sync.Mutex
	idle    sync.Cond // sending became false
	out     []byte    // to be sent
	spare   []byte    // the buffer that out had before
	corked  bool      // someone will uncork, and send
	sending bool      // someone sends, outside mu
	err     error     // why nothing can be sent any more
}

const (
	readRoom = 32 << 10 // bytes asked of the network at once
	gather   = 64 << 10 // bytes gathered at most before they are sent
	stride   = 1 << 20  // bytes of one system call, so that progress shows
	control  = 256      // bytes that a control frame has at most, also inside TLS
)

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c, room: make([]byte, readRoom), start: time.Now()}
	w.idle.L = &w.mu
	return w
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
	w.left.Store(int32(len(w.in)))
	return n, nil
}

func (w *wire) receive(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.progress()
	}
	return n, err
}

// Write keeps the order of its calls. A control frame, which the reading
// goroutine writes, does not wait for the network while someone else sends:
// a reader that waited for a peer that waits for its reader would wait forever.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = append(w.out, p...)
	switch {
	case len(p) <= control && (w.corked || w.sending):
	case !w.corked || len(w.out) >= gather:
		w.flush()
	}
	return len(p), w.err
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
	w.flush()
	return w.err
}

// flush sends what is there, and what is added meanwhile. It is called with mu
// held, and lets go of it while it sends.
func (w *wire) flush() {
	for w.sending {
		w.idle.Wait()
	}
	for len(w.out) > 0 && w.err == nil {
		out := w.out
		w.out, w.spare = w.spare[:0], nil
		w.sending = true
		w.mu.Unlock()
		err := w.send(out)
		w.mu.Lock()
		w.sending = false
		w.err = err
		if cap(out) <= keptBuffer {
			w.spare = out
		}
	}
	w.idle.Broadcast()
}

// Close sends what is left, a goodbye above all, and closes the connection. A
// peer that does not read is not waited for longer than for its goodbye.
func (w *wire) Close() error {
	_ = w.Conn.SetWriteDeadline(time.Now().Add(parting)) // the writes will say so
	w.mu.Lock()
	w.flush()
	w.mu.Unlock()
	return w.Conn.Close()
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
