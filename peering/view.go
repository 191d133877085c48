package peering

import (
	"cmp"
	"slices"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// Peer is what an operator sees of a peer, or of a collector (contract,
// section 3). Times are ms since the epoch.
type Peer struct {
	ID         string   `json:"id"`
	Site       string   `json:"site,omitempty"` // once it has said so
	Configured bool     `json:"configured"`
	Endpoints  []string `json:"endpoints"`
	State      State    `json:"state"`
	Since      int64    `json:"since"`

	Dialled     bool     `json:"dialled,omitempty"`  // this side dialled
	Endpoint    string   `json:"endpoint,omitempty"` // dialled, or tried last
	Node        string   `json:"node,omitempty"`
	AS          uint32   `json:"as,omitempty"`
	Domains     []string `json:"domains,omitempty"`
	Epoch       string   `json:"epoch,omitempty"`
	Term        uint64   `json:"term,omitempty"`
	HoldTime    float64  `json:"holdTime,omitempty"`    // seconds
	RoundTripMS float64  `json:"roundTripMs,omitempty"` // of the last keepalive

	RoutesIn  int `json:"routesIn"`
	RoutesOut int `json:"routesOut"`
	Stale     int `json:"stale"`
	Tally
	RestartTime float64 `json:"restartTime"` // seconds
	MaxRoutes   int     `json:"maxRoutes,omitempty"`

	LastError   string `json:"lastError,omitempty"`
	LastErrorAt int64  `json:"lastErrorAt,omitempty"`
}

// Configured is what a table alone says of its peers.
func Configured(t *fsm.Table) []Peer {
	peers := []Peer{}
	seen := map[string]bool{}
	for c := range t.Peers() {
		site := c.SpeaksFor()
		seen[site] = true
		p := heldFrom(t, site)
		p.ID, p.Site, p.Configured, p.Endpoints, p.MaxRoutes = c.ID, c.Site, true, c.Endpoints, c.MaxRoutes
		p.RestartTime = cmp.Or(float64(c.RestartTime), DefaultRestartTime.Seconds())
		peers = append(peers, p)
	}
	for site, held := range t.Holding() {
		if !seen[site] && !held.Collector {
			peers = append(peers, heldFrom(t, site))
		}
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return peers
}

func heldFrom(t *fsm.Table, site string) Peer {
	h := t.Held(site)
	return Peer{
		ID: site, Site: site, Endpoints: []string{}, State: Idle, Epoch: h.Epoch, Term: h.Term,
		RoutesIn: h.Routes, Stale: h.Stale, RestartTime: DefaultRestartTime.Seconds(),
	}
}

// Peers is what the speaker knows: of each peer that is configured, holds
// routes here or has a session.
func (s *Speaker) Peers() []Peer {
	t := s.cfg.Site.Table()
	peers := Configured(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for i := range peers {
		p := &peers[i]
		site := cmp.Or(p.Site, p.ID)
		seen[site] = true
		if d := s.dialling[p.ID]; d != nil {
			p.State, p.Since, p.Endpoint = d.state, d.since.UnixMilli(), d.endpoint
			d.fault.show(p)
		}
		if n := s.neighbours[site]; n != nil {
			n.show(p)
		}
	}
	for site, n := range s.neighbours {
		if !seen[site] && n.session != nil {
			p := heldFrom(t, site)
			n.show(&p)
			peers = append(peers, p)
		}
	}
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return peers
}

func (n *neighbour) show(p *Peer) {
	p.Tally = n.Tally
	n.fault.show(p)
	if n.session == nil {
		p.Since = max(p.Since, n.since.UnixMilli())
		return
	}
	p.Since = n.since.UnixMilli()
	n.session.show(p)
}

func (f fault) show(p *Peer) {
	if at := f.at.UnixMilli(); f.text != "" && at >= p.LastErrorAt {
		p.LastError, p.LastErrorAt = f.text, at
	}
}

func (x *Session) show(p *Peer) {
	p.State = OpenConfirm
	if x.established.Load() {
		p.State = Established
	}
	p.Dialled, p.Endpoint = x.dialled, x.endpoint
	p.Node, p.AS, p.Domains, p.Epoch, p.Term = x.hello.Node, x.hello.AS, x.hello.Domains, x.hello.Epoch, x.hello.Term
	p.HoldTime = x.hold.Seconds()
	p.RoundTripMS = float64(x.roundTrip.Load()) / float64(time.Millisecond)
	p.RoutesOut = int(x.routesOut.Load())
}

// Collectors is what the speaker knows of the collectors that listen.
func (s *Speaker) Collectors() []Peer {
	t := s.cfg.Site.Table()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Peer{}
	for x := range s.collectors {
		p := heldFrom(t, x.peer)
		p.Site, p.Since, p.RestartTime = "", x.since.UnixMilli(), 0
		x.show(&p)
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.ID, b.ID)) })
	return out
}

// SentTo lists the peers that have been told of this very path, by site.
func (s *Speaker) SentTo(r *fsm.Route) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sites := []string{}
	for site, n := range s.neighbours {
		if n.session == nil {
			continue
		}
		told := n.session.told.Load()
		if told == nil {
			continue
		}
		if sent := n.session.export.one(told, keyOf(r)); sent != nil && sent.Peer == r.Peer && alike(sent, r) {
			sites = append(sites, site)
		}
	}
	slices.Sort(sites)
	return sites
}
