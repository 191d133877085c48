package fsm

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Route is one path to a service. It never changes once it is in a Table;
// its slices and maps are shared and must not be written to.
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

func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// sameAs tells whether two routes look alike to everyone outside; the times,
// indices and the peer's version aside.
func (r *Route) sameAs(o *Route) bool {
	return r.Stale == o.Stale && r.Service.Equal(o.Service) && slices.Equal(r.Path, o.Path)
}

// compact lays a service's texts out in one allocation that belongs to the
// route alone: what came in may be a slice of a whole log entry, which a
// route must not keep alive.
func (r *Route) compact(s Service) {
	name, id := len(s.Name), len(s.Name)+1+len(s.Protocol)
	endpoint := id + len(s.Endpoint)
	var b strings.Builder
	b.Grow(endpoint + len(s.Region))
	b.WriteString(s.Name)
	b.WriteByte(':')
	b.WriteString(string(s.Protocol))
	b.WriteString(s.Endpoint)
	b.WriteString(s.Region)
	all := b.String()
	r.id = all[:id]
	r.Service = Service{
		Name:     all[:name],
		Protocol: Protocol(all[name+1 : id]),
		Endpoint: all[id:endpoint],
		Region:   all[endpoint:],
		Tags:     cloneTags(s.Tags),
	}
}

func cloneTags(tags map[string]string) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	own := make(map[string]string, len(tags))
	for key, value := range tags {
		own[strings.Clone(key)] = strings.Clone(value)
	}
	return own
}

// keyed carries the id beside the route: a search in a large table is a chain
// of cache misses, and this halves it.
type keyed struct {
	id    string
	route *Route
}

func key(r *Route) keyed { return keyed{r.id, r} }

// routes strips the keys of a walk.
func routes(items iter.Seq[keyed]) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for k := range items {
			if !yield(k.route) {
				return
			}
		}
	}
}

// The three orders of the trees.

func byID(id string) probe[keyed] {
	return func(k keyed) int { return strings.Compare(k.id, id) }
}

// byPath orders the paths of one id by site and peer.
func byPath(id, site, peer string) probe[keyed] {
	return func(k keyed) int {
		if c := strings.Compare(k.id, id); c != 0 {
			return c
		}
		if c := strings.Compare(k.route.Site, site); c != 0 {
			return c
		}
		return strings.Compare(k.route.Peer, peer)
	}
}

// byPeer keeps together what one peer announced, and in that what one site
// originated.
func byPeer(peer, site, id string) probe[*Route] {
	return func(r *Route) int {
		if c := strings.Compare(r.Peer, peer); c != 0 {
			return c
		}
		if c := strings.Compare(r.Site, site); c != 0 {
			return c
		}
		return strings.Compare(r.id, id)
	}
}
