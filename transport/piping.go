package transport

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// pipe is a stream that the peer writes, the protocol's "pipe". Writes wait in
// it until they are read here, or go on to where the stream was passed. Each
// is answered when it was taken, which is what paces the writer.
type pipe struct {
	session *Session
	arrived chan struct{} // holds a token when there may be something to take

	mu      sync.Mutex
	refs    int
	claimed bool // its readable end was handed out
	queue   []write
	taking  bool   // a write has left the queue and is not answered
	closing *write // a Close to be answered when all before it are
	end     error  // what the reader gets after the queue; io.EOF is the good end
	refusal error  // why nothing more is taken
	next    ref    // where writes go on to
	moving  bool   // the queue is on its way there
}

// write is one call of the stream's writer.
type write struct {
	method string
	in     *payload
	result *answer
}

func (s *Session) newPipe() *pipe {
	return &pipe{session: s, refs: 1, arrived: make(chan struct{}, 1)}
}

func (p *pipe) call(path []any, in *payload) ref {
	method := ""
	if len(path) == 1 {
		method, _ = path[0].(string)
	}
	if in == nil || method != "write" && method != "close" && method != "abort" {
		in.release()
		return p.session.rejected(typeErrorf("a stream has the methods write, close and abort, not %q", pathName(path)))
	}
	w := write{method, in, p.session.newAnswer()}
	w.result.retain() // the caller's
	if next := p.accept(w); next != nil {
		w.forward(next)
	}
	return w.result
}

// accept takes a write in, or gives where it shall go.
func (p *pipe) accept(w write) (next ref) {
	var reason error
	if w.method == "abort" && !p.passed() {
		reason = w.reason()
	}
	p.mu.Lock()
	if p.next != nil && !p.moving {
		defer p.mu.Unlock()
		return p.next
	}
	err := p.refusal
	if err == nil {
		err = p.session.enter(w.in.bytes())
	}
	if err != nil {
		p.mu.Unlock()
		w.done(err)
		return nil
	}
	var over []write
	switch w.method {
	case "write":
		p.queue = append(p.queue, w)
	case "close":
		p.end, p.refusal, p.closing = io.EOF, errStreamClosed, &w
		over = p.closedLocked()
	case "abort":
		over = p.rejectLocked(reason)
	}
	p.signal()
	p.mu.Unlock()
	switch w.method {
	case "close":
		leave(over, nil)
	case "abort":
		leave(over, reason)
		w.leave(nil)
	}
	return nil
}

// passed says whether writes go on to somewhere else.
func (p *pipe) passed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next != nil && !p.moving
}

