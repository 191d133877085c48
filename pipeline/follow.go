package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// pushDebounce is how long changes gather before they go out as one list.
const pushDebounce = 20 * time.Millisecond

// Run keeps the gateway in step with the source until ctx ends, which is no
// error. It is a leader's duty: it begins by sending the list, as it cannot
// know what the gateway has. One call is in flight at a time, with a deadline
// of 10 s; the next one sends the newest list. Only one Run may run at a time.
func (g *GatewayIntegrationPlugin) Run(ctx context.Context, s Source, gw Gateway) error {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &follower{g: g, source: s, gateway: gw, tables: make(chan struct{})}
	defer f.leave()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		if err := f.watch(ctx); err != nil {
			cancel(&sourceError{err})
		}
	})
	f.follow(ctx)
	var lost *sourceError
	if errors.As(context.Cause(ctx), &lost) {
		return fmt.Errorf("follow the gateway: %w", lost.err)
	}
	return nil
}

type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }

// follower is one Run: what the gateway should have, what it has, and what is
// being found out about the difference.
type follower struct {
	g       *GatewayIntegrationPlugin
	source  Source
	gateway Gateway
	tables  chan struct{} // a newer table is there

	catalog catalog
	good    goodList
	fresh   hunt // among what the table has brought
	trial   hunt // among what is quarantined
	edits   int  // counts what changes the next plan or what is reported

	held      []GatewayService // what the gateway holds
	heldSince time.Time        // zero when that is not known
	broken    <-chan struct{}  // the connection on which it was accepted
	told      *Told            // what it says on that; nil when that is not known
	step      struct {         // whether held is the good list, as of edits
		edits int
		same  bool
	}

	pushed   time.Time // the end of the last call
	accepted acceptance
	covered  uint64 // version of the table that the gateway shows; 0 when that is not known
	down     string // why the last call got no answer
	failures int    // calls without an answer since a list was accepted
	retryAt  time.Time

	suspicion suspicion
	trialFrom time.Time // not before
	trialAt   time.Time // when the one under way began
	trying    bool
}

// goodList is about the services that the gateway is known to accept. It gets
// another number whenever it changes.
type goodList struct{ number, size int }

// acceptance is the last list that was accepted.
type acceptance struct {
	services int
	at       time.Time
}

// follow does the next thing until ctx ends.
func (f *follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		f.refresh()
		now := time.Now()
		p, at := f.plan(now)
		f.report()
		if at.IsZero() || at.After(now) {
			f.sleep(ctx, at)
			continue
		}
		f.push(ctx, p)
	}
}

// watch tells the loop of newer tables, as fast as it listens.
func (f *follower) watch(ctx context.Context) error {
	var seen uint64
	for {
		t, err := f.source.Await(ctx, seen)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		seen = t.Version()
		select {
		case f.tables <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
	}
}

// sleep waits until there is something to do. After a newer table it goes on
// for the debounce, so that others join it.
func (f *follower) sleep(ctx context.Context, until time.Time) {
	tables := f.tables
	var alarm <-chan time.Time
	if !until.IsZero() {
		left := time.Until(until)
		alarm = time.After(left)
		if left <= pushDebounce {
			tables = nil
		}
	}
	for {
		select {
		case <-tables:
			tables, alarm = nil, time.After(pushDebounce)
			continue
		case <-f.news():
			f.listen()
			f.report()
			continue
		case <-alarm:
		case <-f.broken:
		case <-ctx.Done():
		}
		return
	}
}

// refresh takes in the newest table, and the end of the gateway's connection.
func (f *follower) refresh() {
	select {
	case <-f.broken:
		f.g.cfg.Log.Info("the gateway's connection has ended; it gets the list again", "gateway", f.g.cfg.Endpoint)
		f.forgetHeld()
	default:
	}
	news := f.catalog.refresh(f.source.Table())
	if !news.changed {
		return
	}
	f.edits++
	if news.lostGood > 0 {
		f.good.number++
		f.good.size -= news.lostGood
	}
	f.fresh.add(news.added...)
	f.fresh.tidy()
	f.trial.tidy()
}

// plan says what to push next, and when; a zero time is never.
func (f *follower) plan(now time.Time) (probe, time.Time) {
	at := latest(now, f.retryAt)
	goodOnly := probe{}
	switch {
	case f.good.size > 0 && (f.suspicion.doubt || f.fresh.searching() && f.heldSince.IsZero()):
		return goodOnly, at
	case f.fresh.searching():
		return f.fresh.next(f.good), at
	case f.fresh.waiting():
		gathered := latest(at, f.pushed.Add(pushDebounce))
		if p, ok := f.planTrial(now); ok && gathered.After(at) {
			return p, at
		}
		return f.fresh.next(f.good), gathered
	case !f.inStep():
		return goodOnly, at
	}
	f.covered = f.catalog.version
	if p, ok := f.planTrial(now); ok {
		return p, at
	}
	return goodOnly, f.nextTrial()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
