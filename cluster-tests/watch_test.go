package clustertests

import (
	"fmt"
	"slices"
	"testing"
)

// watchThroughLeaderChange: a watch at a follower sees every change once while the leader is killed; a watch at the
// killed leader breaks and is resumed elsewhere from the last index it saw, without a gap or a duplicate.
func watchThroughLeaderChange(t *testing.T, s *site) {
	leader, term := s.leaderAfter(t, 0)
	followers := s.followers(t)
	writer, atFollower, atLeader := s.dial(t, followers[0]), s.dial(t, followers[1]), s.dial(t, leader)
	steady, cut := atFollower.watch(t, nil), atLeader.watch(t, nil)

	var want []string
	write := func(count int) (last uint64) {
		for range count {
			name := fmt.Sprintf("watched-%d", len(want))
			last = insist(t, writer, creation(service(name))).Index
			want = append(want, name+":http")
		}
		return last
	}
	reached := write(20)
	cut.reaches(t, reached)

	leader.crash(t)
	eventually(t, "the session at the killed leader breaks", func() error {
		if atLeader.report(t).Broken == nil {
			return fmt.Errorf("it has not")
		}
		return nil
	})
	before := cut.events(t)
	reached = write(20)
	if _, now := s.leaderAfter(t, term); now <= term {
		t.Fatalf("term %d after %d: the leader did not change", now, term)
	}

	elsewhere := s.dial(t, followers[0])
	resumed := elsewhere.watch(t, map[string]uint64{"fromIndex": before[len(before)-1].Index})
	reached = max(reached, write(5))
	steady.reaches(t, reached)
	resumed.reaches(t, reached)

	seen := steady.events(t)
	inOrder(t, "the watch at a follower", seen, want)
	inOrder(t, "the watch resumed elsewhere", append(before, resumed.events(t)...), want)
	if broken := atFollower.report(t).Broken; broken != nil {
		t.Errorf("the watch at a follower broke: %v", broken)
	}

	steady.stop(t)
	last := write(1)
	resumed.reaches(t, last)
	if after := steady.events(t); len(after) != len(seen) {
		t.Errorf("a disposed watch got %d more events", len(after)-len(seen))
	}
	leader.start(t, leader.at)
	s.complete(t, 3)
}

// insist applies an action under one requestId until it is answered, as a client that must survive failovers does.
func insist(t testing.TB, c *client, a action) result {
	t.Helper()
	if a.RequestID == "" {
		a.RequestID = c.d.name(t.Name() + "-")
	}
	var r result
	eventually(t, asJSON(a), func() (err error) {
		r, err = c.apply(a)
		return err
	})
	if !r.Success {
		t.Fatalf("%s: %v", asJSON(a), r)
	}
	return r
}

// reaches waits until the watch delivered index.
func (w *watch) reaches(t testing.TB, index uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s delivers index %d", w.name, index), func() error {
		var at uint64
		w.c.d.must(t, "reached", args{"session": w.c.session, "watch": w.name}, &at)
		if at < index {
			return fmt.Errorf("it is at %d", at)
		}
		return nil
	})
}

// inOrder asserts that events begin with one snapshot, that indexes only rise, and that each id of want is put once, in
// that order.
func inOrder(t testing.TB, who string, events []event, want []string) {
	t.Helper()
	if len(events) == 0 || events[0].Type != "snapshot" {
		t.Fatalf("%s does not begin with a snapshot: %.300s", who, asJSON(events))
	}
	next := 0
	for i, e := range events[1:] {
		if e.Index <= events[i].Index {
			t.Errorf("%s: index %d follows %d", who, e.Index, events[i].Index)
		}
		if e.Type != "put" || e.Route == nil {
			t.Fatalf("%s: event %d is %.300s, want a put", who, i+1, asJSON(e))
		}
		if next < len(want) && e.Route.ID == want[next] {
			next++
		} else {
			t.Fatalf("%s: event %d is %s, want the %d-th service", who, i+1, e.Route.ID, next)
		}
	}
	if next != len(want) {
		t.Errorf("%s: %d of %d services were seen", who, next, len(want))
	}
}

// news is what a watch told after its snapshot, an event a line: "put rome/books:http", with "stale" or "delete" for put.
func (w *watch) news(t testing.TB) []string {
	t.Helper()
	events := w.events(t)
	if len(events) == 0 || events[0].Type != "snapshot" {
		t.Fatalf("%s does not begin with a snapshot: %.300s", w.name, asJSON(events))
	}
	lines := []string{}
	for _, e := range events[1:] {
		switch {
		case e.Route == nil:
			lines = append(lines, asJSON(e))
		case e.Type == "put" && e.Route.Stale:
			lines = append(lines, "stale "+key{e.Route.Site, e.Route.ID}.String())
		default:
			lines = append(lines, e.Type+" "+key{e.Route.Site, e.Route.ID}.String())
		}
	}
	return lines
}

// toldUpTo waits for a line of a watch, and returns its news up to there.
func (w *watch) toldUpTo(t testing.TB, line string) []string {
	t.Helper()
	var news []string
	eventually(t, fmt.Sprintf("%s tells %q", w.name, line), func() error {
		if news = w.news(t); !slices.Contains(news, line) {
			return fmt.Errorf("so far %q", news)
		}
		return nil
	})
	return news[:slices.Index(news, line)+1]
}