func (p *pipe) signal() {
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

// done answers a write and lets go of it.
func (w *write) done(err error) {
	if err != nil {
		w.result.resolve(nil, nil, err)
	} else {
		w.result.resolve(Undefined{}, nil, nil)
	}
	w.in.release()
	w.result.release()
}

// leave is done for a write that was counted when it entered.
func (w *write) leave(err error) {
	w.result.session.leave(w.in.bytes())
	w.done(err)
}

// forward sends a write on, whose outcome becomes this one's.
func (w *write) forward(to ref) {
	result, _ := stream(to, []any{w.method}, w.in)
	w.result.follow(result)
	w.result.release()
}

// reason is what an abort gives as one.
func (w *write) reason() error {
	in, err := w.in.own(w.result.session)
	if err != nil {
		return err
	}
	w.in = in
	return asError(in.first())
}

// leave answers writes. The pipe must not be locked: what they brought, and is
// released, may be the pipe itself.
func leave(list []write, err error) {
	for _, w := range list {
		w.leave(err)
	}
}

// closedLocked gives a Close that has nothing left before it, to be answered.
func (p *pipe) closedLocked() []write {
	if p.closing == nil || p.taking || len(p.queue) > 0 {
		return nil
	}
	w := *p.closing
	p.closing = nil
	return []write{w}
}

// rejectLocked ends the stream badly for both sides. It gives the writes to be
// answered with why.
func (p *pipe) rejectLocked(why error) []write {
	p.end, p.refusal = why, why
	over := p.queue
	if p.closing != nil {
		over = append(over, *p.closing)
	}
	p.queue, p.closing = nil, nil
	p.signal()
	return over
}

// next takes a chunk.
func (r *pipeSource) next(ctx context.Context) (any, error) {
	for {
		w, err := r.pipe.take()
		switch {
		case err != nil:
			return nil, err
		case w != nil:
			chunk, err := w.chunk(ctx)
			r.pipe.took(*w, err, ctx.Err() != nil)
			return chunk, err
		}
		blocks(ctx)
		select {
		case <-r.pipe.arrived:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// pipeSource reads a pipe.
type pipeSource struct{ pipe *pipe }

func (r *pipeSource) cancel(reason error) {
	p := r.pipe
	p.mu.Lock()
	over := p.rejectLocked(reason)
	p.mu.Unlock()
	leave(over, reason)
}

// take takes the oldest write, or tells the end, or that there is nothing yet.
func (p *pipe) take() (*write, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		return nil, p.end
	}
	w := p.queue[0]
	p.queue[0] = write{}
	p.queue = p.queue[1:]
	p.taking = true
	return &w, nil
}

// took answers a write that was taken. One that failed ends the stream, unless
// the reader has just stopped waiting for it: it is then the next one again.
func (p *pipe) took(w write, err error, stopped bool) {
	p.mu.Lock()
	p.taking = false
	if err != nil && stopped && (p.end == nil || p.end == io.EOF) {
		p.queue = slices.Insert(p.queue, 0, w)
		p.mu.Unlock()
		return
	}
	var over []write
	if err != nil {
		over = p.rejectLocked(err)
	} else {
		over = p.closedLocked()
	}
	p.mu.Unlock()
	w.leave(err)
	leave(over, err)
}

// chunk is what a write that was taken brought. Promises in it come first.
func (w *write) chunk(ctx context.Context) (any, error) {
	s := w.result.session
	in, err := w.in.own(s)
	if err != nil {
		return nil, err
	}
	w.in = in
	if err := s.gather(ctx, in, s.limits.MessageBytes); err != nil {
		return nil, err
	}
	chunk := in.first()
	in.handles() // the reader's
	return chunk, nil
}

// passTo sends what came and what comes on to next, which it takes over.
func (p *pipe) passTo(next ref) {
	p.mu.Lock()
	p.next, p.moving = next, true
	for len(p.queue) > 0 {
		queue := p.queue
		p.queue = nil
		p.mu.Unlock()
		for _, w := range queue {
			w.result.session.leave(w.in.bytes())
			w.forward(next)
		}
		p.mu.Lock()
	}
	p.moving = false
	closing, end, dropped := p.closing, p.end, p.refs == 0
	p.closing = nil
	p.mu.Unlock()
	switch {
	case closing != nil:
		closing.result.session.leave(closing.in.bytes())
		closing.forward(next)
	case end == io.EOF:
		tell(next, "close")
	case end != nil && !errors.Is(end, errStreamDropped):
		tell(next, "abort", end)
	}
	if dropped {
		next.release()
	}
}

// cut ends a stream that was not closed after what has come of it.
func (p *pipe) cut(why error) {
	p.mu.Lock()
	if p.end != nil {
		p.mu.Unlock()
		return
	}
	p.end, p.refusal = why, why
	next := p.next
	p.signal()
	p.mu.Unlock()
	if next != nil {
		tell(next, "abort", why)
	}
}

// tell makes a call of a stream whose outcome nobody asks for.
func tell(to ref, method string, args ...any) {
	result, _ := stream(to, []any{method}, &payload{args: args, borrowed: true})
	after(result, func(error) {})
}

func (p *pipe) retain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refs++
}

// release of the last reference ends a stream that was not closed.
func (p *pipe) release() {
	p.mu.Lock()
	p.refs--
	next, last := p.next, p.refs == 0 && !p.moving // else passTo sees to it
	var over []write
	why := error(errStreamDropped)
	if last && next == nil && p.end == nil {
		if err := p.session.Err(); err != nil {
			why = err
		}
		over = p.rejectLocked(why)
	}
	p.mu.Unlock()
	leave(over, why)
	if last && next != nil {
		next.release()
	}
}

func (p *pipe) broken(func(error)) {}

func (p *pipe) remap(_ []any, m *mapping) ref {
	m.release()
	return p.session.rejected(typeErrorf("a stream cannot be mapped"))
}

// receivePipe makes a stream that the peer is about to write.
func (s *Session) receivePipe(d *decoder) error {
	if err := d.close(); err != nil {
		return err
	}
	p := s.newPipe()
	if _, err := s.hand(p, false); err != nil {
		p.release()
		return err
	}
	return nil
}

// importStream hands out the readable end of a pipe, once.
func (s *Session) importStream(id int64) (any, error) {
	s.mu.Lock()
	x := s.exports[id]
	s.mu.Unlock()
	if x == nil {
		return nil, s.unknown(id)
	}
	p, ok := x.ref.(*pipe)
	if !ok {
		return nil, violation("id %d is not a pipe", id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.claimed {
		return nil, violation("the stream with id %d was passed before", id)
	}
	p.claimed = true
	return &Readable{source: &pipeSource{p}}, nil
}
