// Package fsm is the state of a site: the RouteTable, and the commands that
// alone can change it.
//
// A Table is a value. It never changes, its readers take no lock, and a newer
// one shares with it all that stayed the same. Table.Apply is deterministic
// and total: equal tables and commands give equal tables and outcomes on every
// node, without a clock, randomness or the order of a map, and no command can
// bring it down. Machine puts a Table behind hashicorp/raft; nothing else here
// knows of Raft, and nothing knows of the network.
package fsm

import (
	"iter"
	"slices"
)

// MaxRoutes is how many routes a table holds, learned paths included.
const MaxRoutes = 1 << 22

// Table is the RouteTable of one site at one version. The zero Table is that
// of a site that was never founded.
type Table struct {
	version uint64
	site    string
	as      uint32
	epoch   string
	path    []string // of every own route: this site

	local   tree[keyed]  // own routes by id
	learned tree[keyed]  // routes from peers by id, site, peer
	byPeer  tree[*Route] // the same routes by peer, site, id

	peers        tree[*peer]
	peersVersion uint64
	heldBack     []string // members kept from voting, sorted; replaced, never altered

	history sequence[change]
	memory  memory

	limits *bounds // nil for the package's; tests use tighter ones
}

type bounds struct{ routes, peers, changes, outcomes int }

func (t *Table) bounds() bounds {
	if t.limits != nil {
		return *t.limits
	}
	return bounds{routes: MaxRoutes, peers: MaxPeers, changes: MaxChanges, outcomes: MaxOutcomes}
}

// Version counts committed changes: each has its own number, the first is 1.
// It is the index of the RPC.
func (t *Table) Version() uint64 { return t.version }

// Site is the name the site was founded with; empty before.
func (t *Table) Site() string { return t.site }

// AS is the autonomous system number of the site.
func (t *Table) AS() uint32 { return t.as }

// Epoch identifies this life of the site: minted when it was founded or
// restored, ordered by creation time.
func (t *Table) Epoch() string { return t.epoch }

// NumLocal counts the site's own routes.
func (t *Table) NumLocal() int { return t.local.len }

// NumLearned counts the routes from peers, one for each peer that knows a way.
func (t *Table) NumLearned() int { return t.learned.len }

// Local returns this site's own route, or nil.
func (t *Table) Local(id string) *Route {
	k, _ := t.local.get(byID(id))
	return k.route
}

// Path returns the path to id at site that peer announced, or nil.
func (t *Table) Path(id, site, peer string) *Route {
	k, _ := t.learned.get(byPath(id, site, peer))
	return k.route
}

// Paths returns every path to id, the best first; nil when there is none.
func (t *Table) Paths(id string) []*Route {
	var paths []*Route
	for r := range t.each(id) {
		paths = append(paths, r)
	}
	slices.SortFunc(paths, better)
	return paths
}

// Best returns the path to id that wins on every node, or nil.
func (t *Table) Best(id string) *Route {
	var best *Route
	for r := range t.each(id) {
		if best == nil || better(r, best) < 0 {
			best = r
		}
	}
	return best
}

// each yields the paths to one id in no particular order.
func (t *Table) each(id string) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		if r := t.Local(id); r != nil && !yield(r) {
			return
		}
		for k := range t.learned.from(byPath(id, "", "")) {
			if k.id != id || !yield(k.route) {
				return
			}
		}
	}
}

// All yields every path, by id and for each id the best first.
func (t *Table) All() iter.Seq[*Route] { return t.AllFrom("") }

// AllFrom is All without what sorts before an id. It seeks: the cost is in
// what it yields.
func (t *Table) AllFrom(id string) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		var paths []*Route // of the id under way
		flush := func() bool {
			if len(paths) > 1 {
				slices.SortFunc(paths, better)
			}
			for _, r := range paths {
				if !yield(r) {
					return false
				}
			}
			paths = paths[:0]
			return true
		}
		for r := range t.inOrder(id) {
			if len(paths) > 0 && paths[0].id != r.id && !flush() {
				return
			}
			paths = append(paths, r)
		}
		flush()
	}
}

// inOrder merges the site's own routes into the learned ones by id, and walks
// as plain loops, without goroutines, when one side is empty.
func (t *Table) inOrder(from string) iter.Seq[*Route] {
	learned := routes(t.learned.from(byPath(from, "", "")))
	switch {
	case t.learned.len == 0:
		return t.LocalsFrom(from)
	case t.local.len == 0:
		return learned
	}
	return func(yield func(*Route) bool) {
		next, stop := iter.Pull(t.LocalsFrom(from))
		defer stop()
		own, more := next()
		for r := range learned {
			for ; more && own.id <= r.id; own, more = next() {
				if !yield(own) {
					return
				}
			}
			if !yield(r) {
				return
			}
		}
		for ; more; own, more = next() {
			if !yield(own) {
				return
			}
		}
	}
}

// Locals yields the site's own routes by id.
func (t *Table) Locals() iter.Seq[*Route] { return routes(t.local.all()) }

// LocalsFrom is Locals without what sorts before an id.
func (t *Table) LocalsFrom(id string) iter.Seq[*Route] { return routes(t.local.from(byID(id))) }

// From yields every path to services of one site: by id for this site, by
// peer and id for another.
func (t *Table) From(site string) iter.Seq[*Route] {
	if site == t.site {
		return t.Locals()
	}
	return func(yield func(*Route) bool) {
		for p := range t.peers.all() {
			if p.held.Routes == 0 {
				continue
			}
			for r := range t.byPeer.from(byPeer(p.id, site, "")) {
				if r.Peer != p.id || r.Site != site {
					break
				}
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Learned yields what one peer announced, by site and id.
func (t *Table) Learned(peer string) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		if peer == "" {
			return
		}
		for r := range t.byPeer.from(byPeer(peer, "", "")) {
			if r.Peer != peer || !yield(r) {
				return
			}
		}
	}
}

// Peers yields the configured peer sites by id.
func (t *Table) Peers() iter.Seq[PeerConfig] {
	return func(yield func(PeerConfig) bool) {
		for p := range t.peers.all() {
			if p.config != nil && !yield(*p.config) {
				return
			}
		}
	}
}

// Peer returns the configuration of one peer site.
func (t *Table) Peer(id string) (PeerConfig, bool) {
	p, ok := t.peers.get(peerByID(id))
	if !ok || p.config == nil {
		return PeerConfig{}, false
	}
	return *p.config, true
}

// PeersVersion is the version that last changed a peer's configuration.
func (t *Table) PeersVersion() uint64 { return t.peersVersion }

// Held tells what the table has from a peer, configured or not.
func (t *Table) Held(peer string) Held {
	p, ok := t.peers.get(peerByID(peer))
	if !ok {
		return Held{}
	}
	return p.held
}

// Holding yields the peers that the table holds anything from, by id.
func (t *Table) Holding() iter.Seq2[string, Held] {
	return func(yield func(string, Held) bool) {
		for p := range t.peers.all() {
			if p.held != (Held{}) && !yield(p.id, p.held) {
				return
			}
		}
	}
}
