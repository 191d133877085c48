package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/storage"
	"github.com/catalyst/orchestrator/trust"
)

// fill makes a host's disk full, or gives it room again.
func (w *world) fill(full bool, ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.hosts[id].full = full
	}
}

// A leader whose disk fills up gives leadership to one with room. The site
// goes on, through the full node, too, and heals by itself.
func TestALeaderWithAFullDiskHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 51, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		stop := s.traffic(51)
		w.leads("n1")
		// n2 is full first, and is not chosen.
		w.fill(true, "n2")
		w.eventually("n2 has noticed", func() bool { return w.hosts["n2"].node.full.Load() != nil })
		w.eventually("the leader has heard of it", func() bool { return w.hosts["n1"].node.members.Of("n2").Full })
		w.fill(true, "n1")
		w.eventually("n3 leads", func() bool { n := w.leaderNow(); return n != nil && n.cfg.ID == "n3" })
		time.Sleep(20 * time.Second)
		if n := w.leader(); n.cfg.ID != "n3" {
			t.Errorf("%s leads after a while, want n3", n.cfg.ID)
		}
		for _, id := range []string{"n1", "n2"} {
			status, err := ask[Status](w, id, s.admin, "status")
			if err != nil {
				t.Fatal(err)
			}
			wantWords(t, status.ReadOnly, "disk of "+id, "1 MiB of 10240 MiB free", "goes on by itself")
			if r, err := s.act(id, s.admin, "dataChannel", "upsert", service("through-"+id, "http://x:80/")); err != nil || !r.Success {
				t.Errorf("a change through %s: %+v, %v", id, r, err)
			}
		}
		w.fill(false, "n1", "n2")
		w.eventually("all take changes again", func() bool {
			return w.hosts["n1"].node.full.Load() == nil && w.hosts["n2"].node.full.Load() == nil
		})
		s.kept(stop())
		w.leads("n1")
		time.Sleep(10 * time.Second)
		if n := w.leader(); n.cfg.ID != "n1" {
			t.Errorf("%s leads; n1 has room again and gave it up", n.cfg.ID)
		}
	})
}

// When all are full, changes are refused with the reason and reads go on; no
// leader gives up in favour of another that is full as well.
func TestASiteThatIsFullSaysSoAndGoesOnByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 52, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		s.must("dataChannel", "create", service("before", "http://x:80/"))
		w.fill(true, "n1", "n2", "n3")
		w.eventually("all have noticed, and from each other", func() bool {
			for _, n := range w.running() {
				for _, seen := range n.members.All() {
					if !seen.Full {
						return false
					}
				}
			}
			return true
		})
		term := w.leader().raft.CurrentTerm()
		time.Sleep(time.Minute)
		if now := w.leader().raft.CurrentTerm(); now != term {
			t.Errorf("the term went from %d to %d: full leaders hand over to each other", term, now)
		}
		for _, id := range sortedKeys(w.hosts) {
			_, err := s.act(id, s.admin, "dataChannel", "create", service("during", "http://x:80/"))
			if code(err) != "unavailable" {
				t.Fatalf("a change at %s: %v, want unavailable", id, err)
			}
			wantWords(t, err.Error(), "takes no changes", "disk of "+w.leader().cfg.ID, "nothing was applied", "make room")
			list, err := ask[routeList](w, id, s.admin, "listRoutes")
			if err != nil || len(list.Routes) != 1 {
				t.Errorf("a read at %s: %+v, %v", id, list, err)
			}
		}
		w.fill(false, "n1", "n2", "n3")
		w.eventually("changes are taken again", func() bool {
			r, err := s.act("n1", s.admin, "dataChannel", "upsert", service("after", "http://x:80/"))
			return err == nil && r.Success
		})
		if table := w.checkEqual(); table.Local("during:http") != nil || table.Local("before:http") == nil {
			t.Error("what was refused is there, or what was kept is not")
		}
	})
}

// A disk that hangs ends a leader within seconds: its heartbeats would go on,
// and nobody else would lead.
func TestALeaderWhoseDiskHangsGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 53, "n1", "n2", "n3")
		defer w.shutdown()
		given := make(chan error, 3)
		abandon := func(id string) func(*Config) {
			return func(c *Config) {
				c.Abandon = func(err error) { w.isolate(id); given <- err } // as the end of the process would
			}
		}
		s := &securedSite{world: w}
		for i, id := range sortedKeys(w.hosts) {
			w.start(id, func(c *Config) {
				abandon(id)(c)
				if c.Bootstrap = i == 0; !c.Bootstrap {
					c.Join = []string{w.hosts["n1"].gossipAddr()}
				}
			})
		}
		w.eventually("three vote", func() bool { return len(w.voters()) == 3 })
		hangs := func(id string, does bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.hosts[id].stalled = does
		}
		// A follower's disk is its own affair: the leader does not wait for it.
		follower := w.follower().cfg.ID
		hangs(follower, true)
		time.Sleep(10 * time.Second)
		w.goOn(follower)
		hangs(follower, false)
		stop := s.traffic(53)
		leader := w.leader().cfg.ID
		begun := time.Now()
		hangs(leader, true)
		err := <-given
		wantWords(t, err.Error(), "the disk does not answer", "took more than 2s", "another can lead")
		w.eventually("another leads", func() bool { n := w.leaderNow(); return n != nil && n.cfg.ID != leader })
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("another leads after %s, want within 5 s", took)
		}
		hangs(leader, false)
		if err := w.ended(leader); err == nil {
			t.Error("the node ended without a word")
		}
		w.start(leader, nil)
		s.kept(stop())
	})
}

