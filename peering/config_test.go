package peering

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestARemovedPeerIsSentAway(t *testing.T) {
	for name, byThem := range map[string]bool{"that this site dialled": false, "that dialled itself": true} {
		t.Run(name, func(t *testing.T) {
			inSlowMotion(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				a.adds("films")
				b.adds("books")
				a.peers("b")
				if byThem {
					b.peers("a")
				}
				w.later(10 * time.Second)
				if a.peer("b").Dialled == byThem {
					w.Fatalf("a sees %+v", a.peer("b"))
				}
				w.bars("a", "b") // b may come again, as anyone who knows the secret
				w.forget()
				a.does(fsm.DeletePeer{ID: "b"})
				a.holds()
				w.later(time.Second)
				w.reads(`a> close the peer was removed at site a`)
				b.holds()
				a.idles("b")
				b.idles("a")
				if len(w.between("a", "b")) != 0 {
					w.Error("the connection is open")
				}
				w.dialled("a")
				w.later(10 * time.Minute)
				if dials := w.dialled("a"); len(dials) != 0 {
					w.Errorf("a dialled %+v", dials)
				}
				a.holds()
			})
		})
	}
}

// One that is not heard of any more does not keep the others waiting for long.
func TestARemovedPeerThatIsSilentIsLeftBehind(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		w.meet(a, b)
		w.cuts("a", "b")
		a.does(fsm.DeletePeer{ID: "b"})
		w.later(closeTimeout + time.Millisecond)
		a.idles("b")
		a.peers("b")
		w.later(time.Second)
		a.stands("b")
		b.stands("a")
	})
}

// The peer had its session before anyone configured it.
func TestAPeerThatWasConfiguredLaterIsSentAwayToo(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 2, "b"), ends(2))
		a.peers("b")
		w.later(time.Second)
		a.does(fsm.DeletePeer{ID: "b"})
		w.later(time.Second)
		a.holds()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.closed == "" || h.gone == nil {
			w.Errorf("closed with %q, gone with %v; a sees %+v", h.closed, h.gone, a.peer("b"))
		}
	})
}

// The peer has another name than its site, and dialled itself.
func TestAPeerOfAnotherNameIsSentAwayToo(t *testing.T) {
	for _, name := range []string{"b", "0"} { // above and below
		t.Run(name, func(t *testing.T) {
			inSlowMotion(t, func(w *world) {
				a, b := w.site("a"), w.site(name)
				b.adds("books")
				a.adds("films")
				a.configures(fsm.PeerConfig{ID: "uplink", Endpoints: []string{door(name)}})
				b.configures(fsm.PeerConfig{ID: "downlink", Endpoints: []string{door("a")}})
				w.later(10 * time.Second)
				a.stands("uplink")
				b.stands("downlink")
				w.bars("a", name)
				w.forget()
				a.does(fsm.DeletePeer{ID: "uplink"})
				w.later(time.Second)
				w.reads(`a> close the peer was removed at site a`)
				a.holds()
				b.holds()
			})
		})
	}
}

// Removed and added again before the speaker looks: what the table withdrew is
// heard again.
func TestAPeerThatIsRemovedAndAddedAgainIsHeardAgain(t *testing.T) {
	for name, endpoints := range map[string][]string{"as it was": {door("b")}, "elsewhere too": {"ws://nobody/rpc", door("b")}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				b.adds("books")
				w.meet(a, b)
				a.does(fsm.DeletePeer{ID: "b"}, fsm.PutPeer{Peer: fsm.PeerConfig{ID: "b", Endpoints: endpoints}})
				w.later(40 * time.Second)
				a.stands("b")
				a.holds("books [b] by b")
			})
		})
	}
}

// Nor may one that was configured for a moment only be left unheard.
func TestAPeerThatWasAddedAndRemovedIsHeardAgain(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books")
		w.meet(b, a)
		a.does(fsm.PutPeer{Peer: fsm.PeerConfig{ID: "b", Endpoints: []string{door("b")}}}, fsm.DeletePeer{ID: "b"})
		w.later(40 * time.Second)
		a.holds("books [b] by b")
	})
}

