package clustertests

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestThirtyRacingBootstraps: three nodes of each site start at once and are told of each other; each site begins once.
func TestThirtyRacingBootstraps(t *testing.T) {
	d := startDriver(t)
	const rounds, atOnce = 10, 3 // sites
	for round := range rounds {
		t.Run(fmt.Sprint("round ", round+1), func(t *testing.T) {
			var sites []*site
			for i := range atOnce {
				sites = append(sites, raceToBootstrap(t, d, atOnce*round+i))
			}
			for _, s := range sites {
				s.complete(t, 3)
				beganOnce(t, s)
			}
		})
	}
}

// raceToBootstrap starts three nodes, of which none waits for another. Each has an address of loopback of its own: what is a
// free port now, others may take before a node does.
func raceToBootstrap(t testing.TB, d *driver, number int) *site {
	t.Helper()
	s := &site{driver: d, owner: t}
	host := func(i int) string { return fmt.Sprintf("127.%d.%d.%d", 64+os.Getpid()%128, number+1, i+1) }
	gossip := fmt.Sprintf("%s:3002,%s:3002,%s:3002", host(0), host(1), host(2))
	for i := range 3 {
		n := newNode(t, fmt.Sprint("n", i+1), "--gateway-endpoint=", "--bootstrap-expect", "3", "--join", gossip)
		n.at = addresses{host(i) + ":3000", host(i) + ":3001", host(i) + ":3002"}
		n.begin(t, n.at)
		s.nodes = append(s.nodes, n)
	}
	return s
}

// beganOnce asserts that all nodes are of one epoch and one site id, and that one of them has founded it.
func beganOnce(t testing.TB, s *site) {
	t.Helper()
	first, err := s.status(s.nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	id, founded := s.nodes[0].identity(t).SiteID, 0
	for _, n := range s.nodes {
		if st, err := s.status(n); err != nil || st.Epoch != first.Epoch || st.Epoch == "" || st.Leader != first.Leader {
			t.Errorf("%s: %s %v, and %s: %s", n.id, asJSON(st), err, s.nodes[0].id, asJSON(first))
		}
		if other := n.identity(t).SiteID; other != id {
			t.Errorf("%s is of site %s, %s of site %s", n.id, other, s.nodes[0].id, id)
		}
		founded += strings.Count(string(tail(n.log.Name(), 1<<20)), `"msg":"founded"`)
	}
	if founded != 1 {
		t.Errorf("the site was founded %d times", founded)
	}
}

// TestInitTwiceAtOnce: one of several wins, and the secrets that it prints are the site's.
func TestInitTwiceAtOnce(t *testing.T) {
	n := newNode(t, "n1", "--gateway-endpoint=")
	n.start(t, anyPort)
	results := make([]ran, 4)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = run(t, nil, n.catalyst("init", "--address", n.at.RPC, "-o", "json")...) })
	}
	wg.Wait()
	s := &site{owner: t, nodes: []*node{n}}
	won := 0
	for _, r := range results {
		switch {
		case r.status == 0:
			won++
			s.know(t, n, decode[struct{ Data initiated }](t, []byte(r.stdout)).Data)
		case strings.Contains(r.stdout, "cat_"):
			t.Errorf("one that lost has a token: %+v", r)
		}
	}
	if won != 1 {
		t.Fatalf("%d of %d won, want 1: %+v", won, len(results), results)
	}
	s.complete(t, 1)
	s.survives(t, 1)
	refusal(t, "init-again", run(t, nil, n.catalyst("init", "--address", n.at.RPC)...))
	refusal(t, "init-again-with-token", run(t, []string{"CATALYST_TOKEN=" + s.given.AdminToken}, n.catalyst("init", "--address", n.at.RPC)...))
}

// complains are the messages of a node's log from level WARN on.
func (n *node) complains(t testing.TB) (said []string) {
	t.Helper()
	file, err := os.Open(n.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var l struct{ Level, Msg, Err string }
		if json.Unmarshal(lines.Bytes(), &l) == nil && (l.Level == "WARN" || l.Level == "ERROR") {
			said = append(said, l.Level+" "+l.Msg+": "+l.Err)
		}
	}
	return said
}

