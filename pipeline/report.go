package pipeline

// report shows Apply and Status how far things are, if that has changed.
func (f *follower) report() {
	last := f.g.reached.Load()
	if last.covered == f.covered && last.edits == f.edits {
		return
	}
	next := &reached{covered: f.covered, down: f.down, edits: f.edits, left: make(chan struct{})}
	if last.edits == f.edits {
		next.quarantined, next.told = last.quarantined, last.told
	} else {
		next.quarantined, next.told = f.reportStatus()
	}
	f.g.reached.Store(next)
	close(last.left)
}

// reportStatus returns what is quarantined, and what the gateway says of what
// is on its list, by id.
func (f *follower) reportStatus() (refused map[string]verdict, told map[string]ServiceReport) {
	refused = map[string]verdict{}
	status := newGatewayStatus(f.g.cfg.Endpoint, f.state())
	status.Error, status.Services = f.down, f.accepted.services
	if !f.accepted.at.IsZero() {
		status.LastPush = f.accepted.at.UnixMilli()
	}
	if f.told != nil {
		told = map[string]ServiceReport{}
	}
	for _, s := range f.catalog.order {
		switch {
		case s.standing == quarantined:
			refused[s.id] = s.verdict
			status.Quarantined = append(status.Quarantined, Quarantined{ID: s.id, Error: clip(s.verdict.reason, maxWord)})
		case s.standing == good && f.told != nil:
			told[s.id] = f.told.about(s.wire.Name)
			status.note(s.id, told[s.id])
		}
	}
	status.arrange()
	if status.State == GatewayApplied && len(refused) > 0 {
		status.State = GatewayRejected
	}
	f.g.status.Store(status)
	return refused, told
}

// about is what was said of the service of a name.
func (t *Told) about(name string) ServiceReport {
	r, listed := t.Services[name]
	if !listed {
		return notListed
	}
	return r.bounded()
}

// listen takes in what the gateway has said of its services.
func (f *follower) listen() {
	t, tells := f.gateway.(Teller)
	if !tells {
		return
	}
	if told := t.Told(); told != f.told {
		f.told = told
		f.edits++
	}
}

// news closes when the gateway has said more than was heard.
func (f *follower) news() <-chan struct{} {
	if f.told == nil {
		return nil
	}
	return f.told.Changed
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
