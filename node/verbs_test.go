package node

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// More than five nodes: five vote, the others stand by and fill a vacancy. One
// that was demoted by hand does not.
func TestAVacancyIsFilledByWhoStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 41, "n1", "n2", "n3", "n4", "n5", "n6", "n7")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3", "n4", "n5")
		for _, id := range []string{"n6", "n7"} {
			w.start(id, nil)
			r, err := s.joinAt(id, "n1")
			if err != nil || !r.Success || r.Data["role"] != "nonvoter" || r.Data["voters"] != 5.0 {
				t.Fatalf("%s joins: %+v, %v; want a nonvoter beside 5 voters", id, r, err)
			}
		}
		time.Sleep(10 * time.Second)
		if got := w.voters(); len(got) != 5 || slices.Contains(got, "n6") || slices.Contains(got, "n7") {
			t.Fatalf("voters: %v, want the first five", got)
		}
		s.must("member", "demote", map[string]any{"id": "n6"}) // stands by already, and stays out
		leaver := w.follower().cfg.ID
		for leaver == "n6" || leaver == "n7" || leaver == "n1" {
			leaver = "n2"
			if w.leader().cfg.ID == leaver {
				leaver = "n3"
			}
		}
		r, err := ask[answer](w, leaver, s.admin, "leave", map[string]any{})
		if err != nil || !r.Success {
			t.Fatalf("%s leaves: %+v, %v", leaver, r, err)
		}
		if err := w.ended(leaver); err != nil {
			t.Errorf("%s ended with %v", leaver, err)
		}
		w.eventually("n7 fills the vacancy", func() bool { return slices.Contains(w.voters(), "n7") && len(w.voters()) == 5 })
		// Two demoted: nobody else stands by, and n6 is held back.
		demoted := ""
		for _, id := range w.voters() {
			if id != w.leader().cfg.ID {
				demoted = id
				break
			}
		}
		s.must("member", "demote", map[string]any{"id": demoted})
		time.Sleep(10 * time.Second)
		if got := w.voters(); len(got) != 4 || slices.Contains(got, "n6") || slices.Contains(got, demoted) {
			t.Errorf("voters: %v, want four, without n6 and %s, who are held back", got, demoted)
		}
		s.must("member", "promote", map[string]any{"id": "n6"})
		w.eventually("n6 votes", func() bool { return slices.Contains(w.voters(), "n6") })
		w.checkEqual()
	})
}

// A preview changes nothing, and says what the change then says.
func TestAPreviewChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 42, "n1", "n2", "n3", "n4")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3", "n4")
		id := w.follower().cfg.ID
		before := fmt.Sprint(w.leader().configuration())
		version := w.leader().machine.Table().Version()
		for _, verb := range []string{"remove", "demote", "promote"} {
			r := s.must("member", verb, map[string]any{"id": id, "dryRun": true})
			want := map[string]float64{"remove": 3, "demote": 3, "promote": 4}[verb]
			if r.Data["voters"] != want || verb != "promote" && r.Data["dryRun"] != true {
				t.Errorf("a preview of %s: %+v, want %v voters", verb, r.Data, want)
			}
		}
		if r, err := ask[answer](w, id, s.admin, "leave", map[string]any{"dryRun": true}); err != nil || !r.Success || r.Data["voters"] != 3.0 {
			t.Errorf("a preview of leave: %+v, %v", r, err)
		}
		time.Sleep(5 * time.Second)
		w.goOn(sortedKeys(w.hosts)...)
		if now := fmt.Sprint(w.leader().configuration()); now != before || w.leader().machine.Table().Version() != version {
			t.Errorf("previews changed %s to %s, version %d to %d", before, now, version, w.leader().machine.Table().Version())
		}
		r := s.must("member", "remove", map[string]any{"id": id})
		if r.Data["voters"] != 3.0 || r.Data["tolerates"] != 1.0 {
			t.Errorf("the change says %+v, want 3 voters and 1 tolerated", r.Data)
		}
	})
}

// A change that would cost the quorum is refused with the arithmetic. Force
// helps where gossip is wrong about who is there, and nowhere else.
func TestAChangeThatCostsTheQuorumIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 43, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		w.leads("n1")
		w.crash("n3")
		w.eventually("gossip has noticed", func() bool { return !w.leader().isAlive("n3") })
		for _, force := range []bool{false, true} {
			for verb, words := range map[string]string{"remove": "without n2", "demote": "without the vote of n2"} {
				r, err := s.act("n1", s.admin, "member", verb, map[string]any{"id": "n2", "force": force})
				if err != nil || r.Code != "conflict" {
					t.Fatalf("%s of n2, force %v: %+v, %v; want conflict", verb, force, r, err)
				}
				wantWords(t, r.Error, words, "1 of 2 voters would be alive and 2 are needed", map[bool]string{false: "bring back other members", true: "--force cannot help"}[force])
			}
		}
		if got := w.voters(); len(got) != 3 {
			t.Errorf("voters: %v, want all three still", got)
		}
		// Gossip is wrong: n3 is there and answers.
		w.start("n3", nil)
		w.eventually("n3 is back", func() bool { return w.leader().isAlive("n3") })
		w.hush("n3")
		w.eventually("gossip takes n3 for lost", func() bool { return !w.leader().isAlive("n3") })
		if r, err := s.act("n1", s.admin, "member", "remove", map[string]any{"id": "n2"}); err != nil || r.Code != "conflict" {
			t.Fatalf("remove of n2 while n3 seems down: %+v, %v; want conflict", r, err)
		}
		if r, err := s.act("n1", s.admin, "member", "remove", map[string]any{"id": "n2", "force": true}); err != nil || !r.Success {
			t.Fatalf("with force: %+v, %v", r, err)
		}
		if err := w.ended("n2"); err == nil {
			t.Error("n2 was not told that it was removed")
		} else {
			wantWords(t, err.Error(), "the site refuses this node", "removed", "empty its data directory")
		}
		if got := w.voters(); !slices.Equal(got, []string{"n1", "n3"}) {
			t.Errorf("voters: %v, want n1 and n3", got)
		}
	})
}

