package peering

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// star is a hub that reflects, and its spokes.
func (w *world) star(spokes ...string) (hub *site, all map[string]*site) {
	w.Helper()
	hub, all = w.site("hub", reflects), map[string]*site{}
	for _, name := range spokes {
		all[name] = w.site(name)
		hub.peers(name)
	}
	w.later(10 * time.Second)
	return hub, all
}

func TestSpokesSeeEachOtherThroughTheHub(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		hub, s := w.star("a", "b", "c")
		hub.adds("own")
		s["a"].adds("books")
		s["b"].adds("films")
		w.later(time.Second)
		hub.holds("books [a] by a", "films [b] by b")
		s["a"].holds("films [hub b] by hub", "own [hub] by hub")
		s["b"].holds("books [hub a] by hub", "own [hub] by hub")
		s["c"].holds("books [hub a] by hub", "films [hub b] by hub", "own [hub] by hub")

		s["a"].moves("books", "paris")
		s["b"].drops("films")
		w.later(time.Second)
		s["a"].holds("own [hub] by hub")
		s["c"].holds("books [hub a] by hub in paris", "own [hub] by hub")
	})
}

func TestWithoutReflectionSpokesDoNotSeeEachOther(t *testing.T) {
	inBubble(t, func(w *world) {
		hub, a, b := w.site("hub"), w.site("a"), w.site("b")
		hub.peers("a", "b")
		a.adds("books")
		b.adds("films")
		w.later(10 * time.Second)
		hub.holds("books [a] by a", "films [b] by b")
		a.holds()
		b.holds()
	})
}

func TestNothingIsSentBackToWhomItCameFrom(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		hub, s := w.star("a", "b")
		w.forget()
		s["a"].adds("books")
		w.later(time.Second)
		w.reads(`
			a> add books:http v2 path=a
			hub> add books:http v4 path=hub,a`)
		w.forget()
		s["a"].drops("books")
		w.later(time.Second)
		w.reads(`
			a> remove books:http@a v3
			hub> remove books:http@a v5`)
		_ = hub
	})
}

// Nor to a site that it has crossed already.
func TestNothingIsSentToASiteOnItsPath(t *testing.T) {
	inBubble(t, func(w *world) {
		w.site("hub", reflects)
		from := w.meets("hub", stranger("x"))
		on := w.meets("hub", stranger("y"))
		off := w.meets("hub", stranger("z"))
		from.tells(announces("books", 2, "x", "y", "o"), announces("films", 3, "x", "o"), ends(3))
		w.later(time.Second)
		from.knows()
		on.knows("films@o [hub x o]")
		off.knows("books@o [hub x y o]", "films@o [hub x o]")
		// The next best path takes over when the best is withdrawn, and when it
		// is worse than what came meanwhile.
		off.tells(announces("books", 2, "z", "w", "v", "o"), ends(2))
		w.later(time.Second)
		on.knows("films@o [hub x o]")
		from.tells(withdraws("books", 5, "o"))
		w.later(time.Second)
		from.knows("books@o [hub z w v o]")
		on.knows("books@o [hub z w v o]", "films@o [hub x o]")
		off.knows("films@o [hub x o]")
	})
}

func TestWhatComesRoundIsDropped(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b", "c"), announces("films", 2, "b", "a", "c"), announces("own", 2, "b", "a"), ends(2))
		a.holds("books [b c] by b")
		h.tells(announces("books", 3, "b", "a", "c")) // and replaces what was said before
		a.holds()
		if p := a.peer("b"); p.Malformed != 0 || p.Refused != 0 {
			w.Errorf("a sees %+v", p)
		}
	})
}

// A ring of reflectors: each hears of a service both ways round.
func TestARingForgetsWhatIsWithdrawn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.latency = jitter(20 * time.Millisecond)
		names := []string{"a", "b", "c", "d", "e"}
		ring := make([]*site, len(names))
		for i, name := range names {
			ring[i] = w.site(name, reflects)
		}
		for i, s := range ring {
			s.peers(names[(i+1)%len(names)])
		}
		w.later(10 * time.Second)
		ring[0].adds("books")
		w.later(5 * time.Second)
		ring[1].holds("books [a] by a")
		ring[2].holds("books [b a] by b", "books [d e a] by d")
		ring[3].holds("books [e a] by e", "books [c b a] by c")

		for range 5 {
			ring[0].drops("books")
			w.later(5 * time.Second)
			for _, s := range ring {
				s.holds()
			}
			ring[0].adds("books")
			w.later(5 * time.Second)
			ring[4].holds("books [a] by a")
		}

		// Without the link to a, b hears of it the long way round.
		w.parts("a", "b", refused)
		w.later(3 * time.Minute)
		ring[1].holds("books [c d e a] by c")
		ring[0].drops("books")
		w.later(5 * time.Second)
		for _, s := range ring {
			s.holds()
		}
	})
}

