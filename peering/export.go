package peering

import (
	"iter"
	"maps"
	"slices"

	"github.com/catalyst/orchestrator/fsm"
)

// export is what of a table one peer is told: this site's own routes (split
// horizon), and of those that other sites originated the best path each, if
// this site reflects or the peer is a collector, which tells nobody.
type export struct {
	to      string // the peer's site, or the name that a collector has here
	learned bool
}

// all yields what the peer is told of a table.
func (x export) all(t *fsm.Table) iter.Seq[*fsm.Route] {
	return func(yield func(*fsm.Route) bool) {
		routes := t.Locals()
		if x.learned {
			routes = t.All()
		}
		for r := range routes {
			if (r.Local() || x.sent(r) && isBest(t, r)) && !yield(r) {
				return
			}
		}
	}
}

func keyOf(r *fsm.Route) fsm.LearnedKey { return fsm.LearnedKey{ID: r.ID(), Site: r.Site} }

// one is the path to a key that the peer is told of, or nil.
func (x export) one(t *fsm.Table, key fsm.LearnedKey) *fsm.Route {
	if key.Site == t.Site() {
		return t.Local(key.ID)
	}
	if !x.learned {
		return nil
	}
	if r := t.BestFrom(key.ID, key.Site); r != nil && x.sent(r) {
		return r
	}
	return nil
}

// isBest tells whether a learned path is the best one of its origin.
func isBest(t *fsm.Table, r *fsm.Route) bool {
	best := t.BestFrom(r.ID(), r.Site)
	return best != nil && best.Peer == r.Peer
}

// sent keeps from the peer what it told us itself, or what has crossed it.
func (x export) sent(r *fsm.Route) bool {
	return r.Peer == "" || r.Peer != x.to && !slices.Contains(r.Path, x.to)
}

// announce is the item that tells of a route.
func announce(t *fsm.Table, r *fsm.Route, version uint64) Update {
	return Update{Type: add, Version: version, Route: &Announcement{ID: r.ID(), Service: r.Service, Site: r.Site, Path: pathFrom(t, r)}}
}

// pathFrom is a route's path as this site's peers see it.
func pathFrom(t *fsm.Table, r *fsm.Route) []string {
	if r.Local() {
		return r.Path
	}
	return append([]string{t.Site()}, r.Path...)
}

// since yields what brings a peer that was told of everything up to a version
// up to the table, in the order of versions, each route once; false when the
// table does not know any more.
func (x export) since(version uint64, t *fsm.Table) (iter.Seq[Update], bool) {
	return x.changed(version, t, func(fsm.LearnedKey) (*fsm.Route, bool) { return nil, false })
}

// difference yields what leads from one table to a newer one, and tells whether
// that comes in the order of versions.
func (x export) difference(old, t *fsm.Table) (updates iter.Seq[Update], inOrder bool) {
	told := func(key fsm.LearnedKey) (*fsm.Route, bool) { return x.one(old, key), true }
	if updates, known := x.changed(old.Version(), t, told); known {
		return updates, true
	}
	return x.compare(old, t), false
}

// changed walks the changes since a version. told says what the peer was told
// of a key, if that is known.
func (x export) changed(version uint64, t *fsm.Table, told func(fsm.LearnedKey) (*fsm.Route, bool)) (iter.Seq[Update], bool) {
	read := (*fsm.Table).LocalChanges
	if x.learned {
		read = (*fsm.Table).Changes
	}
	changes, known := read(t, version)
	if !known {
		return nil, false
	}
	latest := map[fsm.LearnedKey]uint64{}
	for c := range changes {
		latest[keyOf(c.Route)] = c.Index
	}
	return func(yield func(Update) bool) {
		for _, key := range byVersion(latest) {
			was, sure := told(key)
			if u, differs := x.step(t, key, was, sure, latest[key]); differs && !yield(u) {
				return
			}
		}
	}, true
}

func byVersion(latest map[fsm.LearnedKey]uint64) []fsm.LearnedKey {
	return slices.SortedFunc(maps.Keys(latest), func(a, b fsm.LearnedKey) int {
		return int(int64(latest[a]) - int64(latest[b]))
	})
}

// step is what the peer must hear of one key, if anything.
func (x export) step(t *fsm.Table, key fsm.LearnedKey, was *fsm.Route, sure bool, version uint64) (Update, bool) {
	now := x.one(t, key)
	switch {
	case now == nil && was == nil && sure:
		return Update{}, false
	case now == nil:
		return Update{Type: remove, ID: key.ID, Site: key.Site, Version: version}, true
	case was != nil && alike(was, now):
		return Update{}, false
	}
	return announce(t, now, version), true
}

func alike(a, b *fsm.Route) bool {
	return a.Service.Equal(b.Service) && slices.Equal(a.Path, b.Path)
}

// compare finds the difference without the help of the table's history. No
// item moves the peer's position: they are not in the order of versions.
func (x export) compare(old, t *fsm.Table) iter.Seq[Update] {
	return func(yield func(Update) bool) {
		for r := range x.all(old) {
			if x.one(t, keyOf(r)) == nil && !yield(Update{Type: remove, ID: r.ID(), Site: r.Site, Version: old.Version()}) {
				return
			}
		}
		for r := range x.all(t) {
			was := x.one(old, keyOf(r))
			if (was == nil || !alike(was, r)) && !yield(announce(t, r, old.Version())) {
				return
			}
		}
	}
}
