package clustertests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBothLeadersAreKilledAtOnce: the sites elect leaders, those find each other, and nobody who watches learns of it. What
// is registered in between arrives.
func TestBothLeadersAreKilledAtOnce(t *testing.T) {
	_, rome, oslo := inNamespaces(t)
	want := registerAtEach(t, 10, rome, oslo)
	rome.peerWith(t, oslo)
	meet(t, rome, oslo)
	everywhere(t, want, rome, oslo)

	t.Run("nothing changes", func(t *testing.T) {
		watches := watchFollowers(t, rome, oslo)
		crashLeaders(t, rome, oslo)
		meet(t, rome, oslo)
		everywhere(t, want, rome, oslo)
		want.register(t, rome, rome.dial(t, rome.follower(t)), service("first-change"))
		for _, w := range watches {
			if news := w.toldUpTo(t, "put rome/first-change:http"); len(news) != 1 {
				t.Errorf("a watcher noticed the kills: %q", news)
			}
		}
		comeBack(t, rome, oslo)
		meet(t, rome, oslo)
	})
	t.Run("much changes", func(t *testing.T) {
		watches := watchFollowers(t, rome, oslo)
		atRome, atOslo := rome.dial(t, rome.followers(t)[1]), oslo.dial(t, oslo.followers(t)[1])
		crashLeaders(t, rome, oslo)
		want.register(t, rome, atRome, service("meanwhile"))
		want.register(t, oslo, atOslo, service("meanwhile"))
		want.remove(t, rome, atRome, "of-rome3:http")
		want.remove(t, oslo, atOslo, "of-oslo4:http")
		everywhere(t, want, rome, oslo)
		meet(t, rome, oslo)
		expected := []string{"delete oslo/of-oslo4:http", "delete rome/of-rome3:http", "put oslo/meanwhile:http", "put rome/meanwhile:http"}
		want.register(t, rome, atRome, service("last-change"))
		for _, w := range watches {
			news := w.toldUpTo(t, "put rome/last-change:http")
			news = news[:len(news)-1]
			if slices.Sort(news); !slices.Equal(news, expected) {
				t.Errorf("a watcher was told %q, want %q", news, expected)
			}
		}
		comeBack(t, rome, oslo)
		everywhere(t, want, rome, oslo)
	})
}

// watchFollowers watches at two nodes of each site that do not lead it.
func watchFollowers(t testing.TB, sites ...*site) []*watch {
	t.Helper()
	var watches []*watch
	for _, s := range sites {
		for _, n := range s.followers(t) {
			watches = append(watches, s.dial(t, n).watch(t, nil))
		}
	}
	return watches
}

// crashLeaders kills the leaders of sites and waits until each site has another.
func crashLeaders(t testing.TB, sites ...*site) {
	t.Helper()
	leaders, terms := make([]*node, len(sites)), make([]uint64, len(sites))
	for i, s := range sites {
		leaders[i], terms[i] = s.leaderAfter(t, 0)
	}
	for _, n := range leaders {
		n.crash(t)
	}
	for i, s := range sites {
		if next, now := s.leaderAfter(t, terms[i]); next == leaders[i] || now <= terms[i] {
			t.Fatalf("%s leads %s in term %d after %s was killed in term %d", next.id, s.name, now, leaders[i].id, terms[i])
		}
	}
}

// comeBack starts the nodes of sites that do not run where they were.
func comeBack(t testing.TB, sites ...*site) {
	t.Helper()
	for _, s := range sites {
		for _, n := range s.nodes {
			if !n.running() {
				n.start(t, n.at)
			}
		}
		s.complete(t, len(s.nodes))
	}
}

// TestLeaderThatWasAsleep stops a leader for longer than an election takes: its successor takes its sessions over, and what
// it still wants to say when it wakes changes nothing.
func TestLeaderThatWasAsleep(t *testing.T) {
	_, rome, oslo := inNamespaces(t)
	rome.peerWith(t, oslo)
	oslo.peerWith(t, rome) // so that the successor of either dials
	meet(t, rome, oslo)
	want := registerAtEach(t, 10, rome, oslo)
	everywhere(t, want, rome, oslo)
	t.Run("of the one site", func(t *testing.T) { leaderSleeps(t, rome, oslo, want) })
	t.Run("of the other", func(t *testing.T) { leaderSleeps(t, oslo, rome, want) })
}

func leaderSleeps(t *testing.T, s, other *site, want services) {
	leader, term := s.leaderAfter(t, 0)
	atLeader, writer := s.dial(t, leader), s.dial(t, s.follower(t))
	if err := atLeader.ask(nil, "status"); err != nil { // its session stands
		t.Fatal(err)
	}
	watches := watchFollowers(t, s, other)

	awake := freezeLeader(t, s)
	late := creation(service("late-of-" + s.name))
	late.RequestID = "late-of-" + s.name
	answered, err := atLeader.d.send("call", args{"session": atLeader.session, "from": "cli", "steps": []step{call("applyAction", late)}})
	if err != nil {
		t.Fatal(err)
	}
	next, now := s.leaderAfter(t, term)
	meet(t, s, other)
	want.register(t, s, writer, service("while-asleep-"+s.name))
	gone := "of-" + s.name + "1:http"
	want.remove(t, s, writer, gone)
	everywhere(t, want, s, other)

	awake()
	select {
	case <-answered: // whatever it says, the same request now comes to the same end
	case <-time.After(patience):
		t.Errorf("%s woke up and left an action without an answer", leader.id)
	}
	insist(t, writer, late)
	want[key{s.name, "late-of-" + s.name + ":http"}] = service("late-of-" + s.name)
	everywhere(t, want, s, other)
	meet(t, s, other)
	if again, still := s.leaderAfter(t, term); again != next || still != now {
		t.Errorf("%s leads in term %d after %s woke up; %s had taken over in term %d", again.id, still, leader.id, next.id, now)
	}
	want.register(t, s, writer, service("awake-"+s.name))
	expected := []string{
		"delete " + s.name + "/" + gone,
		"put " + s.name + "/late-of-" + s.name + ":http",
		"put " + s.name + "/while-asleep-" + s.name + ":http",
	}
	for _, w := range watches {
		news := w.toldUpTo(t, "put "+s.name+"/awake-"+s.name+":http")
		news = news[:len(news)-1]
		if slices.Sort(news); !slices.Equal(news, expected) {
			t.Errorf("a watcher was told %q, want %q", news, expected)
		}
	}
}

// freezeLeader stops the leader of a site until undo, and waits for its successor.
func freezeLeader(t *testing.T, s *site) (undo func()) {
	t.Helper()
	leader, term := s.leaderAfter(t, 0)
	leader.signal(t, syscall.SIGSTOP)
	eventually(t, leader.id+" is stopped", func() error { return leader.inState('T') })
	nodes := s.nodes
	s.nodes = slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool { return n == leader })
	s.leaderAfter(t, term)
	return func() {
		t.Helper()
		leader.signal(t, syscall.SIGCONT)
		s.nodes = nodes
		s.complete(t, len(nodes))
	}
}

// inState is nil when the system shows the process in a state, such as T for stopped.
func (p *process) inState(want byte) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	if rest == "" || rest[0] != want {
		return fmt.Errorf("it is in state %.1q", rest)
	}
	return nil
}
