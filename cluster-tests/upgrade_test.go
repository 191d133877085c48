package clustertests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestRollingUpgrade replaces the nodes of an older version one after the other, under load. The site works all the while,
// at what all of its nodes know; it says who holds it back, and goes up by itself with the last of them.
func TestRollingUpgrade(t *testing.T) {
	old := filepath.Join(t.TempDir(), "catalyst-old")
	if err := command("..", "go", "build", "-ldflags", "-X main.level=1", "-o", old, "./cmd/catalyst"); err != nil {
		t.Fatal(err)
	}
	s := &site{driver: startDriver(t), owner: t}
	for i := range 3 {
		n := newNode(t, fmt.Sprintf("n%d", i+1), "--gateway-endpoint=")
		n.build = old
		s.nodes = append(s.nodes, n)
	}
	s.start(t, anyPort)
	l := s.load(t, 4, "upgraded")
	s.level(t, 1)

	for i, n := range s.nodes {
		l.advances(t, 20)
		n.stop(t)
		n.build = ""
		n.start(t, n.at)
		s.complete(t, 3)
		l.advances(t, 20)
		if i < 2 {
			s.isHeldBack(t, n, s.nodes[i+1:], fmt.Sprintf("upgrade-%d-of-3", i+1))
		}
	}
	s.level(t, 2)
	healthy := s.cli(t, s.nodes[0], 0, "doctor")
	if line := linesWith(healthy.stdout, "version"); !strings.Contains(line, "the site is at level 2") || strings.Contains(line, "knows") {
		t.Errorf("catalyst doctor after the upgrade: %s", line)
	}
	f := l.finish(t)
	s.holds(t, f)

	made := s.cli(t, s.nodes[0], 0, "token", "create", "--role", "admin")
	s.token = []any{strings.TrimSpace(made.stdout)}
	if list := s.cli(t, s.nodes[1], 0, "token", "list"); !strings.Contains(list.stdout, "admin") {
		t.Errorf("catalyst token list: %s", list.stdout)
	}
	t.Run("and there is no way back", func(t *testing.T) { refusesDowngrade(t, s, s.node(t, "n3"), old) })
	for _, n := range s.nodes {
		neverPanicked(t, n)
	}
}

// refusesDowngrade restarts a node with a build that does not know what the site uses by now: it ends, and says why.
func refusesDowngrade(t *testing.T, s *site, n *node, old string) {
	n.stop(t)
	n.build = old
	n.start(t, n.at)
	if status := n.await(t); status == 0 {
		t.Error("the older build ended with status 0")
	}
	says(t, "downgrade", linesWith(string(tail(n.log.Name(), 64<<10)), "error: "))
	n.build = ""
	n.start(t, n.at)
	s.complete(t, 3)
}

// level waits until every node says that the site is at a feature level.
func (s *site) level(t testing.TB, want int) {
	t.Helper()
	for _, n := range s.nodes {
		eventually(t, fmt.Sprintf("%s is at level %d", n.id, want), func() error {
			st, err := once[struct{ Level int }](s.driver, n.http(), s.scope(), call("status"))
			if err == nil && st.Level != want {
				err = fmt.Errorf("level %d", st.Level)
			}
			return err
		})
	}
}

// isHeldBack asserts that the site stays at level 1 while older nodes are in it, that a new node says which ones hold it back,
// and that what needs more is refused with that reason, whoever leads.
func (s *site) isHeldBack(t testing.TB, fresh *node, older []*node, golden string) {
	t.Helper()
	s.level(t, 1)
	var names []string
	for _, n := range older {
		names = append(names, n.id, "AN_OLDER_NODE")
	}
	doctor := s.cli(t, fresh, 0, "doctor")
	told := "$ catalyst doctor\n" + linesWith(doctor.stdout, "version", "held back")
	refused := s.cli(t, fresh, 1, "token", "create", "--role", "admin")
	told += "\n$ catalyst token create --role admin\n" + refused.stdout + refused.stderr
	members := s.cli(t, fresh, 0, "members")
	told += "\n$ catalyst members\n" + members.stdout
	// Who leads, and whether the leader is an older node itself, which names only others, is chance.
	told = strings.NewReplacer("leader", "voter ", older[0].id+", "+older[len(older)-1].id, older[0].id).Replace(told)
	says(t, golden, told, names...)
}
