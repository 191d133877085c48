package clustertests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// applyFile has the CLI apply one action a line.
func applyFile(t testing.TB, n *node, actions []action) {
	t.Helper()
	var lines strings.Builder
	for _, a := range actions {
		lines.WriteString(asJSON(a) + "\n")
	}
	path := filepath.Join(t.TempDir(), "actions.jsonl")
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := cli(t, nil, "apply", "-f", path, "--address", n.ws()); got.status != 0 {
		t.Fatalf("apply -f of %d actions: status %d: %.2000s", len(actions), got.status, got.stderr)
	}
}

// fat is a registration of about 1 KiB.
func fat(name string, round int) action {
	d := service(name)
	d.Tags = map[string]string{"round": fmt.Sprint(round)}
	for i := range 5 {
		d.Tags[fmt.Sprint("ballast-", i)] = strings.Repeat("b", 180)
	}
	return action{Resource: "dataChannel", Action: "upsert", Data: d}
}

func fatTable(count, round int) []action {
	var all []action
	for i := range count {
		all = append(all, fat(fmt.Sprintf("fat-%d", i), round))
	}
	return all
}

// churn is so many changes of 1,000 small services.
func churn(count int) []action {
	var all []action
	for i := range count {
		d := service(fmt.Sprint("churn-", i%1000))
		d.Endpoint += fmt.Sprint("?change=", i)
		all = append(all, action{Resource: "dataChannel", Action: "upsert", Data: d})
	}
	return all
}

// slowReader asks for far more than a node may hold for one client and reads nothing of it.
func slowReader(t *testing.T, s *site, n *node) {
	applyFile(t, n, fatTable(2000, 0))
	c := s.dial(t, n)
	defer c.close(t)
	list, err := c.routes(query{})
	if err != nil || len(list.Routes) < 2000 {
		t.Fatalf("%d routes, %v", len(list.Routes), err)
	}
	s.must(t, "pause", args{"session": c.session}, nil)
	s.must(t, "flood", args{"session": c.session, "from": "cli", "steps": []step{call("listLocalRoutes")}, "count": 500, "pull": true}, nil)

	other := s.dial(t, n)
	defer other.close(t)
	for i := range 50 { // over 1 GiB are owed to the first; the second must not feel it
		began := time.Now()
		other.do(t, fat("beside", i))
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("a write beside a client that does not read took %v", took)
		}
	}
	before := c.report(t).Received
	s.must(t, "resume", args{"session": c.session}, nil)
	eventually(t, "the slow reader is served or cut off", func() error {
		if r := c.report(t); r.Broken == nil && r.Received == before {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
}

// slowWatcher reads nothing while the table changes many times over; once it reads again, what it is told adds up to the
// table, with `lagged` and a new snapshot where changes were left out.
func slowWatcher(t *testing.T, s *site, n *node) {
	applyFile(t, n, fatTable(1000, 1))
	c := s.dial(t, n)
	defer c.close(t)
	w := c.watch(t, nil)
	w.reaches(t, 1)
	s.must(t, "pause", args{"session": c.session}, nil)
	for round := range 10 { // more than sockets hold
		applyFile(t, n, fatTable(1000, round+2))
	}
	applyFile(t, n, churn(70_000)) // more than a node needs to remember
	other := s.dial(t, n)
	defer other.close(t)
	last := other.do(t, fat("fat-0", 99)).Index

	s.must(t, "resume", args{"session": c.session}, nil)
	w.reaches(t, last)
	events := w.events(t)
	told, wrong := fold(t, events), 0
	table := s.table(t, n, last)
	for id, r := range table {
		if asJSON(told[id]) != asJSON(r) {
			if wrong++; wrong == 1 {
				t.Errorf("the watcher was told %.200s, the table has %.200s", asJSON(told[id]), asJSON(r))
			}
		}
	}
	if wrong > 0 || len(told) != len(table) {
		t.Errorf("of %d routes the watcher knows %d, %d of them wrong", len(table), len(told), wrong)
	}
	t.Logf("80,001 changes behind a socket that was not read came as %d events", len(events))
}

// fold applies events as the contract describes them, and asserts that no index is skipped back and no gap unannounced.
func fold(t testing.TB, events []event) map[string]route {
	t.Helper()
	told := map[string]route{}
	var at uint64
	lagged := true // a watch begins with a snapshot
	for i, e := range events {
		switch e.Type {
		case "snapshot":
			if !lagged {
				t.Errorf("event %d is a snapshot that nothing announced", i)
			}
			clear(told)
			for _, r := range e.Routes {
				told[r.ID] = r
			}
			lagged = false
		case "lagged":
			lagged = true
			continue
		case "put":
			told[e.Route.ID] = *e.Route
		case "delete":
			delete(told, e.ID)
		}
		if lagged {
			t.Errorf("event %d is %s, want a snapshot after lagged", i, e.Type)
		}
		if e.Index <= at && e.Type != "snapshot" {
			t.Errorf("event %d has index %d after %d", i, e.Index, at)
		}
		at = e.Index
	}
	return told
}
