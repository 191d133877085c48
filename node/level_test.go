package node

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/gossip"
)

func old(c *Config) { c.Level = 1 }

// A site of an older version is upgraded node by node. What is new is refused
// until the last one is there and alive, and says who holds it back.
func TestASiteIsUpgradedNodeByNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 31, "n1", "n2", "n3")
		w.site(old)
		defer w.shutdown()
		s := &securedSite{world: w}
		refused := func(by string) {
			t.Helper()
			for _, kind := range []string{"create", "revoke"} {
				r, err := s.act(w.leader().cfg.ID, "", "token", kind, map[string]any{"role": "admin", "id": "nothing"})
				if err != nil || r.Code != "conflict" {
					t.Fatalf("token/%s at an older level: %+v, %v; want conflict", kind, r, err)
				}
				wantWords(t, r.Error, "token/"+kind, "level 2", "at 1", "held back by "+by, "upgrade there")
			}
			if got := w.leader().machine.Table().Level(); got != 1 {
				t.Fatalf("the site is at level %d while %s is old", got, by)
			}
		}
		if r, err := ask[answer](w, "n1", "", "init", map[string]any{}); err != nil || r.Code != "conflict" {
			t.Errorf("init at an older node: %+v, %v; want conflict", r, err)
		}
		s.must("dataChannel", "create", service("x", "http://x:80/"))
		upgrade := func(id string) {
			w.halt(id)
			w.start(id, nil)
			w.eventually(id+" is back", func() bool {
				n := w.leaderNow()
				return n != nil && n.members.Of(id).Level == 2 && n.members.Of(id).State == gossip.Alive
			})
		}
		for i, id := range []string{"n1", "n2"} {
			upgrade(id)
			time.Sleep(5 * time.Second) // longer than the level would take
			w.leads(id)
			refused([]string{"n2, n3", "n3"}[i])
		}
		// The last one goes away without a word: it may be of any version.
		w.crash("n3")
		w.eventually("gossip has noticed", func() bool { return w.leader().members.Of("n3").State == gossip.Failed })
		time.Sleep(5 * time.Second)
		refused("n3")
		// Nor does a leader that has never heard of it take it for new.
		for _, id := range []string{"n1", "n2"} {
			w.halt(id)
		}
		for _, id := range []string{"n1", "n2"} {
			w.start(id, nil)
		}
		w.leader()
		time.Sleep(5 * time.Second)
		refused("n3")
		checks, err := ask[struct {
			Checks []Check `json:"checks"`
		}](w, w.leader().cfg.ID, "", "diagnose")
		if err != nil {
			t.Fatal(err)
		}
		wantCheck(t, checks.Checks, "version", "warn", "level 1", "knows 2", "held back by n3")
		w.start("n3", nil)
		w.eventually("the level has risen everywhere", func() bool {
			for _, n := range w.running() {
				if n.machine.Table().Level() != 2 {
					return false
				}
			}
			return len(w.running()) == 3
		})
		w.eventually("all members are known by their incarnations", func() bool {
			for _, id := range sortedKeys(w.hosts) {
				if got, _ := w.leader().machine.Table().Instance(id); got != w.hosts[id].node.who().Instance {
					return false
				}
			}
			return true
		})
		s.admin, _ = s.token(map[string]any{"role": "admin"})
		w.eventually("nobody is an admin without a token any more", func() bool {
			_, err := ask[Status](w, "n2", "", "status")
			return code(err) == "unauthenticated"
		})
		s.must("dataChannel", "create", service("y", "http://y:80/"))
		w.checkEqual()
	})
}

// leads waits until a node leads; one that does not gives leadership up to it.
func (w *world) leads(id string) {
	w.t.Helper()
	w.eventually(id+" leads", func() bool {
		n := w.leaderNow()
		if n == nil || n.cfg.ID == id {
			return n != nil
		}
		server, _ := electorate{servers: n.configuration()}.find(id)
		_ = n.raft.LeadershipTransferToServer(server.ID, server.Address).Error()
		return false
	})
}

// wantCheck looks for a check of a doctor.
func wantCheck(t *testing.T, checks []Check, name, state string, words ...string) {
	t.Helper()
	for _, c := range checks {
		if c.Name != name {
			continue
		}
		if c.State != state || (c.Remedy == "") != (state == "ok") {
			t.Errorf("%s is %s: %+v; want %s, and a remedy unless it is ok", name, c.State, c, state)
		}
		wantWords(t, c.Detail+" / "+c.Remedy, words...)
		return
	}
	t.Errorf("there is no check %q in %+v", name, checks)
}

// A site that has tokens is never older than they are: an old node that
// would not understand the log is not taken in.
func TestAnOldNodeIsNotTakenIntoANewSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 32, "n1", "n2")
		defer w.shutdown()
		s := secure(w, nil, "n1")
		uses := func() int {
			for k := range w.leader().machine.Table().Tokens() {
				if k.Role == "join" {
					return k.Uses
				}
			}
			return 0
		}
		before := uses()
		w.start("n2", old)
		r, err := s.joinAt("n2", "n1")
		if err != nil || r.Code != "forbidden" {
			t.Fatalf("an old node joins: %+v, %v; want forbidden", r, err)
		}
		wantWords(t, r.Error, "too old", "level 2", "knows 1", "install a newer one")
		if got := uses(); got != before {
			t.Errorf("the refusal took a use of the token: %d left, were %d", got, before)
		}
	})
}
