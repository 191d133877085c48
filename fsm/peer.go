package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Bounds of a peer's configuration.
const (
	MaxPeers         = 1024
	MaxPeerEndpoints = 16
	MaxSecret        = 1024 // bytes
)

// PeerConfig is a peer site as an operator configured it.
type PeerConfig struct {
	ID          string   `json:"id"`
	Endpoints   []string `json:"endpoints"`
	Secret      string   `json:"secret,omitempty"`
	RestartTime int      `json:"restartTime,omitempty"` // seconds its routes stay while it is away; 0 is the default
	MaxRoutes   int      `json:"maxRoutes,omitempty"`   // most it may announce; 0 is what the table holds

	// What no operator sets. Site is what the peer turned out to be, empty
	// before it has answered; CreatedIndex tells it from an earlier one of its id.
	Site         string `json:"site,omitempty"`
	CreatedIndex uint64 `json:"createdIndex,omitempty"`
}

// SpeaksFor is the site that the peer stands for: until it has said so, the
// one of its own name.
func (p PeerConfig) SpeaksFor() string { return cmp.Or(p.Site, p.ID) }

// Validate returns a *Refusal that names the first wrong field.
func (p PeerConfig) Validate() error {
	if f := nameFault("id", p.ID); f != "" {
		return invalid(f)
	}
	if n := len(p.Endpoints); n == 0 || n > MaxPeerEndpoints {
		return invalid(fmt.Sprintf("endpoints: has %d entries; give 1 to %d", n, MaxPeerEndpoints))
	}
	for _, e := range p.Endpoints {
		if f := endpointFault("endpoints", e); f != "" {
			return invalid(f)
		}
	}
	if f := textFault("secret", p.Secret, MaxSecret); f != "" {
		return invalid(strings.ReplaceAll(f, quote(p.Secret), "it"))
	}
	if p.RestartTime < 0 || p.RestartTime > 7*24*3600 {
		return invalid(fmt.Sprintf("restartTime: is %d; give 0 to %d seconds", p.RestartTime, 7*24*3600))
	}
	if p.MaxRoutes < 0 || p.MaxRoutes > MaxRoutes {
		return invalid(fmt.Sprintf("maxRoutes: is %d; give 0 to %d", p.MaxRoutes, MaxRoutes))
	}
	return nil
}

// equal is about what an operator sets.
func (p PeerConfig) equal(o PeerConfig) bool {
	return p.ID == o.ID && slices.Equal(p.Endpoints, o.Endpoints) && p.Secret == o.Secret &&
		p.RestartTime == o.RestartTime && p.MaxRoutes == o.MaxRoutes
}

// clone makes a copy that shares nothing with a log entry.
func (p PeerConfig) clone() PeerConfig {
	p.ID, p.Secret, p.Site = strings.Clone(p.ID), strings.Clone(p.Secret), strings.Clone(p.Site)
	p.Endpoints = cloneTexts(p.Endpoints)
	return p
}

func cloneTexts(texts []string) []string {
	own := make([]string, len(texts))
	for i, s := range texts {
		own[i] = strings.Clone(s)
	}
	return own
}

// Held is what the table has from one peer: the position to resume from, the
// fence against a deposed leader of its site, and counts.
type Held struct {
	Epoch    string // of the peer site, as of its last Learn; orders by creation time
	Term     uint64 // of the peer's leader, within Epoch
	Version  uint64 // of the peer's table from which a resume misses nothing; 0 when there is none
	Complete bool   // no dump is under way, and Version follows every Learn
	Routes   int    // learned from it, Stale ones included
	Stale    int

	StaleSince int64 // ms, stamped by the leader: since when its routes are kept without a session; 0 when they are not
	Collector  bool  // what it announces ends with its session
}

// Fences tells whether (epoch, term) is older than what the peer has shown: its
// leader was deposed, or its site's life is over. It never is without an epoch.
func (h Held) Fences(epoch string, term uint64) bool {
	return epoch != "" && cmp.Or(strings.Compare(epoch, h.Epoch), cmp.Compare(term, h.Term)) < 0
}

// peer is one immutable record of the table: configuration, state, or both.
type peer struct {
	id     string
	config *PeerConfig // nil for a peer that only announces
	held   Held
}

func (p *peer) key() string { return p.id }

// peer returns a copy of the peer's record to work on, a new one when there is
// none; false when there is room for no more.
func (e *edit) peer(id string) (peer, bool) {
	if p, ok := e.peers.get(id); ok {
		return *p, true
	}
	if e.peers.len >= e.bounds().peers {
		return peer{}, false
	}
	return peer{id: strings.Clone(id)}, true
}

// putPeer stores the record, or drops one that says nothing any more.
func (e *edit) putPeer(p peer) {
	if p.config == nil && p.held == (Held{}) {
		e.peers.remove(e.own, p.id)
		return
	}
	if old, ok := e.peers.get(p.id); ok && *old == p {
		return
	}
	e.peers.put(e.own, &p)
}

