package clustertests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestFirstHour: an operator types what is printed, line by line, and has a secured site of three nodes; stops all of it,
// starts it again with nothing but id, directory and addresses; and moves it to other ports, one node after the other.
func TestFirstHour(t *testing.T) {
	s := newSecured(t, 3)
	for _, n := range s.nodes {
		n.start(t, anyPort)
	}
	typed := func(t *testing.T, n *node, lines ...string) ran {
		t.Helper()
		env := []string{"PATH=" + filepath.Dir(programs.catalyst) + ":" + os.Getenv("PATH"), "CATALYST_ADDR=" + n.at.RPC}
		got := run(t, env, "sh", "-c", strings.Join(lines, "\n"))
		if got.status != 0 {
			t.Fatalf("%s: %+v", lines, got)
		}
		return got
	}
	var export, join string
	t.Run("init prints what to do next", func(t *testing.T) {
		got := typed(t, s.nodes[0], "catalyst init --site paris")
		says(t, "init", got.stdout)
		export = line(t, got.stdout, `export CATALYST_ADDR=\S+ CATALYST_TOKEN=\S+`)
		join = line(t, got.stdout, `catalyst join \S+ --token \S+`)
		s.know(t, s.nodes[0], initiated{
			AdminToken: line(t, export, `cat_[a-z2-7]+`), JoinToken: line(t, join, `catjoin_[a-z2-7]+`),
			CAFile: line(t, got.stdout, `\S+/ca\.pem`),
		})
	})
	t.Run("the join line works as it is", func(t *testing.T) {
		for i, n := range s.nodes[1:] {
			got := typed(t, n, join)
			n.trust = s.nodes[0].trust
			says(t, fmt.Sprintf("join-piped-%d", i+2), withoutTenths(got.stderr)+"----\n"+got.stdout)
		}
		s.complete(t, 3)
	})
	t.Run("the export line works as it is", func(t *testing.T) {
		got := typed(t, s.nodes[2], export, "catalyst service add books http://127.0.0.1:9/ -p http >/dev/null", "catalyst members -o json")
		list := decode[struct{ Members []member }](t, []byte(got.stdout))
		if len(list.Members) != 3 {
			t.Errorf("members: %s", got.stdout)
		}
	})
	for _, n := range s.nodes {
		n.flags = nil
	}
	t.Run("all are stopped, and come back without flags", func(t *testing.T) {
		for _, n := range s.nodes {
			n.stop(t)
		}
		for _, n := range s.nodes {
			n.start(t, n.at)
		}
		s.complete(t, 3)
		everyoneShows(t, s, "restarted")
	})
	t.Run("one after the other moves to other ports", func(t *testing.T) {
		for _, n := range s.nodes {
			before := n.at
			n.stop(t)
			n.start(t, anyPort)
			if n.at.RPC == before.RPC || n.at.Raft == before.Raft || n.at.Gossip == before.Gossip {
				t.Fatalf("%s came back where it was: %v", n.id, n.at)
			}
			s.complete(t, 3)
			s.knowsAddresses(t, n)
		}
		everyoneShows(t, s, "moved")
	})
}

// knowsAddresses waits until every node lists n where it listens now.
func (s *site) knowsAddresses(t testing.TB, n *node) {
	t.Helper()
	eventually(t, "all know where "+n.id+" is", func() error {
		for _, at := range s.running() {
			m, err := s.member(at, n.id)
			if err != nil {
				return err
			}
			if got := (addresses{m.RPC, m.Raft, m.Gossip}); got != n.at {
				return fmt.Errorf("%s lists %v, and it listens at %v", at.id, got, n.at)
			}
		}
		return nil
	})
}

// member is what a node tells of a member.
func (s *site) member(at *node, id string) (member, error) {
	list, err := once[struct{ Members []member }](s.driver, at.http(), s.scope(), call("listMembers"))
	if err != nil {
		return member{}, err
	}
	for _, m := range list.Members {
		if m.ID == id {
			return m, nil
		}
	}
	return member{}, fmt.Errorf("%s lists no %s", at.id, id)
}

// line is the part of a text that a pattern describes.
func line(t testing.TB, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindString(text)
	if found == "" {
		t.Fatalf("nothing like %s in\n%s", pattern, text)
	}
	return found
}

var tenths = regexp.MustCompile(`(?m)^(catching up|taking in the snapshot): +(\d+)%.*\n`)

// withoutTenths leaves out the lines of how far a node has come: how many there are depends on how fast it is.
func withoutTenths(text string) string { return tenths.ReplaceAllString(text, "") }

