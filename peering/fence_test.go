package peering

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestADeposedLeaderIsNotLetIn(t *testing.T) {
	for name, c := range map[string]struct {
		adapt func(*Info)
		in    bool
	}{
		"an older term":              {inTerm(4), false},
		"the same term":              {inTerm(5), true},
		"a younger term":             {inTerm(6), true},
		"an older life":              {func(i *Info) { i.Epoch, i.Term = "epoch-a", 99 }, false},
		"a younger life, first term": {func(i *Info) { i.Epoch, i.Term = "epoch-c", 1 }, true},
	} {
		for _, standing := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, session %v", name, standing), func(t *testing.T) {
				inBubble(t, func(w *world) {
					a := w.site("a")
					old := w.meets("a", stranger("b", inTerm(5)))
					old.tells(announces("books", 2, "b"), ends(2))
					if !standing {
						old.hangsUp()
					}
					w.later(time.Second)
					before := a.Table()
					x, _, err := a.speaker().Accept(w.link("b", "a").ends[1], stranger("b", c.adapt), Admission{})
					refused, ok := IsRefused(err)
					switch {
					case c.in && (err != nil || x == nil):
						w.Errorf("refused: %v", err)
					case !c.in && (!ok || refused.Kind != Deposed || !strings.Contains(err.Error(), "which is over")):
						w.Errorf("got %v, want a refusal of someone deposed", err)
					}
					w.later(time.Second)
					if !c.in && a.Table() != before {
						w.Error("a table was made of it")
					}
					if over := old.over(); standing && (over != "") != c.in {
						w.Errorf("the older session: %q", over)
					}
				})
			})
		}
	}
}

func TestAYoungerLeaderTakesTheSessionOver(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		old := w.meets("a", stranger("b", inTerm(5)))
		old.tells(announces("books", 2, "b"), ends(2))
		young := w.meets("a", stranger("b", inTerm(6)))
		young.tells(announces("books", 2, "b"), announces("films", 3, "b"), ends(3))
		w.later(0)
		if over := old.over(); !strings.Contains(over, "newer session") {
			w.Errorf("the older session: %q", over)
		}
		if _, err := old.says(wire(withdraws("films", 4, "b"))); err == nil {
			w.Error("the older session's update was taken")
		}
		a.holds("books [b] by b", "films [b] by b")
		if h := a.Table().Held("b"); h.Term != 6 {
			w.Errorf("a holds %+v", h)
		}
		w.later(time.Hour)
		a.stands("b")
		young.tells(withdraws("films", 7, "b"))
		a.holds("books [b] by b")
	})
}

// Before the log knows of the younger leader, its session is the fence.
func TestAYoungerSessionIsAFenceByItself(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		gate := make(chan struct{})
		a.set(func(s *site) { s.gate = gate })
		young := w.meets("a", stranger("b", inTerm(6)))
		_, _, err := a.speaker().Accept(nobody{}, stranger("b", inTerm(5)), Admission{})
		if refused, ok := IsRefused(err); !ok || refused.Kind != Deposed || !strings.Contains(err.Error(), "term 6") {
			w.Errorf("got %v", err)
		}
		a.set(func(s *site) { s.gate = nil })
		close(gate)
		w.later(time.Second)
		if over := young.over(); over != "" {
			w.Errorf("the younger session ended with %q", over)
		}
	})
}

// An update that was on its way into the log when the younger leader came.
func TestTheTableRefusesWhatADeposedLeaderSaid(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		old := w.meets("a", stranger("b", inTerm(5)))
		old.tells(announces("books", 2, "b"), ends(2))
		tenure := a.tenure
		w.meets("a", stranger("b", inTerm(6))).tells(announces("books", 2, "b"), ends(3))
		o, err := tenure.Commit(w.ctx, "b", fsm.Learn{
			Peer: "b", Epoch: "epoch-b", Term: 5, Version: 9, Remove: []fsm.LearnedKey{{ID: "books:http", Site: "b"}},
		})
		if err != nil || o.Code != fsm.Conflict || !strings.Contains(o.Message, "term 5 of epoch \"epoch-b\" is over") {
			w.Errorf("outcome %+v, %v", o, err)
		}
		a.holds("books [b] by b")
	})
}

// A peer that knows of no terms is not measured by them, only by who is there.
func TestAPeerWithoutTermsIsNotFenced(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		plain := stranger("b", func(i *Info) { i.Epoch, i.Term = "", 0 })
		for i := range 3 {
			h := w.meets("a", plain)
			h.tells(announces(fmt.Sprint("books", i), 2, "b"), ends(2))
		}
		a.holds("books2 [b] by b")
		h := w.meets("a", stranger("b"))
		h.tells(announces("films", 2, "b"), ends(2))
		a.holds("films [b] by b")
		h.hangsUp()
		w.later(time.Second)
		w.meets("a", plain).tells(announces("music", 2, "b"), ends(2))
		a.holds("music [b] by b")
	})
}

