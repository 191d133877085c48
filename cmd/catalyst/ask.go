package main

import (
	"context"
	"errors"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// question asks a node for something. It may be asked again, at another node,
// when its outcome is not known: actions carry a requestId for that.
type question func(ctx context.Context, scope *transport.Promise) (any, error)

// ask puts a question to one address after the other until a node answers it
// or the timeout has passed. While no node was reached at all it goes round
// once: a site that is down is reported at once. An election or a broken
// connection is worth waiting for.
func (c *client) ask(ctx context.Context, q question) (any, error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.askUntil(ctx, limited, q)
}

// converse is ask for what may take long. It gives up when nothing was heard
// of the node for the timeout.
func (c *client) converse(ctx context.Context, q func(ctx context.Context, scope *transport.Promise, heard func()) (any, error)) (any, error) {
	waiting, end := context.WithCancelCause(ctx)
	defer end(nil)
	silence := time.AfterFunc(c.timeout, func() { end(context.DeadlineExceeded) })
	defer silence.Stop()
	heard := func() { silence.Reset(c.timeout) }
	return c.askUntil(ctx, waiting, func(ctx context.Context, scope *transport.Promise) (any, error) { return q(ctx, scope, heard) })
}

// patient is a client that bears a silence of at least this long: some things
// take their time at the node.
func (c *client) patient(least time.Duration) *client {
	p := *c
	p.timeout = max(p.timeout, least)
	return &p
}

// askUntil asks until limited ends; ctx is that of the command.
func (c *client) askUntil(ctx, limited context.Context, q question) (any, error) {
	t := c.newTries()
	for {
		for _, address := range c.addresses {
			answer, err := c.askAt(limited, address, q)
			if !transient(err) {
				return answer, c.verdict(address, err)
			}
			t.note(address, err)
		}
		if !t.reached() || !t.pause(limited) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, t.failure()
		}
	}
}

// once makes a question that is not asked again when nobody knows what became
// of it: it would do another thing the second time.
func once(q question) question {
	return func(ctx context.Context, scope *transport.Promise) (any, error) {
		return final(q(ctx, scope))
	}
}

// final makes an error that leaves the outcome open the last word.
func final(answer any, err error) (any, error) {
	if isUnsure(err) {
		return nil, &lastWord{err}
	}
	return answer, err
}

// lastWord is the error of a question that must not be asked again.
type lastWord struct{ err error }

func (e *lastWord) Error() string { return e.err.Error() }
func (e *lastWord) Unwrap() error { return e.err }

// isUnsure errors leave open whether what was asked for was done.
func isUnsure(err error) bool {
	switch {
	case err == nil, isDial(err), errors.Is(err, transport.ErrUnsent):
		return false
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, transport.ErrBroken) || codeOf(err) == "unknown_outcome"
}

func (c *client) askAt(ctx context.Context, address string, q question) (any, error) {
	dialing, cancel := context.WithTimeout(ctx, c.dialPatience())
	defer cancel()
	l, err := c.dial(dialing, address)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return q(ctx, l.scope)
}

// transient errors are worth another try, here or at another node.
func transient(err error) bool {
	var last *lastWord
	if err == nil || errors.As(err, &last) {
		return false
	}
	for _, passing := range []error{transport.ErrBroken, errStalled, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, passing) {
			return true
		}
	}
	switch codeOf(err) {
	case "no_leader", "leader_changed", "unknown_outcome", "overloaded", "unavailable":
		return true
	}
	return isDial(err)
}

func codeOf(err error) string {
	var e *transport.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

func isDial(err error) bool {
	var d *dialError
	return errors.As(err, &d)
}

// verdict words a rejection that no other node would answer otherwise.
func (c *client) verdict(address string, err error) error {
	if err == nil {
		return nil
	}
	var (
		f    *failure
		last *lastWord
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &last) && codeOf(err) != "":
		return &failure{status: statusUnreachable, message: oneLine(last.Error()), code: codeOf(err)}
	case errors.As(err, &last):
		t := c.newTries()
		t.note(address, last.err)
		return t.failure()
	}
	code := codeOf(err)
	if code == "" {
		return refused("the node may be of another version: see catalyst members", "%s answered: %s", address, oneLine(err.Error()))
	}
	return &failure{status: statusRefused, message: oneLine(err.Error()), code: code}
}
