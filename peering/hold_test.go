package peering

import (
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

func TestASilentLinkEndsAtTheHoldTime(t *testing.T) {
	for name, c := range map[string]struct {
		seconds float64
		cut     time.Duration // after the session began
		ends    time.Duration // after that
	}{
		"by default":           {15, 12 * time.Second, 13 * time.Second}, // heard at 10
		"at the shortest":      {3, 12500 * time.Millisecond, 2500 * time.Millisecond},
		"just after a sign":    {15, 10 * time.Second, 15 * time.Second},
		"just before a sign":   {15, 14999 * time.Millisecond, 10001 * time.Millisecond},
		"at a fractional time": {4.5, 10 * time.Second, 3500 * time.Millisecond},
		"across a check":       {15, 298 * time.Second, 12 * time.Second},                     // heard at 295, a check is due at 301
		"at a very long time":  {3600, time.Hour + time.Minute, 59*time.Minute + time.Second}, // a check came at 1:00:01,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, b := w.site("a", holdTime(c.seconds)), w.site("b", holdTime(c.seconds))
				a.peers("b")
				w.later(c.cut)
				w.parts("a", "b", swallowed)
				w.later(c.ends - time.Millisecond)
				a.stands("b")
				b.stands("a")
				w.later(2 * time.Millisecond)
				a.idles("b")
				if p := b.peer("a"); p.State != Idle || !strings.Contains(p.LastError, "hold timer expired") {
					w.Errorf("b sees %+v", p)
				}
				if p := a.peer("b"); !strings.Contains(p.LastError, "hold timer expired") {
					w.Errorf("a sees %+v", p)
				}
			})
		})
	}
}

func TestAnIdleHourTouchesNoLog(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		a.adds("books")
		w.meet(a, b)
		commits, versions := a.counts()+b.counts(), a.Table().Version()+b.Table().Version()
		since := a.peer("b").Since
		w.later(time.Hour)
		a.stands("b")
		b.stands("a")
		if n := a.counts() + b.counts() - commits; n != 0 || a.Table().Version()+b.Table().Version() != versions {
			w.Errorf("%d commits in an hour without news", n)
		}
		if a.peer("b").Since != since {
			w.Error("there is another session")
		}
	})
}

// The far end's calls alone are signs of life, and so are its answers alone.
func TestEitherSideKeepsASessionAlive(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b")) // answers, and never calls
		w.later(time.Hour)
		a.stands("b")
		h.hangsUp()

		h = w.meets("a", stranger("c")) // calls, and never answers
		h.end.mutes("keepAlive")
		for range 20 {
			w.later(14 * time.Second)
			if _, err := ask[struct{}](h.end, "keepAlive", nil)(w.ctx); err != nil {
				w.Errorf("keepAlive: %v", err)
			}
		}
		a.stands("c")
		w.later(16 * time.Second)
		if over := h.over(); !strings.Contains(over, "hold timer expired") {
			w.Errorf("the session ended with %q", over)
		}
	})
}

// Who opens a session and is not heard of again never had one.
func TestAnOpenAloneIsNoSession(t *testing.T) {
	inSlowMotion(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		h.end.link.cut()
		w.later(14 * time.Second)
		if p := a.peer("b"); p.State != OpenConfirm {
			w.Errorf("a sees %+v", p)
		}
		w.later(2 * time.Second)
		a.idles("b")
	})
}

func TestAPeerThatRefusesAKeepAliveHasNoSession(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		w.later(time.Second)
		h.set(func(h *hand) { h.quiet = true })
		w.later(5 * time.Second)
		a.idles("b")
	})
}

func TestAPeerThatRefusesAnUpdateHasNoSession(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		w.later(time.Second)
		h.set(func(h *hand) { h.answer = Answer{Error: "no room"} })
		a.adds("books")
		w.later(time.Second)
		if over := h.over(); !strings.Contains(over, "the peer refuses an update: no room") {
			w.Errorf("the session ended with %q", over)
		}
	})
}

func TestAPeerThatTakesNoUpdatesIsLetGo(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		w.later(time.Second)
		h.set(func(h *hand) { h.stalls = true })
		w.later(time.Minute)
		a.stands("b") // there was nothing to take
		a.adds("books")
		w.later(stalling*DefaultHoldTime - time.Millisecond)
		a.stands("b")
		w.later(2 * time.Millisecond)
		if over := h.over(); !strings.Contains(over, "takes no updates") {
			w.Errorf("the session ended with %q", over)
		}
	})
}

// Between two sites: the log of one stands still, its keepalives go on.
func TestASiteThatCannotCommitIsLetGo(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		w.meet(a, b)
		gate := make(chan struct{})
		b.set(func(s *site) { s.gate = gate })
		a.adds("books")
		w.later(29 * time.Second)
		a.stands("b")
		w.later(1001 * time.Millisecond)
		if p := a.peer("b"); !strings.Contains(p.LastError, "takes no updates") {
			w.Errorf("a sees %+v", p)
		}
		b.set(func(s *site) { s.gate = nil })
		close(gate)
		w.later(time.Minute)
		a.stands("b")
		b.holds("books [a] by a")
	})
}

// A slow peer that makes progress is not stalled.
func TestASlowPeerIsNotLetGo(t *testing.T) {
	inBubble(t, func(w *world) {
		a, b := w.site("a"), w.site("b")
		w.meet(a, b)
		since := a.peer("b").Since
		b.set(func(s *site) { s.takes = 20 * time.Second })
		var ops []fsm.Op
		for _, name := range numbered(12 * sendItems) {
			ops = append(ops, fsm.Put{Service: service(name, "a")})
		}
		a.does(ops...)
		w.later(10 * time.Minute)
		if p := a.peer("b"); p.Since != since {
			w.Errorf("a sees %+v", p)
		}
		w.equal(a, b)
	})
}
