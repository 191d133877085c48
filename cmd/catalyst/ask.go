package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	t := tries{timeout: c.timeout, wait: 50 * time.Millisecond}
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

// tries remembers what became of each address.
type tries struct {
	timeout time.Duration
	wait    time.Duration // before the next round
	order   []string
	last    map[string]error
	unsure  bool // an attempt ended without saying whether it took effect
}

func (t *tries) note(address string, err error) {
	if t.last == nil {
		t.last = map[string]error{}
	}
	if !slices.Contains(t.order, address) {
		t.order = append(t.order, address)
	}
	late := errors.Is(err, context.DeadlineExceeded)
	if isDial(err) && t.last[address] != nil && late {
		return // time ran out: what was said before tells more
	}
	if !isDial(err) && (late || errors.Is(err, transport.ErrBroken) || codeOf(err) == "unknown_outcome") {
		t.unsure = true
	}
	t.last[address] = err
}

// reached tells whether any node has taken a question.
func (t *tries) reached() bool {
	for _, err := range t.last {
		if !isDial(err) {
			return true
		}
	}
	return t.unsure
}

// pause waits before the next round, longer each time, and tells whether
// there is time for one.
func (t *tries) pause(ctx context.Context) bool {
	select {
	case <-time.After(t.wait):
		t.wait = min(2*t.wait, time.Second)
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// failure says which addresses were tried, what each answered, and what to do.
func (t *tries) failure() error {
	var said []string
	for _, address := range t.order {
		said = append(said, address+": "+t.reason(t.last[address]))
	}
	f := &failure{status: statusUnreachable}
	switch {
	case !t.reached():
		f.message = "no node answers at " + strings.Join(said, "; ")
		f.hint = "start a site with catalyst dev, or name a node that runs with --address (CATALYST_ADDR)"
	case t.saw("no_leader"):
		f.message = "the site has no leader; asked " + strings.Join(said, "; ")
		f.hint = "start the missing nodes (catalyst members --address NODE shows them); catalyst route list --stale still reads"
	default:
		f.message = fmt.Sprintf("no answer within %s from %s", t.timeout, strings.Join(said, "; "))
		f.hint = "see catalyst status; name more nodes with --address A,B, or wait longer with --timeout"
	}
	return &unanswered{failure: f, unsure: t.unsure}
}

func (t *tries) saw(code string) bool {
	for _, err := range t.last {
		if codeOf(err) == code {
			return true
		}
	}
	return false
}

func (t *tries) reason(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !isDial(err):
		return fmt.Sprintf("connected, but no answer within %s", t.timeout)
	case errors.Is(err, transport.ErrBroken):
		return "the connection broke"
	default:
		return reason(err)
	}
}

// unanswered is the failure of a question that no node answered.
type unanswered struct {
	*failure
	unsure bool // it may have been acted upon all the same
}

func (u *unanswered) Unwrap() error { return u.failure }
