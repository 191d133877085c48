package clustertests

import (
	"strings"
	"testing"
)

// TestRollingRestart restarts every node of a secured site in turn with SIGTERM, as an upgrade does, while clients write
// without pause: a client that repeats what was not answered hears of it within moments, and leadership is handed over
// instead of lost.
func TestRollingRestart(t *testing.T) {
	s := startSecured(t, 3)
	l := s.load(t, 6, "rolling")
	handedOver := 0
	for _, n := range s.nodes {
		l.advances(t, 20)
		leader, term := s.leaderAfter(t, 0)
		n.stop(t)
		rest := s.without(n)
		_, now := rest.leaderAfter(t, 0)
		switch {
		case n != leader && now != term:
			t.Errorf("the stop of %s, which did not lead, cost an election: term %d after %d", n.id, now, term)
		case n == leader:
			handedOver++
			if now != term+1 {
				t.Errorf("the stop of the leader %s took the site from term %d to %d, want one more", n.id, term, now)
			}
		}
		l.advances(t, 20)
		n.start(t, n.at)
		s.complete(t, 3)
		l.advances(t, 20)
	}
	if handedOver == 0 {
		t.Error("none of the nodes led when it was stopped")
	}
	f := l.finish(t)
	t.Logf("%d registrations acknowledged in %d attempts, rejections by code: %v; the slowest took %d ms", len(f.Acked), f.Attempts, f.Rejected, f.Slowest)
	if f.Slowest > 2000 {
		t.Errorf("a client that repeated its action was answered after %d ms; who repeats for 2 s must never see a failure", f.Slowest)
	}
	s.holds(t, f)
	for _, n := range s.nodes {
		if text := string(tail(n.log.Name(), 1<<20)); strings.Contains(text, "leadership was not handed over") {
			t.Errorf("%s could not hand leadership over: %s", n.id, linesWith(text, "handed over"))
		}
		neverPanicked(t, n)
	}
}
