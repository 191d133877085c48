package clustertests

import (
	"testing"
	"time"
)

// TestNothingAcknowledgedIsLost kills the leader ten times under load, then all nodes at once, then moves all of them to
// new addresses; after each the table is exactly what was acknowledged, on every node.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")
	var written finished

	t.Run("the leader is killed ten times under load", func(t *testing.T) { written = killLeaderUnderLoad(t, s, 10) })
	t.Run("all are killed and come back where they were", func(t *testing.T) {
		for _, n := range s.nodes {
			n.crash(t)
		}
		for _, n := range s.nodes {
			n.start(t, n.at)
		}
		s.complete(t, 3)
		s.holds(t, written)
	})
	t.Run("all are stopped and come back on new addresses", func(t *testing.T) {
		for _, n := range s.nodes {
			n.stop(t)
		}
		for _, n := range s.nodes {
			before := n.at
			n.start(t, anyPort, "--join", s.nodes[0].at.Gossip)
			if n.at.RPC == before.RPC || n.at.Raft == before.Raft {
				t.Fatalf("%s came back where it was: %v", n.id, n.at)
			}
		}
		s.complete(t, 3)
		s.holds(t, written)
	})
	t.Run("and the site takes new registrations", func(t *testing.T) {
		c := s.dial(t, s.follower(t))
		defer c.close(t)
		made := insist(t, c, creation(service("after")))
		for _, n := range s.nodes {
			if _, there := s.table(t, n, made.Index)["after:http"]; !there {
				t.Errorf("%s does not show it", n.id)
			}
		}
	})
}

// killLeaderUnderLoad returns what was acknowledged. Every second time the killed node comes back on new addresses.
func killLeaderUnderLoad(t *testing.T, s *site, times int) finished {
	l := s.load(t, 6, "kept")
	_, term := s.leaderAfter(t, 0)
	for i := range times {
		l.advances(t, 20)
		leader := s.leader(t)
		leader.crash(t)
		var now uint64
		if _, now = s.leaderAfter(t, term); now <= term {
			t.Fatalf("kill %d: term %d after %d: no new leader was elected", i+1, now, term)
		}
		term = now
		l.advances(t, 20) // the other two carry on
		if i%2 == 0 {
			leader.start(t, leader.at)
		} else {
			leader.start(t, anyPort, "--join", s.running()[0].at.Gossip)
		}
		l.aim(t)
		s.complete(t, 3)
	}
	f := l.finish(t)
	t.Logf("%d registrations acknowledged in %d attempts, rejections by code: %v", len(f.Acked), f.Attempts, f.Rejected)
	if len(f.Rejected) == 0 {
		t.Error("no attempt was ever rejected: the kills did not meet the load")
	}
	s.holds(t, f)
	return f
}

// TestStoppedLeaderHandsOver: SIGTERM moves leadership before the process ends, and the load hardly notices.
func TestStoppedLeaderHandsOver(t *testing.T) {
	s := &site{driver: startDriver(t), owner: t}
	bootstrapExpect(t, s)
	l := s.load(t, 4, "handed")
	l.advances(t, 50)
	leader, term := s.leaderAfter(t, 0)
	began := time.Now().UnixMilli()
	leader.stop(t)
	ended := time.Now().UnixMilli()
	if next, now := s.leaderAfter(t, term); next == leader || now <= term {
		t.Fatalf("%s leads in term %d after %s stopped in term %d", next.id, now, leader.id, term)
	}
	l.advances(t, 50)
	leader.start(t, leader.at)
	l.aim(t)
	s.complete(t, 3)
	f := l.finish(t)
	s.holds(t, f)
	gap, after := f.longestGap(began-500, ended+1500)
	t.Logf("longest time without an acknowledgement around the stop: %v, from %v after SIGTERM; the process took %d ms to end; rejections: %v",
		gap, after, ended-began, f.Rejected)
}

// longestGap is the longest time between two acknowledgements from..to, in ms since the epoch, and when it began, counted
// from 500 ms after from.
func (f finished) longestGap(from, to int64) (longest, began time.Duration) {
	var last int64
	for _, a := range f.Acked {
		if a.At < from || a.At > to {
			continue
		}
		if gap := time.Duration(a.At-last) * time.Millisecond; last != 0 && gap > longest {
			longest, began = gap, time.Duration(last-from-500)*time.Millisecond
		}
		last = a.At
	}
	return longest, began
}

// bootstrapExpect starts three nodes of which none is told to begin: the site forms once the three have met.
func bootstrapExpect(t testing.TB, s *site) {
	t.Helper()
	for i, id := range []string{"e1", "e2", "e3"} {
		n := newNode(s.owner, id, "--gateway-endpoint=", "--bootstrap-expect", "3")
		if i == 0 {
			n.start(t, anyPort)
		} else {
			n.start(t, anyPort, "--join", s.nodes[0].at.Gossip)
		}
		s.nodes = append(s.nodes, n)
		if i < 2 {
			if err := n.ready(); err == nil {
				t.Fatalf("%s is ready with %d of 3 nodes there", n.id, i+1)
			}
		}
	}
	s.complete(t, 3)
	epoch := ""
	for _, n := range s.nodes {
		st, err := s.status(n)
		if err != nil {
			t.Fatal(err)
		}
		if epoch == "" {
			epoch = st.Epoch
		}
		if st.Epoch != epoch || epoch == "" {
			t.Errorf("%s is of epoch %q, another node of %q", n.id, st.Epoch, epoch)
		}
	}
}
