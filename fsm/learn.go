package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// MaxPath is how many sites an announced path may cross.
const MaxPath = 64

func (l Learn) apply(e *edit) Outcome {
	p, refused := e.hears(l.Peer, l.Epoch, l.Term)
	if refused != nil {
		return *refused
	}
	in := intake{edit: e, peer: &p, before: e.version, limit: MaxRoutes}
	if c, ok := e.Configured(p.id); ok && c.MaxRoutes > 0 {
		in.limit = c.MaxRoutes
	}
	in.take(&l)
	e.putPeer(p)
	return in.outcome()
}

// intake is one Learn under way.
type intake struct {
	*edit
	peer               *peer
	before             uint64
	limit              int // routes that the peer may announce
	malformed, refused int
}

func (in *intake) take(l *Learn) {
	for _, key := range l.Remove {
		in.withdraw(key.ID, key.Site)
	}
	for i := range l.Add {
		in.add(&l.Add[i])
	}
	held := &in.peer.held
	if l.EndOfRIB {
		in.sweep(l.Resumed)
		held.Complete, held.StaleSince = true, 0
	}
	// A dump comes in the order of ids, so half of one is no position. While
	// it is under way the earlier position stays true: what came since would
	// only come again.
	if held.Complete {
		held.Version = max(held.Version, l.Version)
	}
}

func (in *intake) outcome() Outcome {
	o := in.done(in.peer.id, in.version != in.before)
	o.Malformed, o.Refused = in.malformed, in.refused
	if in.refused > 0 {
		o.Message = fmt.Sprintf("peer %s: refused %d routes: it may hold %d here, and the table %d",
			in.peer.id, in.refused, in.limit, in.bounds().routes)
	}
	return o
}

// add takes one announcement. What is malformed, or has come round to where
// it began, withdraws what the peer said before under that key (RFC 7606 §2).
func (in *intake) add(a *LearnedRoute) {
	service, err := a.Service.Validate()
	id := a.ID
	if id == "" {
		id = service.ID()
	}
	if err != nil || NormalID(id) != service.ID() || !pathOK(a.Path, a.Site) {
		in.malformed++
		in.withdraw(id, a.Site)
		return
	}
	if slices.Contains(a.Path, in.site) {
		in.withdraw(id, a.Site)
		return
	}
	in.announce(&Route{Service: service, Site: a.Site, Peer: in.peer.id, Path: a.Path, PeerVersion: a.Version})
}

// pathOK wants known-good names with the origin last.
func pathOK(path []string, site string) bool {
	if len(path) == 0 || len(path) > MaxPath || path[len(path)-1] != site {
		return false
	}
	return !slices.ContainsFunc(path, func(s string) bool { return nameFault("path", s) != "" })
}

func (in *intake) announce(r *Route) {
	old, exists := in.learned.get(pathKey(r.ID(), r.Site, r.Peer))
	switch {
	case exists && r.definedAs(old):
		return
	case !exists && (in.full() || in.peer.held.Routes >= in.limit):
		in.refused++
		return
	}
	in.replace(r, old)
	in.peer.held.Routes++
	if exists {
		in.peer.held.Routes--
		in.unstale(old)
	}
}

func (in *intake) unstale(old record) {
	if old.head().stale {
		in.peer.held.Stale--
	}
}

func (in *intake) withdraw(id, site string) {
	id = NormalID(id)
	if old, exists := in.learned.get(pathKey(id, site, in.peer.id)); exists {
		in.removeLearned(old)
		in.peer.held.Routes--
		in.unstale(old)
	}
}

// sweep ends a dump: it removes what is stale still, or confirms it.
func (in *intake) sweep(confirm bool) {
	if in.peer.held.Stale == 0 {
		return
	}
	for _, old := range in.stale(in.peer.id, true) {
		if confirm {
			in.mark(old, false)
		} else {
			in.removeLearned(old)
			in.peer.held.Routes--
		}
	}
	in.peer.held.Stale = 0
}

// stale collects the routes of a peer that are, or are not, stale; collected
// first, as the trees change under the walk.
func (e *edit) stale(peer string, is bool) []record {
	var records []record
	for r := range e.announcedBy(peer) {
		if r.head().stale == is {
			records = append(records, r)
		}
	}
	return records
}

func (m MarkStale) apply(e *edit) Outcome {
	p, _ := e.peers.get(m.Peer)
	if p == nil {
		return e.done(strings.Clone(shorten(m.Peer)), false)
	}
	before := e.version
	for _, old := range e.stale(p.id, false) {
		e.mark(old, true)
	}
	changed := *p
	changed.held.Stale, changed.held.Complete = p.held.Routes, false
	if changed.held.StaleSince == 0 && changed.held.Routes > 0 {
		changed.held.StaleSince = e.now
	}
	e.putPeer(changed)
	return e.done(p.id, e.version != before)
}

func (w Withdraw) apply(e *edit) Outcome {
	p, _ := e.peers.get(w.Peer)
	if p == nil {
		return e.done(strings.Clone(shorten(w.Peer)), false)
	}
	before, rest := e.version, *p
	if w.Stale {
		in := intake{edit: e, peer: &rest}
		in.sweep(false)
		rest.held.StaleSince = 0
		e.putPeer(rest)
	} else {
		e.withdrawAll(rest)
	}
	return e.done(p.id, e.version != before)
}

// withdrawAll drops the peer's routes and its position; a configured peer
// keeps its fence.
func (e *edit) withdrawAll(p peer) {
	for _, r := range slices.Collect(e.announcedBy(p.id)) {
		e.removeLearned(r)
	}
	p.held = Held{Epoch: p.held.Epoch, Term: p.held.Term}
	if _, configured := e.Configured(p.id); !configured {
		p.held = Held{}
	}
	e.putPeer(p)
}

// mark changes nothing of a route but whether it is stale.
func (e *edit) mark(old record, stale bool) {
	r := e.route(old)
	r.Stale = stale
	e.replace(r, old)
}

func (e *edit) replace(r *Route, old record) {
	e.learned.put(e.own, e.stamp(r, old))
	if old == "" {
		e.byPeer.put(e.own, announced(r.Peer, r.Site, r.ID()))
	}
}

func (e *edit) removeLearned(r record) {
	h := r.head()
	e.learned.remove(e.own, r.key())
	e.byPeer.remove(e.own, announced(h.peer, h.site, h.id).key())
	e.note(r, true)
}
