package peering

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestTriesBecomeRarer(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{"ws://nobody/rpc"}})
		w.later(5 * time.Minute)
		dials := w.dialled("a")
		for i, d := range dials[1:] {
			most := min(time.Second<<min(i, 10), 30*time.Second)
			if pause := d.at - dials[i].at; pause < most*3/4 || pause > most {
				w.Errorf("pause %d was %v, want %v to %v", i, pause, most*3/4, most)
			}
		}
		if n := len(dials); n < 14 || n > 18 {
			w.Errorf("%d tries in 5 minutes", n)
		}
		if p := a.peer("b"); p.State != Idle || p.LastError != "ws://nobody/rpc: connection refused" || p.Endpoint != "" {
			w.Errorf("a sees %+v", p)
		}
	})
}

func TestPausesAreNeverTheSame(t *testing.T) {
	for want := time.Second; want < 30*time.Second; want *= 2 {
		seen := map[time.Duration]bool{}
		for range 20 {
			pause := (&backoff{want / 2}).next()
			if pause < want*3/4 || pause > want {
				t.Errorf("%v is not between %v and %v", pause, want*3/4, want)
			}
			seen[pause] = true
		}
		if len(seen) < 15 {
			t.Errorf("20 pauses took %d values", len(seen))
		}
	}
}

func TestEndpointsAreTriedInTurn(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{"ws://x/rpc", "ws://y/rpc", door("b")}})
		w.parts("a", "b", refused)
		w.later(20 * time.Second)
		var got []string
		for _, d := range w.dialled("a") {
			got = append(got, d.endpoint)
		}
		if rounds := len(got) / 3; rounds < 4 || !slices.Equal(got, slices.Repeat([]string{"ws://x/rpc", "ws://y/rpc", door("b")}, rounds)) {
			w.Errorf("dialled %q", got)
		}
		w.parts("a", "b", together)
		w.later(20 * time.Second)
		a.stands("b")
		b.stands("a")
		if p := a.peer("b"); p.Endpoint != door("b") {
			w.Errorf("a sees %+v", p)
		}
	})
}

// An endpoint from which nothing comes costs five seconds, a leader that does
// not answer ten.
func TestAnEndpointThatDoesNotAnswerIsGivenUp(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		w.site("b")
		w.opens("ws://c/rpc", "c")
		w.parts("a", "c", swallowed)
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{"ws://c/rpc", door("b")}})
		w.later(4999 * time.Millisecond)
		if p := a.peer("b"); p.State != Connect || p.Endpoint != "ws://c/rpc" {
			w.Errorf("a sees %+v", p)
		}
		w.later(2 * time.Millisecond)
		a.stands("b")
		if p := a.peer("b"); !strings.Contains(p.LastError, "no connection within 5s") {
			w.Errorf("a sees %+v", p)
		}
	})
}

func TestAnOpenThatIsNotAnsweredIsGivenUp(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.peers("b")
		time.Sleep(15 * time.Millisecond) // connected, and open is on its way
		w.cuts("a", "b")
		w.later(9 * time.Second)
		if p := a.peer("b"); p.State != OpenSent {
			w.Errorf("a sees %+v", p)
		}
		w.later(1100 * time.Millisecond)
		if p := a.peer("b"); p.State != Idle || !strings.Contains(p.LastError, "open was not answered within 10s") {
			w.Errorf("a sees %+v", p)
		}
		w.later(2 * time.Second)
		a.stands("b")
		b.stands("a")
	})
}

func TestASessionThatStoodIsDialledAgainAtOnce(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		w.parts("a", "b", refused)
		a.peers("b")
		w.later(2 * time.Minute) // the pauses are long by now
		w.parts("a", "b", together)
		w.later(40 * time.Second)
		a.stands("b")
		w.dialled("a")

		w.snaps("a", "b")
		w.later(50 * time.Millisecond)
		a.stands("b")
		b.stands("a")

		// After one that did not stand for long there is the shortest pause, so
		// that a site whose leaders change again and again is not left alone.
		w.later(steady - 100*time.Millisecond)
		w.dialled("a")
		for range 5 {
			w.snaps("a", "b")
			w.later(700 * time.Millisecond)
			a.idles("b")
			w.later(400 * time.Millisecond)
			a.stands("b")
		}
		if n := len(w.dialled("a")); n != 5 {
			w.Errorf("dialled %d times", n)
		}
	})
}

// A session that always ends at once, as one does that the table refuses, is
// tried less and less often too: each try is a command in the log.
func TestSessionsThatNeverStandBecomeRarer(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		w.site("b")
		w.site("c")
		a.configures(fsm.PeerConfig{ID: "uplink", Endpoints: []string{"ws://10.0.0.1/rpc"}})
		w.opens("ws://10.0.0.1/rpc", "b")
		w.later(10 * time.Second)
		w.opens("ws://10.0.0.1/rpc", "c")
		w.parts("a", "b", refused)
		w.dialled("a")
		commits := a.counts()
		w.later(5 * time.Minute)
		if n, m := len(w.dialled("a")), a.counts()-commits; n > 20 || m > 25 {
			w.Errorf("%d tries and %d commits in 5 minutes", n, m)
		}
	})
}

