package peering

import (
	"cmp"
	"context"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// staleAfter is how long what a lost peer announced is taken for fresh: its
// site may just be electing another leader, and is back in a moment.
const staleAfter = 5 * time.Second

// keep is graceful restart (RFC 4724 §4.2): what a peer announced stays while
// it is away, after a moment behind what is fresh, and goes when it has not
// come back in time.
func (s *Speaker) keep(ctx context.Context, n *neighbour) {
	began := time.Now()
	for ctx.Err() == nil {
		switch {
		case s.await(ctx, n, true, s.grace(n)):
		case !s.without(ctx, n, fsm.MarkStale{Peer: n.site}):
		case s.await(ctx, n, true, s.patience(n.site, began)):
		case !s.without(ctx, n, fsm.Withdraw{Peer: n.site}):
		case s.forget(n):
			return
		default:
			s.await(ctx, n, true, 0)
		}
		s.await(ctx, n, false, 0)
	}
}

// without commits an op about a neighbour that has no session. One that comes
// meanwhile waits: what is marked after its dump would stay marked.
func (s *Speaker) without(ctx context.Context, n *neighbour, op fsm.Op) bool {
	select {
	case n.commits <- struct{}{}:
		defer func() { <-n.commits }()
	case <-ctx.Done():
		return false
	}
	s.mu.Lock()
	came := n.session != nil
	s.mu.Unlock()
	return !came && s.command(ctx, n.site, op)
}

// withdraw drops what a collector announced that has gone.
func (s *Speaker) withdraw(ctx context.Context, collector string) {
	for !s.command(ctx, collector, fsm.Withdraw{Peer: collector}) && ctx.Err() == nil {
	}
}

// forget drops a neighbour that nothing is left of, unless it is configured.
func (s *Speaker) forget(n *neighbour) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, configured := s.cfg.Site.Table().Configured(n.site)
	if n.session != nil || configured {
		return false
	}
	delete(s.neighbours, n.site)
	return true
}

// grace is how long a neighbour without a session may take before its routes
// go stale. It goes on through sessions that end before they have told
// everything.
func (s *Speaker) grace(n *neighbour) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.lost.IsZero() {
		return staleAfter
	}
	return max(time.Until(n.lost.Add(min(staleAfter, s.restartTime(n.site)))), 1)
}

func (s *Speaker) restartTime(site string) time.Duration {
	c, _ := s.cfg.Site.Table().Configured(site)
	return cmp.Or(time.Duration(c.RestartTime)*time.Second, DefaultRestartTime)
}

// patience is what is left of the time that a lost peer has. It goes on from
// where the last leader was, but a peer is not given up before this one could
// hear of it.
func (s *Speaker) patience(site string, began time.Time) time.Duration {
	restart := s.restartTime(site)
	since := time.UnixMilli(s.cfg.Site.Table().Held(site).StaleSince)
	return max(time.Until(since.Add(restart)), time.Until(began.Add(min(restart, rejoinTime))), 1)
}

// giveUpStale removes what a peer that is back has neither confirmed nor
// withdrawn in the restart time, as one does that sends no endOfRib.
func (x *Session) giveUpStale() error {
	select {
	case <-time.After(x.speaker.restartTime(x.peer)):
	case <-x.ctx.Done():
		return nil
	}
	if x.speaker.cfg.Site.Table().Held(x.peer).Stale == 0 {
		return nil
	}
	return x.commit(x.ctx, fsm.Withdraw{Peer: x.peer, Stale: true})
}

// retryAfter is the pause after a command that failed, as they do when the log
// is away or the term is over.
const retryAfter = time.Second

// command commits an op about a site that the table may know; false, a moment
// later, when that failed.
func (s *Speaker) command(ctx context.Context, site string, op fsm.Op) bool {
	if ctx.Err() != nil {
		return false
	}
	held := s.cfg.Site.Table().Held(site)
	if held == (fsm.Held{}) {
		return true
	}
	outcome, err := s.cfg.Site.Commit(ctx, site, op)
	switch _, gone := op.(fsm.Withdraw); {
	case err != nil || outcome.Code != "":
		s.cfg.Log.Warn("what a lost peer announced could not be dealt with", "peer", site, "err", err, "refusal", outcome.Message)
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
		}
		return false
	case held.Routes == 0:
	case gone:
		s.cfg.Log.Warn("peer is not back in time: its routes are withdrawn", "peer", site, "routes", held.Routes)
	default:
		s.cfg.Log.Warn("peer is away: its routes are stale", "peer", site, "routes", held.Routes)
	}
	return true
}

// await waits until a neighbour has, or has not, a session that stands; false
// when the time is over first. A time of 0 has no end.
func (s *Speaker) await(ctx context.Context, n *neighbour, stands bool, within time.Duration) bool {
	if within != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	for {
		s.mu.Lock()
		reached, changed := (n.session != nil) == stands, n.changed
		s.mu.Unlock()
		if reached {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
