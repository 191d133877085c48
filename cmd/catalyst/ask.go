package main

import (
	"context"
	"errors"

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
	if err == nil {
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
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	code := codeOf(err)
	if code == "" {
		return refused("the node may be of another version: see catalyst members", "%s answered: %s", address, oneLine(err.Error()))
	}
	return &failure{status: statusRefused, message: oneLine(err.Error()), code: code}
}
