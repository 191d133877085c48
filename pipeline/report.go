package pipeline

import (
	"cmp"
	"slices"
)

// report shows Apply and Status how far things are, if that has changed.
func (f *follower) report() {
	last := f.g.reached.Load()
	if last.covered == f.covered && last.edits == f.edits {
		return
	}
	next := &reached{covered: f.covered, down: f.down, edits: f.edits, left: make(chan struct{})}
	if last.edits == f.edits {
		next.quarantined = last.quarantined
	} else {
		next.quarantined = f.reportStatus()
	}
	f.g.reached.Store(next)
	close(last.left)
}

// reportStatus returns what is quarantined by id.
func (f *follower) reportStatus() map[string]verdict {
	byID := map[string]verdict{}
	status := &GatewayStatus{
		Endpoint: f.g.cfg.Endpoint, State: f.state(), Services: f.accepted.services, Quarantined: []Quarantined{},
	}
	if !f.accepted.at.IsZero() {
		status.LastPush = f.accepted.at.UnixMilli()
	}
	for _, s := range f.catalog.order {
		if s.standing == quarantined {
			byID[s.id] = s.verdict
			status.Quarantined = append(status.Quarantined, Quarantined{ID: s.id, Error: s.verdict.reason})
		}
	}
	slices.SortFunc(status.Quarantined, func(a, b Quarantined) int { return cmp.Compare(a.ID, b.ID) })
	if status.State == GatewayApplied && len(byID) > 0 {
		status.State = GatewayRejected
	}
	f.g.status.Store(status)
	return byID
}

// state is that of the list as a whole, whatever is quarantined.
func (f *follower) state() string {
	if f.down != "" || f.covered != f.catalog.version || !f.catalog.filled {
		return GatewayPending
	}
	return GatewayApplied
}

// leave says that this node no longer follows.
func (f *follower) leave() {
	f.g.status.Store(nil)
	close(f.g.reached.Swap(notFollowing("this node has just stopped leading; the next leader tells the gateway")).left)
}
