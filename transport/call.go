package transport

import (
	"context"
	"time"
)

// Call is one call as its Method sees it, and is also the context that the
// method gets.
type Call struct {
	binding  *binding
	method   Method
	in       *payload
	result   *answer
	conceded bool  // the target is free for the next call; guarded by binding.mu
	returned bool  // guarded by binding.mu
	turn     int64 // the number of the turn that its goroutine has; 0 is none
}

// Len is the number of arguments.
func (c *Call) Len() int { return len(c.in.args) }

// Arg is an argument, of a type that the package comment lists, or Undefined{}
// when there is none at i.
func (c *Call) Arg(i int) any {
	if i < 0 || i >= len(c.in.args) {
		return Undefined{}
	}
	return c.in.args[i]
}

// Decode decodes an argument into dst, see the function Decode. An absent or
// undefined argument leaves dst alone. The error names the argument, counted
// from 1, and the path in it.
func (c *Call) Decode(i int, dst any) error {
	v := c.Arg(i)
	if _, absent := v.(Undefined); absent {
		return nil
	}
	if err := Decode(v, dst); err != nil {
		return typeErrorf("argument %d: %v", i+1, err)
	}
	return nil
}

// Stub is an argument that must be an object or function passed by reference.
// It is released when the call returns: Dup what is kept.
func (c *Call) Stub(i int) (*Stub, error) {
	s, ok := c.Arg(i).(*Stub)
	if !ok {
		return nil, typeErrorf("argument %d: want a stub or function, got %s", i+1, kindOf(c.Arg(i)))
	}
	return s, nil
}

type callKey struct{}

// The call is its method's context: the session's, with the call in it.

func (c *Call) Deadline() (time.Time, bool) { return c.binding.session.ctx.Deadline() }
func (c *Call) Done() <-chan struct{}       { return c.binding.session.ctx.Done() }
func (c *Call) Err() error                  { return c.binding.session.ctx.Err() }
func (c *Call) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return c.binding.session.ctx.Value(key)
}

// Concurrent lets the next call to the same target start now: from here on
// the current call runs beside later ones. Without it a call starts when the
// one before it returned. ctx is the method's, or derived from it; elsewhere
// Concurrent does nothing.
func Concurrent(ctx context.Context) {
	c, ok := ctx.Value(callKey{}).(*Call)
	if !ok {
		return
	}
	c.concede()
	c.giveTurnAway()
}

func (c *Call) concede() {
	b := c.binding
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.conceded || c.returned {
		return
	}
	c.conceded = true
	b.busy = false
	b.startLocked()
}

func (c *Call) run() {
	s := c.binding.session
	v, err := any(nil), c.ready()
	if err == nil {
		v, err = c.invoke()
	}
	if e, ok := err.(*Error); ok && e == nil {
		err = nil
	}
	c.binding.mu.Lock()
	c.returned = true
	c.binding.mu.Unlock()
	s.leave(c.in.size)
	if err != nil {
		c.result.resolve(nil, nil, err)
	} else {
		s.charge(c.result, v)
		c.result.resolve(v, s.adopt(v), nil)
	}
	c.result.release()
	c.in.release()
	s.finished(c.binding)
}

// ready waits for the promises among the arguments.
func (c *Call) ready() error {
	s := c.binding.session
	if err := s.ctx.Err(); err != nil {
		return s.Err()
	}
	if len(c.in.waits) > 0 {
		c.giveTurnAway()
	}
	return s.gather(s.ctx, c.in, s.limits.MessageBytes)
}