// The leader itself can be removed, from anywhere: it hands over first.
func TestTheLeaderIsRemovedAndDemotedFromAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 44, "n1", "n2", "n3", "n4")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3", "n4")
		leader := w.leader().cfg.ID
		r, err := s.act(w.follower().cfg.ID, s.admin, "member", "demote", map[string]any{"id": leader})
		if err != nil || !r.Success {
			t.Fatalf("demote of the leader: %+v, %v", r, err)
		}
		w.eventually("another leads", func() bool { n := w.leaderNow(); return n != nil && n.cfg.ID != leader })
		if slices.Contains(w.voters(), leader) {
			t.Errorf("%s votes still: %v", leader, w.voters())
		}
		next := w.leader().cfg.ID
		r, err = s.act(next, s.admin, "member", "remove", map[string]any{"id": next})
		if err != nil || !r.Success {
			t.Fatalf("remove of the leader at itself: %+v, %v", r, err)
		}
		if err := w.ended(next); err == nil {
			t.Error("it was not told")
		}
		w.eventually("three members are left", func() bool { n := w.leaderNow(); return n != nil && len(n.configuration()) == 3 })
		audit, err := ask[struct {
			Entries []struct {
				By     string `json:"by"`
				Action string `json:"action"`
				ID     string `json:"id"`
			} `json:"entries"`
		}](w, w.leader().cfg.ID, s.admin, "listAudit", map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, e := range audit.Entries {
			said = append(said, e.Action+" "+e.ID)
		}
		for _, want := range []string{"member/remove " + next, "member/demote " + leader, "member/admit n4"} {
			if !slices.Contains(said, want) {
				t.Errorf("the audit has no %q: %q", want, said)
			}
		}
	})
}

func TestTheLastMemberLeavesOnlyByForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 45, "n1")
		defer w.shutdown()
		s := secure(w, nil, "n1")
		r, err := ask[answer](w, "n1", s.admin, "leave", map[string]any{})
		if err != nil || r.Code != "conflict" {
			t.Fatalf("leave: %+v, %v; want conflict", r, err)
		}
		wantWords(t, r.Error, "n1 is the only member", "--force")
		if r, err := ask[answer](w, "n1", s.admin, "leave", map[string]any{"force": true, "dryRun": true}); err != nil || !r.Success {
			t.Fatalf("a preview: %+v, %v", r, err)
		}
		time.Sleep(time.Second)
		w.goOn("n1")
		if r, err := ask[answer](w, "n1", s.admin, "leave", map[string]any{"force": true}); err != nil || !r.Success {
			t.Fatalf("by force: %+v, %v", r, err)
		}
		if err := w.ended("n1"); err != nil {
			t.Errorf("it ended with %v", err)
		}
		n := w.start("n1", nil)
		if n.secured() || n.raft.LastIndex() != 0 {
			t.Error("the site's data was not set aside")
		}
	})
}

// A member that fails is kept for a day and then removed, when the others can
// do without. What is left of it does not come back by itself.
func TestAMemberThatIsGoneForADayIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 46, "n1", "n2", "n3", "n4")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3", "n4")
		w.leads("n1")
		n := w.leader()
		w.crash("n3")
		w.crash("n4")
		w.eventually("gossip has noticed", func() bool { return !n.isAlive("n3") && !n.isAlive("n4") })
		// after lets the leader look at its members as if n3 and n4 had been gone
		// for so long.
		after := func(gone time.Duration) int {
			t.Helper()
			since := map[string]time.Time{"n3": time.Now().Add(-gone), "n4": time.Now().Add(-gone)}
			e, err := n.electorate()
			if err == nil {
				err = n.removeLongFailed(t.Context(), n.leadership.current.Load().proposer, e, since)
			}
			if err != nil {
				t.Fatal(err)
			}
			return len(n.configuration())
		}
		// Two of four are no quorum, and cannot decide anything.
		if got := w.leaderNow(); got != nil {
			t.Fatalf("%s leads with two of four", got.cfg.ID)
		}
		w.start("n3", nil)
		w.leads("n1")
		w.eventually("n3 is back", func() bool { return n.isAlive("n3") })
		if got := after(failedGrace - time.Minute); got != 4 {
			t.Errorf("%d members a minute before the day is over, want 4", got)
		}
		if got := after(failedGrace); got != 3 {
			t.Fatalf("%d members after the day, want 3: n4 is gone", got)
		}
		if _, known := n.machine.Table().Instance("n4"); known {
			t.Error("the site knows n4's incarnation still")
		}
		w.crash("n3")
		w.eventually("gossip has noticed", func() bool { return !n.isAlive("n3") })
		if got := after(failedGrace - time.Minute); got != 3 {
			t.Errorf("%d members, want 3", got)
		}
		w.start("n4", nil)
		if err := w.ended("n4"); err == nil {
			t.Error("n4 came back")
		} else {
			wantWords(t, err.Error(), "removed", "empty its data directory")
		}
		w.hosts["n4"].wipe()
		w.start("n4", nil)
		s.mustJoin("n4", "n1")
		w.eventually("n4 votes again", func() bool { return slices.Contains(w.voters(), "n4") })
	})
}
