package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/storage"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

const lostSite = "11111111-1111-4111-8111-111111111111"

// lostNode makes the data directory of node a, of a site of three whose others
// are lost: routes r0 to r9, the last of which may never have been acknowledged.
func lostNode(t *testing.T, level int) string {
	t.Helper()
	dir := t.TempDir()
	n := nodeIn(t, dir, "a", "paris")
	if err := n.recallIdentity(); err != nil {
		t.Fatal(err)
	}
	err := n.self.alter(func(i *identity) {
		i.SiteID, i.Member = lostSite, true
		i.Gossip, i.RPC = []string{"127.0.0.1:9", "127.0.0.1:19"}, []string{"127.0.0.1:8", "127.0.0.1:18"}
	})
	if err != nil {
		t.Fatal(err)
	}
	n.addresses = Addresses{RPC: "127.0.0.1:5", Raft: "127.0.0.1:6", Gossip: "127.0.0.1:7"}
	if err := n.rememberAddresses(); err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(raftDir(dir), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.StoreLogs(lostLog(n.who().Instance, level)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"CurrentTerm", "LastVoteTerm"} {
		if err := store.SetUint64([]byte(key), 3); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func lostLog(instance string, level int) []*raft.Log {
	var members raft.Configuration
	for i, id := range []string{"a", "b", "c"} {
		members.Servers = append(members.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(fmt.Sprintf("127.0.0.1:%d6", i)), Suffrage: raft.Voter})
	}
	begin := []fsm.Command{{Op: fsm.Found{Site: "paris", AS: 64512, Epoch: "0000000000001-aaaaaaaaaa", ID: lostSite, Level: level}}}
	if level > 1 {
		begin = append(begin, fsm.Command{Op: fsm.Admit{ID: "a", Instance: instance}},
			fsm.Command{Op: fsm.Admit{ID: "b", Instance: "instance-b"}}, fsm.Command{Op: fsm.Admit{ID: "c", Instance: "instance-c"}})
	}
	logs := []*raft.Log{
		{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(members)},
		{Index: 2, Term: 1, Type: raft.LogCommand, Data: fsm.EncodeBatch(nil, begin)},
	}
	for i := range 10 {
		put := fsm.Command{At: 1, Op: fsm.Put{Mode: fsm.Create, Service: fsm.Service{Name: fmt.Sprint("r", i), Endpoint: "http://r:80/", Protocol: "http"}}}
		logs = append(logs, &raft.Log{Index: uint64(3 + i), Term: 3, Type: raft.LogCommand, Data: fsm.EncodeBatch(nil, []fsm.Command{put})})
	}
	return logs
}

func TestASurveySaysWhatARecoveryGivesUpAndChangesNothing(t *testing.T) {
	dir := lostNode(t, 2)
	before := contents(t, dir)
	p, err := SurveyRecovery(dir)
	if err != nil {
		t.Fatal(err)
	}
	if p.Node != "a" || p.Site != "paris" || p.Last != 12 || p.Term != 3 || p.Table.Routes.Local != 10 || p.Table.ID != lostSite {
		t.Errorf("the plan: %+v", p)
	}
	stays := map[string]bool{}
	for _, m := range p.Members {
		stays[m.ID+" "+m.Role] = m.Stays
	}
	if len(stays) != 3 || !stays["a voter"] || stays["b voter"] || stays["c voter"] {
		t.Errorf("the members: %+v, want a to stay and b and c to go", p.Members)
	}
	wantWords(t, strings.Join(p.Lost, "\n"), "majority of the 3 voters", "never reached a", "later entry than 12 of term 3", "memberships of all other nodes")
	wantWords(t, strings.Join(p.Next, "\n"), "another id and epoch", "start a again", "empty the data directories of all other nodes")
	if after := contents(t, dir); after != before {
		t.Errorf("the survey changed the directory:\n%s\nwas\n%s", after, before)
	}
}

// contents is every small file of a directory; of the log its report.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{identityFile, addressesFile} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", name, data)
	}
	r, err := storage.Survey(raftDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%d to %d, %d, %v, %v", r.First, r.Last, r.CurrentTerm, r.Configuration, r.Damage)
	return b.String()
}

func TestWhatCannotBeRecoveredIsSaidSo(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for _, call := range []func() error{
		func() error { _, err := SurveyRecovery(empty); return err },
		func() error { return Recover(empty) },
	} {
		err := call()
		if err == nil {
			t.Fatal("an empty directory was recovered")
		}
		wantWords(t, err.Error(), empty, "is no data directory of a node", identityFile)
	}
	// A node that was never in a site.
	dir := t.TempDir()
	if err := nodeIn(t, dir, "a", "paris").recallIdentity(); err != nil {
		t.Fatal(err)
	}
	store, err := storage.Open(raftDir(dir), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Recover(dir); err == nil {
		t.Error("the directory of a node that runs was recovered")
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := SurveyRecovery(dir); err == nil {
		t.Error("a node that was never in a site has a plan")
	} else {
		wantWords(t, err.Error(), "a was never in a site")
	}
	// One that does not say where it listened: nothing has happened to it.
	dir = lostNode(t, 2)
	if err := os.Remove(filepath.Join(dir, addressesFile)); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	err = Recover(dir)
	if err == nil {
		t.Fatal("it was recovered")
	}
	wantWords(t, err.Error(), addressesFile, dir, "start it once")
	if after, _ := os.ReadFile(filepath.Join(dir, identityFile)); string(after) != string(before) {
		t.Error("the refusal changed node.json")
	}
}

// A recovered node leads alone, with all that it had, in a life of its own: the
// nodes of the old one are refused.
func TestARecoveredSiteLivesOnAlone(t *testing.T) {
	t.Parallel()
	for _, level := range []int{1, 2} {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			dir := lostNode(t, level)
			if err := Recover(dir); err != nil {
				t.Fatal(err)
			}
			me, err := identityIn(dir)
			if err != nil || me.SiteID == lostSite || me.Renewal == nil || len(me.Gossip)+len(me.RPC) != 0 {
				t.Fatalf("after the recovery: %+v, %v; want another site id, a renewal and nobody known", me, err)
			}
			p, err := SurveyRecovery(dir)
			if err != nil || len(p.Members) != 1 || p.Table.Routes.Local != 10 {
				t.Fatalf("a survey after: %+v, %v; want a alone with all routes", p, err)
			}
			n := runReal(t, dir, "a")
			eventually(t, "it leads", func() bool { return n.leadership.current.Load() != nil })
			table := n.machine.Table()
			if table.NumLocal() != 10 || table.ID() != me.SiteID || table.Epoch() <= "0000000000001-aaaaaaaaaa" || table.Level() != 2 {
				t.Errorf("the site has %d routes, id %s, epoch %s, level %d", table.NumLocal(), table.ID(), table.Epoch(), table.Level())
			}
			if n.who().Renewal != nil {
				t.Error("the renewal is not over")
			}
			for id := range table.Instances() {
				if id != "a" {
					t.Errorf("the site knows %s still", id)
				}
			}
			if err := n.stranger(greeting{Site: "paris", SiteID: lostSite, Node: "b", Instance: "instance-b"}); err == nil {
				t.Error("a node of the old life is taken for one of the new")
			} else {
				wantWords(t, err.Error(), "two sites of the name", "empty its data directory and join it anew")
			}
			if out, _, err := n.leadership.current.Load().proposer.Propose(t.Context(), fsm.Command{Op: fsm.Put{Mode: fsm.Create, Service: fsm.Service{Name: "after", Endpoint: "http://a:80/", Protocol: "http"}}}); err != nil || out.Code != "" {
				t.Errorf("a change: %+v, %v", out, err)
			}
		})
	}
}

// A recovery that was cut short after its first step can be done again, and a
// node started in between does not answer to the old life.
func TestARecoveryThatWasCutShortIsDoneAgain(t *testing.T) {
	t.Parallel()
	dir := lostNode(t, 2)
	if err := Recover(dir); err != nil {
		t.Fatal(err)
	}
	first, _ := identityIn(dir)
	if err := Recover(dir); err != nil {
		t.Fatalf("again: %v", err)
	}
	again, err := identityIn(dir)
	if err != nil || again.SiteID == first.SiteID || again.Renewal == nil {
		t.Fatalf("again: %+v, %v", again, err)
	}
	n := runReal(t, dir, "a")
	eventually(t, "it leads", func() bool { return n.leadership.current.Load() != nil })
	if got := n.machine.Table(); got.ID() != again.SiteID || got.NumLocal() != 10 {
		t.Errorf("the site is %s with %d routes, want %s with 10", got.ID(), got.NumLocal(), again.SiteID)
	}
}

// runReal runs a node on loopback and a real directory until the test ends.
func runReal(t *testing.T, dir, id string) *Node {
	t.Helper()
	n, err := New(Config{
		ID: id, DataDir: dir, RPCAddr: "127.0.0.1:0", RaftAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0",
		Dial: func(ctx context.Context, url string, c *tls.Config) (transport.Conn, error) {
			return ws.Dial(ctx, url, ws.Options{Client: &http.Client{Transport: &http.Transport{TLSClientConfig: c}}})
		},
		Upgrade: func(w http.ResponseWriter, r *http.Request) (transport.Conn, error) {
			return ws.Accept(w, r, ws.Options{})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s ended: %v", id, err)
		}
	})
	select {
	case <-n.Listening():
	case err := <-done:
		done <- nil
		t.Fatalf("start %s: %v", id, err)
	}
	return n
}

// eventually waits in real time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 6_000 {
		if holds() {
			return
		}
		<-tick.C
	}
	t.Fatalf("not within a minute: %s", what)
}

