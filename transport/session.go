package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"
)

// Config is what a session is made with.
type Config struct {
	// Main is what the peer's Main refers to; nil offers nothing.
	Main   *Target
	Limits Limits
	// Log gets what no caller can be told: a method that panicked. nil discards.
	Log *slog.Logger
}

// Session is one side of a conversation. Its methods, and those of all that
// it hands out, may be used by any goroutine.
type Session struct {
	conn   Conn
	log    *slog.Logger
	limits Limits
	ctx    context.Context // of calls
	cancel context.CancelCauseFunc
	main   *imported
	done   chan struct{}  // Run has joined everything
	work   sync.WaitGroup // goroutines that run methods
	wake   chan struct{}  // holds a token when the writer has something to do
	keys   keyCache       // the reader's
	oneWay bool           // the peer can answer nothing: an HTTP batch at the server

	decoder decoder // the reader's

	mu         sync.Mutex
	running    bool // Run was called
	ended      bool
	err        error
	imports    map[int64]*imported
	exports    map[int64]*export
	bindings   map[*Target]*binding
	nextPush   int64 // our next import by push
	nextAnswer int64 // the peer's
	nextExport int64
	calls      int // admitted and not answered
	callBytes  int
	heldBytes  int    // weight of results not released
	idle       func() // runs when nothing that was asked for is left to do
	owed       int    // calls to finish, and outcomes that the peer asked for and has not got
	out        outbox
	choked     bool // the peer reads too slowly
}

// NewSession returns a session over c; nothing happens until Run, but calls
// can be made.
func NewSession(c Conn, cfg Config) *Session {
	s := &Session{
		conn: c, log: cfg.Log, limits: cfg.Limits.withDefaults(),
		done: make(chan struct{}), wake: make(chan struct{}, 1),
		imports: map[int64]*imported{}, exports: map[int64]*export{}, bindings: map[*Target]*binding{},
		nextPush: 1, nextAnswer: 1, nextExport: -1,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.main = &imported{session: s, refs: 1}
	s.imports[0] = s.main
	if cfg.Main != nil {
		s.exports[0] = &export{ref: s.bind(cfg.Main), count: 1}
	} else {
		s.exports[0] = &export{ref: s.rejected(&Error{Message: "this session has no main object"}), count: 1}
	}
	return s
}

// Main refers to the peer's main object. It is usable at once; what is sent
// before Run waits. The object lives as long as the session, so that the stub
// need not be released.
func (s *Session) Main() *Stub { return &Stub{ref: s.main} }

// Done is closed when Run has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is nil until the session ended; then it matches ErrBroken and says why.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Stats counts what a session holds, the two main objects aside.
type Stats struct {
	Imports  int // objects of the peer, and calls to it without an outcome
	Exports  int // objects, functions and results that the peer can refer to
	Running  int // calls of the peer that run or wait for their turn
	Buffered int // bytes not yet handed to the connection
}

// Stats is a snapshot.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{Imports: len(s.imports), Exports: len(s.exports), Running: s.calls, Buffered: s.out.bytes}
	if _, ok := s.imports[0]; ok {
		stats.Imports--
	}
	if _, ok := s.exports[0]; ok {
		stats.Exports--
	}
	return stats
}

// Run reads, writes and dispatches until the connection, ctx or a violation
// of the protocol ends the session, and returns when everything it started
// has ended, methods included. It returns nil when ctx ended the session,
// else what Err says. It is called once.
func (s *Session) Run(ctx context.Context) error {
	s.mu.Lock()
	again := s.running
	s.running = true
	s.mu.Unlock()
	if again {
		return errors.New("run session: it ran before")
	}
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx), false) })
	defer stop()
	reading, stopReading := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		s.write()
		stopReading()
	})
	if k, ok := s.conn.(KeepAliver); ok {
		wg.Go(func() {
			if err := k.KeepAlive(s.ctx); err != nil {
				s.end(err, false)
			}
		})
	}
	s.read(reading)
	wg.Wait()
	s.work.Wait()
	close(s.done)
	if ctx.Err() != nil && errors.Is(s.Err(), context.Cause(ctx)) {
		return nil
	}
	return s.Err()
}

// read takes messages until there are none, or one of them ends the session.
func (s *Session) read(ctx context.Context) {
	for {
		message, err := s.conn.Read(ctx)
		if err != nil {
			if err == io.EOF {
				err = errors.New("the peer closed the connection")
			}
			s.end(err, false)
			return
		}
		if err := s.dispatch(message); err != nil {
			s.end(err, isViolation(err))
			return
		}
	}
}

func isViolation(err error) bool {
	var v *protocolError
	return errors.As(err, &v)
}

