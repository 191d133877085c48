package clustertests

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// transcript is what an operator is told by commands at one node.
type transcript struct {
	strings.Builder
	s  *site
	at *node
}

// asks runs a command that must end with a status, and writes down what it printed.
func (o *transcript) asks(t testing.TB, want int, args ...string) ran {
	t.Helper()
	got := o.s.cli(t, o.at, want, args...)
	fmt.Fprintf(o, "$ catalyst %s\n%s%s\n", strings.Join(args, " "), got.stdout, got.stderr)
	return got
}

// TestMembershipVerbs: what an operator does to the members of a secured site is shown beforehand, is refused with the
// arithmetic where it would cost the quorum, and cannot be forced where force cannot help.
func TestMembershipVerbs(t *testing.T) {
	s := startSecured(t, 3)
	leader := s.leader(t)
	followers := s.followers(t)
	one, two := followers[0], followers[1]
	ids := []string{leader.id, "LEADER", one.id, "ONE", two.id, "TWO"}

	t.Run("a dry run shows what would be, and changes nothing", func(t *testing.T) {
		before := s.membership(t)
		o := &transcript{s: s, at: one}
		o.asks(t, 0, "member", "remove", two.id, "--dry-run")
		o.asks(t, 0, "member", "demote", two.id, "--dry-run")
		o.asks(t, 0, "member", "promote", two.id, "--dry-run")
		o.asks(t, 0, "member", "remove", leader.id, "--dry-run")
		o.asks(t, 0, "leave", "--dry-run")
		o.asks(t, 1, "member", "remove", "nobody", "--dry-run")
		says(t, "members-dry-run", o.String(), ids...)
		if after := s.membership(t); after != before {
			t.Errorf("dry runs took the members from %s to %s", before, after)
		}
	})
	t.Run("a vote is taken and given back", func(t *testing.T) {
		o := &transcript{s: s, at: one}
		o.asks(t, 0, "member", "demote", two.id)
		s.votes(t, one, two.id, false)
		s.complete(t, 2)
		o.asks(t, 0, "member", "promote", two.id)
		s.complete(t, 3)
		says(t, "members-demote", o.String(), ids...)
	})
	t.Run("with a member down", func(t *testing.T) {
		o := &transcript{s: s, at: one}
		healthy := s.cli(t, one, 0, "doctor")
		says(t, "doctor-healthy", healthy.stdout+healthy.stderr, ids...)
		two.crash(t)
		s.sees(t, one, two.id, "failed")
		s.sees(t, leader, two.id, "failed")

		before := s.membership(t)
		o.asks(t, 1, "member", "remove", one.id, "--dry-run")
		o.asks(t, 1, "member", "remove", one.id)
		o.asks(t, 1, "member", "remove", one.id, "--force")
		o.asks(t, 1, "member", "demote", one.id)
		o.asks(t, 1, "leave")
		o.asks(t, 1, "leave", "--force")
		says(t, "members-refused", o.String(), ids...)
		if after := s.membership(t); after != before {
			t.Errorf("what was refused took the members from %s to %s", before, after)
		}
		doctor := s.cli(t, one, 1, "doctor")
		says(t, "doctor-member-down", linesWith(doctor.stdout, "site", "member", "bring back", "if the machine is up")+doctor.stderr, ids...)

		o = &transcript{s: s, at: one}
		o.asks(t, 0, "member", "remove", two.id)
		s.votes(t, one, two.id, false)
		o.asks(t, 0, "members")
		says(t, "members-remove", o.String(), ids...)

		two.start(t, two.at)
		if status := two.await(t); status == 0 {
			t.Errorf("%s was removed, came back and ended with status 0", two.id)
		}
		says(t, "members-removed-comes-back", linesWith(string(tail(two.log.Name(), 64<<10)), "error: "), ids...)
		if after := s.without(two).membership(t); strings.Contains(after, two.id) {
			t.Errorf("the removed member is back: %s", after)
		}
	})
	t.Run("the last one but one leaves, and the last one", func(t *testing.T) {
		s = s.without(two)
		o := &transcript{s: s, at: one}
		o.asks(t, 0, "leave")
		one.await(t)
		s = s.without(one)
		s.complete(t, 1)
		o.at = leader
		o.asks(t, 1, "leave")
		o.asks(t, 0, "leave", "--force", "--dry-run")
		if !leader.running() {
			t.Fatal("a dry run ended the site")
		}
		o.asks(t, 0, "leave", "--force")
		if status := leader.await(t); status != 0 {
			t.Errorf("the last member left and ended with status %d", status)
		}
		says(t, "members-last", o.String(), ids...)
	})
}

// membership is who votes, as the leader has it.
func (s *site) membership(t testing.TB) string {
	t.Helper()
	list := s.members(t, s.leader(t))
	slices.SortFunc(list, func(a, b member) int { return strings.Compare(a.ID, b.ID) })
	var all []string
	for _, m := range list {
		all = append(all, m.ID+" "+m.Role)
	}
	return strings.Join(all, ", ")
}

func (s *site) members(t testing.TB, n *node) []member {
	t.Helper()
	list, err := once[struct{ Members []member }](s.driver, n.http(), s.scope(), call("listMembers"))
	if err != nil {
		t.Fatal(err)
	}
	return list.Members
}

// votes waits until a node lists a member as a voter, or as none.
func (s *site) votes(t testing.TB, at *node, id string, want bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s votes: %v", id, want), func() error {
		for _, m := range s.members(t, at) {
			if m.ID == id && (m.Role == "voter" || m.Role == "leader") != want && m.State != "left" {
				return fmt.Errorf("%s lists %+v", at.id, m)
			}
		}
		return nil
	})
}