// The real ground keeps what it is told to, and sets it aside for a site that
// is left.
func TestARealNodeFoundsRestartsAndLeaves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := runRealOnce(t, dir, func(n *Node) {
		r, err := n.initiate(t.Context(), initiation{Site: "paris"})
		if err != nil || !strings.Contains(fmt.Sprint(r), "adminToken") {
			t.Fatalf("init: %+v, %v", r, err)
		}
	})
	id := n.machine.Table().ID()
	var a Addresses
	data, err := os.ReadFile(filepath.Join(dir, addressesFile))
	if err != nil || json.Unmarshal(data, &a) != nil || a != n.addresses {
		t.Errorf("%s: %s, %v; want %+v", addressesFile, data, err, n.addresses)
	}
	for _, c := range Examine(dir) {
		if c.State != "ok" && c.Name != "data directory" { // t.TempDir is for all to read
			t.Errorf("examined: %+v", c)
		}
	}
	n = runRealOnce(t, dir, func(n *Node) {
		eventually(t, "it leads again", func() bool { return n.leadership.current.Load() != nil })
	})
	if !n.secured() || n.machine.Table().ID() != id || n.site() != "paris" {
		t.Errorf("after a restart: site %s (%s), secured: %v", n.site(), n.machine.Table().ID(), n.secured())
	}
	runRealOnce(t, dir, func(n *Node) {
		eventually(t, "it leads again", func() bool { return n.leadership.current.Load() != nil })
		n.stop(errLeft)
	})
	n = runRealOnce(t, dir, func(*Node) {})
	if n.secured() || n.site() != defaultSite {
		t.Errorf("after it left: site %s, secured: %v", n.site(), n.secured())
	}
	left, err := filepath.Glob(filepath.Join(dir, "left-*", "*"))
	if err != nil || len(left) < 4 {
		t.Errorf("set aside: %q, %v; want raft, tls, node.json and the keys", left, err)
	}
}

// runRealOnce runs a node for the time of a function.
func runRealOnce(t *testing.T, dir string, do func(*Node)) (n *Node) {
	t.Helper()
	t.Run("run", func(t *testing.T) {
		n = runReal(t, dir, "a")
		do(n)
	})
	return n
}