// end ends the session because of cause; tell sends the peer an abort first.
// Whatever waits for the peer fails, methods' contexts end, and what the peer
// held is released.
func (s *Session) end(cause error, tell bool) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.err = &brokenError{cause}
	if tell {
		s.abortLocked(cause)
	}
	s.ended = true
	imports := make([]*imported, 0, len(s.imports))
	for _, i := range s.imports {
		imports = append(imports, i)
	}
	exports := s.exports
	clear(s.imports)
	s.exports = map[int64]*export{}
	idle := s.idle
	s.mu.Unlock()

	s.cancel(s.err)
	s.out.signal(s.wake)
	slices.SortFunc(imports, func(a, b *imported) int { return cmp.Compare(a.id, b.id) })
	for _, i := range imports {
		i.end(s.err)
	}
	for _, e := range exports {
		e.ref.release()
	}
	if idle != nil {
		idle()
	}
}

func (s *Session) abortLocked(cause error) {
	m := newMessage()
	m.raw(`["abort",`)
	m.depth = s.limits.Depth
	_ = m.failure(&Error{Message: cause.Error()}) // plain text always encodes
	m.raw("]")
	s.sendLocked(m)
}

// end breaks an entry whose session ended.
func (i *imported) end(err error) {
	if i.promise {
		i.settle(nil, nil, err)
	}
	i.session.mu.Lock()
	i.gone = true
	onBroken := i.onBroken
	i.onBroken = nil
	i.session.mu.Unlock()
	for _, f := range onBroken {
		f(err)
	}
}

// admit lets a call in, or says that there are too many.
func (s *Session) admit(b *binding, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked(size); err != nil {
		return err
	}
	s.owed++
	b.refs++
	s.work.Add(1)
	return nil
}

// enterLocked counts a call that takes up size bytes until leave.
func (s *Session) enterLocked(size int) error {
	switch {
	case s.ended:
		return s.err
	case s.calls >= s.limits.Calls:
		return overloaded("more than %d calls at once in this session: wait for answers", s.limits.Calls)
	case s.callBytes+size > s.limits.CallBytes && s.calls > 0:
		return overloaded("more than %d bytes of calls at once in this session: wait for answers", s.limits.CallBytes)
	}
	s.calls++
	s.callBytes += size
	return nil
}

func (s *Session) enter(size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enterLocked(size)
}

// leave makes room for another call, before the peer learns that it may send
// one.
func (s *Session) leave(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	s.callBytes -= size
}

// charge counts a result that the peer makes this side hold, until its answer
// is released.
func (s *Session) charge(a *answer, v any) {
	w := weight(v)
	if w < lightWeight {
		return
	}
	s.mu.Lock()
	a.weight = w
	s.heldBytes += w
	over := s.heldBytes > s.limits.HeldBytes && s.heldBytes > w
	s.mu.Unlock()
	if over {
		s.end(violation("results of more than %d bytes are held: release some", s.limits.HeldBytes), true)
	}
}

func (s *Session) discharge(a *answer) {
	if a.weight == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldBytes -= a.weight
}

// finished undoes the rest of admit.
func (s *Session) finished(b *binding) {
	b.release()
	s.settled()
	s.work.Done()
}

// settled takes one from what is owed.
func (s *Session) settled() {
	s.mu.Lock()
	s.owed--
	idle := s.idleLocked()
	s.mu.Unlock()
	if idle != nil {
		idle()
	}
}

// idleLocked gives what is to run when the session has nothing left to do.
func (s *Session) idleLocked() func() {
	if s.owed == 0 {
		return s.idle
	}
	return nil
}

// flushTime bounds how long an ended session goes on writing what it had to
// say, its abort above all.
const flushTime = 5 * time.Second

// write hands messages to the connection, as many at once as there are, until
// the session has ended and there are none. Then it closes the connection.
func (s *Session) write() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	late := time.AfterFunc(math.MaxInt64, cancel)
	defer late.Stop()
	defer context.AfterFunc(s.ctx, func() { late.Reset(flushTime) })()
	var batch outbox
	for {
		s.mu.Lock()
		ended := s.ended
		batch, s.out = s.out, batch.emptied()
		s.mu.Unlock()
		if len(batch.messages) > 0 {
			if err := s.conn.Write(ctx, batch.slices()...); err != nil {
				s.end(fmt.Errorf("send: %w", err), false)
				break
			}
			continue
		}
		if ended {
			break
		}
		<-s.wake
	}
	_ = s.conn.Close(closeReason(s.Err())) // the session has its own error
}

func closeReason(err error) string {
	var b *brokenError
	if errors.As(err, &b) {
		return b.cause.Error()
	}
	return ""
}
