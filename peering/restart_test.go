package peering

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestALostPeersRoutesStayAWhile(t *testing.T) {
	for name, c := range map[string]struct {
		configured int
		stale      time.Duration // after the loss
		gone       time.Duration // after that
	}{
		"for the default":         {0, 5 * time.Second, 120 * time.Second},
		"for a configured time":   {40, 5 * time.Second, 40 * time.Second},
		"for less than is usual":  {3, 3 * time.Second, 3 * time.Second},
		"for just the first time": {5, 5 * time.Second, 5 * time.Second},
		"for a day":               {24 * 3600, 5 * time.Second, 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				b.adds("books", "films")
				a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{door("b")}, RestartTime: c.configured})
				w.later(10 * time.Second)
				w.parts("a", "b", refused)
				w.later(c.stale - time.Millisecond)
				a.holds("books [b] by b", "films [b] by b")
				w.later(2 * time.Millisecond)
				a.holds("books [b] by b, stale", "films [b] by b, stale")
				if p := a.peer("b"); p.Stale != 2 || p.RoutesIn != 2 || p.LastError == "" {
					w.Errorf("a sees %+v", p)
				}
				w.later(c.gone - 2*time.Millisecond)
				a.holds("books [b] by b, stale", "films [b] by b, stale")
				w.later(2 * time.Millisecond)
				a.holds()
				commits := a.counts()
				w.later(time.Hour)
				if n := a.counts(); n != commits {
					w.Errorf("%d commits about a peer that is gone", n-commits)
				}
			})
		})
	}
}

func TestAPeerThatNobodyConfiguredStaysForTheDefault(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b"), ends(2))
		h.hangsUp()
		w.later(124 * time.Second)
		a.holds("books [b] by b, stale")
		w.later(2 * time.Second)
		a.holds()
		if h := a.Table().Held("b"); h != (fsm.Held{}) {
			w.Errorf("a still holds %+v", h)
		}
		if peers := a.speaker().Peers(); len(peers) != 0 {
			w.Errorf("a sees %+v", peers)
		}
	})
}

func TestAPeerThatIsBackInTimeWasNeverAway(t *testing.T) {
	for name, away := range map[string]time.Duration{"in a moment": 2 * time.Second, "when it was stale": 100 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				b.adds("books")
				w.meet(a, b)
				before := a.Table().Version()
				w.parts("a", "b", refused)
				w.later(away)
				w.parts("a", "b", together)
				w.later(30 * time.Second)
				a.stands("b")
				a.holds("books [b] by b")
				if h := a.Table().Held("b"); !h.Complete || h.StaleSince != 0 || h.Stale != 0 {
					w.Errorf("a holds %+v", h)
				}
				if changed := a.Table().Version() != before; changed != (away > staleAfter) {
					w.Errorf("a's table went from %d to %d", before, a.Table().Version())
				}
				w.later(10 * time.Minute)
				a.holds("books [b] by b")

				// The next absence has all its time again.
				w.parts("a", "b", refused)
				w.later(124 * time.Second)
				a.holds("books [b] by b, stale")
				w.later(2 * time.Second)
				a.holds()
			})
		})
	}
}

func TestAGoodbyeWithdrawsAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b"), ends(2))
		h.closes("moving out")
		a.holds()
		w.later(2 * farewell)
		if over := h.over(); !strings.Contains(over, "moving out") {
			w.Errorf("the session ended with %q", over)
		}
		// It may think better of it.
		h = w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b"), ends(2))
		a.holds("books [b] by b")
		w.later(time.Hour)
		a.holds("books [b] by b")
	})
}

func TestWithdrawSurvivesLeaderLoss(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books", "films", "music")
		w.meet(a, b)
		a.stop()
		b.drops("films")
		w.later(time.Second)
		b.stop()
		b.drops("books")
		a.lead()
		w.later(10 * time.Second)
		a.holds("books [b] by b, stale", "films [b] by b, stale", "music [b] by b, stale")
		b.lead()
		w.later(30 * time.Second)
		a.holds("music [b] by b")
	})
}

// Whichever side gets another leader: nothing is withdrawn, nothing becomes
// stale, and no table changes.
func TestAnotherLeaderIsNoNews(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds("films")
		b.adds("books")
		w.meet(a, b)
		versions := []uint64{a.Table().Version(), b.Table().Version()}
		for range 3 {
			for _, s := range []*site{a, b} {
				s.stop()
				w.later(2 * time.Second) // an election
				s.lead()
				w.later(10 * time.Second)
				a.stands("b")
				b.stands("a")
			}
		}
		if got := []uint64{a.Table().Version(), b.Table().Version()}; !slices.Equal(got, versions) {
			w.Errorf("versions %v became %v", versions, got)
		}
		if h := b.Table().Held("a"); h.Term != a.term {
			w.Errorf("b holds %+v, and a is in term %d", h, a.term)
		}
	})
}

