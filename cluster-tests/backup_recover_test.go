package clustertests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecover: two of three nodes of a secured site are lost for good. What is left of it becomes the site, as catalyst
// recover says beforehand; a node of its old life is refused, and is taken in when it is empty.
func TestRecover(t *testing.T) {
	s := startSecured(t, 3)
	left := s.nodes[0]
	c := s.dial(t, left)
	var last result
	for i := range 30 {
		last = insist(t, c, creation(service(fmt.Sprint("survives-", i))))
	}
	want := s.table(t, left, last.Index)
	old, err := s.status(left)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range s.nodes {
		n.crash(t)
	}

	before := contents(t, left.dir)
	dry := cli(t, nil, "recover", "--data-dir", left.dir)
	if dry.status != 0 {
		t.Fatalf("catalyst recover: %+v", dry)
	}
	says(t, "recover-dry-run", dry.stdout+dry.stderr)
	if after := contents(t, left.dir); after != before {
		t.Errorf("a dry run of catalyst recover changed the data directory\nbefore: %s\nafter: %s", before, after)
	}

	done := cli(t, nil, "recover", "--data-dir", left.dir, "--yes")
	if done.status != 0 {
		t.Fatalf("catalyst recover --yes: %+v", done)
	}
	_, end, _ := strings.Cut(done.stdout, "\nDone")
	says(t, "recover-done", "Done"+end+done.stderr)

	left.start(t, left.at)
	alone := s.without(s.nodes[1]).without(s.nodes[2])
	alone.complete(t, 1)
	now, err := alone.status(left)
	if err != nil || now.Epoch <= old.Epoch {
		t.Errorf("the site lives on in epoch %q, and was in %q: %v", now.Epoch, old.Epoch, err)
	}
	if got := alone.table(t, left, last.Index); asJSON(got) != asJSON(want) {
		t.Errorf("the site lives on with %.1000s\nand had %.1000s", asJSON(got), asJSON(want))
	}
	insist(t, alone.dial(t, left), creation(service("of-the-new-life")))

	t.Run("a node of the old life is refused", func(t *testing.T) { refusesOldLife(t, alone, s.nodes[1]) })
	t.Run("and is taken in when it is empty", func(t *testing.T) {
		n := s.nodes[1]
		if err := os.RemoveAll(n.dir); err != nil {
			t.Fatal(err)
		}
		n.trust = nil
		n.start(t, n.at)
		alone.admit(t, n)
		alone.nodes = append(alone.nodes, n)
		alone.complete(t, 2)
		made := insist(t, alone.dial(t, n), creation(service("of-two")))
		for _, n := range alone.nodes {
			if got := alone.table(t, n, made.Index); len(got) != len(want)+2 {
				t.Errorf("%s shows %d services, want %d", n.id, len(got), len(want)+2)
			}
		}
	})
}

// refusesOldLife starts a node with the data of the site's former life, and waits until it has ended and said why.
func refusesOldLife(t *testing.T, s *site, n *node) {
	voters := s.leaderStatus(t).Voters
	n.start(t, n.at)
	if n.await(t) == 0 {
		t.Errorf("%s is of the old life, and ended with status 0", n.id)
	}
	says(t, "old-life", linesWith(string(tail(n.log.Name(), 64<<10)), "error: "))
	if now := s.leaderStatus(t); now.Voters != voters || now.Leader != s.nodes[0].id {
		t.Errorf("the site has %d voters and is led by %q, and had %d", now.Voters, now.Leader, voters)
	}
}

// contents is every file beneath dir with its size and a digest, to see whether something has changed.
func contents(t testing.TB, dir string) string {
	t.Helper()
	return tool(t, "find", dir, "-type", "f", "-exec", "cksum", "{}", "+")
}

// TestRecoverOfWhatIsNoNode: a directory that is none, or one that never was in a site, is refused with what to do.
func TestRecoverOfWhatIsNoNode(t *testing.T) {
	empty := t.TempDir()
	got := cli(t, nil, "recover", "--data-dir", empty)
	told := got.stderr
	missing := cli(t, nil, "recover", "--data-dir", filepath.Join(empty, "nothing"))
	n := newNode(t, "waiting", "--gateway-endpoint=")
	n.start(t, anyPort)
	running := cli(t, nil, "recover", "--data-dir", n.dir)
	n.stop(t)
	never := cli(t, nil, "recover", "--data-dir", n.dir)
	for _, r := range []ran{got, missing, running, never} {
		if r.status != 1 || r.stdout != "" {
			t.Errorf("%+v, want a refusal", r)
		}
	}
	told += missing.stderr + "\nwhile its node runs:\n" + running.stderr + "\nof a node that never was in a site:\n" + never.stderr
	says(t, "recover-refused", told, empty, "DIR/empty")
}
