package clustertests

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// site is a few nodes that replicate one table, and the driver through which a test speaks to them.
type site struct {
	*driver
	owner testing.TB // nodes end with it, also those that a subtest starts
	name  string     // empty for the site of a test that has only one
	token []any      // the admin token, if the site wants one
	nodes []*node
	given initiated // what founded it, if it is a secured one
}

// startSite starts size nodes, the first with --bootstrap and the others with --join, and waits until all of them vote.
func startSite(t testing.TB, size int, flags ...string) *site {
	t.Helper()
	s := &site{driver: startDriver(t), owner: t}
	for i := range size {
		s.nodes = append(s.nodes, newNode(t, fmt.Sprintf("n%d", i+1), flags...))
	}
	s.start(t, anyPort)
	return s
}

// start starts the site's nodes for the first time.
func (s *site) start(t testing.TB, at addresses) {
	t.Helper()
	for i, n := range s.nodes {
		if i == 0 {
			n.start(t, at, "--bootstrap")
		} else {
			n.start(t, at, "--join", s.nodes[0].at.Gossip)
		}
	}
	s.complete(t, len(s.nodes))
}

// complete waits until every running node is ready and tells of the same leader and so many voters.
func (s *site) complete(t testing.TB, voters int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d nodes vote and all are ready", voters), func() error {
		leader, err := s.agreed()
		if err != nil {
			return err
		}
		if leader.Voters != voters {
			return fmt.Errorf("%d voters", leader.Voters)
		}
		for _, n := range s.running() {
			if err := n.ready(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *site) running() []*node {
	return slices.DeleteFunc(slices.Clone(s.nodes), func(n *node) bool { return n.process == nil || !n.process.running() })
}

// scope begins a chain of calls of a client that the site admits.
func (s *site) scope() step { return call("connectionFromCli", s.token...) }

// dial is the driver's, with the token that the site wants.
func (s *site) dial(t testing.TB, n *node) *client {
	t.Helper()
	return s.driver.dial(t, n, s.token...)
}

func (s *site) status(n *node) (status, error) {
	return once[status](s.driver, n.http(), s.scope(), call("status"))
}

// agreed is the leader's status, once every running node names that leader in the same term.
func (s *site) agreed() (status, error) {
	var leader status
	var all []status
	for _, n := range s.running() {
		st, err := s.status(n)
		if err != nil {
			return status{}, fmt.Errorf("status of %s: %w", n.id, err)
		}
		if st.Role == "leader" {
			leader = st
		}
		all = append(all, st)
	}
	if leader.Role == "" {
		return status{}, errors.New("no node leads")
	}
	for _, st := range all {
		if st.Leader != leader.Leader || st.Term != leader.Term {
			return status{}, fmt.Errorf("%s names %q of term %d, %s names %q of term %d",
				st.Node, st.Leader, st.Term, leader.Node, leader.Leader, leader.Term)
		}
	}
	return leader, nil
}

// leader waits until the running nodes agree on one.
func (s *site) leader(t testing.TB) *node {
	t.Helper()
	n, _ := s.leaderAfter(t, 0)
	return n
}

// leaderAfter waits until the running nodes agree on a leader of a later term.
func (s *site) leaderAfter(t testing.TB, term uint64) (*node, uint64) {
	t.Helper()
	var leader status
	eventually(t, fmt.Sprintf("a leader of a term after %d", term), func() (err error) {
		if leader, err = s.agreed(); err == nil && leader.Term <= term {
			err = fmt.Errorf("term %d", leader.Term)
		}
		return err
	})
	return s.node(t, leader.Node), leader.Term
}

func (s *site) node(t testing.TB, id string) *node {
	t.Helper()
	for _, n := range s.nodes {
		if n.id == id {
			return n
		}
	}
	t.Fatalf("no node %s among %d", id, len(s.nodes))
	return nil
}

// follower is a running node that does not lead.
func (s *site) follower(t testing.TB) *node {
	t.Helper()
	return s.followers(t)[0]
}

func (s *site) followers(t testing.TB) []*node {
	t.Helper()
	leader := s.leader(t)
	return slices.DeleteFunc(s.running(), func(n *node) bool { return n == leader })
}

func (s *site) urls() []string {
	var urls []string
	for _, n := range s.running() {
		urls = append(urls, n.ws())
	}
	return urls
}

// table is what one node shows of the local routes at index minIndex or later, read from that node alone.
func (s *site) table(t testing.TB, n *node, minIndex uint64) map[string]route {
	t.Helper()
	list, err := once[routes](s.driver, n.http(), s.scope(),
		call("listLocalRoutes", query{Consistency: "stale", MinIndex: minIndex}))
	if err != nil {
		t.Fatalf("stale read at %s: %v", n.id, err)
	}
	if list.Index < minIndex {
		t.Fatalf("stale read at %s: index %d, asked for at least %d", n.id, list.Index, minIndex)
	}
	byID := make(map[string]route, len(list.Routes))
	for _, r := range list.Routes {
		if _, twice := byID[r.ID]; twice {
			t.Errorf("%s lists %s twice", n.id, r.ID)
		}
		byID[r.ID] = r
	}
	return byID
}
