package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	pushDeadline          = 10 * time.Second // of one call to the gateway
	firstRetry, lastRetry = 100 * time.Millisecond, 5 * time.Second
	maxReason             = 1024 // bytes kept of a gateway's or a connection's words
)

// push makes one call and takes in what came of it.
func (f *follower) push(ctx context.Context, p probe) {
	list := f.compose(p.members)
	call, cancel := context.WithTimeout(ctx, pushDeadline)
	defer cancel()
	err := f.gateway.UpdateConfig(call, f.catalog.version, list)
	f.pushed = time.Now()
	f.edits++
	var (
		no     *Rejected
		fenced *Fenced
	)
	switch {
	case err == nil:
		f.answered()
		f.accept(p, list)
	case ctx.Err() != nil:
		return
	case errors.As(err, &no):
		f.answered()
		f.refuse(p, cmp.Or(clip(no.Message, maxReason), "the gateway gave no reason"))
	case errors.As(err, &fenced):
		// A successor leads, and this term is about to end; or another site has
		// taken the gateway. Trying again is right for as long as this node leads.
		f.unanswered(clip(fenced.Error(), maxReason))
		f.forgive()
	case call.Err() != nil:
		f.unanswered(fmt.Sprintf("the gateway gave no answer within %s", pushDeadline))
		f.hang(p)
	default:
		f.unanswered("the gateway cannot be reached: " + clip(err.Error(), maxReason))
		f.forgive()
	}
	f.conclude()
}

// compose is the good list with some services added, newest first.
func (f *follower) compose(with []*service) []GatewayService {
	added := make(map[*service]bool, len(with))
	for _, s := range with {
		added[s] = true
	}
	list := make([]GatewayService, 0, f.good.size+len(with))
	for _, s := range slices.Backward(f.catalog.order) {
		if s.standing == good || added[s] {
			list = append(list, s.wire)
		}
	}
	return list
}

// inStep tells whether the gateway holds the good list. When nothing is good
// but something is wanted, there is no list to send: an empty one would take
// from the gateway what it may still serve.
func (f *follower) inStep() bool {
	if f.good.size == 0 && len(f.catalog.order) > 0 {
		return true
	}
	if f.step.edits != f.edits {
		f.step.edits = f.edits
		f.step.same = slices.Equal(f.held, f.compose(nil))
	}
	return !f.heldSince.IsZero() && f.step.same
}

func (f *follower) accept(p probe, list []GatewayService) {
	now := time.Now()
	f.held, f.heldSince, f.failures = list, now, 0
	f.accepted = acceptance{len(list), now}
	if b, ok := f.gateway.(Breaker); ok {
		f.broken = b.Broken()
	}
	f.listen()
	f.suspicion.relieve(p)
	if p.hunt == nil {
		return
	}
	for _, s := range p.members {
		if s.standing == quarantined {
			f.g.cfg.Log.Info("the gateway takes the service again", "gateway", f.g.cfg.Endpoint, "route", s.id)
		}
		s.standing, s.attempts = good, 0
	}
	before := f.good
	f.good = goodList{before.number + 1, before.size + len(p.members)}
	p.hunt.accept(p, before.number, f.good.number)
}

func (f *follower) answered() {
	if f.down != "" {
		f.g.cfg.Log.Info("the gateway answers again", "gateway", f.g.cfg.Endpoint)
	}
	f.down, f.retryAt = "", time.Time{}
}

// unanswered puts the next call off. What the gateway holds is not known any
// more: it may have restarted, or taken the list and not said so.
func (f *follower) unanswered(why string) {
	if f.down == "" {
		f.g.cfg.Log.Warn("no answer from the gateway", "gateway", f.g.cfg.Endpoint, "err", why)
	}
	f.down = why
	f.retryAt = time.Now().Add(f.backoff(firstRetry, lastRetry, f.failures))
	f.failures++
	f.forgetHeld()
}

func (f *follower) forgetHeld() {
	f.held, f.heldSince, f.broken, f.told, f.covered = nil, time.Time{}, nil, nil, 0
	f.edits++
}

// backoff doubles with each attempt up to a limit, and varies by a fifth.
func (f *follower) backoff(from, to time.Duration, attempts int) time.Duration {
	d := to
	if attempts < 16 {
		d = min(to, from<<attempts)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*f.g.jitter()))
}
