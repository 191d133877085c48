package peering

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// What a follower can tell of peers is in its table.
func TestATableTellsOfItsPeers(t *testing.T) {
	table := founded("a")
	table, _ = table.Apply([]fsm.Command{
		{Op: fsm.PutPeer{Peer: fsm.PeerConfig{ID: "uplink", Endpoints: []string{"ws://u/rpc"}, RestartTime: 60, MaxRoutes: 9}}},
		{Op: fsm.PutPeer{Peer: fsm.PeerConfig{ID: "never", Endpoints: []string{"ws://n/rpc"}}}},
		{Op: fsm.BindPeer{ID: "uplink", Peer: "u"}}, {Op: fsm.OpenPeer{Peer: "u", Epoch: "e", Term: 3}},
		{Op: learnsMany("u", 0, 3)},
		{Op: learnsMany("by-itself", 0, 2)}, {Op: fsm.MarkStale{Peer: "by-itself"}},
		{Op: fsm.OpenPeer{Peer: "collector-1", Collector: true}}, {Op: learnsMany("collector-1", 0, 1)},
	})
	want := []Peer{
		{ID: "by-itself", Site: "by-itself", Endpoints: []string{}, State: Idle, RoutesIn: 2, Stale: 2, RestartTime: 120},
		{ID: "never", Configured: true, Endpoints: []string{"ws://n/rpc"}, State: Idle, RestartTime: 120},
		{ID: "uplink", Site: "u", Configured: true, Endpoints: []string{"ws://u/rpc"}, State: Idle, Epoch: "e", Term: 3, RoutesIn: 3, RestartTime: 60, MaxRoutes: 9},
	}
	if got := fmt.Sprintf("%+v", Configured(table)); got != fmt.Sprintf("%+v", want) {
		t.Errorf("the table tells\n\t%s, want\n\t%+v", got, want)
	}
	if got := Configured(founded("b")); got == nil || len(got) != 0 {
		t.Errorf("a table without peers tells %#v", got)
	}
}

func TestTheStatesOfAPeerAreSeen(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a := w.site("a")
		w.site("b")
		seen := func(want State) {
			w.Helper()
			if p := a.peer("b"); p.State != want {
				w.Errorf("%v: a sees %+v, want it %s", w.since(), p, want)
			}
		}
		w.bars("a", "b")
		a.peers("b")
		w.later(5 * time.Millisecond)
		seen(Connect)
		w.later(10 * time.Millisecond)
		seen(Idle)
		w.parts("a", "b", together)
		idle := a.peer("b").Since
		w.later(700 * time.Millisecond)
		if got := a.peer("b").Since; got != idle {
			w.Errorf("idle since %d, then since %d", idle, got)
		}
		for a.peer("b").State == Idle {
			w.later(time.Millisecond)
		}
		seen(Connect)
		w.later(10 * time.Millisecond)
		seen(OpenSent)
		w.later(25 * time.Millisecond)
		seen(Established)
	})
}

func TestTheLastErrorIsTheLatest(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		w.meet(a, b)
		w.parts("a", "b", refused)
		w.later(time.Millisecond)
		if p := a.peer("b"); p.LastError != "connection reset" || p.LastErrorAt != w.began.Add(6*time.Second).UnixMilli() {
			w.Errorf("a sees %+v", p)
		}
		w.later(time.Second)
		if p := a.peer("b"); p.LastError != "ws://b/rpc: connection refused" {
			w.Errorf("a sees %+v", p)
		}
		w.parts("a", "b", together)
		w.later(time.Minute)
		if p := a.peer("b"); p.State != Established || p.LastError != "ws://b/rpc: connection refused" || p.LastErrorAt > w.began.Add(20*time.Second).UnixMilli() {
			w.Errorf("a sees %+v", p)
		}
	})
}