func TestWhileThePeerDialsNobodyElseDoes(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{"ws://nobody/rpc"}})
		w.later(5 * time.Minute) // the pauses are long by now
		b.peers("a")
		w.later(time.Minute)
		a.stands("b")
		w.dialled("a")
		w.later(time.Hour)
		if dials := w.dialled("a"); len(dials) != 0 {
			w.Errorf("a dialled %+v", dials)
		}
		b.stop()
		w.later(1100 * time.Millisecond)
		if dials := w.dialled("a"); len(dials) != 2 { // at once, and after the shortest pause
			w.Errorf("a dialled %+v", dials)
		}
	})
}

func TestAnEndpointMayNotBecomeAnotherSite(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b, c := w.site("a"), w.site("b"), w.site("c")
		b.adds("books")
		c.adds("ghost")
		a.configures(fsm.PeerConfig{ID: "uplink", Endpoints: []string{"ws://10.0.0.1/rpc"}})
		w.opens("ws://10.0.0.1/rpc", "b")
		w.later(10 * time.Second)
		if p := a.peer("uplink"); p.Site != "b" || p.State != Established || p.RoutesIn != 1 {
			w.Errorf("a sees %+v", p)
		}
		w.opens("ws://10.0.0.1/rpc", "c")
		w.parts("a", "b", refused)
		w.later(time.Minute)
		a.holds("books [b] by b, stale")
		if p := a.peer("uplink"); p.State == Established || !strings.Contains(p.LastError, "stands for site b, and site c answers at its endpoint") {
			w.Errorf("a sees %+v", p)
		}
		if peers := a.speaker().Peers(); !slices.Equal(peerIDs(peers), []string{"uplink"}) {
			w.Errorf("a sees %+v", peers)
		}

		// Unless the operator means it.
		a.does(fsm.DeletePeer{ID: "uplink"})
		a.configures(fsm.PeerConfig{ID: "uplink", Endpoints: []string{"ws://10.0.0.1/rpc"}})
		w.later(40 * time.Second)
		a.holds("ghost [c] by c")
		if p := a.peer("uplink"); p.Site != "c" || p.State != Established {
			w.Errorf("a sees %+v", p)
		}
	})
}

// A peer may have any name here. Whoever dials in the end, it is the configured
// peer that has the session.
func TestAPeerMayHaveAnotherNameThanItsSite(t *testing.T) {
	for _, name := range []string{"a", "z"} { // below and above the other site
		t.Run(name, func(t *testing.T) {
			inSlowMotion(t, func(w *world) {
				a, b := w.site(name), w.site("b")
				b.adds("books")
				a.configures(fsm.PeerConfig{ID: "uplink", Endpoints: []string{door("b")}, MaxRoutes: 10})
				b.configures(fsm.PeerConfig{ID: "downlink", Endpoints: []string{door(name)}})
				w.later(5 * time.Minute)
				if p := a.peer("uplink"); p.State != Established || p.Site != "b" || p.RoutesIn != 1 {
					w.Errorf("%s sees %+v", name, a.speaker().Peers())
				}
				if p := b.peer("downlink"); p.State != Established || p.Site != name {
					w.Errorf("b sees %+v", b.speaker().Peers())
				}
				w.dialled("b")
				w.later(10 * time.Minute)
				if dials := append(w.dialled(name), w.dialled("b")...); len(dials) != 0 {
					w.Errorf("they still dial: %+v", dials)
				}
			})
		})
	}
}

// Configured under another name, while the site has a session that it dialled:
// the one try that is refused tells which site it is.
func TestARefusalTellsWhoIsThereAlready(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books")
		w.meet(b, a)
		since := b.peer("a").Since
		a.configures(fsm.PeerConfig{ID: "uplink", Endpoints: []string{door("b")}})
		w.later(time.Hour)
		if p := a.peer("uplink"); p.State != Established || p.Site != "b" || p.RoutesIn != 1 || p.Dialled {
			w.Errorf("a sees %+v", a.speaker().Peers())
		}
		if n := len(w.dialled("a")); n != 1 {
			w.Errorf("a dialled %d times", n)
		}
		if b.peer("a").Since != since {
			w.Error("there is another session")
		}
	})
}

func TestDiallersEndWithTheTerm(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		w.site("b")
		w.parts("a", "c", swallowed)
		w.opens(door("c"), "c")
		a.peers("b", "c")
		for i := range 20 {
			a.configures(fsm.PeerConfig{ID: fmt.Sprint("p", i), Endpoints: []string{"ws://nobody/rpc"}})
		}
		w.later(time.Second)
		began := time.Now()
		a.stop()
		if took := time.Since(began); took != 0 {
			w.Errorf("the end of the term took %v", took)
		}
		w.dialled("a")
		w.later(time.Minute)
		if n := len(w.dialled("a")); n != 0 {
			w.Errorf("%d dials after the term", n)
		}
	})
}
