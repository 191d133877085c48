package redial

import (
	"context"
	"errors"
	"fmt"

	"github.com/catalyst/orchestrator/transport"
)

// ErrUnknownOutcome is the failure of a call that was sent and not answered,
// because the session or its context ended: it may have happened, and only if
// it is Idempotent more than once.
var ErrUnknownOutcome = errors.New("outcome unknown")

// Call calls a method of what h stands for, "" for the object itself, and
// decodes the outcome into a T. It waits for a session if there is none. ctx
// ends only the wait. Handles of the same Client may be arguments. The package
// comment lists the errors.
func Call[T any](ctx context.Context, h *Handle, method string, args ...any) (T, error) {
	h.client.objectsIn(args)
	defer transport.Hold(args...)()
	return do[T](ctx, h, true, func(l *link, p *transport.Promise) *transport.Promise {
		return p.Call(method, l.arguments(args)...)
	})
}

// Do is Call for a pipeline: f makes calls on the object in the present
// session and returns the promise whose outcome is wanted. f is run again when
// nothing of what it called was sent; that the last call was not is not enough.
func Do[T any](ctx context.Context, h *Handle, f func(*transport.Promise) *transport.Promise) (T, error) {
	return do[T](ctx, h, false, func(_ *link, p *transport.Promise) *transport.Promise { return f(p) })
}

func do[T any](ctx context.Context, h *Handle, single bool, f func(*link, *transport.Promise) *transport.Promise) (T, error) {
	var none T
	var last *link
	sent := false // perhaps, by an attempt that is repeated
	for {
		l, p, err := h.reach(ctx, last)
		if err != nil && sent {
			return none, unknown(err)
		}
		if err != nil {
			return none, err
		}
		mark := l.session.Mark()
		result, err := transport.Await[T](ctx, f(l, p))
		switch {
		case err == nil:
			return result, nil
		case mark.Unsent():
		case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
			return none, unknown(err)
		case !errors.Is(err, transport.ErrBroken):
			return none, err
		case single && errors.Is(err, transport.ErrUnsent):
		case h.idempotent:
			sent = true
		default:
			return none, unknown(err)
		}
		last = l
	}
}

// unknown says that err leaves the outcome open, whatever it says about a part
// of what was done or about the reason why ctx ended.
func unknown(err error) error {
	if errors.Is(err, transport.ErrUnsent) {
		return fmt.Errorf("%w: %v", ErrUnknownOutcome, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// reach waits for a session other than last, and gives what o is in it.
func (o *object) reach(ctx context.Context, last *link) (*link, *transport.Promise, error) {
	c := o.client
	for {
		c.mu.Lock()
		l, changed, stopped, reason, released := c.link, c.changed, c.stopped, c.state.Err, o.released
		c.mu.Unlock()
		switch {
		case released:
			return nil, nil, fmt.Errorf("%w: the handle was released", transport.ErrUnsent)
		case ctx.Err() != nil:
			return nil, nil, notConnected(context.Cause(ctx), reason)
		case l != nil && l != last:
			return l, o.in(l), nil
		case stopped:
			return nil, nil, notConnected(errors.New("the client has stopped"), reason)
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// notConnected is why a call was not sent; reason is that of the latest
// attempt to connect, if one failed.
func notConnected(cause, reason error) error {
	if reason == nil {
		return fmt.Errorf("%w: %w", transport.ErrUnsent, cause)
	}
	return fmt.Errorf("%w: not connected: %w: %w", transport.ErrUnsent, reason, cause)
}

// objectsIn finds the handles among arguments. One of another client's is a
// mistake in the program, and panics.
func (c *Client) objectsIn(args []any) []*object {
	var list []*object
	for _, a := range args {
		if h, ok := a.(*Handle); ok {
			if h.client != c {
				panic("redial: an argument is the Handle of another Client")
			}
			list = append(list, h.object)
		}
	}
	return list
}

// arguments puts what handles are in l in their places.
func (l *link) arguments(args []any) []any {
	resolved := args
	for i, a := range args {
		h, ok := a.(*Handle)
		if !ok {
			continue
		}
		if &resolved[0] == &args[0] {
			resolved = append([]any(nil), args...)
		}
		if resolved[i] = h.in(l); h.object == h.client.main {
			resolved[i] = l.session.Main()
		}
	}
	return resolved
}
