package peering

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

// view is what a peer holds of a table: each key's service and path, in words.
type view map[fsm.LearnedKey]string

func inWords(s fsm.Service, path []string) string { return fmt.Sprintf("%+v via %v", s, path) }

func (x export) view(t *fsm.Table) view {
	v := view{}
	for r := range x.all(t) {
		v[keyOf(r)] = inWords(r.Service, pathFrom(t, r))
	}
	return v
}

func (v view) hear(u Update) {
	if u.Type == add {
		v[u.key()] = inWords(u.Route.Service, u.Route.Path)
	} else {
		delete(v, u.key())
	}
}

func (v view) hearAll(updates iter.Seq[Update]) view {
	after := maps.Clone(v)
	for u := range updates {
		after.hear(u)
	}
	return after
}

// exports are the ways in which a site may tell peers, and a collector.
func exports() map[string]export {
	return map[string]export{
		"plain": {to: "p"}, "reflecting to p": {to: "p", learned: true}, "reflecting to q": {to: "q", learned: true},
		"to a collector": {learned: true},
	}
}

// A difference leads from what a peer was told to what it is to know, however
// it is found, and says nothing that the peer knows.
func TestADifferenceLeadsFromOneTableToTheOther(t *testing.T) {
	for seed := range uint64(80) {
		random := rand.New(rand.NewPCG(seed, 1))
		old := grown(founded("a"), random, 30)
		table := grown(old, random, random.IntN(40))
		for name, x := range exports() {
			told, want := x.view(old), x.view(table)
			check := func(how string, updates iter.Seq[Update]) {
				if got := told.hearAll(updates); !maps.Equal(got, want) {
					t.Errorf("seed %d, %s: %s leads from\n\t%v to\n\t%v, want\n\t%v", seed, name, how, told, got, want)
				}
			}
			difference, _ := x.difference(old, table)
			check("the difference", difference)
			check("the comparison", x.compare(old, table))
			for _, found := range []iter.Seq[Update]{difference, x.compare(old, table)} {
				for u := range found {
					if u.Type == add && told[u.key()] == inWords(u.Route.Service, u.Route.Path) {
						t.Errorf("seed %d, %s: says again %+v", seed, name, u)
					}
					if u.Type == remove && told[u.key()] == "" {
						t.Errorf("seed %d, %s: takes back what was never said, %+v", seed, name, u)
					}
				}
			}
			if d := x.told(table); d.Routes != len(want) {
				t.Errorf("seed %d, %s: the digest counts %d routes of %d", seed, name, d.Routes, len(want))
			}
		}
		if t.Failed() {
			break
		}
	}
}

// Whoever holds a position can be brought up to date from there. That holds
// also after any part of a difference, for the position that the part leads to.
func TestEveryPositionCanBeResumedFrom(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 2))
		old := grown(founded("a"), random, 20)
		table := grown(old, random, random.IntN(30))
		newest := grown(table, random, random.IntN(30))
		for name, x := range exports() {
			updates, _ := x.difference(old, table)
			items := slices.Collect(updates)
			for heard := range len(items) + 1 {
				v, position := x.view(old), old.Version()
				for _, u := range items[:heard] {
					v.hear(u)
					if u.Version <= position {
						t.Errorf("seed %d, %s: item %d has version %d after %d", seed, name, heard, u.Version, position)
					}
					position = u.Version
				}
				updates, known := x.since(position, newest)
				if !known {
					t.Fatalf("seed %d, %s: position %d is unknown", seed, name, position)
				}
				if got, want := v.hearAll(updates), x.view(newest); !maps.Equal(got, want) {
					t.Fatalf("seed %d, %s: from position %d to\n\t%v, want\n\t%v", seed, name, position, got, want)
				}
			}
		}
	}
}

// The position that a comparison leads to is one, too.
func TestAComparisonBrokenOffIsNoPosition(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	old := grown(founded("a"), random, 30)
	table := grown(old, random, 30)
	for name, x := range exports() {
		for u := range x.compare(old, table) {
			if u.Version != old.Version() {
				t.Errorf("%s: %+v moves the position from %d", name, u, old.Version())
			}
		}
	}
}

// grown is a table after some random operations, each of several changes.
func grown(t *fsm.Table, random *rand.Rand, n int) *fsm.Table {
	for range n {
		t, _ = t.Apply([]fsm.Command{{At: 1, Op: randomOp(random)}})
	}
	return t
}

func randomOp(random *rand.Rand) fsm.Op {
	peer := []string{"p", "q", "r"}[random.IntN(3)]
	switch random.IntN(10) {
	case 0, 1, 2:
		return fsm.Put{Mode: fsm.Upsert, Service: randomService(random, "a")}
	case 3, 4:
		return fsm.Delete{ID: randomService(random, "a").ID()}
	case 5:
		return fsm.MarkStale{Peer: peer}
	case 6:
		if random.IntN(3) == 0 {
			return fsm.Withdraw{Peer: peer}
		}
		return fsm.Learn{Peer: peer, EndOfRIB: true, Resumed: random.IntN(2) == 0}
	}
	l := fsm.Learn{Peer: peer}
	for range 1 + random.IntN(4) {
		path := randomPath(random, peer)
		site := path[len(path)-1]
		s := randomService(random, site)
		if random.IntN(3) == 0 {
			l.Remove = append(l.Remove, fsm.LearnedKey{ID: s.ID(), Site: site})
		} else {
			l.Add = append(l.Add, fsm.LearnedRoute{Service: s, Site: site, Path: path})
		}
	}
	return l
}

func randomService(random *rand.Rand, site string) fsm.Service {
	s := service([]string{"books", "films", "music"}[random.IntN(3)], site)
	s.Region = []string{"", "x", "y"}[random.IntN(3)]
	if random.IntN(3) == 0 {
		s.Tags = map[string]string{"k": fmt.Sprint(random.IntN(2))}
	}
	return s
}

// randomPath is one of few that a peer may announce, the origin last.
func randomPath(random *rand.Rand, peer string) []string {
	path := []string{peer}
	for range random.IntN(3) {
		path = append(path, []string{"p", "q", "o", "a"}[random.IntN(4)])
	}
	return append(path, []string{"o", "p", "q"}[random.IntN(3)])
}
