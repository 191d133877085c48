package redial

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// run runs c until the test ends.

func run(t *testing.T, c *Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
}

// server is a peer that can be restarted.

type server struct {
	main *transport.Target
	wg   sync.WaitGroup

	mu   sync.Mutex
	down error
	stop context.CancelFunc
}

func serve(t *testing.T, methods map[string]transport.Method) *server {
	s := &server{main: transport.NewTarget(methods), stop: func() {}}
	t.Cleanup(func() {
		s.restart()
		s.wg.Wait()
	})
	return s
}

func (s *server) dial(context.Context) (transport.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return nil, s.down
	}
	ours, theirs := transport.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	session := transport.NewSession(theirs, transport.Config{Main: s.main})
	s.wg.Go(func() { _ = session.Run(ctx) })
	return ours, nil
}

func (s *server) restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
}

// goDown refuses connections because of err, until that is nil.

func (s *server) goDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
	s.stop()
}

// wire is a peer that the test plays itself.

type wire struct {
	t     *testing.T
	peers chan transport.Conn
	transport.Conn
}

func newWire(t *testing.T) *wire { return &wire{t: t, peers: make(chan transport.Conn, 10)} }

func (w *wire) dial(context.Context) (transport.Conn, error) {
	ours, theirs := transport.Pipe()
	w.peers <- theirs
	return ours, nil
}

// accept waits for the next connection.

func (w *wire) accept() { w.Conn = <-w.peers }

func (w *wire) expect(want ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, m := range want {
		got, err := w.Read(ctx)
		if err != nil || string(got) != m {
			w.t.Errorf("heard %s, %v\n want %s", got, err, m)
		}
	}
}

// quiet checks that nothing more was said.

func (w *wire) quiet() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 1)
	defer cancel()
	if m, err := w.Read(ctx); err == nil {
		w.t.Errorf("heard %s, want nothing", m)
	}
}

func (w *wire) say(messages ...string) {
	w.t.Helper()
	for _, m := range messages {
		if err := w.Write(context.Background(), []byte(m)); err != nil {
			w.t.Errorf("say %s: %v", m, err)
		}
	}
}

func (w *wire) cut() {
	synctest.Wait()
	_ = w.Close(nil)
}

var errDown = errors.New("refused")

// gate is a connection whose Writes wait, each until the gate is opened for it

// or all are failed by Close.

type gate struct {
	transport.Conn
	open   chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (g *gate) Write(ctx context.Context, messages ...[]byte) error {
	select {
	case <-g.open:
		return g.Conn.Write(ctx, messages...)
	case <-g.closed:
		return transport.ErrBroken
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) Close(reason error) error {
	g.once.Do(func() { close(g.closed) })
	return g.Conn.Close(reason)
}