func TestOtherEndpointsAreDialledAtOnce(t *testing.T) {
	for name, change := range map[string]fsm.PeerConfig{
		"another endpoint": {ID: "b", Endpoints: []string{"ws://other/rpc"}},
		"one more":         {ID: "b", Endpoints: []string{"ws://other/rpc", door("b")}},
		"another secret":   {ID: "b", Endpoints: []string{door("b")}, Secret: "new"},
	} {
		t.Run(name, func(t *testing.T) {
			inSlowMotion(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				b.adds("books")
				b.configures(fsm.PeerConfig{ID: "a", Endpoints: []string{"ws://nobody/rpc"}, Secret: "new"})
				w.opens("ws://other/rpc", "b")
				w.meet(a, b)
				before := a.Table().Version()
				w.dialled("a")
				a.configures(change)
				w.later(time.Second)
				if dials := w.dialled("a"); len(dials) != 1 || dials[0].endpoint != change.Endpoints[0] {
					w.Errorf("a dialled %+v", dials)
				}
				a.stands("b")
				b.stands("a")
				a.holds("books [b] by b")
				if n := len(w.between("a", "b")); n != 1 {
					w.Errorf("%d connections are open", n)
				}
				if a.Table().Version() != before+1 {
					w.Errorf("a's table went from %d to %d", before, a.Table().Version())
				}
			})
		})
	}
}

func TestWhatDoesNotConcernTheDiallerChangesNothing(t *testing.T) {
	for name, change := range map[string]fsm.PeerConfig{
		"the same again":       {ID: "b", Endpoints: []string{door("b")}},
		"another restart time": {ID: "b", Endpoints: []string{door("b")}, RestartTime: 60},
		"another peer":         {ID: "c", Endpoints: []string{door("c")}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a"), w.site("b")
				w.meet(a, b)
				since := a.peer("b").Since
				a.configures(change)
				w.later(time.Minute)
				if p := a.peer("b"); p.State != Established || p.Since != since {
					w.Errorf("a sees %+v", p)
				}
			})
		})
	}
}

func TestARestartTimeHoldsFromWhenItIsSet(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		b.adds("books")
		w.meet(a, b)
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{door("b")}, RestartTime: 20})
		w.parts("a", "b", refused)
		w.later(24 * time.Second)
		a.holds("books [b] by b, stale")
		w.later(2 * time.Second)
		a.holds()
		if p := a.peer("b"); p.RestartTime != 20 {
			w.Errorf("a sees %+v", p)
		}
	})
}

func TestManyPeersAreServed(t *testing.T) {
	inBubble(t, func(w *world) {
		hub := w.site("hub")
		hub.adds("books")
		var spokes []*site
		for i := range 20 {
			s := w.site(fmt.Sprintf("s%02d", i))
			s.adds("of-" + s.name)
			spokes = append(spokes, s)
			hub.peers(s.name)
		}
		w.later(10 * time.Second)
		if n := hub.Table().NumLearned(); n != len(spokes) {
			w.Errorf("the hub learned %d routes", n)
		}
		for _, s := range spokes {
			s.holds("books [hub] by hub")
		}
		if got := hub.speaker().SentTo(hub.Table().Local("books:http")); len(got) != len(spokes) {
			w.Errorf("sent to %q", got)
		}
	})
}

// There are as many neighbours as there may be peers, and those that are gone
// leave room for others.
func TestOnlySoManySitesAreNeighbours(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		accept := func(i int) (*Session, error) {
			x, _, err := a.speaker().Accept(nobody{}, stranger(fmt.Sprint("s", i)), Admission{})
			return x, err
		}
		sessions := make([]*Session, fsm.MaxPeers)
		for i := range sessions {
			var err error
			if sessions[i], err = accept(i); err != nil {
				w.Fatalf("site %d: %v", i, err)
			}
		}
		_, err := accept(len(sessions))
		if refused, ok := IsRefused(err); !ok || refused.Kind != Crowded {
			w.Errorf("one more: %v", err)
		}
		for _, x := range sessions {
			x.Lost(errors.New("gone"))
		}
		w.later(10 * time.Minute)
		if _, err := accept(len(sessions)); err != nil {
			w.Errorf("when all are gone: %v", err)
		}
	})
}
