package fsm

import (
	"cmp"
	"fmt"
	"strings"
)

// Route is one path to a service, made anew by every read of a Table: compare
// routes by what they say, not by their address. Path may be shared and must
// not be written to.
type Route struct {
	Service Service
	Site    string   // where the service was registered
	Peer    string   // the peer it was learned from; empty for this site's own
	Path    []string // sites it crossed, the origin last; for an own route that is this site
	Stale   bool     // kept while its peer's session is down

	CreatedAt, ModifiedAt       int64  // ms since the epoch, stamped by the leader
	CreatedIndex, ModifiedIndex uint64 // table versions that first and last changed it
	PeerVersion                 uint64 // the peer's own version of the announcement that last changed it

	id string
}

// ID is name:protocol, such as books:http:graphql.
func (r *Route) ID() string {
	if r.id == "" {
		return r.Service.ID()
	}
	return r.id
}

// Local tells whether the service is registered at this site.
func (r *Route) Local() bool { return r.Peer == "" }

// better orders the paths of one id, the same on every node: not stale, then
// local, then the shortest path, then the lowest origin site, then the lowest
// peer. Negative when a is the better.
func better(a, b *Route) int {
	return cmp.Or(
		first(!a.Stale, !b.Stale),
		first(a.Local(), b.Local()),
		cmp.Compare(len(a.Path), len(b.Path)),
		strings.Compare(a.Site, b.Site),
		strings.Compare(a.Peer, b.Peer),
	)
}

// Why says in a sentence why the path at i is the best of paths, which are in
// order, or what it lost to the best by.
func Why(paths []*Route, i int) string {
	switch {
	case len(paths) == 1:
		return "it is the only path"
	case i == 0:
		return decided("it", paths[0], "the next", paths[1])
	default:
		return decided("the best", paths[0], "this", paths[i])
	}
}

// decided names what better decides by.
func decided(winner string, a *Route, loser string, b *Route) string {
	switch {
	case a.Stale != b.Stale:
		return fmt.Sprintf("%s is fresh, %s is stale", winner, loser)
	case a.Local() != b.Local():
		return fmt.Sprintf("%s is registered at this site, %s was learned", winner, loser)
	case len(a.Path) != len(b.Path):
		return fmt.Sprintf("%s has the shorter path, %d against %d of %s", winner, len(a.Path), len(b.Path), loser)
	case a.Site != b.Site:
		return fmt.Sprintf("%s comes from the lower site, %s against %s of %s", winner, a.Site, b.Site, loser)
	default:
		return fmt.Sprintf("%s comes from the lower peer, %s against %s of %s", winner, a.Peer, b.Peer, loser)
	}
}

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