// A full mesh of reflectors has very many paths; none outlives its service.
func TestAMeshOfReflectorsForgets(t *testing.T) {
	inBubble(t, func(w *world) {
		w.latency = jitter(50 * time.Millisecond)
		var mesh []*site
		for _, name := range []string{"a", "b", "c", "d"} {
			s := w.site(name, reflects)
			for _, other := range mesh {
				s.peers(other.name)
			}
			mesh = append(mesh, s)
		}
		w.later(10 * time.Second)
		for _, s := range mesh {
			s.adds("of-"+s.name, "common")
		}
		w.later(30 * time.Second)
		for _, s := range mesh {
			best := map[string]string{}
			for r := range s.Table().All() {
				if s.Table().BestFrom(r.ID(), r.Site).Peer == r.Peer {
					best[r.Site] += r.Service.Name + "/" + strings.Join(r.Path, ",") + " "
				}
			}
			for _, other := range mesh {
				if want := "common/" + other.name + " of-" + other.name + "/" + other.name + " "; best[other.name] != want {
					w.Errorf("at %s the best of %s is %q, want %q", s.name, other.name, best[other.name], want)
				}
			}
		}
		for _, s := range mesh {
			s.drops("of-"+s.name, "common")
		}
		w.later(30 * time.Second)
		for _, s := range mesh {
			s.holds()
		}
	})
}

// A lost peer's routes lose to fresh ones, and what others are told follows.
func TestAStalePathGivesWayToAFreshOne(t *testing.T) {
	inBubble(t, func(w *world) {
		w.site("hub", reflects)
		near, far, z := w.meets("hub", stranger("n")), w.meets("hub", stranger("f")), w.meets("hub", stranger("z"))
		near.tells(announces("books", 2, "n", "o"), ends(2))
		far.tells(announces("books", 2, "f", "m", "o"), ends(2))
		w.later(time.Second)
		z.knows("books@o [hub n o]")
		near.hangsUp()
		w.later(4 * time.Second)
		z.knows("books@o [hub n o]")
		w.later(2 * time.Second)
		z.knows("books@o [hub f m o]")
		far.knows()
		near = w.meets("hub", stranger("n"))
		near.tells(announces("books", 2, "n", "o"), ends(2))
		w.later(time.Second)
		z.knows("books@o [hub n o]")
	})
}

// Staleness itself is nobody else's business.
func TestAStaleRouteIsNotToldAgain(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		hub, s := w.star("a", "b")
		s["a"].adds("books")
		w.later(time.Second)
		before := s["b"].Table().Version()
		w.parts("hub", "a", refused)
		w.later(time.Minute)
		hub.holds("books [a] by a, stale")
		s["b"].holds("books [hub a] by hub")
		w.parts("hub", "a", together)
		w.later(time.Minute)
		hub.holds("books [a] by a")
		if s["b"].Table().Version() != before {
			w.Errorf("b's table went from %d to %d", before, s["b"].Table().Version())
		}
		w.parts("hub", "a", refused)
		w.later(3 * time.Minute)
		s["b"].holds()
	})
}

func TestSentToNamesWhoWasTold(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		hub, s := w.star("a", "b", "c")
		s["a"].adds("books")
		hub.adds("own")
		w.later(time.Second)
		sent := func(r *fsm.Route) []string { return hub.speaker().SentTo(r) }
		if got := sent(hub.Table().Path("books:http", "a", "a")); !slices.Equal(got, []string{"b", "c"}) {
			w.Errorf("books was sent to %q", got)
		}
		if got := sent(hub.Table().Local("own:http")); !slices.Equal(got, []string{"a", "b", "c"}) {
			w.Errorf("own was sent to %q", got)
		}
		old := hub.Table().Local("own:http")
		hub.moves("own", "paris")
		w.later(time.Second)
		if got := sent(old); len(got) != 0 {
			w.Errorf("own as it was is known to %q", got)
		}
		w.parts("hub", "b", refused)
		w.later(time.Second)
		if got := sent(hub.Table().Local("own:http")); !slices.Equal(got, []string{"a", "c"}) {
			w.Errorf("own was sent to %q", got)
		}
	})
}
