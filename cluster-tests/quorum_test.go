package clustertests

import (
	"fmt"
	"strings"
	"testing"
)

// TestWithoutMajority: with two of three nodes down the third takes no write and says why, serves stale reads, and needs
// no help once the others return.
func TestWithoutMajority(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")
	c := s.dial(t, s.nodes[0])
	made := c.register(t, service("kept"))
	left := s.followers(t)[0]
	s.table(t, left, made.Index) // a majority can have it without this one
	for _, n := range s.nodes {
		if n != left {
			n.crash(t)
		}
	}
	alone := s.dial(t, left)
	refusesWrites(t, s, left, alone)

	t.Run("stale reads are served", func(t *testing.T) {
		if _, there := s.table(t, left, made.Index)["kept:http"]; !there {
			t.Error("the service registered before is not shown")
		}
	})
	t.Run("linearizable reads are not", func(t *testing.T) {
		if _, err := alone.routes(query{}); codeOf(err) != "no_leader" {
			t.Errorf("%v, want a rejection with code no_leader", err)
		}
	})
	t.Run("the CLI says that there is no leader", func(t *testing.T) {
		got := cli(t, nil, "service", "add", "cli", "http://127.0.0.1:9/", "--address", left.ws(), "--timeout", "3s")
		if got.status != 3 || got.stderr == "" || strings.Contains(got.stdout, "replicated") {
			t.Errorf("%+v, want exit status 3 and the reason on stderr", got)
		}
	})
	t.Run("it recovers by itself", func(t *testing.T) {
		for _, n := range s.nodes {
			if n != left {
				n.start(t, n.at)
			}
		}
		s.complete(t, 3)
		again := alone.register(t, service("again")) // on the session that lived through it
		for _, n := range s.nodes {
			got := s.table(t, n, again.Index)
			for _, id := range []string{"kept:http", "again:http"} {
				if _, there := got[id]; !there {
					t.Errorf("%s does not show %s", n.id, id)
				}
			}
			if _, there := got["lonely:http"]; there {
				t.Errorf("%s shows a service whose registration was refused", n.id)
			}
		}
	})
}

// refusesWrites waits until the node knows that it is alone, and then asserts that it keeps to it.
func refusesWrites(t *testing.T, s *site, n *node, c *client) {
	t.Helper()
	probe := 0
	eventually(t, "a write is refused with no_leader", func() error {
		probe++ // an outcome that is unknown may still be committed later, so each probe is of another service
		_, err := c.apply(creation(service(fmt.Sprintf("probe-%d", probe))))
		if codeOf(err) != "no_leader" {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	if _, err := c.apply(creation(service("lonely"))); codeOf(err) != "no_leader" {
		t.Errorf("another write: %v, want code no_leader", err)
	}
	if err := answers("GET", "http://"+n.at.RPC+"/ready", 503); err != nil {
		t.Error(err)
	}
	if err := n.healthy(); err != nil {
		t.Error(err)
	}
}

// TestRetryAfterLeaderChangeReturnsTheFirstOutcome: a requestId answered before a failover is answered the same after it,
// also when what it did was undone in between.
func TestRetryAfterLeaderChangeReturnsTheFirstOutcome(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")
	leader, term := s.leaderAfter(t, 0)
	before := s.dial(t, leader)

	create := creation(service("once"))
	create.RequestID = "create-once"
	created := before.do(t, create)
	missing := deletion("never:http")
	missing.RequestID = "delete-never"
	refused, err := before.apply(missing)
	if err != nil || refused.Code != "not_found" {
		t.Fatalf("delete what is not there: %v %v", refused, err)
	}
	before.do(t, deletion("once:http"))

	leader.crash(t)
	if _, now := s.leaderAfter(t, term); now <= term {
		t.Fatalf("term %d after %d: the leader did not change", now, term)
	}
	after := s.dial(t, s.follower(t))
	after.register(t, service("never"))

	if again := after.do(t, create); again.Index != created.Index || again.Data.ID != created.Data.ID {
		t.Errorf("create again: %v, first %v", again, created)
	}
	again, err := after.apply(missing)
	if err != nil || again.Success || again.Code != refused.Code {
		t.Errorf("delete again: %v %v, first %v", again, err, refused)
	}
	list, err := after.routes(query{})
	if err != nil || len(list.Routes) != 1 || list.Routes[0].ID != "never:http" {
		t.Errorf("the table is %s %v, want never:http alone: a retry was applied", asJSON(list), err)
	}
}
