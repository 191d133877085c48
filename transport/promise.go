package transport

import (
	"context"
	"sync/atomic"
)

// Promise is the outcome of a call, or a property of one. Calls can be
// pipelined on it before the outcome is there: they travel at once. A Promise
// that is neither awaited to its end nor used as a handler's result must be
// released, else the peer keeps the outcome until the session ends.
type Promise struct {
	ref      ref
	path     []any
	property bool // shares the ref of what it is a property of
	blob     bool // for a Blob whose bytes are on their way here
	released atomic.Bool
}

// Call calls a method of the outcome; "" calls the outcome itself.
func (p *Promise) Call(method string, args ...any) *Promise {
	if p.released.Load() {
		return failed(errDropped)
	}
	return &Promise{ref: p.ref.call(methodPath(p.path, method), &payload{args: args, borrowed: true})}
}

// Get refers to a property of the outcome; steps are names and array indexes.
// Nothing is sent until that is awaited or used.
func (p *Promise) Get(path ...any) *Promise {
	if p.released.Load() {
		return failed(errDropped)
	}
	return &Promise{ref: p.ref, path: normalPath(p.path, path), property: true}
}

// Pull asks for the outcome now, so that a later Await of the promise that it
// returns finds it sooner: p itself, or for a property a promise of its own.
func (p *Promise) Pull() *Promise {
	if p.released.Load() {
		return p
	}
	if p.property {
		p = &Promise{ref: p.ref.call(p.path, nil)}
	}
	if e, ok := p.ref.(eventual); ok {
		e.ask()
	}
	return p
}

// Await asks for the outcome and waits for it. Stubs in it are the caller's
// to release. A rejection is an *Error; ErrBroken is matched when the session
// ended first. ctx ends only the wait: the call goes on, and the Promise can
// be awaited again or released. Once Await has had the outcome, the promise
// needs no release.
func (p *Promise) Await(ctx context.Context) (any, error) {
	if p.released.Load() {
		return nil, errDropped
	}
	q := p.Pull()
	value, from, err := q.known(ctx)
	if from == nil && q != p {
		q.Release()
	}
	if err != nil {
		return nil, err
	}
	if isScalar(value) {
		return value, nil
	}
	if i, ok := from.(*imported); ok {
		if _, proxied := value.(*sealed); proxied {
			return i.session.deliverable(ctx, value)
		}
		i.deliver()
		return value, nil
	}
	return from.(*answer).session.deliverable(ctx, value)
}

// known waits for the outcome and says where it was decided. It follows
// promises. from is nil when ctx ended the wait.
func (p *Promise) known(ctx context.Context) (value any, from eventual, err error) {
	for {
		e, ok := p.Pull().ref.(eventual)
		if !ok {
			return nil, nil, errNoPromise
		}
		if err := wait(ctx, e); err != nil {
			return nil, nil, err
		}
		value, err, _ := e.outcome()
		next, follows := value.(*Promise)
		if err != nil || !follows {
			return value, e, err
		}
		p = next
	}
}

var errNoPromise = typeErrorf("a stub is not a promise and has no outcome")

func wait(ctx context.Context, e eventual) error {
	settled := e.settled()
	select {
	case <-settled:
		return nil
	default:
	}
	blocks(ctx)
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// deliverable gives the application a value that was decided on this side, as
// if it had come over a wire.
func (s *Session) deliverable(ctx context.Context, value any) (any, error) {
	p, err := s.copied([]any{value})
	if err != nil {
		return nil, err
	}
	if err := s.gather(ctx, p, s.limits.HeldBytes); err != nil {
		p.release()
		return nil, err
	}
	return p.args[0], nil
}

// Release says that the outcome is not wanted. The call is not undone. It is
// idempotent, and nothing after Await had the outcome.
func (p *Promise) Release() {
	if p.released.CompareAndSwap(false, true) && !p.property {
		p.ref.release()
	}
}

// whenKnown asks for the outcome, follows promises, and runs f with it.
func (p *Promise) whenKnown(f func(value any, from eventual, err error)) {
	e, ok := p.Pull().ref.(eventual)
	if !ok {
		f(nil, nil, errNoPromise)
		return
	}
	e.whenSettled(func() {
		value, err, _ := e.outcome()
		if next, ok := value.(*Promise); ok && err == nil {
			next.whenKnown(f)
			return
		}
		f(value, e, err)
	})
}

// Await waits for p's outcome and decodes it into a T. When ctx ends first,
// or the outcome is of another type, p is released.
func Await[T any](ctx context.Context, p *Promise) (T, error) {
	var result T
	value, err := p.Await(ctx)
	if err != nil {
		p.Release()
		return result, err
	}
	if err := Decode(value, &result); err != nil {
		ReleaseAll(value)
		return result, err
	}
	return result, nil
}

// ReleaseAll releases the stubs and streams in a received value.
func ReleaseAll(value any) {
	references(value, func(r any) {
		if r, ok := r.(releaser); ok {
			r.Release()
		}
	})
}

func failed(err error) *Promise { return &Promise{ref: rejection(err)} }

// rejection is an outcome known before any session was involved.
func rejection(err error) *answer {
	a := &answer{}
	a.set, a.err = true, err
	return a
}
