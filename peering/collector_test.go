package peering

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestACollectorHearsEverything(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds("books")
		b.adds("films")
		w.meet(a, b)
		c := w.meets("a", nil)
		w.later(900 * time.Millisecond)
		w.reads(`
			collector> open as a collector
			a> opened term=1 resume=-
			a> add books:http v2 path=a, add films:http v4 path=a,b, endOfRib v4`)
		b.moves("films", "paris")
		a.drops("books")
		a.adds("music")
		w.later(time.Second)
		c.knows("films@b [a b]", "music@a [a]")
		commits := a.counts()
		w.later(time.Hour)
		if n := a.counts(); n != commits {
			w.Errorf("%d commits about a collector that says nothing", n-commits)
		}
		if peers := a.speaker().Peers(); !slices.Equal(peerIDs(peers), []string{"b"}) {
			w.Errorf("a has the peers %q", peerIDs(peers))
		}
		all := a.speaker().Collectors()
		if len(all) != 1 || all[0].State != Established || all[0].RoutesOut != 2 || !strings.HasPrefix(all[0].ID, "collector-") || all[0].RoutesIn != 0 {
			w.Errorf("a has the collectors %+v", all)
		}
		c.hangsUp()
		w.later(time.Second)
		if all := a.speaker().Collectors(); len(all) != 0 {
			w.Errorf("a has the collectors %+v", all)
		}
	})
}

func TestWhatACollectorSaysLastsAsLongAsItsSession(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		c, other := w.meets("a", nil), w.meets("a", nil)
		c.tells(announces("books", 1, "x"), announces("films", 1, "y", "x"))
		if n := len(a.learned()); n != 2 {
			w.Errorf("a holds %q", a.learned())
		}
		other.tells(announces("music", 1, "x"))
		all := a.speaker().Collectors()
		if len(all) != 2 || all[0].RoutesIn+all[1].RoutesIn != 3 {
			w.Errorf("a has the collectors %+v", all)
		}
		w.later(time.Hour)
		if n := len(a.learned()); n != 3 {
			w.Errorf("after an hour a holds %q", a.learned())
		}
		c.hangsUp()
		w.later(time.Second)
		if got := a.learned(); len(got) != 1 || !strings.HasPrefix(got[0], "music [x] by collector-") {
			w.Errorf("when one is gone a holds %q", got)
		}
		other.closes("")
		a.holds()
		for site, held := range a.Table().Holding() {
			w.Errorf("a still holds %+v of %s", held, site)
		}
		if peers := a.speaker().Peers(); len(peers) != 0 {
			w.Errorf("a has the peers %+v", peers)
		}
	})
}

// It reaches the table as its session ends.
func TestACollectorThatSpeaksAndLeavesLeavesNothing(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		a.set(func(s *site) { s.takes = 50 * time.Millisecond })
		for _, after := range []time.Duration{0, 10, 50, 60, 100, 110} {
			c := w.meets("a", nil)
			go func() { _, _ = c.says(wire(announces("books", 1, "x"))) }()
			w.later(after * time.Millisecond)
			c.hangsUp()
			w.later(10 * time.Second)
			if got := a.learned(); len(got) != 0 {
				w.Errorf("gone after %d ms: a holds %q", after, got)
			}
		}
		for site, held := range a.Table().Holding() {
			w.Errorf("a still holds %+v of %s", held, site)
		}
	})
}

// The withdrawal is tried until it is done.
func TestACollectorIsForgottenAlsoWhenTheLogWasAway(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		c := w.meets("a", nil)
		c.tells(announces("books", 1, "x"))
		a.set(func(s *site) { s.fails = errors.New("no quorum") })
		c.hangsUp()
		w.later(time.Second)
		a.set(func(s *site) { s.fails = nil })
		w.later(time.Minute)
		a.holds()
	})
}

func TestANewLeaderForgetsCollectors(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("films")
		w.meet(a, b)
		w.meets("a", nil).tells(announces("books", 1, "x"))
		a.stop()
		if n := len(a.learned()); n != 2 {
			w.Errorf("a holds %q", a.learned())
		}
		a.lead()
		w.later(time.Millisecond)
		a.holds("films [b] by b")
	})
}

func TestThereIsRoomForSoManyCollectors(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		var sessions []*Session
		for range MaxCollectors {
			x, info, err := a.speaker().Accept(nobody{}, nil, Admission{})
			if err != nil || info.Resume != nil {
				w.Fatalf("collector %d: %+v, %v", len(sessions), info, err)
			}
			sessions = append(sessions, x)
		}
		_, _, err := a.speaker().Accept(nobody{}, nil, Admission{})
		if refused, ok := IsRefused(err); !ok || refused.Kind != Crowded {
			w.Errorf("one more: %v", err)
		}
		sessions[7].Lost(errors.New("gone"))
		w.later(time.Millisecond)
		if _, _, err := a.speaker().Accept(nobody{}, nil, Admission{}); err != nil {
			w.Errorf("when one is gone: %v", err)
		}
		// Those that are never heard of go by themselves.
		w.later(time.Minute)
		if n := len(a.speaker().Collectors()); n != 0 {
			w.Errorf("%d collectors are left", n)
		}
	})
}

// A collector's announcements do not come back to it, and reach others.
func TestACollectorDoesNotHearItself(t *testing.T) {
	inBubble(t, func(w *world) {
		w.site("a", reflects)
		c, other, b := w.meets("a", nil), w.meets("a", nil), w.meets("a", stranger("b"))
		c.tells(announces("books", 1, "x"))
		w.later(time.Second)
		other.knows("books@x [a x]")
		b.knows("books@x [a x]")
		c.knows()
	})
}

// A collector that sends an end of RIB like a peer is taken at its word.
func TestACollectorMayEndItsDump(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		c := w.meets("a", nil)
		c.tells(announces("books", 1, "x"), ends(7))
		c.tells(withdraws("books", 8, "x"), announces("films", 9, "x"))
		if got := a.learned(); len(got) != 1 || !strings.HasPrefix(got[0], "films") {
			w.Errorf("a holds %q", got)
		}
		for _, held := range a.Table().Holding() {
			if held != (fsm.Held{Version: 9, Complete: true, Routes: 1, Collector: true}) {
				w.Errorf("a holds %+v", held)
			}
		}
	})
}