func (p PutPeer) apply(e *edit) Outcome {
	if err := p.Peer.Validate(); err != nil {
		return e.refuse(Invalid, shorten(p.Peer.ID), err.Error())
	}
	if p.Peer.ID == e.site {
		return e.refuse(Invalid, e.site, fmt.Sprintf("id: %q is this site itself; name the other site", e.site))
	}
	record, ok := e.peer(p.Peer.ID)
	old := record.config
	switch {
	case !ok:
		return e.refuse(TooLarge, p.Peer.ID, fmt.Sprintf("the site has %d peers, the most it may; remove one first", e.bounds().peers))
	case old != nil && old.equal(p.Peer):
		return e.done(record.id, false)
	case old != nil && p.Mode == Create:
		return e.refuse(Conflict, record.id, fmt.Sprintf("peer %s is already configured otherwise; update it, or remove it first", record.id))
	case old == nil && p.Mode == Update:
		return e.refuse(NotFound, record.id, fmt.Sprintf("peer %s is not configured; create it first", record.id))
	}
	own := p.Peer.clone()
	own.Site, own.CreatedIndex = "", e.version+1
	if old != nil {
		own.CreatedIndex = old.CreatedIndex
		if slices.Equal(old.Endpoints, own.Endpoints) {
			own.Site = old.Site // still who answers there
		}
	}
	record.config = &own
	e.putPeer(record)
	e.amend(either(old != nil, "peer/update", "peer/create"), record.id, "")
	e.peersVersion = e.version
	return e.done(record.id, true)
}

func (d DeletePeer) apply(e *edit) Outcome {
	p, _ := e.peers.get(d.ID)
	if c, ok := e.Configured(d.ID); ok && (p == nil || p.config == nil) {
		p, _ = e.peers.get(c.ID)
	}
	if p == nil || p.config == nil {
		return e.refuse(NotFound, shorten(d.ID), fmt.Sprintf("peer %s is not configured", quote(d.ID)))
	}
	gone := *p
	gone.config = nil
	e.putPeer(gone)
	site := p.config.SpeaksFor()
	if _, other := e.Configured(site); !other {
		if spoke, ok := e.peers.get(site); ok {
			e.withdrawAll(*spoke)
		}
	}
	e.amend("peer/delete", p.id, "")
	e.peersVersion = e.version
	return e.done(p.id, true)
}

// Configured is the configuration that stands for a peer site, if there is one:
// the one whose endpoint the site answered at, else the one of its name.
func (t *Table) Configured(site string) (PeerConfig, bool) {
	for p := range t.peers.all() {
		if p.config != nil && p.config.Site == site {
			return *p.config, true
		}
	}
	if p, ok := t.peers.get(site); ok && p.config != nil && p.config.Site == "" {
		return *p.config, true
	}
	return PeerConfig{}, false
}

// hears returns the record of a peer whose leader speaks, to work on, or why
// it is not heard.
func (e *edit) hears(site, epoch string, term uint64) (p peer, refused *Outcome) {
	refuse := func(code Code, id, message string) (peer, *Outcome) {
		o := e.refuse(code, id, message)
		return peer{}, &o
	}
	if fault := nameFault("peer", site); fault != "" {
		return refuse(Invalid, "", fault)
	}
	if fault := textFault("epoch", epoch, MaxName); fault != "" {
		return refuse(Invalid, site, fault)
	}
	if site == e.site {
		return refuse(Invalid, e.site, fmt.Sprintf("peer: %q is this site itself", e.site))
	}
	p, ok := e.peer(site)
	if !ok {
		return refuse(TooLarge, site, fmt.Sprintf("peer %s: the site has %d peers, the most it may", site, e.bounds().peers))
	}
	if p.held.Fences(epoch, term) {
		return refuse(Conflict, p.id, fmt.Sprintf("peer %s: term %d of epoch %s is over; term %d of epoch %s has been seen",
			p.id, term, quote(epoch), p.held.Term, quote(p.held.Epoch)))
	}
	if epoch != "" {
		if epoch != p.held.Epoch {
			p.held.Epoch, p.held.Version, p.held.Complete = strings.Clone(epoch), 0, false
		}
		p.held.Term = term
	}
	return p, nil
}

func (o OpenPeer) apply(e *edit) Outcome {
	p, refused := e.hears(o.Peer, o.Epoch, o.Term)
	if refused != nil {
		return *refused
	}
	p.held.Complete, p.held.Collector = false, o.Collector
	e.putPeer(p)
	return e.done(p.id, false)
}

func (b BindPeer) apply(e *edit) Outcome {
	if fault := nameFault("peer", b.Peer); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	p, ok := e.peers.get(b.ID)
	if !ok || p.config == nil {
		return e.refuse(NotFound, shorten(b.ID), fmt.Sprintf("peer %s is not configured", quote(b.ID)))
	}
	other, taken := e.Configured(b.Peer)
	switch {
	case p.config.Site == b.Peer:
	case b.Peer == e.site:
		return e.refuse(Invalid, p.id, fmt.Sprintf("peer %s: site %s itself answers at its endpoint; give an endpoint of another site", p.id, e.site))
	case p.config.Site != "":
		return e.refuse(Conflict, p.id, fmt.Sprintf("peer %s stands for site %s, and site %s answers at its endpoint; if that is meant, remove the peer and add it again", p.id, p.config.Site, b.Peer))
	case taken && other.ID != p.id:
		return e.refuse(Conflict, p.id, fmt.Sprintf("peer %s: site %s, which answers at its endpoint, is configured as peer %s already; add the endpoint there, and remove one of them", p.id, b.Peer, other.ID))
	default:
		config := *p.config
		config.Site = strings.Clone(b.Peer)
		e.putPeer(peer{id: p.id, config: &config, held: p.held})
	}
	return e.done(p.id, false)
}