func TestANewLeaderGoesOnWaitingForALostPeer(t *testing.T) {
	for name, c := range map[string]struct {
		restart int
		lost    time.Duration // before the new leader
		left    time.Duration // with it, until the routes are gone
	}{
		"early in the restart time":     {0, 25 * time.Second, 100 * time.Second},
		"late in it":                    {0, 120 * time.Second, 30 * time.Second},
		"before the routes were stale":  {0, 2 * time.Second, 125 * time.Second},
		"late in a configured time":     {60, 60 * time.Second, 30 * time.Second},
		"late in a very short time":     {12, 16 * time.Second, 12 * time.Second},
		"before a short one was stale":  {4, 2 * time.Second, 8 * time.Second},
		"early in a configured hour":    {3600, 605 * time.Second, 50 * time.Minute},
		"just when it was to be over":   {100, 104 * time.Second, 30 * time.Second},
		"with just 30 seconds left yet": {100, 75 * time.Second, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				b.adds("books")
				a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{door("b")}, RestartTime: c.restart})
				w.later(10 * time.Second)
				w.parts("a", "b", refused)
				w.later(c.lost)
				a.lead()
				w.later(c.left - time.Millisecond)
				a.holds("books [b] by b, stale")
				w.later(2 * time.Millisecond)
				a.holds()
			})
		})
	}
}

// A peer that comes and goes without ever finishing its dump is not back: its
// time goes on.
func TestAPeerThatOnlyComesAndGoesIsNotBack(t *testing.T) {
	for name, every := range map[string]time.Duration{"now and then": 10 * time.Second, "all the time": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				h.tells(announces("books", 2, "b"), ends(2))
				h.hangsUp()
				for lost := w.since(); w.since()-lost < 3*time.Minute; {
					w.later(every)
					w.meets("a", stranger("b")).hangsUp()
				}
				a.holds()
			})
		})
	}
}

func TestWhatCouldNotBeCommittedIsTriedAgain(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books")
		w.meet(a, b)
		w.parts("a", "b", refused)
		a.set(func(s *site) { s.fails = errors.New("no quorum") })
		w.later(20 * time.Second)
		a.holds("books [b] by b")
		a.set(func(s *site) { s.fails = nil })
		w.later(staleAfter)
		a.holds("books [b] by b, stale")
		a.set(func(s *site) { s.fails = errors.New("no quorum") })
		w.later(3 * time.Minute)
		a.holds("books [b] by b, stale")
		a.set(func(s *site) { s.fails = nil })
		w.later(10 * time.Second)
		a.holds()
	})
}

// A session whose first commit fails has ended, and another one takes its turn.
func TestASessionThatTheTableRefusesEnds(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books")
		a.set(func(s *site) { s.fails = errors.New("no quorum") })
		a.peers("b")
		w.later(10 * time.Second)
		if p := a.peer("b"); !strings.Contains(p.LastError, "no quorum") {
			w.Errorf("a sees %+v", p)
		}
		a.holds()
		a.set(func(s *site) { s.fails = nil })
		w.later(30 * time.Second)
		a.stands("b")
		a.holds("books [b] by b")
	})
}

// A session that was whole until a moment ago gives the usual grace, also when
// another one had taken its place and did not get far.
func TestASessionInPlaceOfAWholeOneHasItsGrace(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b"), ends(4))
		h.hangsUp()
		w.later(time.Second)
		w.meets("a", stranger("b")).tells(announces("books", 2, "b"), ends(4))
		w.later(time.Hour)
		h = w.meets("a", stranger("b", inTerm(2)))
		w.later(time.Second)
		h.hangsUp()
		w.later(3 * time.Second)
		a.holds("books [b] by b")
		w.later(3 * time.Second)
		a.holds("books [b] by b, stale")
	})
}

// A peer that is back and never says that this is all: what it did not confirm
// goes after the restart time, and the rest stays.
func TestADumpThatNeverEndsDoesNotKeepWhatIsStale(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b"), announces("films", 3, "b"), ends(4))
		h.hangsUp()
		w.later(time.Minute)
		h = w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b"))
		w.later(DefaultRestartTime - time.Second)
		a.holds("books [b] by b", "films [b] by b, stale")
		w.later(2 * time.Second)
		a.holds("books [b] by b")
		a.stands("b")
		w.later(time.Hour)
		a.holds("books [b] by b")
	})
}