// sees waits until a node says that a member is in a state.
func (s *site) sees(t testing.TB, at *node, id, state string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s lists %s as %s", at.id, id, state), func() error {
		for _, m := range s.members(t, at) {
			if m.ID == id && m.State == state {
				return nil
			}
		}
		return errors.New(asJSON(s.members(t, at)))
	})
}

// TestForceGoesByAnswers: gossip between two of three machines is cut, so that the leader thinks another member failed which
// answers all the same. What it refuses by gossip's word can be forced.
func TestForceGoesByAnswers(t *testing.T) {
	s := newSecured(t, 3)
	w := newLAN(t, s)
	s.found(t, w.addresses(s)...)
	leader := s.leader(t)
	followers := s.followers(t)
	silent, other := followers[0], followers[1]
	port := silent.at.Gossip[strings.LastIndex(silent.at.Gossip, ":")+1:]
	for _, n := range []*node{leader, other} {
		from := n.at.Gossip[strings.LastIndex(n.at.Gossip, ":")+1:]
		for _, protocol := range []string{"udp", "tcp"} { // who pings, and who answers a ping
			w.deaf(t, silent, []*node{n}, "-p", protocol, "--dport", port)
			w.deaf(t, n, []*node{silent}, "-p", protocol, "--dport", from)
		}
	}
	s.sees(t, leader, silent.id, "failed")
	hearsNothing(t, w, silent)

	ids := []string{leader.id, "LEADER", other.id, "OTHER", silent.id, "SILENT"}
	o := &transcript{s: s, at: leader}
	o.asks(t, 1, "member", "remove", other.id)
	o.asks(t, 0, "member", "remove", other.id, "--force")
	says(t, "members-forced", o.String(), ids...)
	s.votes(t, leader, other.id, false)
	insist(t, s.dial(t, leader), creation(service("goes-on")))
}

// TestDoctorOfASiteThatIsBroken: catalyst doctor names what is broken and what to do, at a node without a site, at a site
// without a quorum, where nobody answers, and at the data of a node that is stopped.
func TestDoctorOfASiteThatIsBroken(t *testing.T) {
	t.Run("a node that waits", func(t *testing.T) {
		n := newNode(t, "waiting", "--gateway-endpoint=")
		n.start(t, anyPort)
		got := cli(t, nil, "doctor", "--address", n.ws())
		says(t, "doctor-waiting", fmt.Sprintf("%s%sstatus %d\n", got.stdout, got.stderr, got.status))
	})
	s := startSecured(t, 2)
	left, lost := s.nodes[0], s.nodes[1]
	t.Run("without a quorum", func(t *testing.T) {
		lost.crash(t)
		alone := s.without(lost)
		eventually(t, "there is no leader", func() error {
			st, err := alone.status(left)
			if err == nil && st.Leader != "" {
				err = fmt.Errorf("%s leads", st.Leader)
			}
			return err
		})
		s.sees(t, left, lost.id, "failed")
		got := alone.cli(t, left, 1, "doctor")
		says(t, "doctor-no-quorum", linesWith(got.stdout, "site", "start the missing", "member", "if the machine is up")+got.stderr)
	})
	t.Run("nobody answers", func(t *testing.T) {
		left.crash(t)
		got := alone(t, s, left, "doctor")
		says(t, "doctor-nobody", fmt.Sprintf("%s%sstatus %d\n", got.stdout, got.stderr, got.status))
		got = alone(t, s, left, "doctor", "--data-dir", left.dir)
		says(t, "doctor-stopped", fmt.Sprintf("%s%sstatus %d\n", got.stdout, got.stderr, got.status))
	})
}

// alone runs catalyst where the node is known not to answer, with whatever status.
func alone(t testing.TB, s *site, n *node, args ...string) ran {
	t.Helper()
	return cli(t, []string{"CATALYST_ADDR=" + n.ws(), fmt.Sprint("CATALYST_TOKEN=", s.token[0])}, append(args, "--timeout", "2s")...)
}

// TestNobodyIsAdminOfATableThatIsNotThere: the tokens of a site are in its log. A node that has just started and cannot have
// it applied yet, for want of a leader, must not take a site with tokens for one without.
func TestNobodyIsAdminOfATableThatIsNotThere(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")
	made := s.cli(t, s.nodes[0], 0, "token", "create", "--role", "admin")
	for _, n := range s.nodes {
		n.crash(t)
	}
	early := s.nodes[0]
	early.start(t, early.at)
	c := s.driver.dial(t, early) // without a token
	defer c.close(t)
	var told status
	_ = c.ask(&told, "status") // it may be answered, or not: what matters is what comes after

	s.token = []any{strings.TrimSpace(made.stdout)}
	for _, n := range s.nodes[1:] {
		n.start(t, n.at)
	}
	s.complete(t, 3)
	for _, a := range []action{
		creation(service("sneaked")),
		{Resource: "token", Action: "create", Data: map[string]string{"role": "admin"}},
	} {
		if r, err := c.apply(a); codeOf(err) != "unauthenticated" {
			t.Errorf("%s on a session that showed no token: %v %v, want a rejection with code unauthenticated", asJSON(a), r, err)
		}
	}
	if list := s.table(t, early, 0); len(list) > 0 {
		t.Errorf("the site shows %s", asJSON(list))
	}
}
