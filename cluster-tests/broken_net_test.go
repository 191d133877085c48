package clustertests

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestNemeses breaks a secured site whose nodes have a machine each, under load, in each way that networks and processes
// break: another node leads each time, and in the end every node shows exactly what was acknowledged.
func TestNemeses(t *testing.T) {
	s := newSecured(t, 3)
	w := newLAN(t, s)
	s.found(t, w.addresses(s)...)
	l := s.load(t, 6, "nemesis")

	for _, nemesis := range []struct {
		name string
		do   func(t *testing.T, leader *node, others []*node) (undo func())
	}{
		{"kill -9", func(t *testing.T, leader *node, _ []*node) func() {
			leader.crash(t)
			return func() { leader.start(t, leader.at) }
		}},
		{"stopped and continued", func(t *testing.T, leader *node, _ []*node) func() {
			leader.signal(t, syscall.SIGSTOP)
			stands(t, leader)
			return func() { leader.signal(t, syscall.SIGCONT) }
		}},
		{"cut off", func(t *testing.T, leader *node, others []*node) func() {
			w.deaf(t, leader, others)
			w.mute(t, leader, others)
			w.cannotReach(t, leader, others[0])
			w.cannotReach(t, others[1], leader)
			hearsNothing(t, w, append([]*node{leader}, others...)...)
			return func() { w.heal(t) }
		}},
		{"is not heard", func(t *testing.T, leader *node, others []*node) func() {
			w.mute(t, leader, others)
			for _, other := range others {
				hearsNothing(t, w, other)
			}
			w.cannotReach(t, leader, others[0])
			if n := w.dropped(t, leader); n != 0 {
				t.Errorf("the leader was to hear the others, and %d packets were dropped", n)
			}
			return func() { w.heal(t) }
		}},
		{"hears nobody", func(t *testing.T, leader *node, others []*node) func() {
			w.deaf(t, leader, others)
			hearsNothing(t, w, leader)
			w.cannotReach(t, others[0], leader)
			for _, other := range others {
				if n := w.dropped(t, other); n != 0 {
					t.Errorf("the others were to hear the leader, and %d packets were dropped at %s", n, other.id)
				}
			}
			return func() { w.heal(t) }
		}},
	} {
		t.Run(nemesis.name, func(t *testing.T) {
			l.advances(t, 20)
			leader, term := s.leaderAfter(t, 0)
			rest := s.without(leader)
			undo := nemesis.do(t, leader, rest.nodes)
			next, now := rest.leaderAfter(t, term)
			if next == leader || now <= term {
				t.Fatalf("%s leads in term %d after %s did in term %d", next.id, now, leader.id, term)
			}
			(&load{rest, l.name}).aim(t)
			l.advances(t, 20)
			undo()
			s.complete(t, 3)
			l.aim(t)
			l.advances(t, 20)
		})
	}
	f := l.finish(t)
	t.Logf("%d registrations acknowledged in %d attempts, rejections by code: %v", len(f.Acked), f.Attempts, f.Rejected)
	s.caughtUp(t, f)
	s.holds(t, f)
	for _, n := range s.nodes {
		neverPanicked(t, n)
	}
}

// stands waits until the kernel says that the process is stopped.
func stands(t testing.TB, n *node) {
	t.Helper()
	eventually(t, n.id+" is stopped", func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
		if err != nil {
			return err
		}
		_, state, _ := strings.Cut(string(stat), ") ")
		if !strings.HasPrefix(state, "T") {
			return fmt.Errorf("its state is %.1s", state)
		}
		return nil
	})
}

// hearsNothing waits until packets to each of the nodes were dropped.
func hearsNothing(t testing.TB, w *lan, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, "packets to "+n.id+" are dropped", func() error {
			if w.dropped(t, n) == 0 {
				return fmt.Errorf("none is")
			}
			return nil
		})
	}
}