func TestWhatIsCountedAddsUp(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		counts := new(Counts)
		a, b := w.site("a", func(c *Config) { c.Counts = counts }), w.site("b")
		a.adds("books")
		b.adds("films", "music")
		w.meet(a, b)
		a.moves("books", "x")
		w.later(time.Second)
		// With the ends of two dumps.
		if in, out := counts.UpdatesIn.Load(), counts.UpdatesOut.Load(); in != 3 || out != 3 {
			w.Errorf("%d items in, %d out", in, out)
		}
		if n := counts.Transitions.Load(); n != 1 {
			w.Errorf("%d transitions", n)
		}
		a.lead() // counts outlive a term
		w.later(10 * time.Second)
		if n := counts.Transitions.Load(); n != 3 {
			w.Errorf("%d transitions", n)
		}
		if in, out := counts.UpdatesIn.Load(), counts.UpdatesOut.Load(); in < 4 || out < 5 {
			w.Errorf("%d items in, %d out", in, out)
		}
	})
}

// What the far end calls before this side is ready waits for it.
func TestCallsWaitUntilTheTableExpectsThem(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a := w.site("a")
		gate := make(chan struct{})
		a.set(func(s *site) { s.gate = gate })
		h := w.meets("a", stranger("b"))
		done := make(chan error, 1)
		go func() {
			_, err := h.says(wire(announces("books", 2, "b")), wire(ends(2)))
			done <- err
		}()
		w.later(3 * time.Second)
		if p := a.peer("b"); p.State == Established {
			w.Errorf("a sees %+v", p)
		}
		select {
		case err := <-done:
			w.Errorf("an update was answered: %v", err)
		default:
		}
		a.set(func(s *site) { s.gate = nil })
		close(gate)
		if err := <-done; err != nil {
			w.Errorf("update: %v", err)
		}
		a.holds("books [b] by b")
		if ops := fmt.Sprintf("%T", a.commits[:2]); len(a.commits) != 2 {
			w.Errorf("committed %s", ops)
		}
	})
}

// Updates are on their way into the log side by side, and in order.
func TestUpdatesDoNotWaitForOneAnother(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		w.meet(a, b)
		b.set(func(s *site) { s.takes = time.Second })
		for i := range sendWindow {
			if i%2 == 0 {
				a.adds("books", fmt.Sprint("s", i))
			} else {
				a.drops("books")
			}
			w.later(20 * time.Millisecond)
		}
		w.later(time.Second)
		if got := strings.Join(b.learned(), ", "); got != "s0 [a] by a, s2 [a] by a, s4 [a] by a, s6 [a] by a" {
			w.Errorf("after a second b holds %s", got)
		}
		if h := b.Table().Held("a"); h.Version != a.Table().Version() {
			w.Errorf("b holds %+v", h)
		}
	})
}

// A session that is over says so to whoever still calls.
func TestASessionThatIsOverTakesNothing(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		x, _, err := a.speaker().Accept(nobody{}, stranger("b"), Admission{})
		if err != nil {
			w.Fatal(err)
		}
		w.later(0)
		x.Lost(fmt.Errorf("the cable"))
		w.later(0)
		for name, call := range map[string]func() error{
			"update":    func() error { _, err := x.Update(w.ctx, wire([]Update{announces("books", 2, "b")})); return err },
			"compare":   func() error { _, err := x.Compare(w.ctx, Digest{}); return err },
			"keepAlive": x.KeepAlive,
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), "the session is over: the cable") {
				w.Errorf("%s: %v", name, err)
			}
		}
		if err := x.Close(w.ctx, ""); err != nil {
			w.Errorf("close: %v", err)
		}
		a.holds()
	})
}

// When a session ends, what its peer said is in the table, or never will be.
func TestTheEndWaitsForCallsUnderWay(t *testing.T) {
	inBubble(t, func(w *world) {
		c := calls{idle: make(chan struct{})}
		for range 2 {
			if !c.enter() {
				w.Error("nobody is let in")
			}
		}
		var over atomic.Int32
		for range 2 {
			go func() {
				c.end()
				over.Add(1)
			}()
		}
		c.leave()
		w.later(time.Second)
		if over.Load() != 0 || c.enter() {
			w.Error("it did not wait, or someone was let in")
		}
		c.leave()
		w.later(time.Second)
		if over.Load() != 2 {
			w.Errorf("%d of 2 waited for nothing", 2-over.Load())
		}
		c.end()
	})
}