// TestJoinWithManyRoutes: a joining node shows how it catches up with 20,000 routes, and never goes back.
func TestJoinWithManyRoutes(t *testing.T) {
	const many = 20_000
	s := startSecured(t, 1)
	var actions bytes.Buffer
	for i := range many {
		fmt.Fprintln(&actions, asJSON(creation(service("route-"+strconv.Itoa(i)))))
	}
	file := filepath.Join(t.TempDir(), "actions")
	if err := os.WriteFile(file, actions.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s.cli(t, s.nodes[0], 0, "apply", "-f", file, "--timeout", "60s")
	index := s.leaderStatus(t).Index

	told := func(t *testing.T, n *node) []joinEvent {
		t.Helper()
		c := s.driver.dial(t, n)
		defer c.close(t)
		var answer struct {
			Result result
			Events []joinEvent
		}
		s.must(t, "join", args{"session": c.session, "from": "cli", "address": s.nodes[0].at.RPC, "token": s.given.JoinToken}, &answer)
		if !answer.Result.Success {
			t.Fatalf("join: %v", answer.Result)
		}
		n.trust = s.nodes[0].trust
		if got := s.table(t, n, index); len(got) != many {
			t.Errorf("%s shows %d routes when it has joined, want %d", n.id, len(got), many)
		}
		return answer.Events
	}
	n2 := newNode(t, "n2", "--gateway-endpoint=")
	n2.start(t, anyPort)
	s.nodes = append(s.nodes, n2)
	t.Run("from the log", func(t *testing.T) { onlyForward(t, told(t, n2)) })
	s.complete(t, 2)

	// A restore leaves a snapshot and no log: whoever comes now gets the snapshot.
	saved := filepath.Join(t.TempDir(), "saved")
	s.cli(t, s.nodes[0], 0, "snapshot", "save", saved)
	s.cli(t, s.nodes[0], 0, "snapshot", "restore", saved, "--yes")
	s.complete(t, 2)
	n3 := newNode(t, "n3", "--gateway-endpoint=")
	n3.start(t, anyPort)
	s.nodes = append(s.nodes, n3)
	t.Run("from a snapshot", func(t *testing.T) { onlyForward(t, told(t, n3)) })
	s.complete(t, 3)

	n4 := newNode(t, "n4", "--gateway-endpoint=")
	n4.start(t, anyPort)
	s.nodes = append(s.nodes, n4)
	t.Run("at the command line", func(t *testing.T) {
		got := s.join(t, n4, s.given.JoinToken)
		if got.status != 0 {
			t.Fatalf("catalyst join: %+v", got)
		}
		last := 0
		for _, m := range tenths.FindAllStringSubmatch(got.stderr, -1) {
			percent, _ := strconv.Atoi(m[2])
			if percent < last {
				t.Errorf("it goes back: %s", got.stderr)
			}
			last = percent
		}
		line(t, got.stderr, `the node votes, with \d+\.\d [kM]B taken in`)
	})
}

func (s *site) leaderStatus(t testing.TB) status {
	t.Helper()
	var leader status
	eventually(t, "the nodes agree on a leader", func() (err error) { leader, err = s.agreed(); return err })
	return leader
}

type joinEvent struct {
	Phase, Fingerprint                             string
	Bytes, Total, Entries, TotalEntries, ElapsedMS int64
}

// onlyForward asserts that the phases come in their order, and that what was counted only grew.
func onlyForward(t *testing.T, events []joinEvent) {
	t.Helper()
	order := []string{"verified", "certified", "nonvoter", "catching_up", "voter"}
	phase, last := 0, joinEvent{}
	for _, e := range events {
		for phase < len(order) && order[phase] != e.Phase {
			phase++
		}
		if phase == len(order) {
			t.Fatalf("phase %s comes after %s: %s", e.Phase, last.Phase, asJSON(events))
		}
		if e.Bytes < last.Bytes && e.Bytes != 0 || e.Entries < last.Entries && e.Entries != 0 || e.ElapsedMS < last.ElapsedMS {
			t.Errorf("%s after %s", asJSON(e), asJSON(last))
		}
		last = e
	}
	if last.Phase != "voter" || last.Bytes == 0 {
		t.Errorf("the last word is %s: want phase voter, and bytes", asJSON(last))
	}
	if events[0].Phase != "verified" || events[0].Fingerprint == "" {
		t.Errorf("the first word is %s: want phase verified, and a fingerprint", asJSON(events[0]))
	}
}

// TestMoreThanFiveNodes: five vote and the others stand by, until a voter leaves; a machine that left comes again when it
// was emptied, and not before.
func TestMoreThanFiveNodes(t *testing.T) {
	s := startSecured(t, 5)
	standby := func(t *testing.T, id string) *node {
		t.Helper()
		n := newNode(s.owner, id, "--gateway-endpoint=")
		n.start(t, anyPort)
		got := s.join(t, n, s.given.JoinToken)
		if got.status != 0 {
			t.Fatalf("catalyst join: %+v", got)
		}
		says(t, "join-stands-by", withoutTenths(got.stderr)+"----\n"+got.stdout, id, "NODE")
		n.trust = s.nodes[0].trust
		s.nodes = append(s.nodes, n)
		return n
	}
	votes := func(t *testing.T, id string, want bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s votes: %v", id, want), func() error {
			m, err := s.member(s.running()[0], id)
			if err == nil && (m.Role != "nonvoter") != want {
				err = fmt.Errorf("it is a %s", m.Role)
			}
			return err
		})
	}
	n6 := standby(t, "n6")
	n7 := standby(t, "n7")
	votes(t, n6.id, false)
	votes(t, n7.id, false)
	s.complete(t, 5)

	leaver := s.followers(t)[0]
	for leaver == n6 || leaver == n7 || leaver == s.nodes[0] {
		leaver = s.followers(t)[1]
	}
	t.Run("a voter leaves, and one that stood by votes", func(t *testing.T) {
		got := s.cli(t, leaver, 0, "leave")
		if status := leaver.await(t); status != 0 {
			t.Errorf("the process that left ended with status %d, want 0", status)
		}
		says(t, "leave", got.stdout, leaver.id, "NODE")
		s.complete(t, 5)
		promoted := 0
		for _, n := range []*node{n6, n7} {
			m, err := s.member(s.running()[0], n.id)
			if err != nil {
				t.Fatal(err)
			}
			if m.Role != "nonvoter" {
				promoted++
			}
		}
		if promoted != 1 {
			t.Errorf("%d of the two that stood by vote, want 1", promoted)
		}
	})
	t.Run("it comes again when it was emptied", func(t *testing.T) {
		leaver.trust = nil
		if err := os.RemoveAll(leaver.dir); err != nil {
			t.Fatal(err)
		}
		leaver.start(t, anyPort)
		if err := leaver.answers("/ready", 503); err != nil {
			t.Error(err)
		}
		s.admit(t, leaver)
		s.complete(t, 5)
		votes(t, leaver.id, false)
		everyoneShows(t, s, "again")
	})
}