// TestForeignNodeOfTheSameName: a node that holds the state of another site of the name is told to join this one, and nothing
// of either comes to the other.
func TestForeignNodeOfTheSameName(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		foreign := &site{driver: startDriver(t), owner: t, nodes: []*node{newNode(t, "x", "--gateway-endpoint=")}}
		foreign.start(t, anyPort)
		s := startSite(t, 3, "--gateway-endpoint=")
		keepsApart(t, s, foreign)
		said := ""
		eventually(t, "somebody says what is wrong", func() error {
			for _, n := range append(s.nodes, foreign.nodes...) {
				for _, line := range n.complains(t) {
					if strings.Contains(line, "states of two sites") && n == foreign.nodes[0] {
						said = line
						return nil
					}
				}
			}
			return errors.New("nobody does")
		})
		says(t, "foreign-node", regexp.MustCompile(`\bn[123]\b`).ReplaceAllString(said, "NODE")+"\n")
	})
	t.Run("secured", func(t *testing.T) {
		foreign, s := newSecured(t, 1), startSecured(t, 3)
		foreign.nodes[0].id = "x"
		foreign.found(t, anyPort)
		keepsApart(t, s, foreign)
	})
}

// keepsApart restarts the foreign site's only node with the address of the others.
func keepsApart(t *testing.T, s, foreign *site) {
	t.Helper()
	x := foreign.nodes[0]
	c := foreign.dial(t, x)
	index := c.register(t, service("foreign")).Index
	c.close(t)
	x.stop(t)
	s.undisturbed(t, func() {
		x.start(t, x.at, "--join", s.nodes[0].at.Gossip)
		foreign.complete(t, 1)
		if got := foreign.table(t, x, index); len(got) != 1 || got["foreign:http"].ID == "" {
			t.Errorf("the foreign node shows %s", asJSON(got))
		}
		// It goes on to knock while the site lives.
		for i := range 3 {
			c := s.dial(t, s.nodes[i])
			c.register(t, service(fmt.Sprint("ours", i)))
			c.close(t)
		}
	})
	for _, n := range append(s.nodes, x) {
		if !n.running() {
			t.Errorf("%s has ended", n.id)
		}
	}
	for _, n := range s.nodes {
		if got := s.table(t, n, 0); got["foreign:http"].ID != "" || len(got) < 3 {
			t.Errorf("%s shows %s", n.id, asJSON(got))
		}
	}
}

// TestWipedNodes: a member that comes back under its id without its data is refused, with a remedy that works. Three of a
// plain site, one after the other, and two of a secured one.
func TestWipedNodes(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		s := startSite(t, 3, "--gateway-endpoint=")
		for _, n := range s.nodes {
			n.wipe(t)
			s.survives(t, 3)
			other := s.running()[0]
			n.begin(t, n.at, "--join", other.at.Gossip)
			if status := n.await(t); status == 0 {
				t.Errorf("%s ended with status 0", n.id)
			}
			says(t, "wiped-plain", lastLine(t, n), n.id, "NODE")
			s.survives(t, 3)

			s.cli(t, other, 0, "member", "remove", n.id)
			n.empty(t)
			n.start(t, n.at, "--join", other.at.Gossip)
			s.complete(t, 3)
			everyoneShows(t, s, "cured-"+n.id)
		}
	})
	t.Run("secured", func(t *testing.T) {
		s := startSecured(t, 3)
		for _, n := range s.nodes[1:] {
			n.wipe(t)
			n.trust = nil
			s.survives(t, 3)
			n.start(t, n.at)
			running := s.nodes
			s.nodes = without(s.nodes, n) // it is none of the site until it is cured
			refusal(t, "wiped-secured", s.join(t, n, s.given.JoinToken), n.id, "NODE")
			s.survives(t, 3)

			s.cli(t, s.running()[0], 0, "member", "remove", n.id)
			s.admit(t, n)
			s.nodes = running
			s.complete(t, 3)
			everyoneShows(t, s, "cured-"+n.id)
		}
	})
}

func without(nodes []*node, n *node) (rest []*node) {
	for _, other := range nodes {
		if other != n {
			rest = append(rest, other)
		}
	}
	return rest
}

// wipe kills a node and empties its data directory.
func (n *node) wipe(t testing.TB) {
	t.Helper()
	n.crash(t)
	n.empty(t)
}

func (n *node) empty(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(n.dir); err != nil {
		t.Fatal(err)
	}
}

// survives asserts that those that run have a leader, still count so many voters, and take a change.
func (s *site) survives(t testing.TB, voters int) {
	t.Helper()
	if st := s.leaderStatus(t); st.Voters != voters {
		t.Errorf("%d voters, want %d", st.Voters, voters)
	}
	c := s.dial(t, s.running()[0])
	defer c.close(t)
	insist(t, c, creation(service(s.driver.name("survivor"))))
}

// lastLine is what a node that ended said last.
func lastLine(t testing.TB, n *node) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(tail(n.log.Name(), 8<<10))), "\n")
	return lines[len(lines)-1] + "\n"
}
