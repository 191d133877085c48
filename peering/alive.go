package peering

import (
	"context"
	"fmt"
	"time"
)

// hear notes a sign of life.
func (x *Session) hear() { x.heard.Store(time.Now().UnixNano()) }

// confirm notes one that shows that the session stands.
func (x *Session) confirm() {
	x.hear()
	if !x.established.Swap(true) {
		x.speaker.confirmed(x)
	}
}

// listen waits until nothing has been heard for the hold time.
func (x *Session) listen() error {
	for {
		silence := time.Since(time.Unix(0, x.heard.Load()))
		if silence >= x.hold {
			return errHold
		}
		select {
		case <-time.After(x.hold - silence):
		case <-x.ctx.Done():
			return nil
		}
	}
}

// keepAlive shows the far end that this one is there, and finds out how far
// away it is.
func (x *Session) keepAlive() error {
	tick := time.NewTicker(x.hold / keepAlives)
	defer tick.Stop()
	for {
		sent := time.Now()
		if _, err := x.remote.KeepAlive()(x.ctx); err != nil {
			return err
		}
		x.roundTrip.Store(int64(time.Since(sent)))
		x.confirm()
		select {
		case <-tick.C:
		case <-x.ctx.Done():
			return nil
		}
	}
}

// takeAnswers waits for the answers to updates, in order.
func (x *Session) takeAnswers() error {
	for {
		select {
		case next := <-x.unanswered:
			if next.mark != nil {
				close(next.mark)
			} else if err := x.takeAnswer(next.answer); err != nil {
				return err
			}
		case <-x.ctx.Done():
			return nil
		}
	}
}

func (x *Session) takeAnswer(answer Await[Answer]) error {
	ctx, cancel := context.WithTimeoutCause(x.ctx, stalling*x.hold, errStalled)
	defer cancel()
	a, err := answer(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case !a.Success:
		return fmt.Errorf("the peer refuses an update: %s", a.Error)
	}
	x.confirm()
	if a.Malformed > 0 {
		x.speaker.complain(x, fmt.Sprintf("the peer took %d items of an update for malformed, and withdrew the routes that they name", a.Malformed))
	}
	if a.Refused > 0 {
		x.speaker.complain(x, fmt.Sprintf("the peer did not take %d routes: %s", a.Refused, a.Error))
	}
	return nil
}

// pending is an update that was sent, or the mark that all before have been
// answered.
type pending struct {
	answer Await[Answer]
	mark   chan struct{}
}