// TestOwnCertificates: a site whose operator has an authority of its own speaks TLS from its first moment, with no catalyst
// init and no join tokens.
func TestOwnCertificates(t *testing.T) {
	authority := newAuthority(t, "ours")
	s := startOwn(t, authority)
	for _, n := range s.nodes {
		if err := answers("GET", "http://"+n.at.RPC+"/health", 400); err != nil {
			t.Errorf("plain HTTP: %v", err)
		}
	}
	everyoneShows(t, s, "ours")
	got := run(t, []string{fmt.Sprint("CATALYST_TOKEN=", s.token[0])}, programs.catalyst, "members", "-o", "json", "--address", s.nodes[1].at.RPC, "--ca-file", authority.file)
	if got.status != 0 || !json.Valid([]byte(got.stdout)) {
		t.Errorf("catalyst members with --ca-file: %+v", got)
	}
	for _, n := range s.nodes {
		text, err := os.ReadFile(n.log.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), unprintable) || strings.Contains(string(text), gossipKey) {
			t.Errorf("the log of %s has a secret", n.id)
		}
	}
	t.Run("another node joins with its own", func(t *testing.T) {
		n := newNode(s.owner, "late", append(authority.flags(t, "ours", "late"), "--site", "ours", "--gateway-endpoint=")...)
		n.trust, n.env = s.nodes[0].trust, s.nodes[0].env
		n.start(t, anyPort, "--join", s.nodes[1].at.Gossip)
		s.nodes = append(s.nodes, n)
		s.complete(t, len(s.nodes))
		everyoneShows(t, s, "theirs")
	})
	t.Run("a join token has nothing to give", func(t *testing.T) {
		got := run(t, []string{fmt.Sprint("CATALYST_TOKEN=", s.token[0])}, programs.catalyst, "token", "create", "--role", "join",
			"--address", s.nodes[1].at.RPC, "--ca-file", authority.file)
		says(t, "own-certificates-join-token", fmt.Sprint(got.stderr, got.stdout, "status ", got.status, "\n"))
	})
}

// TestJoinDuringAnElection: a join that meets a site without a leader waits for the next one, and its token loses one use.
func TestJoinDuringAnElection(t *testing.T) {
	s := startSecured(t, 3)
	made := s.makeToken(t, "join", "--uses", "1")
	n := newNode(t, "n4", "--gateway-endpoint=")
	n.start(t, anyPort)
	leader, term := s.leaderAfter(t, 0)
	leader.crash(t)
	if got := s.join(t, n, made.Token); got.status != 0 {
		t.Fatalf("catalyst join: %+v", got)
	}
	n.trust = leader.trust
	s.nodes = append(s.nodes, n)
	s.complete(t, 4)
	if _, now := s.leaderAfter(t, term); now <= term {
		t.Errorf("term %d as before: the crash took no effect", now)
	}
}