// What damages a file behind a running node's back ends it, before it goes on
// with something that it did not write.
func TestANodeEndsWhenItsFilesAreNotWhatItWrote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 54, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		id := w.leader().cfg.ID
		w.hosts[id].damages.Add(1)
		err := w.ended(id)
		if err == nil {
			t.Fatal("it ended without a word")
		}
		wantWords(t, err.Error(), "not as this node wrote them", "started again it says which")
		w.eventually("another leads", func() bool { return w.leaderNow() != nil })
	})
}

func TestADoctorFindsASiteWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 55, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		for _, id := range sortedKeys(w.hosts) {
			for _, c := range s.diagnose(id) {
				if c.State != "ok" || c.Remedy != "" {
					t.Errorf("%s: %+v, want ok", id, c)
				}
			}
		}
		wantCheck(t, s.diagnose("n1"), "site", "ok", "3 voters, tolerates 1")
		wantCheck(t, s.diagnose("n1"), "security", "ok", "TLS, certificate until 2000-01-31")
		wantCheck(t, s.diagnose("n1"), "member n2", "ok", "answers in", "at entry")
	})
}

func (s *securedSite) diagnose(id string) []Check {
	s.t.Helper()
	r, err := ask[struct {
		Checks []Check `json:"checks"`
	}](s.world, id, s.admin, "diagnose")
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Checks
}

func TestADoctorNamesWhatIsWrongAndTheRemedy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 56, "n1", "n2", "n3")
		defer w.shutdown()
		w.start("n1", nil)
		s := &securedSite{world: w}
		wantCheck(t, s.diagnose("n1"), "site", "warn", "in no site", "catalyst init", "catalyst join")
		wantCheck(t, s.diagnose("n1"), "security", "ok", "on loopback only")
		w.halt("n1")
		s = secure(w, nil, "n1", "n2", "n3")
		w.crash("n3")
		w.eventually("gossip has noticed", func() bool { return !w.leader().isAlive("n3") })
		at := w.leader().cfg.ID
		wantCheck(t, s.diagnose(at), "site", "warn", "tolerates 0", "the next failure stops the site")
		wantCheck(t, s.diagnose(at), "member n3", "fail", "gossip does not hear it", "RPC at 10.0.0.3:3000", "firewalls", "catalyst member remove n3")
		w.fill(true, at)
		wantCheck(t, s.diagnose(at), "disk space", "fail", "1 MiB of 10240 MiB free", "read-only")
		w.fill(false, at)
		s.must("peer", "create", map[string]any{"id": "rome", "endpoints": []any{"wss://10.9.9.9:3000/rpc"}})
		wantCheck(t, s.diagnose(at), "peers", "warn", "no session with rome", "catalyst peer show")
		other := "n1"
		if at == other {
			other = "n2"
		}
		w.crash(other)
		w.eventually("there is no leader", func() bool { _, id := w.hosts[at].node.raft.LeaderWithID(); return id == "" })
		w.eventually("gossip has noticed", func() bool { return !w.hosts[at].node.isAlive(raft.ServerID(other)) })
		wantCheck(t, s.diagnose(at), "site", "fail", "no leader", "1 of 3 voters are alive and 2 are needed", "catalyst recover")
		for _, id := range []string{other, "n3"} {
			w.start(id, nil)
		}
	})
}

func TestADoctorSeesACertificateComeToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		authority, err := trust.NewAuthority("paris", newSiteID(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		n := nodeIn(t, t.TempDir(), "a", "paris")
		key, request, err := trust.NewRequest("a")
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := authority.Issue(request, trust.Subject{Site: "paris", Role: trust.Node, Name: "a"}, nil, time.Now(), defaultCertLife)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.keeper.Set(&trust.Credentials{Key: key, Certificate: certificate, Authority: authority.Certificate}); err != nil {
			t.Fatal(err)
		}
		wantCheck(t, []Check{n.checkSecurity()}, "security", "ok", "certificate until 2000-01-31")
		time.Sleep(time.Until(n.keeper.RenewAt().Add(renewInterval)))
		wantCheck(t, []Check{n.checkSecurity()}, "security", "ok")
		time.Sleep(2 * renewInterval)
		wantCheck(t, []Check{n.checkSecurity()}, "security", "warn", "should have been renewed", "no leader")
		time.Sleep(time.Until(n.keeper.Expires()))
		wantCheck(t, []Check{n.checkSecurity()}, "security", "fail", "expired", "is the clock right")
		n.exposed, n.keeper = true, &trust.Keeper{}
		wantCheck(t, []Check{n.checkSecurity()}, "security", "warn", "not encrypted, and other machines can reach them", "catalyst init")
	})
}

// The doctor of a node that does not run looks at its directory.
func TestADirectoryIsExamined(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	wantCheck(t, Examine(dir), "data directory", "fail", "--data-dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, Examine(dir), "data directory", "warn", "0755", "chmod 700")
	wantCheck(t, Examine(dir), "identity", "fail", "is no data directory of a node", "catalyst member remove")
	n := nodeIn(t, dir, "a", "paris")
	if err := n.recallIdentity(); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, Examine(dir), "identity", "ok", "node a of site paris", "in no site yet")
	wantCheck(t, Examine(dir), "credentials", "ok", "no secured site")
	store, err := storage.Open(filepath.Join(dir, "raft"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantCheck(t, Examine(dir), "log", "warn", "stop the node")
	if err := store.StoreLogs([]*raft.Log{{Index: 1, Term: 1, Data: []byte("x")}, {Index: 2, Term: 1, Data: []byte(strings.Repeat("y", 100))}}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, Examine(dir), "log", "ok", "entries 1 to 2")
	path := filepath.Join(dir, identityFile)
	if err := os.WriteFile(path, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, Examine(dir), "identity", "fail", identityFile, "damaged", "restore node.json from a copy")
}
