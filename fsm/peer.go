package fsm

import (
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
}

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

func (p PeerConfig) equal(o PeerConfig) bool {
	return p.ID == o.ID && slices.Equal(p.Endpoints, o.Endpoints) && p.Secret == o.Secret &&
		p.RestartTime == o.RestartTime && p.MaxRoutes == o.MaxRoutes
}

// clone makes a copy that shares nothing with a log entry.
func (p PeerConfig) clone() PeerConfig {
	p.ID, p.Secret = strings.Clone(p.ID), strings.Clone(p.Secret)
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
	Complete bool   // the dump has ended, and Version follows every Learn
	Routes   int    // learned from it, Stale ones included
	Stale    int
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
	record.config = &own
	e.putPeer(record)
	e.note("", false)
	e.peersVersion = e.version
	return e.done(record.id, true)
}

func (d DeletePeer) apply(e *edit) Outcome {
	p, _ := e.peers.get(d.ID)
	if p == nil || p.config == nil {
		return e.refuse(NotFound, shorten(d.ID), fmt.Sprintf("peer %s is not configured", quote(d.ID)))
	}
	gone := *p
	gone.config = nil
	e.withdrawAll(gone)
	e.note("", false)
	e.peersVersion = e.version
	return e.done(p.id, true)
}
