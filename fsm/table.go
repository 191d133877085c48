// Package fsm is the state of a site: the RouteTable, what tells friend from
// stranger (the site's authority, keys, tokens and known members), the audit of
// who changed what, and the commands that alone can change any of it.
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
	"strings"
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
	id      string
	level   int
	path    []string // of every own route: this site

	local   tree[record]       // own routes by id
	learned tree[record]       // routes from peers by id, site, peer
	byPeer  tree[announcement] // the same routes by peer, site, id

	peers        tree[*peer]
	peersVersion uint64
	heldBack     []string // members kept from voting, sorted; replaced, never altered
	members      tree[incarnation]
	former       []string // ids of the site's earlier lives, the newest last; replaced, never altered
	expelled     []string // incarnations, the newest last; replaced, never altered

	authority         authority
	gossipKeys        []string // replaced, never altered
	gossipKeysVersion uint64
	tokens            tree[*Token]
	tokensVersion     uint64

	trail   trail
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

// Epoch identifies this life of the site: minted when it was founded, renewed
// or restored, ordered by creation time.
func (t *Table) Epoch() string { return t.epoch }

// ID is the UUID of the site; empty where its log is older than that.
func (t *Table) ID() string { return t.id }

// NumLocal counts the site's own routes.
func (t *Table) NumLocal() int { return t.local.len }

// NumLearned counts the routes from peers, one for each peer that knows a way.
func (t *Table) NumLearned() int { return t.learned.len }

// Local returns this site's own route, or nil.
func (t *Table) Local(id string) *Route {
	r, _ := t.local.get(id)
	return t.route(r)
}

// Path returns the path to id at site that peer announced, or nil.
func (t *Table) Path(id, site, peer string) *Route {
	r, _ := t.learned.get(pathKey(id, site, peer))
	return t.route(r)
}

// Paths returns every path to id, the best first; nil when there is none.
func (t *Table) Paths(id string) []*Route {
	var paths []*Route
	for r := range t.each(id) {
		paths = append(paths, t.route(r))
	}
	slices.SortFunc(paths, better)
	return paths
}

// Best returns the path to id that wins on every node, or nil.
func (t *Table) Best(id string) *Route {
	var best *Route
	for r := range t.each(id) {
		if route := t.route(r); best == nil || better(route, best) < 0 {
			best = route
		}
	}
	return best
}

// BestFrom returns the best of the paths to one site's id, or nil.
func (t *Table) BestFrom(id, site string) *Route {
	if site == t.site {
		return t.Local(id)
	}
	var best *Route
	prefix := pathKey(id, site, "")
	for r := range t.learned.from(prefix) {
		if !strings.HasPrefix(r.key(), prefix) {
			break
		}
		if route := t.route(r); best == nil || better(route, best) < 0 {
			best = route
		}
	}
	return best
}

// IsBest tells whether the path of this key is the one that wins.
func (t *Table) IsBest(r *Route) bool {
	if r.Local() { // nothing beats an own route
		_, ok := t.local.get(r.ID())
		return ok
	}
	best := t.Best(r.ID())
	return best != nil && best.Site == r.Site && best.Peer == r.Peer
}

// each yields the paths to one id in no particular order.
func (t *Table) each(id string) iter.Seq[record] {
	return func(yield func(record) bool) {
		if r, ok := t.local.get(id); ok && !yield(r) {
			return
		}
		for r := range t.learned.from(pathKey(id, "", "")) {
			if r.id() != id || !yield(r) {
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
			slices.SortFunc(paths, better)
			for _, r := range paths {
				if !yield(r) {
					return false
				}
			}
			paths = paths[:0]
			return true
		}
		for r := range t.inOrder(id) {
			route := t.route(r)
			if len(paths) > 0 && paths[0].id != route.id && !flush() {
				return
			}
			paths = append(paths, route)
		}
		flush()
	}
}

// inOrder merges the site's own routes into the learned ones by id, and walks
// as plain loops, without coroutines, when one side is empty.
func (t *Table) inOrder(from string) iter.Seq[record] {
	local, learned := t.local.from(from), t.learned.from(pathKey(from, "", ""))
	switch {
	case t.learned.len == 0:
		return local
	case t.local.len == 0:
		return learned
	}
	return func(yield func(record) bool) {
		next, stop := iter.Pull(local)
		defer stop()
		own, more := next()
		for r := range learned {
			for ; more && own.id() <= r.id(); own, more = next() {
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

// routes makes the routes of a walk.
func (t *Table) routes(records iter.Seq[record]) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for r := range records {
			if !yield(t.route(r)) {
				return
			}
		}
	}
}

// Locals yields the site's own routes by id.
func (t *Table) Locals() iter.Seq[*Route] { return t.LocalsFrom("") }

// LocalsFrom is Locals without what sorts before an id.
func (t *Table) LocalsFrom(id string) iter.Seq[*Route] { return t.routes(t.local.from(id)) }

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
			for r := range t.announced(announced(p.id, site, "")) {
				if !yield(t.route(r)) {
					return
				}
			}
		}
	}
}

// Learned yields what one peer announced, by site and id.
func (t *Table) Learned(peer string) iter.Seq[*Route] {
	if _, known := t.peers.get(peer); !known {
		return func(func(*Route) bool) {}
	}
	return t.routes(t.announcedBy(peer))
}

// announcedBy is for a peer that is known.
func (t *Table) announcedBy(peer string) iter.Seq[record] {
	return t.announced(announcement(peer + "\x00"))
}

// announced yields the routes whose announcement begins so.
func (t *Table) announced(prefix announcement) iter.Seq[record] {
	return func(yield func(record) bool) {
		for a := range t.byPeer.from(prefix.key()) {
			if !strings.HasPrefix(a.key(), prefix.key()) {
				return
			}
			if r, _ := t.learned.get(a.path()); !yield(r) {
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

// NumPeers counts the configured peer sites.
func (t *Table) NumPeers() (n int) {
	for range t.Peers() {
		n++
	}
	return n
}

// Peer returns the configuration of one peer site.
func (t *Table) Peer(id string) (PeerConfig, bool) {
	p, ok := t.peers.get(id)
	if !ok || p.config == nil {
		return PeerConfig{}, false
	}
	return *p.config, true
}

// PeersVersion is the version that last changed a peer's configuration.
func (t *Table) PeersVersion() uint64 { return t.peersVersion }

// Held tells what the table has from a peer, configured or not.
func (t *Table) Held(peer string) Held {
	p, ok := t.peers.get(peer)
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
