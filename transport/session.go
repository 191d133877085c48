package transport

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// Config is what a session is made with.
type Config struct {
	// Main is what the peer's Main refers to; nil offers nothing. A Stub stays
	// the caller's and must live as long as the session.
	Main   Object
	Limits Limits
	// Proxy says that what this session receives goes on to another: values
	// pass as they came, to the order of keys, the stacks of errors and what is
	// thrown that is no error. Without it they pass as Go values do.
	Proxy bool
	// Log gets what no caller can be told: a method that panicked. nil discards.
	Log *slog.Logger
}

// Validate says what cannot be meant.
func (c Config) Validate() error { return c.Limits.Validate() }

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
	// unpaced says that streams need not wait for acknowledgements: none can
	// come before all is sent.
	unpaced bool
	proxy   bool

	decoder decoder // the reader's
	turn    turn

	writing     chan struct{} // holds a token while someone writes
	written     outbox        // the buffers of the last write
	writeCtx    context.Context
	stopWriting context.CancelFunc

	mu         sync.Mutex
	corked     bool // the reader will send
	running    bool // Run was called
	ended      bool
	err        error
	goodbye    error // what the peer is told of the end
	imports    map[int64]*imported
	exports    map[int64]*export
	breakOrder int // how many breakHooks there were
	bindings   map[*Target]*binding
	nextPush   int64 // our next import by push
	sentPush   int64 // our pushes below were handed to the connection
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
		conn: c, log: cfg.Log, proxy: cfg.Proxy, limits: cfg.Limits.withDefaults(),
		done: make(chan struct{}), wake: make(chan struct{}, 1), writing: make(chan struct{}, 1),
		imports: map[int64]*imported{}, exports: map[int64]*export{}, bindings: map[*Target]*binding{},
		nextPush: 1, sentPush: 1, nextAnswer: 1, nextExport: -1,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.writeCtx, s.stopWriting = context.WithCancel(context.Background())
	s.main = &imported{session: s, refs: 1}
	s.imports[0] = s.main
	s.exports[0] = &export{ref: s.rejected(errNoMain), count: 1}
	if cfg.Main != nil {
		s.Offer(cfg.Main)
	}
	return s
}

// Object is what can be offered to a peer by reference: a *Target, or a *Stub
// of another session, which makes this session a proxy for that one.
type Object interface{ refIn(s *Session) ref }

// Offer puts main in the place of Config.Main. It is for a pair of sessions,
// each of which offers the other's main object, and comes before Run.
func (s *Session) Offer(main Object) {
	s.exports[0].ref.release()
	s.exports[0].ref = main.refIn(s)
}

func (t *Target) refIn(s *Session) ref {
	if t == nil {
		return s.rejected(errNoMain)
	}
	return s.bind(t)
}

func (stub *Stub) refIn(s *Session) ref {
	if stub == nil {
		return s.rejected(errNoMain)
	}
	stub.ref.retain()
	return stub.ref
}

var errNoMain = &Error{Message: "this session has no main object"}

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
	stop := context.AfterFunc(ctx, func() { s.end(context.Cause(ctx), nil) })
	defer stop()
	reading, stopReading := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	s.turn.start(s.uncork, func() { wg.Go(func() { s.read(reading) }) })
	wg.Go(func() {
		s.write()
		stopReading()
	})
	if k, ok := s.conn.(KeepAliver); ok {
		wg.Go(func() {
			if err := k.KeepAlive(s.ctx); err != nil {
				s.end(err, nil)
			}
		})
	}
	s.turn.next()
	wg.Wait()
	s.turn.watch.Stop()
	s.work.Wait()
	close(s.done)
	if ctx.Err() != nil && errors.Is(s.Err(), context.Cause(ctx)) {
		return nil
	}
	return s.Err()
}

// read takes messages until there are none, one of them ends the session, or
// another goroutine does it.
func (s *Session) read(ctx context.Context) {
	peeker, _ := s.conn.(Peeker)
	for {
		message, err := s.conn.Read(ctx)
		if err != nil {
			if err == io.EOF {
				err = errors.New("the peer closed the connection")
			}
			s.turn.scatter()
			s.end(err, nil)
			return
		}
		if err := s.dispatch(message); err != nil {
			s.turn.scatter()
			s.end(err, reply(err))
			return
		}
		if n := s.turn.gathered; n == 0 || n < mostGathered && peeker != nil && peeker.Ready() {
			continue
		}
		if !s.serve() {
			return
		}
	}
}

// reply is what the peer is told of the end that its message was: what it did
// wrong, or by its own abort that it was heard.
func reply(err error) error {
	if aborted, ok := err.(*abortError); ok {
		return aborted.cause
	}
	return violationIn(err)
}

// violationIn is the violation in err, if there is one.
func violationIn(err error) error {
	var v *protocolError
	if errors.As(err, &v) {
		return v
	}
	return nil
}

// Abort ends the session and tells the peer why. The Err of another session
// is passed on in the way in which it came: as the abort of that session's
// peer, or as its ClosedError.
func (s *Session) Abort(reason error) {
	goodbye := reason
	if aborted := (*abortError)(nil); errors.As(reason, &aborted) {
		goodbye = aborted.cause
	} else if v := violationIn(reason); v != nil {
		goodbye = v
	}
	s.end(reason, goodbye)
}

// end ends the session because of cause. The peer is told goodbye: as an
// abort, or a ClosedError by the way in which the connection closes; nil is
// the end in good order. Whatever waits for the peer fails, methods' contexts
// end, and what the peer held is released.
func (s *Session) end(cause, goodbye error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.err = &brokenError{cause}
	s.goodbye = goodbye
	if goodbye == nil || violationIn(goodbye) != nil {
		s.withdrawLocked()
	} else {
		s.sentPush = s.nextPush // what was sent before the goodbye leaves before it
	}
	if _, heard := cause.(*abortError); goodbye != nil && !heard && !errors.As(goodbye, new(*ClosedError)) {
		s.abortLocked(goodbye)
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
	runBreakHooks(imports, s.err)
	for _, i := range imports {
		if i.id >= s.sentPush {
			i.end(unsent(s.err))
		} else {
			i.end(s.err)
		}
	}
	for _, e := range exports {
		e.ref.release()
	}
	if idle != nil {
		idle()
	}
}

func (s *Session) abortLocked(reason error) {
	m := newMessage()
	m.raw(`["abort",`)
	m.depth = s.limits.Depth
	m.failure(reason)
	m.raw("]")
	s.sendLocked(m)
}

// breakHook is what shall run when an object breaks.
type breakHook struct {
	order int
	run   func(error)
}

// runBreakHooks runs them in the order in which they were asked for, before
// any call on the objects fails.
func runBreakHooks(imports []*imported, err error) {
	var hooks []breakHook
	for _, i := range imports {
		hooks = append(hooks, i.onBroken...)
		i.onBroken = nil
	}
	slices.SortFunc(hooks, func(a, b breakHook) int { return cmp.Compare(a.order, b.order) })
	for _, h := range hooks {
		h.run(err)
	}
}

// end breaks an entry whose session ended.
func (i *imported) end(err error) {
	if i.promise {
		i.settle(nil, nil, err)
	}
	i.session.mu.Lock()
	defer i.session.mu.Unlock()
	i.gone = true
}
