package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
)

// Batch is a session in one HTTP request: calls are gathered, Send carries
// them all, and the answers come back together. Objects in answers cannot be
// called any more, and the server cannot call back; pipeline instead.
type Batch struct {
	session *Session
	conn    *batchConn
	url     string
	client  *http.Client
	sent    atomic.Bool
}

// NewBatch returns an empty batch. client may be nil for http.DefaultClient.
func NewBatch(url string, client *http.Client, cfg Config) *Batch {
	if client == nil {
		client = http.DefaultClient
	}
	conn := newBatchConn()
	s := NewSession(conn, cfg)
	s.unpaced = true
	return &Batch{session: s, conn: conn, url: url, client: client}
}

// Main refers to the server's main object.
func (b *Batch) Main() *Stub { return b.session.Main() }

// Send makes the request, once. It asks for the outcome of every promise on
// which nothing was pipelined, and of those that were pulled; Await of these
// returns at once afterwards. The error is that of the request as a whole;
// the calls match ErrUnsent if the server could not be reached.
func (b *Batch) Send(ctx context.Context) error {
	if b.sent.Swap(true) {
		return fmt.Errorf("send batch to %s: it was sent before", b.url)
	}
	b.session.askForLeaves()
	b.session.work.Wait() // for streams among the arguments
	connected := false
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	err := b.exchange(httptrace.WithClientTrace(ctx, trace))
	if err != nil {
		if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" && !connected {
			b.session.regain()
		}
		err = fmt.Errorf("send batch to %s: %w", b.url, err)
		b.session.end(err, nil)
	}
	b.conn.last()
	if ended := b.session.Run(ctx); err == nil && !errors.Is(ended, errBatchOver) {
		err = ended
	}
	return err
}

// exchange sends what was gathered and takes in the answers.
func (b *Batch) exchange(ctx context.Context) error {
	body := bytes.Join(b.session.gathered(), []byte("\n"))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", response.Status)
	}
	limit := int64(b.session.limits.BufferedBytes)
	answers, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return err
	}
	if int64(len(answers)) > limit {
		return fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	b.conn.add(answers)
	return nil
}

// askForLeaves pulls the calls whose results nothing builds on.
func (s *Session) askForLeaves() {
	s.mu.Lock()
	var leaves []*imported
	for _, i := range s.imports {
		if i.promise && !i.used {
			leaves = append(leaves, i)
		}
	}
	s.mu.Unlock()
	for _, i := range leaves {
		i.ask()
	}
}

// gathered takes the messages queued so far.
func (s *Session) gathered() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list [][]byte
	for _, m := range s.out.messages {
		list = append(list, bytes.Clone(m.buf))
	}
	taken := s.takeLocked(outbox{})
	s.out = taken.emptied()
	return list
}

// regain notes that nothing of what was gathered has left.
func (s *Session) regain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sentPush = 1
}

var errBatchOver = errors.New("the HTTP batch is over")

// BatchHandler serves HTTP batches with what main returns for each.
func BatchHandler(main func(*http.Request) *Target, cfg Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := cfg
		c.Main = main(r)
		ServeBatch(w, r, c)
	})
}

// ServeBatch serves an HTTP batch: a POST that is a session of its own. Other
// methods get 405, a body longer than MessageBytes 413. The answer is sent
// when all calls have ended.
func ServeBatch(w http.ResponseWriter, r *http.Request, cfg Config) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "an HTTP batch is a POST request", http.StatusMethodNotAllowed)
		return
	}
	body := newBuffer()
	defer freeBuffer(body)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, int64(cfg.Limits.withDefaults().MessageBytes))); err != nil {
		http.Error(w, fmt.Sprintf("read the batch: %v", err), statusOf(err))
		return
	}
	serveBatch(w, r, body.Bytes(), cfg)
}

// buffers hold bodies and answers, used again.
var buffers = sync.Pool{New: func() any { return &bytes.Buffer{} }}

func newBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func freeBuffer(b *bytes.Buffer) {
	if b.Cap() <= keptBuffer {
		b.Reset()
		buffers.Put(b)
	}
}

func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

func serveBatch(w http.ResponseWriter, r *http.Request, body []byte, cfg Config) {
	conn := newBatchConn()
	conn.add(body)
	s := NewSession(conn, cfg)
	s.oneWay, s.unpaced = true, true
	conn.drained = sync.OnceFunc(func() {
		s.cutPipes()
		s.whenIdle()
	})
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	conn.writer, conn.out = w, newBuffer()
	defer freeBuffer(conn.out)
	_ = s.Run(r.Context()) // the peer has been told what there is to tell
	conn.finish(w)
}

// cutPipes ends the streams of which no more will come.
func (s *Session) cutPipes() {
	s.mu.Lock()
	var pipes []*pipe
	for _, x := range s.exports {
		if p, ok := x.ref.(*pipe); ok {
			pipes = append(pipes, p)
		}
	}
	s.mu.Unlock()
	for _, p := range pipes {
		p.cut(errStreamCut)
	}
}

// whenIdle ends a batch when everything it asked for is done.
func (s *Session) whenIdle() {
	over := func() { s.end(errBatchOver, nil) }
	s.mu.Lock()
	s.idle = over
	idle := s.idleLocked()
	s.mu.Unlock()
	if idle != nil {
		idle()
	}
}

// batchConn carries messages as lines.
type batchConn struct {
	drained func()        // runs when all messages were read; may be nil
	writer  io.Writer     // nil discards
	out     *bytes.Buffer // not yet written
	some    bool          // something was said
	streams bool          // some of that has been written
	closed  chan struct{}
	once    sync.Once
	lines   []byte
	over    bool // nothing can come after lines
}

func newBatchConn() *batchConn { return &batchConn{closed: make(chan struct{})} }

func (c *batchConn) add(lines []byte) { c.lines = lines }
func (c *batchConn) last()            { c.over = true }

func (c *batchConn) Ready() bool { return len(c.lines) > 0 }

func (c *batchConn) Read(ctx context.Context) ([]byte, error) {
	if len(c.lines) > 0 {
		line, rest, _ := bytes.Cut(c.lines, []byte("\n"))
		c.lines = rest
		return line, nil
	}
	if c.over {
		return nil, errBatchOver
	}
	if c.drained != nil {
		c.drained()
	}
	select {
	case <-c.closed:
		return nil, errBatchOver
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Write keeps a short answer, which finish sends with its length.
func (c *batchConn) Write(_ context.Context, messages ...[]byte) error {
	if c.writer == nil {
		return nil
	}
	for _, m := range messages {
		if c.some {
			c.out.WriteByte('\n')
		}
		c.some = true
		c.out.Write(m)
		if c.out.Len() < keptBuffer/2 {
			continue
		}
		c.streams = true
		if _, err := c.out.WriteTo(c.writer); err != nil {
			return err
		}
	}
	return nil
}

// finish sends what is left; that the client has gone is no news to it.
func (c *batchConn) finish(w http.ResponseWriter) {
	if !c.streams {
		w.Header().Set("Content-Length", strconv.Itoa(c.out.Len()))
	}
	_, _ = c.out.WriteTo(w)
}

func (c *batchConn) Close(error) error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
