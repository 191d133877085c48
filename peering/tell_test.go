package peering

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// A pair is two sites with a session that a has dialled.
func (w *world) pair() (a, b *site) {
	w.Helper()
	a, b = w.site("a"), w.site("b")
	w.meet(a, b)
	return a, b
}

// meet lets one site dial another, and waits until the session has stood long
// enough to be dialled again at once.
func (w *world) meet(a, b *site) {
	w.Helper()
	a.peers(b.name)
	w.later(steady + time.Second)
	a.stands(b.name)
	b.stands(a.name)
	w.forget()
}

func TestAChangeOfAttributesIsTold(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.pair()
		a.adds("books")
		w.later(time.Second)
		b.holds("books [a] by a")
		a.moves("books", "paris")
		w.later(time.Second)
		b.holds("books [a] by a in paris")
		a.drops("books")
		w.later(time.Second)
		b.holds()
		w.reads(`
			a> add books:http v3 path=a
			a> add books:http v4 path=a region=paris
			a> remove books:http@a v5`)
	})
}

func TestOfManyChangesTheLastIsTold(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.pair()
		a.adds("books", "films")
		w.later(time.Second)
		w.forget()
		in := func(name, region string) fsm.Op {
			s := service(name, "a")
			s.Region = region
			return fsm.Put{Mode: fsm.Upsert, Service: s}
		}
		a.does(in("books", "x"), in("films", "x"), in("books", "y"), in("books", "z"), in("music", "x"))
		w.later(time.Second)
		w.reads(`a> add films:http v6 path=a region=x, add books:http v8 path=a region=z, add music:http v9 path=a region=x`)
		b.holds("books [a] by a in z", "films [a] by a in x", "music [a] by a in x")
	})
}

func TestWhatCameAndWentBetweenIsNotTold(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.pair()
		a.adds("books")
		w.later(time.Second)
		w.forget()
		before := b.Table().Version()
		put := func(s fsm.Service) fsm.Op { return fsm.Put{Mode: fsm.Upsert, Service: s} }
		moved := service("books", "a")
		moved.Region = "elsewhere"
		a.does(put(service("films", "a")), fsm.Delete{ID: "films:http"}) // came and went
		w.later(time.Second)
		a.does(fsm.Delete{ID: "books:http"}, put(service("books", "a"))) // went and came
		w.later(time.Second)
		a.does(put(moved), put(service("books", "a"))) // there and back
		w.later(time.Second)
		w.reads(``)
		if b.Table().Version() != before {
			w.Error("b's table changed")
		}
		// What was passed over is no gap.
		a.adds("music")
		w.later(time.Second)
		w.reads(`a> add music:http v10 path=a`)
		b.holds("books [a] by a", "music [a] by a")
	})
}

// What comes while the peer is busy comes and goes without it.
func TestABusyPeerHearsLess(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.pair()
		gate := make(chan struct{})
		b.set(func(s *site) { s.gate = gate })
		for i := range 40 {
			a.adds(fmt.Sprint("s", i))
			w.later(20 * time.Millisecond)
		}
		a.drops(numberedFrom("s", 20, 40)...)
		a.moves("s0", "paris")
		b.holds()
		b.set(func(s *site) { s.gate = nil })
		close(gate)
		w.later(time.Second)
		w.equal(a, b)
		if b.Table().Version() > uint64(2*40) {
			w.Errorf("b's table took %d changes", b.Table().Version())
		}
	})
}

func numberedFrom(prefix string, from, to int) (names []string) {
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return names
}

// equal wants one site to hold just what another originates, and shows where
// it does not.
func (w *world) equal(from, at *site) {
	w.Helper()
	want, got := originated(from), heldOf(at, from.name)
	if slices.Equal(want, got) {
		return
	}
	first := 0
	for first < min(len(want), len(got)) && want[first] == got[first] {
		first++
	}
	rest := func(list []string) string { return fmt.Sprintf("%.300s", strings.Join(list[first:], " ")) }
	w.Errorf("%v: %s holds %d services of %s, which has %d. After %d it holds\n\t%s, want\n\t%s",
		w.since(), at.name, len(got), from.name, len(want), first, rest(got), rest(want))
}

func originated(s *site) (routes []string) {
	for r := range s.Table().Locals() {
		routes = append(routes, fmt.Sprintf("%+v", r.Service))
	}
	return routes
}

