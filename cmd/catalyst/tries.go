package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// tries remembers what became of each address.
type tries struct {
	timeout time.Duration
	wait    time.Duration // before the next round
	order   []string
	last    map[string]error
	unsure  bool // an attempt ended without saying whether it took effect
}

func (c *client) newTries() tries {
	return tries{timeout: c.timeout, wait: 50 * time.Millisecond, last: map[string]error{}}
}

func (t *tries) note(address string, err error) {
	if !slices.Contains(t.order, address) {
		t.order = append(t.order, address)
	}
	late := errors.Is(err, context.DeadlineExceeded)
	if isDial(err) && t.last[address] != nil && late {
		return // time ran out: what was said before tells more
	}
	t.unsure = t.unsure || isUnsure(err)
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
		t.distrusted(f, said)
	case t.saw("no_leader"):
		f.message = "the site has no leader; asked " + strings.Join(said, "; ")
		f.hint = "catalyst members shows which nodes are missing; catalyst route list --stale still reads"
	case t.answered():
		f.message = fmt.Sprintf("not done within %s; asked %s", t.timeout, strings.Join(said, "; "))
		f.hint = "see catalyst status and catalyst doctor; name more nodes with --address A,B, or wait longer with --timeout"
	default:
		f.message = fmt.Sprintf("no answer within %s from %s", t.timeout, strings.Join(said, "; "))
		f.hint = "see catalyst status; name more nodes with --address A,B, or wait longer with --timeout"
	}
	return &unanswered{failure: f, unsure: t.unsure}
}

// wayOut is what to do about a session that did not come about.
func wayOut(err error) string {
	var d *dialError
	if errors.As(err, &d) && d.way != "" {
		return d.way
	}
	return "start the node there, or name one that runs with --address (CATALYST_ADDR)"
}

// distrusted corrects what is said when somebody answers and TLS stands
// between.
func (t *tries) distrusted(f *failure, said []string) {
	all := true
	for i := len(t.order) - 1; i >= 0; i-- {
		var d *dialError
		if errors.As(t.last[t.order[i]], &d) && d.said != "" {
			f.hint = cmp.Or(d.way, f.hint)
		} else {
			all = false
		}
	}
	if all {
		f.message = "no session with " + strings.Join(said, "; ")
	}
}

// answered tells whether some node said why it cannot do it.
func (t *tries) answered() bool {
	for _, err := range t.last {
		if codeOf(err) != "" {
			return true
		}
	}
	return false
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
