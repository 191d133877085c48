package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unique"
)

// loader gathers the records of a snapshot in their order and builds the
// trees from them at once, which costs no search.
type loader struct {
	header   header
	edit     edit // only for its site and its shared paths
	path     []string
	names    map[string]string
	peers    []*peer
	local    []keyed
	learned  []keyed
	changes  map[uint64]change
	requests []remembered // the old generation, then the young one
	records  uint64
	ended    bool
}

func (l *loader) load(frame []byte) error {
	s := scan(frame)
	for s.next() {
		if l.ended {
			return errors.New("corrupted: records after the end")
		}
		if (l.records == 0) != (s.field == recordHeader) {
			return errors.New("corrupted: the header is not the first record")
		}
		l.record(&s)
		l.records++
	}
	return s.err
}

func (l *loader) record(s *scanner) {
	switch s.field {
	case recordHeader:
		l.begin(s)
	case recordPeer:
		l.peers = append(l.peers, l.decodePeer(s))
	case recordLocal:
		l.local = append(l.local, key(l.decodeRoute(s)))
	case recordLearned:
		l.learned = append(l.learned, key(l.decodeRoute(s)))
	case recordChange:
		l.change(s)
	case recordRequest:
		r := decodeRequest(s)
		l.requests = append(l.requests, remembered{fnv1a(r.id), r})
	case recordEnd:
		l.end(s)
	}
}

// mostVersion is out of reach of any site: beyond it numbers could wrap.
const mostVersion = 1 << 62

func (l *loader) begin(s *scanner) {
	l.header = decodeHeader(s)
	h := &l.header
	if h.oldest == 0 || h.oldest > h.version+1 || h.version > mostVersion {
		s.fail(fmt.Errorf("corrupted: version %d with a history from %d", h.version, h.oldest))
	}
	l.edit.site = strings.Clone(h.site)
	if h.site != "" {
		l.edit.path = []string{l.edit.site}
	}
	l.names = make(map[string]string)
	l.changes = make(map[uint64]change)
}

func (l *loader) change(s *scanner) {
	var index uint64
	var c change
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			index = inner.uint()
		case 2:
			c.deleted = inner.uint() != 0
		case 3:
			c.route = l.decodeRoute(&inner)
		}
	}
	s.absorb(&inner)
	l.changes[index] = c
}

func (l *loader) end(s *scanner) {
	if said := decodeEnd(s); said != l.records {
		s.fail(fmt.Errorf("corrupted: %d records where %d were written", l.records, said))
	}
	l.ended = true
}

func decodeEnd(s *scanner) (records uint64) {
	inner := s.message()
	for inner.next() {
		if inner.field == 1 {
			records = inner.uint()
		}
	}
	s.absorb(&inner)
	return records
}

// shared keeps one copy of the few names that many routes have in common.
func (l *loader) shared(name string) string {
	if own, ok := l.names[name]; ok {
		return own
	}
	own := unique.Make(name).Value()
	l.names[own] = own
	return own
}

// table puts everything together.
func (l *loader) table() (*Table, error) {
	h := l.header
	if err := l.check(); err != nil {
		return nil, err
	}
	t := &Table{
		version: h.version, site: l.edit.site, as: h.as, epoch: strings.Clone(h.epoch), path: l.edit.path, heldBack: h.heldBack,
		local: plant(l.local), learned: plant(l.learned), byPeer: plant(l.announced()),
		peersVersion: h.peersVersion,
	}
	t.peers = plant(l.peers)
	t.history = l.history(t)
	t.memory = l.memory()
	return t, nil
}

// check holds what was read against the header and the order of the trees: a
// tree out of order would lose routes without a word.
func (l *loader) check() error {
	h := l.header
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"peers", uint64(len(l.peers)), h.peers},
		{"own routes", uint64(len(l.local)), h.local},
		{"learned routes", uint64(len(l.learned)), h.learned},
		{"requests", uint64(len(l.requests)), h.old + h.young},
		{"older requests", min(h.old, uint64(len(l.requests))), h.old},
	} {
		if c.got != c.want {
			return fmt.Errorf("corrupted: %d %s where the header says %d", c.got, c.what, c.want)
		}
	}
	if !ascending(l.local, func(k keyed) probe[keyed] { return byID(k.id) }) ||
		!ascending(l.learned, func(k keyed) probe[keyed] { return byPath(k.id, k.route.Site, k.route.Peer) }) ||
		!ascending(l.requests[:h.old], requestProbe) || !ascending(l.requests[h.old:], requestProbe) ||
		!ascending(l.peers, func(p *peer) probe[*peer] { return peerByID(p.id) }) {
		return errors.New("corrupted: records are out of order")
	}
	return l.count()
}

func requestProbe(r remembered) probe[remembered] {
	_, at := byRequestID(r.request.id)
	return at
}

func ascending[T any](items []T, probeOf func(T) probe[T]) bool {
	for i := 1; i < len(items); i++ {
		if probeOf(items[i])(items[i-1]) >= 0 {
			return false
		}
	}
	return true
}

// count gives every peer the number of its routes.
func (l *loader) count() error {
	peers := make(map[string]*peer, len(l.peers))
	for _, p := range l.peers {
		peers[p.id] = p
	}
	for _, k := range l.learned {
		r := k.route
		p := peers[r.Peer]
		if p == nil {
			return fmt.Errorf("corrupted: %s was learned from a peer that is not there", quote(r.id))
		}
		p.held.Routes++
		if r.Stale {
			p.held.Stale++
		}
	}
	return nil
}

// announced brings the learned routes into the order of byPeer. They come by
// id, so dealing them out by (peer, site) leaves only those to sort.
func (l *loader) announced() []*Route {
	type origin struct{ peer, site string }
	dealt := make(map[origin][]*Route)
	for _, k := range l.learned {
		o := origin{k.route.Peer, k.route.Site}
		dealt[o] = append(dealt[o], k.route)
	}
	origins := make([]origin, 0, len(dealt))
	for o := range dealt {
		origins = append(origins, o)
	}
	slices.SortFunc(origins, func(a, b origin) int {
		return cmp.Or(strings.Compare(a.peer, b.peer), strings.Compare(a.site, b.site))
	})
	routes := make([]*Route, 0, len(l.learned))
	for _, o := range origins {
		routes = append(routes, dealt[o]...)
	}
	return routes
}

// history is rebuilt from the changes that were written and, for the others,
// from the routes themselves.
func (l *loader) history(t *Table) sequence[change] {
	if t.version == 0 {
		return sequence[change]{}
	}
	oldest := l.header.oldest
	if most := uint64(t.bounds().changes); t.version-oldest+1 > most {
		oldest = t.version + 1 - most
	}
	h := startingAt[change](oldest)
	for h.next <= t.version {
		h.append(l.changes[h.next])
	}
	for _, routes := range [][]keyed{l.local, l.learned} {
		for _, k := range routes {
			if i := k.route.ModifiedIndex; oldest <= i && i <= t.version {
				*h.slot(i) = change{route: k.route}
			}
		}
	}
	return h
}

func (l *loader) memory() memory {
	h := l.header
	old, young := l.requests[:h.old], l.requests[h.old:]
	return memory{
		old:   generation{requests: plant(old), since: h.oldSince},
		young: generation{requests: plant(young), since: h.youngSince},
	}
}
