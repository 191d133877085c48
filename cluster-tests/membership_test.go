package clustertests

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestMembersComeAndGo grows a site by `catalyst join` and by --join, and shrinks it by leave and by remove, with a
// service registered at each size that every member then shows.
func TestMembersComeAndGo(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")

	t.Run("a member that leaves at once stays away", func(t *testing.T) {
		n := newNode(s.owner, "brief", "--gateway-endpoint=")
		n.start(t, anyPort, "--join", s.nodes[0].at.Gossip)
		s.nodes = append(s.nodes, n)
		s.complete(t, 4)
		if left := cli(t, nil, "leave", "--address", n.ws()); left.status != 0 {
			t.Fatalf("catalyst leave: %+v", left)
		}
		n.await(t)
		s.nodes = s.nodes[:3]
		s.complete(t, 3)
	})
	t.Run("a waiting node is told to join", func(t *testing.T) {
		waiting := newNode(s.owner, "n4", "--gateway-endpoint=")
		waiting.start(t, anyPort)
		awaits(t, s, waiting)
		joined := cli(t, nil, "join", s.nodes[1].at.Gossip, "--address", waiting.ws())
		if joined.status != 0 {
			t.Fatalf("catalyst join: %+v", joined)
		}
		s.nodes = append(s.nodes, waiting)
		s.complete(t, 4)
		everyoneShows(t, s, "four")
	})
	t.Run("a node joins by itself", func(t *testing.T) {
		n := newNode(s.owner, "n5", "--gateway-endpoint=")
		n.start(t, anyPort, "--join", s.nodes[2].at.Gossip)
		s.nodes = append(s.nodes, n)
		s.complete(t, 5)
		everyoneShows(t, s, "five")
	})
	t.Run("a member leaves", func(t *testing.T) {
		leaving := s.node(t, "n4")
		if left := cli(t, nil, "leave", "--address", leaving.ws()); left.status != 0 {
			t.Fatalf("catalyst leave: %+v", left)
		}
		if status := leaving.await(t); status != 0 {
			t.Errorf("the process that left ended with status %d, want 0", status)
		}
		leaving.gone(t)
		s.complete(t, 4)
		noLongerVotes(t, s, "n4")
		everyoneShows(t, s, "left")
	})
	t.Run("a dead member is removed", func(t *testing.T) {
		dead := s.node(t, "n5")
		dead.crash(t)
		c := s.dial(t, s.follower(t))
		defer c.close(t)
		insist(t, c, action{Resource: "member", Action: "remove", Data: map[string]string{"id": dead.id}})
		s.complete(t, 3)
		noLongerVotes(t, s, "n5")
		everyoneShows(t, s, "removed")
		if r, err := c.apply(action{Resource: "member", Action: "remove", Data: map[string]string{"id": "nobody"}}); err != nil || r.Code != "not_found" {
			t.Errorf("remove a member that is not there: %v %v, want not_found", r, err)
		}
	})
	t.Run("the leader leaves", func(t *testing.T) {
		leader, term := s.leaderAfter(t, 0)
		if left := cli(t, nil, "leave", "--address", leader.ws()); left.status != 0 {
			t.Fatalf("catalyst leave: %+v", left)
		}
		if status := leader.await(t); status != 0 {
			t.Errorf("the process that left ended with status %d, want 0", status)
		}
		s.leaderAfter(t, term)
		s.complete(t, 2)
		noLongerVotes(t, s, leader.id)
		everyoneShows(t, s, "handed")
	})
}

// awaits asserts that a node without a site says so: not ready, role waiting, actions rejected.
func awaits(t *testing.T, s *site, n *node) {
	t.Helper()
	if err := n.healthy(); err != nil {
		t.Error(err)
	}
	if err := answers("GET", "http://"+n.at.RPC+"/ready", 503); err != nil {
		t.Error(err)
	}
	if st, err := s.status(n); err == nil && st.Role != "waiting" {
		t.Errorf("role %q, want waiting", st.Role)
	}
	_, err := once[result](s.driver, n.http(), call("connectionFromCli"), call("applyAction", creation(service("early"))))
	if codeOf(err) != "no_leader" {
		t.Errorf("an action at a waiting node: %v, want a rejection with code no_leader", err)
	}
}

// everyoneShows registers a service at one node and reads it at each.
func everyoneShows(t *testing.T, s *site, name string) {
	t.Helper()
	c := s.dial(t, s.follower(t))
	defer c.close(t)
	made := insist(t, c, creation(service(name)))
	for _, n := range s.running() {
		if _, there := s.table(t, n, made.Index)[name+":http"]; !there {
			t.Errorf("%s does not show %s", n.id, name)
		}
	}
}

// noLongerVotes waits until no running node lists the member with a vote.
func noLongerVotes(t *testing.T, s *site, id string) {
	t.Helper()
	eventually(t, id+" is no voter anywhere", func() error {
		for _, n := range s.running() {
			list, err := once[struct{ Members []member }](s.driver, n.http(), call("connectionFromCli"), call("listMembers"))
			if err != nil {
				return err
			}
			if len(list.Members) == 0 {
				return errors.New("no members listed")
			}
			i := slices.IndexFunc(list.Members, func(m member) bool { return m.ID == id })
			if i >= 0 && list.Members[i].State != "left" && list.Members[i].Role != "nonvoter" {
				return fmt.Errorf("%s lists %+v", n.id, list.Members[i])
			}
		}
		return nil
	})
}
