package clustertests

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
)

// load is several npm clients that register services at random nodes until told to finish (js/load.mjs).
type load struct {
	s    *site
	name string
}

// progress is how far a load has come: what was acknowledged, refused, and rejected by code ("none" is a lost session).
type progress struct {
	Acked    int
	Refused  []any
	Rejected map[string]int
	Attempts int
}

// ack is one acknowledged registration. Deleted is the index of its acknowledged deletion, 0 without one; Repeats are the
// indexes answered to later sendings of the same requestId.
type ack struct {
	Name, ID string
	Index    uint64
	At       int64 // ms
	Deleted  uint64
	Repeats  []uint64
}

// finished is all that a load did, acknowledgements in the order they came.
type finished struct {
	Acked    []ack
	Refused  []any
	Rejected map[string]int
	Attempts int
	Slowest  int // ms from the first attempt of an action to its answer
}

func (s *site) load(t testing.TB, clients int, prefix string) *load {
	t.Helper()
	l := &load{s, s.driver.name("load")}
	how := args{"load": l.name, "urls": s.urls(), "clients": clients, "prefix": prefix}
	if s.token != nil {
		how["token"] = s.token
	}
	s.must(t, "load", how, nil)
	return l
}

// aim tells the clients where the running nodes listen now.
func (l *load) aim(t testing.TB) {
	t.Helper()
	l.s.must(t, "aim", args{"load": l.name, "urls": l.s.urls()}, nil)
}

func (l *load) progress(t testing.TB) progress {
	t.Helper()
	var p progress
	l.s.must(t, "progress", args{"load": l.name}, &p)
	return p
}

// advances waits until so many more registrations are acknowledged than now.
func (l *load) advances(t testing.TB, more int) {
	t.Helper()
	want := l.progress(t).Acked + more
	eventually(t, fmt.Sprintf("%d registrations are acknowledged", want), func() error {
		if p := l.progress(t); p.Acked < want {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
}

func (l *load) finish(t testing.TB) finished {
	t.Helper()
	var f finished
	l.s.must(t, "finish", args{"load": l.name}, &f)
	slices.SortFunc(f.Acked, func(a, b ack) int { return cmp.Compare(a.At, b.At) })
	return f
}

// lastIndex is the newest index that any acknowledgement named.
func (f finished) lastIndex() uint64 {
	var last uint64
	for _, a := range f.Acked {
		last = max(last, a.Index, a.Deleted)
	}
	return last
}

// holds asserts that every running node shows exactly what was acknowledged, each registration made once, and that all
// nodes agree to the last index.
func (s *site) holds(t testing.TB, f finished) {
	t.Helper()
	if len(f.Refused) > 0 {
		t.Errorf("%d actions were refused, the first: %s", len(f.Refused), asJSON(f.Refused[0]))
	}
	want := map[string]ack{}
	for _, a := range f.Acked {
		for _, index := range a.Repeats {
			if index != a.Index {
				t.Errorf("%s: acknowledged at index %d, and at %d when its requestId was sent again", a.Name, a.Index, index)
			}
		}
		if a.Deleted == 0 {
			want[a.Name+":http"] = a
		}
	}
	var first map[string]route
	for _, n := range s.running() {
		got := s.table(t, n, f.lastIndex())
		shows(t, n, got, want)
		if first == nil {
			first = got
		}
		for id, r := range got {
			if asJSON(r) != asJSON(first[id]) {
				t.Errorf("%s shows %s as %s, another node as %s", n.id, id, asJSON(r), asJSON(first[id]))
			}
		}
	}
}

func shows(t testing.TB, n *node, got map[string]route, want map[string]ack) {
	t.Helper()
	for id, a := range want {
		r, there := got[id]
		switch {
		case !there:
			t.Errorf("%s lost %s, acknowledged at index %d", n.id, id, a.Index)
		case r.CreatedIndex != r.ModifiedIndex || r.CreatedIndex > a.Index:
			t.Errorf("%s: %s was acknowledged at index %d, created at %d and modified at %d: it was applied twice",
				n.id, id, a.Index, r.CreatedIndex, r.ModifiedIndex)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		if _, known := want[id]; !known {
			t.Errorf("%s shows %s, which was deleted or never acknowledged", n.id, id)
		}
	}
}
