package peering

import (
	"context"
	"errors"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// A peer is asked whether it holds what it was told: soon after the session
// began, then from time to time. What a refresh does not mend is looked at
// less and less often.
const (
	checkFirst = time.Second
	checkEvery = 5 * time.Minute
	checkMost  = time.Hour
)

var errCheckDue = errors.New("check due")

type checks struct {
	due   time.Time // zero is never
	every time.Duration
}

func newChecks() *checks { return &checks{due: time.Now().Add(checkFirst), every: checkEvery} }

// check compares digests, and refreshes the peer if they differ.
func (x *Session) check(t *fsm.Table, c *checks) error {
	same, err := x.compare(t)
	switch {
	case errors.Is(err, ErrNoCompare):
		c.due = time.Time{}
		return nil
	case err != nil:
		return err
	case same:
		c.every = checkEvery
	default:
		c.every = min(2*c.every, checkMost)
		x.speaker.heals(x)
		err = x.refresh(t)
	}
	c.due = time.Now().Add(c.every)
	return err
}

// compare asks when nothing is on its way, so that both sides speak of the
// same table.
func (x *Session) compare(t *fsm.Table) (same bool, err error) {
	if err := x.drain(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeoutCause(x.ctx, stalling*x.hold, errStalled)
	defer cancel()
	answer, err := x.remote.Compare(x.export.told(t))(ctx)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return answer.Same, err
}

// drain waits until all that was sent has been answered.
func (x *Session) drain() error {
	drained := make(chan struct{})
	select {
	case x.unanswered <- pending{mark: drained}:
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
	select {
	case <-drained:
		return nil
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}

// Compare is the far end's compare: whether this side holds what a digest
// tells. If it does not, a dump follows. A peer at its limit lacks what was
// refused, and another dump would not mend that.
func (x *Session) Compare(ctx context.Context, d Digest) (Comparison, error) {
	if err := x.awaitOpen(ctx); err != nil {
		return Comparison{}, err
	}
	t := x.speaker.cfg.Site.Table()
	h := t.Held(x.peer)
	c, _ := t.Configured(x.peer)
	if held(t, x.peer) == d || c.MaxRoutes > 0 && h.Routes >= c.MaxRoutes {
		return Comparison{Same: true}, nil
	}
	x.speaker.heals(x)
	x.intake.begin(t, x.peer)
	return Comparison{}, nil
}
