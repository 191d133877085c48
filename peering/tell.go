package peering

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// markAfter is how far a peer's position may fall behind this side's table by
// changes that it is not told of, before it gets the number alone: the table
// must still know what came after it.
const markAfter = fsm.MaxChanges / 4

// tell keeps the peer told: of everything first, then of each difference.
func (x *Session) tell() error {
	t := x.told.Load() // ahead of the peer's answer
	if t == nil {
		t = x.speaker.cfg.Site.Table()
		if err := x.tellAll(t); err != nil {
			return err
		}
	}
	marked := t.Version()
	for checks := newChecks(); ; {
		next, err := x.newer(t, checks.due)
		switch {
		case errors.Is(err, errCheckDue):
			if err := x.check(t, checks); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		sent, err := x.tellDifference(t, next)
		if err != nil {
			return err
		}
		t = next
		switch {
		case sent:
			marked = t.Version()
		case t.Version()-marked > markAfter && !x.collector:
			marked = t.Version()
			if err := x.send(only(Update{Type: endOfRIB, Version: marked})); err != nil {
				return err
			}
		}
	}
}

// tellFirst sends the table ahead of the peer's answer to open, if it is small
// and none of it can be the peer's own: a peer that turns out to hold it
// already loses little.
func (x *Session) tellFirst() error {
	t := x.speaker.cfg.Site.Table()
	if x.speaker.cfg.Reflect || t.NumLocal() > firstItems {
		return nil
	}
	bytes := 0
	for r := range t.Locals() {
		if bytes += announce(t, r, 0).size(); bytes > sendBytes {
			return nil
		}
	}
	return x.refresh(t)
}

// tellAll sends what changed since what the peer holds, or else everything.
func (x *Session) tellAll(t *fsm.Table) error {
	holds := x.hello.Resume
	if holds == nil || holds.Epoch != t.Epoch() || holds.Version == 0 || holds.Version > t.Version() {
		return x.refresh(t)
	}
	updates, known := x.export.since(holds.Version, t)
	if !known {
		return x.refresh(t)
	}
	x.speaker.resumes(x)
	routes := 0
	for range x.export.all(t) {
		routes++
	}
	return x.dump(t, updates, func() int { return routes }, holds.Version)
}

// refresh sends everything (RFC 7313).
func (x *Session) refresh(t *fsm.Table) error {
	routes := 0
	return x.dump(t, func(yield func(Update) bool) {
		for r := range x.export.all(t) {
			routes++
			if !yield(announce(t, r, r.ModifiedIndex)) {
				return
			}
		}
	}, func() int { return routes }, 0)
}

// dump sends updates and the end of the RIB; routes then says how many routes
// the peer has been told of.
func (x *Session) dump(t *fsm.Table, updates iter.Seq[Update], routes func() int, since uint64) error {
	err := x.send(func(yield func(Update) bool) {
		for u := range updates {
			if !yield(u) {
				return
			}
		}
		yield(Update{Type: endOfRIB, Version: t.Version(), Since: since})
	})
	x.routesOut.Store(int64(routes()))
	x.told.Store(t)
	return err
}

// newer waits for a table newer than t, or until something is due.
func (x *Session) newer(t *fsm.Table, due time.Time) (*fsm.Table, error) {
	ctx := x.ctx
	if !due.IsZero() {
		if !time.Now().Before(due) { // also where there is always a newer table
			return nil, errCheckDue
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, due, errCheckDue)
		defer cancel()
	}
	return x.speaker.cfg.Site.Await(ctx, t.Version())
}

// tellDifference tells whether what it sent moved the peer's position.
func (x *Session) tellDifference(old, t *fsm.Table) (sent bool, err error) {
	routes := x.routesOut.Load()
	updates, inOrder := x.export.difference(old, t)
	err = x.send(func(yield func(Update) bool) {
		for u := range updates {
			sent = inOrder
			switch {
			case u.Type == remove:
				routes--
			case x.export.one(old, u.key()) == nil:
				routes++
			}
			if !yield(u) {
				return
			}
		}
	})
	x.routesOut.Store(routes)
	x.told.Store(t)
	return sent, err
}

func only(u Update) iter.Seq[Update] { return func(yield func(Update) bool) { yield(u) } }

// send sends items in updates of a bounded size, and waits while too many
// have no answer yet.
func (x *Session) send(items iter.Seq[Update]) error {
	var batch []Update
	bytes := 0
	for u := range items {
		batch = append(batch, u)
		if bytes += u.size(); len(batch) < sendItems && bytes < sendBytes {
			continue
		}
		if err := x.sendBatch(batch); err != nil {
			return err
		}
		batch, bytes = nil, 0
	}
	if len(batch) == 0 {
		return nil
	}
	return x.sendBatch(batch)
}

func (x *Session) sendBatch(batch []Update) error {
	x.speaker.cfg.Counts.UpdatesOut.Add(uint64(len(batch)))
	select {
	case x.unanswered <- pending{answer: x.remote.Update(batch)}:
		return nil
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
}