// heldOf lists each service of a site that another one holds, once, and how
// often if it is more than that.
func heldOf(s *site, origin string) (routes []string) {
	for r := range s.Table().All() {
		if r.Site != origin || r.Local() {
			continue
		}
		text := fmt.Sprintf("%+v", r.Service)
		if r.Stale {
			text += " stale"
		}
		if n := len(routes); n == 0 || routes[n-1] != text {
			routes = append(routes, text)
		}
	}
	return routes
}

func TestThePositionIsThatOfTheLastItem(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.pair()
		position := func() uint64 { return b.Table().Held("a").Version }
		if h := b.Table().Held("a"); !h.Complete || h.Version != 2 {
			w.Errorf("after the dump: %+v", h)
		}
		for range 5 {
			a.adds(fmt.Sprint("s", a.Table().Version()))
			w.later(time.Second)
			if position() != a.Table().Version() {
				w.Errorf("position %d, want %d", position(), a.Table().Version())
			}
		}
		told := a.Table().Version()
		a.does(fsm.Learn{Peer: "c", Add: []fsm.LearnedRoute{{Service: service("x", "c"), Site: "c", Path: []string{"c"}}}})
		w.later(time.Second)
		if position() != told { // safe: what came since was none of b's
			w.Errorf("position %d, want %d", position(), told)
		}
	})
}

// A peer that is told of little must not fall out of the table's history.
func TestAPeerThatIsToldOfNothingStillKeepsUp(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.pair()
		for i := range 3 {
			a.does(learnsMany("c", i*10000, 10000))
			w.later(time.Second)
		}
		w.reads(`a> endOfRib v20002`)
		if h := b.Table().Held("a"); a.Table().Version()-h.Version > markAfter || !h.Complete {
			w.Errorf("a is at %d, b holds %+v", a.Table().Version(), h)
		}
	})
}

// learnsMany is n routes of another peer.
func learnsMany(peer string, from, n int) fsm.Learn {
	l := fsm.Learn{Peer: peer}
	for i := range n {
		l.Add = append(l.Add, fsm.LearnedRoute{Service: service(fmt.Sprintf("%s%06d", peer, from+i), peer), Site: peer, Path: []string{peer}})
	}
	return l
}

// fallBehind lets a change so much that the history does not reach back to what
// b was told last, and lets b hear of it then.
func fallBehind(w *world, a, b *site) {
	gate := make(chan struct{})
	b.set(func(s *site) { s.gate = gate })
	for i := range sendWindow + 4 {
		a.adds(fmt.Sprint("first", i))
		w.later(20 * time.Millisecond)
	}
	a.drops("first0")
	var ops []fsm.Op
	for i := range fsm.MaxChanges + 100 {
		s := service(fmt.Sprint("s", i%50), "a")
		s.Region = fmt.Sprint(i)
		ops = append(ops, fsm.Put{Mode: fsm.Upsert, Service: s})
	}
	a.does(ops...)
	b.set(func(s *site) { s.gate = nil })
	close(gate)
	w.later(time.Second)
}

func TestAPeerThatFellBehindTheHistoryCatchesUp(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds("kept0", "kept1")
		w.meet(a, b)
		since := a.peer("b").Since
		a.drops("kept1")
		fallBehind(w, a, b)
		w.equal(a, b)
		if p := a.peer("b"); p.Since != since || p.RoutesOut != a.Table().NumLocal() {
			w.Errorf("since %d, a sees %+v", since, p)
		}
		w.later(6 * time.Minute)
		if p := a.peer("b"); p.Healed != 0 || p.Since != since {
			w.Errorf("a sees %+v", p)
		}
		// And goes on.
		a.drops("s0")
		a.adds("after")
		w.later(time.Second)
		w.equal(a, b)
	})
}

// Having caught up without the history, it can be resumed with.
func TestAPeerThatCaughtUpHasAPositionToResumeFrom(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds(numbered(firstItems)...)
		w.meet(a, b)
		fallBehind(w, a, b)
		version := a.Table().Version()
		if h := b.Table().Held("a"); version-h.Version > markAfter {
			w.Errorf("a is at version %d, and all that b holds of it is %+v", version, h)
		}
		w.snaps("a", "b")
		w.forget()
		w.later(900 * time.Millisecond)
		w.reads(fmt.Sprintf(`
			a> open term=1 resume=epoch-b:1
			b> opened term=1 resume=epoch-a:%d
			b> endOfRib v%d since=1
			a> endOfRib v%[1]d since=%[1]d`, version, b.Table().Version()))
	})
}