// The fence is in the table: it holds for the next leader too.
func TestTheFenceOutlivesTheLeader(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		w.meets("a", stranger("b", inTerm(6))).tells(announces("books", 2, "b"), ends(2))
		a.lead()
		if _, _, err := w.plays("a", stranger("b", inTerm(5))); err == nil || !strings.Contains(err.Error(), "term 6 of epoch epoch-b has been seen") {
			w.Errorf("got %v", err)
		}
		a.holds("books [b] by b")
	})
}

// While a deposed leader still answers at an endpoint, the next one is tried.
func TestADeposedLeaderIsPassedOver(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books")
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{"ws://old/rpc", door("b")}})
		w.later(10 * time.Second)
		b.lead()
		w.later(10 * time.Second)

		// A node that does not know yet that it was deposed.
		old := w.site("b-cut-off", func(c *Config) { c.Self.Site, c.Self.Epoch, c.Self.Term = "b", "epoch-b", 1 })
		old.adds("ghost")
		w.opens("ws://old/rpc", "b-cut-off")
		w.snaps("a", "b")
		w.later(time.Minute)
		a.stands("b")
		a.holds("books [b] by b")
		if p := a.peer("b"); p.Endpoint != door("b") || p.Term != 2 {
			w.Errorf("a sees %+v", p)
		}
	})
}

// Both dial: whichever message comes first, in the end one session stands, and
// it is the one that the higher site dialled.
func TestWhenBothDialOneSessionStands(t *testing.T) {
	for seed := range uint64(60) {
		inWorld(t, seed, func(w *world) {
			most := int64(time.Millisecond) << (seed % 10) // up to 0.5 s
			w.latency = func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(most)) }
			w.takes = time.Duration(seed%3) * 5 * time.Millisecond
			a, b := w.site("a"), w.site("b")
			a.adds("films")
			b.adds("books")
			a.peers("b")
			time.Sleep(time.Duration(w.chance(int(most)) * int(seed%4)))
			b.peers("a")
			w.later(20 * time.Second)
			w.oneSession(a, b)
			a.holds("books [b] by b")
			b.holds("films [a] by a")
			pa, pb := a.peer("b"), b.peer("a")
			if n := len(w.between("a", "b")); n != 1 {
				w.Errorf("%d connections are open", n)
			}

			// Again, with sessions that were there before.
			before := [2]uint64{a.Table().Version(), b.Table().Version()}
			w.parts("a", "b", refused)
			w.parts("a", "b", together)
			w.later(20 * time.Second)
			w.oneSession(a, b)
			if got := [2]uint64{a.Table().Version(), b.Table().Version()}; got != before {
				w.Errorf("versions %v became %v", before, got)
			}
			if w.Failed() {
				w.Fatalf("seed %d:\na sees %+v\nb sees %+v", seed, pa, pb)
			}
		})
	}
}

// oneSession wants both to have the same session, and to say so.
func (w *world) oneSession(a, b *site) {
	w.Helper()
	a.stands(b.name)
	b.stands(a.name)
	pa, pb := a.peer(b.name), b.peer(a.name)
	if pa.Dialled == pb.Dialled {
		w.Errorf("dialled by both or by none:\n%+v\n%+v", pa, pb)
	}
}

func TestTheSessionThatTheHigherSiteDialledStands(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.peers("b")
		b.peers("a")
		w.later(time.Second)
		if a.peer("b").Dialled || !b.peer("a").Dialled {
			w.Errorf("a sees %+v\nb sees %+v", a.peer("b"), b.peer("a"))
		}
		// The one that gave way says why, and nothing else.
		if p := a.peer("b"); p.LastError != "" && !strings.Contains(p.LastError, "already, dialled by b") {
			w.Errorf("a sees %+v", p)
		}
		since := b.peer("a").Since
		w.later(10 * time.Minute)
		if b.peer("a").Since != since {
			w.Error("there is another session")
		}
		if n := len(w.dialled("a")); n != 1 {
			w.Errorf("a dialled %d times", n)
		}
	})
}

// What the lower site opens while the higher one's session stands is refused,
// and leaves that alone.
func TestASessionInItsPlaceIsKept(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		w.meet(b, a)
		_, _, err := b.speaker().Accept(w.link("a", "b").ends[1], stranger("a"), Admission{})
		if refused, ok := IsRefused(err); !ok || refused.Kind != Connected || !strings.Contains(err.Error(), "dialled by b") {
			w.Errorf("got %v", err)
		}
		_, _, err = a.speaker().Accept(w.link("b", "a").ends[1], stranger("b"), Admission{})
		if err != nil { // b dials again: its older connection must be dead
			w.Errorf("got %v", err)
		}
		w.later(time.Second)
		a.stands("b")
		b.stands("a")
	})
}
