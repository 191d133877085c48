package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/transport"
)

// securedSite is a simulated site with tokens and keys. TLS itself is not
// here: the world believes nodes who they are (dial).
type securedSite struct {
	*world
	admin string // a token
	join  string // a token
}

// answer is an ActionResult with all that the tests look at.
type answer struct {
	actionResult
	Data map[string]any `json:"data"`
}

// secure founds a secured site with the first of some hosts; the others are
// taken in one by one.
func secure(w *world, alter func(*Config), ids ...string) *securedSite {
	w.t.Helper()
	for _, id := range ids {
		w.start(id, alter)
	}
	s := &securedSite{world: w}
	r, err := ask[answer](w, ids[0], "", "init", map[string]any{"joinUses": 1000})
	if err != nil || !r.Success {
		w.t.Fatalf("init: %+v, %v", r, err)
	}
	s.admin, s.join = r.Data["adminToken"].(string), r.Data["joinToken"].(string)
	for _, id := range ids[1:] {
		s.mustJoin(id, ids[0])
	}
	return s
}

// ask calls one method of a node as a client with a token.
func ask[T any](w *world, id, token, method string, args ...any) (answer T, err error) {
	return askFrom[T](w, id, "client", token, method, args...)
}

func askFrom[T any](w *world, id, from, token, method string, args ...any) (answer T, err error) {
	c, err := w.connectAs(id, from, token)
	if err != nil {
		return answer, err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return transport.Await[T](ctx, c.scope.Call(method, args...))
}

// act sends one action to a node, once.
func (s *securedSite) act(id, token, resource, action string, data map[string]any) (answer, error) {
	return ask[answer](s.world, id, token, "applyAction", map[string]any{"resource": resource, "action": action, "data": data})
}

// must sends an action as the admin to any node until it is answered, and
// wants it done.
func (s *securedSite) must(resource, action string, data map[string]any) answer {
	s.t.Helper()
	var r answer
	var err error
	for range 100 {
		if r, err = s.act(s.someMember(), s.admin, resource, action, data); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil || !r.Success {
		s.t.Fatalf("%s/%s of %v: %+v, %v", resource, action, data, r, err)
	}
	return r
}

// someMember is the first node that runs and is in the site.
func (w *world) someMember() string {
	for _, n := range w.running() {
		if n.isMember() {
			return n.cfg.ID
		}
	}
	return sortedKeys(w.hosts)[0]
}

func (s *securedSite) joinAt(id, at string) (answer, error) {
	return ask[answer](s.world, id, "", "join", s.hosts[at].rpcAddr(), map[string]any{"token": s.join})
}

func (s *securedSite) mustJoin(id, at string) {
	s.t.Helper()
	if r, err := s.joinAt(id, at); err != nil || !r.Success {
		s.t.Fatalf("%s joins at %s: %+v, %v", id, at, r, err)
	}
}

// token makes one and returns its text and id.
func (s *securedSite) token(data map[string]any) (text, id string) {
	s.t.Helper()
	r := s.must("token", "create", data)
	return r.Data["token"].(string), r.Data["id"].(string)
}

// follower is a running node that does not lead.
func (w *world) follower() *Node {
	w.t.Helper()
	leader := w.leader()
	for _, n := range w.running() {
		if n != leader {
			return n
		}
	}
	w.t.Fatal("no node follows")
	return nil
}

// voters are the ids that vote, as the leader has it.
func (w *world) voters() (ids []string) {
	n := w.leaderNow()
	if n == nil {
		return nil
	}
	for _, m := range n.memberList() {
		if m.Role != "nonvoter" {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// ended waits until a node ends by itself and returns why.
func (w *world) ended(id string) error {
	w.t.Helper()
	h := w.hosts[id]
	var err error
	w.eventually(id+" ends by itself", func() bool {
		select {
		case err = <-h.done:
			return true
		default:
			return false
		}
	})
	w.mu.Lock()
	h.node = nil
	w.mu.Unlock()
	return err
}

// wantWords checks that a text says what it should.
func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

// code is the FailureCode of what a call was rejected with, or "".
func code(err error) string {
	var e *transport.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

func TestASiteIsFoundedSecuredAndJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, "n1", "n2", "n3")
		defer w.shutdown()
		for _, id := range sortedKeys(w.hosts) {
			w.start(id, nil)
		}
		r, err := ask[answer](w, "n1", "", "init", map[string]any{"as": 64999})
		if err != nil || !r.Success {
			t.Fatalf("init: %+v, %v", r, err)
		}
		for _, field := range []string{"adminToken", "joinToken", "join", "fingerprint", "siteId", "address"} {
			if text, _ := r.Data[field].(string); text == "" {
				t.Errorf("init does not answer with %s: %+v", field, r.Data)
			}
		}
		s := &securedSite{w, r.Data["adminToken"].(string), r.Data["joinToken"].(string)}
		if again, err := ask[answer](w, "n1", s.admin, "init", map[string]any{}); err != nil || again.Success || again.Code != "conflict" {
			t.Errorf("a second init: %+v, %v; want conflict", again, err)
		}
		for _, id := range []string{"n2", "n3"} {
			r, err := s.joinAt(id, "n1")
			if err != nil || !r.Success || r.Data["role"] != "voter" {
				t.Fatalf("%s joins: %+v, %v; want a voter", id, r, err)
			}
		}
		w.checkEqual()
		site := w.leader().machine.Table().ID()
		for _, n := range w.running() {
			who := n.who()
			switch instance, ok := n.machine.Table().Instance(n.cfg.ID); {
			case !n.secured() || n.keeper.Subject().Name != n.cfg.ID:
				t.Errorf("%s has no certificate of its own", n.cfg.ID)
			case who.SiteID != site || who.SiteID != r.Data["siteId"]:
				t.Errorf("%s is of site id %q, want %q", n.cfg.ID, who.SiteID, site)
			case !ok || instance != who.Instance:
				t.Errorf("%s is known as incarnation %q, and is %q", n.cfg.ID, instance, who.Instance)
			case n.members.KeysVersion() != n.machine.Table().GossipKeysVersion():
				t.Errorf("%s gossips with keys of version %d", n.cfg.ID, n.members.KeysVersion())
			}
		}
		// Only who shows the token is heard, at every node.
		for _, id := range sortedKeys(w.hosts) {
			if _, err := s.act(id, "", "dataChannel", "create", service("x", "http://x:80/")); code(err) != "unauthenticated" {
				t.Errorf("without a token at %s: %v, want unauthenticated", id, err)
			}
			if r, err := s.act(id, s.admin, "dataChannel", "upsert", service("x", "http://x:80/")); err != nil || !r.Success {
				t.Errorf("with the token at %s: %+v, %v", id, r, err)
			}
		}
		// A restart needs nothing but the disks.
		for _, id := range sortedKeys(w.hosts) {
			w.halt(id)
		}
		for _, id := range sortedKeys(w.hosts) {
			w.start(id, nil)
		}
		w.eventually("the site is back", func() bool { return len(w.voters()) == 3 })
		s.must("dataChannel", "create", service("y", "http://y:80/"))
		w.checkEqual()
	})
}

// A member whose disk was emptied has forgotten what it voted for. It must
// not come back under its id by itself, and the way out works.
func TestAMemberWithoutItsDataIsRefusedUntilItIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 21, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		lost := w.follower().cfg.ID
		w.crash(lost)
		w.hosts[lost].wipe()
		w.start(lost, nil)
		at := w.leader().cfg.ID
		r, err := s.joinAt(lost, at)
		if err != nil || r.Code != "forbidden" {
			t.Fatalf("it joins with a good token: %+v, %v; want forbidden", r, err)
		}
		wantWords(t, r.Error, "has a member "+lost+" already", "catalyst member remove "+lost)
		if n := w.hosts[lost].node; n.raft.LastIndex() != 0 || n.secured() {
			t.Errorf("it has taken in %d entries, secured: %v; want nothing of the site", n.raft.LastIndex(), n.secured())
		}
		s.must("dataChannel", "create", service("meanwhile", "http://m:80/"))
		s.must("member", "remove", map[string]any{"id": lost})
		s.mustJoin(lost, at)
		w.eventually("three vote again", func() bool { return len(w.voters()) == 3 })
		if got, _ := w.leader().machine.Table().Instance(lost); got != w.hosts[lost].node.who().Instance {
			t.Errorf("the site knows %s as %q, and it is %q", lost, got, w.hosts[lost].node.who().Instance)
		}
		w.checkEqual()
	})
}

// A node that was away while another was replaced knows that as it was. It
// hears the new ones all the same: the site stands on them.
func TestANodeThatMissedAReplacementHearsTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20, "n1", "n2", "n3", "n4")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3", "n4")
		for i := range 250 {
			s.must("dataChannel", "create", service(fmt.Sprint("s", i), "http://x:80/"))
		}
		w.eventually("n4 has a snapshot, with which it will begin", func() bool {
			all, err := w.hosts["n4"].snaps.List()
			return err == nil && len(all) == 1
		})
		w.crash("n4")
		for _, id := range []string{"n3", "n2"} {
			w.leads("n1")
			s.must("member", "remove", map[string]any{"id": id})
			if err := w.ended(id); err == nil {
				t.Fatalf("%s was not told", id)
			}
			w.hosts[id].wipe()
			w.start(id, nil)
			s.mustJoin(id, "n1")
			w.eventually(id+" votes", func() bool { return slices.Contains(w.voters(), id) })
		}
		w.crash("n1")
		n := w.start("n4", nil) // n2, n3 and n4 are what is left of four, and n4 knows neither
		w.eventually("the site has a leader", func() bool { return w.leaderNow() != nil })
		s.must("dataChannel", "create", service("x", "http://x:80/"))
		w.eventually("n4 has it", func() bool { return n.machine.Table().Local("x:http") != nil })
		if known, _ := n.machine.Table().Instance("n3"); known != w.hosts["n3"].node.who().Instance {
			t.Errorf("n4 knows n3 as %q still", known)
		}
	})
}

// A node with a certificate that is not a member yet is refused as one. That is
// not the last word: a moment later it is a member.
func TestANodeThatWasRefusedTooEarlyIsHeardLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 27, "n1", "n2")
		defer w.shutdown()
		s := secure(w, nil, "n1")
		n := w.start("n2", nil)
		j := &joining{n: n, begun: time.Now(), tell: func(JoinProgress) {}}
		gossip, refusal := j.enroll(t.Context(), w.hosts["n1"].rpcAddr(), s.join)
		if refusal != nil {
			t.Fatalf("enroll: %+v", refusal)
		}
		at := w.hosts["n1"].rpcAddr()
		if _, err := n.keysFrom(t.Context(), at); code(err) != "unauthenticated" {
			t.Fatalf("before it is a member: %v, want unauthenticated", err)
		}
		if err := n.members.Join(gossip); err != nil {
			t.Fatal(err)
		}
		w.eventually("it is a member", n.isMember)
		if _, err := n.keysFrom(t.Context(), at); err != nil {
			t.Errorf("as a member: %v", err)
		}
		time.Sleep(time.Second)
		if got := w.hosts["n1"].node.counts.sessions.Load(); got > 1 {
			t.Errorf("%d sessions at n1, want one from n2 at most: the refused one has not ended", got)
		}
	})
}

// The same at a site without certificates, where nodes join by gossip: the
// wiped one is sent away, and Raft never speaks with it.
func TestAWipedNodeOfAPlainSiteIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 22, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		lost := w.follower().cfg.ID
		at := w.leader()
		w.eventually("the site knows its members by their incarnations", func() bool {
			_, known := at.machine.Table().Instance(lost)
			return known
		})
		w.crash(lost)
		w.hosts[lost].wipe()
		join := func(c *Config) { c.Join = []string{w.hosts[at.cfg.ID].gossipAddr()} }
		n := w.start(lost, join)
		err := w.ended(lost)
		if err == nil {
			t.Fatal("it ended without a word")
		}
		wantWords(t, err.Error(), "the site refuses this node", lost+" has lost the data", "catalyst member remove "+lost)
		if n.raft.LastIndex() != 0 {
			t.Errorf("it took in %d entries before it was sent away", n.raft.LastIndex())
		}
		if refused := w.hosts[at.cfg.ID].refused; refused == nil || !strings.Contains(refused.Error(), "has lost the data") {
			t.Errorf("the leader's Raft was greeted with %v, want a refusal", refused)
		}
		if got := w.voters(); len(got) != 3 {
			t.Errorf("voters: %v, want the three that there were", got)
		}
		if _, err := w.register(w.rand, "meanwhile"); err != nil {
			t.Errorf("the site goes on: %v", err)
		}
		r, err := ask[answer](w, at.cfg.ID, "", "applyAction", map[string]any{"resource": "member", "action": "remove", "data": map[string]any{"id": lost}})
		if err != nil || !r.Success {
			t.Fatalf("remove: %+v, %v", r, err)
		}
		w.hosts[lost].wipe()
		w.start(lost, join)
		w.eventually("it votes again", func() bool { return len(w.voters()) == 3 })
		w.checkEqual()
	})
}

// Two sites of one name that meet leave each other alone: nothing merges, and
// neither ends the other's nodes, whoever found whom.
func TestTwoSitesOfOneNameLeaveEachOtherAlone(t *testing.T) {
	for name, foreign := range map[string]struct {
		begin func(*world) // x1, which ends up as a site of its own
	}{
		"it is started to join": {func(w *world) {
			w.start("x1", func(c *Config) { c.Bootstrap = true })
			w.eventually("x1 is a site of its own", func() bool { return w.hosts["x1"].node.who().SiteID != "" })
			w.halt("x1")
			w.start("x1", func(c *Config) { c.Join = []string{w.hosts["n1"].gossipAddr()} })
		}},
		"it is told to join": {func(w *world) {
			x := w.start("x1", func(c *Config) { c.Bootstrap = true })
			w.eventually("x1 is a site of its own", func() bool { return x.who().SiteID != "" })
			_ = x.members.Join([]string{w.hosts["n1"].gossipAddr()})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 23, "n1", "n2", "n3", "x1")
				w.found([]string{"n1", "n2", "n3"}, nil)
				defer w.shutdown()
				ours := w.leader().machine.Table().ID()
				foreign.begin(w)
				time.Sleep(30 * time.Second)
				w.goOn("n1", "n2", "n3", "x1")
				w.eventually("the site has a leader", func() bool { return w.leaderOfSite(ours) != nil })
				if got := len(w.leaderOfSite(ours).configuration()); got != 3 {
					t.Errorf("the site has %d members, want its three", got)
				}
				x := w.hosts["x1"].node
				if x.machine.Table().ID() == ours {
					t.Error("the foreign node has taken over this site's state")
				}
				for _, server := range x.configuration() {
					if server.ID != "x1" {
						t.Errorf("the foreign site has taken in %s", server.ID)
					}
				}
				if _, err := w.registerAt("n1", "x"); err != nil {
					t.Errorf("the site goes on: %v", err)
				}
			})
		})
	}
}

// goOn checks that nodes have not ended.
func (w *world) goOn(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		select {
		case err := <-w.hosts[id].done:
			w.hosts[id].done <- nil
			w.t.Fatalf("%s was ended: %v", id, err)
		default:
		}
	}
}

// leaderOfSite is the leader among the nodes that hold a site's state.
func (w *world) leaderOfSite(id string) *Node {
	var of []*Node
	for _, n := range w.running() {
		if n.machine.Table().ID() == id {
			of = append(of, n)
		}
	}
	return leading(of)
}

// A node that was away while the keys were rotated, and comes back on another
// address, can neither read the gossip nor be found: it asks for the keys.
func TestANodeThatMissedARotationIsBackOnAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 24, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		away := w.follower().cfg.ID
		old := w.leader().gossipKeys()
		w.eventually(away+" remembers the others", func() bool { return len(w.hosts[away].node.who().RPC) == 2 })
		w.crash(away)
		w.eventually("gossip has noticed", func() bool { return !w.leader().isAlive(raft.ServerID(away)) })
		for range 2 {
			r := s.must("keys", "rotate", map[string]any{})
			if r.Data["id"] == nil || r.Data["removed"] == nil {
				t.Fatalf("rotate: %+v", r)
			}
		}
		now := w.leader().gossipKeys()
		if len(now.Keys) != 1 || string(now.Keys[0]) == string(old.Keys[0]) || now.Version <= old.Version {
			t.Fatalf("the keys did not change: version %d, %d keys", now.Version, len(now.Keys))
		}
		w.hosts[away].move()
		n := w.start(away, nil)
		w.eventually("it is in gossip again, at its new address", func() bool {
			seen := w.leader().members.Of(away)
			return seen.State == "alive" && seen.Raft == w.hosts[away].raftAddr()
		})
		w.eventually("the leader replicates to the new address", func() bool {
			at, err := w.leader().raftAddress(raft.ServerID(away))
			return err == nil && string(at) == w.hosts[away].raftAddr() && n.notReady() == ""
		})
		w.eventually("it uses the keys", func() bool { return n.members.KeysVersion() == now.Version })
		if got := n.members.Holds(); len(got) != 1 || string(got[0]) != string(now.Keys[0]) {
			t.Errorf("it knows %d keys, want the new one alone", len(got))
		}
		s.must("dataChannel", "create", service("x", "http://x:80/"))
		w.checkEqual()
	})
}

// A rotation waits for every node that is alive, and each key is read by all
// before any writes with it: nobody drops out of gossip.
func TestARotationUnderTrafficLosesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 25, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		term := w.leader().raft.CurrentTerm()
		stop := s.traffic(25)
		rings := w.follower().ringsUsed(t)
		for range 5 {
			s.must("keys", "rotate", map[string]any{})
			for _, n := range w.running() {
				for id, seen := range n.members.All() {
					if seen.State != "alive" {
						t.Errorf("%s sees %s as %s after a rotation", n.cfg.ID, id, seen.State)
					}
				}
			}
			time.Sleep(7 * time.Second) // several rounds of push and pull
		}
		s.kept(stop())
		if now := w.leader().raft.CurrentTerm(); now != term {
			t.Errorf("the term went from %d to %d", term, now)
		}
		used := rings()
		for i, now := range used[1:] {
			before := used[i]
			if !has(before, now.Keys[0]) || !has(now, before.Keys[0]) {
				t.Errorf("ring %d writes with a key that could not be read before, or cannot read what was written with the last", now.Version)
			}
		}
		if len(used) < 1+3*5 {
			t.Errorf("%d rings were used, want three for each rotation", len(used)-1)
		}
		for _, n := range w.running() {
			for id, seen := range n.members.All() {
				if seen.State != "alive" {
					t.Errorf("%s sees %s as %s at the end", n.cfg.ID, id, seen.State)
				}
			}
		}
	})
}

func has(k gossip.Keys, key []byte) bool {
	return slices.ContainsFunc(k.Keys, func(other []byte) bool { return string(other) == string(key) })
}

// ringsUsed collects the gossip keys that the table has had until it is asked.
func (n *Node) ringsUsed(t *testing.T) func() []gossip.Keys {
	ctx, cancel := context.WithCancel(t.Context())
	used := []gossip.Keys{n.gossipKeys()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			table := n.machine.Table()
			if k := n.gossipKeys(); k.Version > used[len(used)-1].Version {
				used = append(used, k)
			}
			if _, err := n.machine.Await(ctx, table.Version()); err != nil {
				return
			}
		}
	}()
	return func() []gossip.Keys { cancel(); <-done; return used }
}

// A whole site comes back on other addresses: Raft's configuration alone could
// not reach a single voter.
func TestAWholeSiteComesBackOnOtherAddressesButOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 26, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		s.must("dataChannel", "create", service("x", "http://x:80/"))
		w.eventually("all remember the others", func() bool {
			for _, n := range w.running() {
				if len(n.who().Gossip) != 2 {
					return false
				}
			}
			return true
		})
		for _, id := range sortedKeys(w.hosts) {
			w.halt(id)
		}
		w.hosts["n1"].move()
		w.hosts["n2"].move()
		for _, id := range sortedKeys(w.hosts) {
			w.start(id, nil)
		}
		w.eventually("all are listed at their new addresses", func() bool {
			n := w.leaderNow()
			if n == nil {
				return false
			}
			for _, m := range n.memberList() {
				if m.Raft != w.hosts[m.ID].raftAddr() || w.hosts[m.ID].node.notReady() != "" {
					return false
				}
			}
			return true
		})
		if w.checkEqual().Local("x:http") == nil {
			t.Error("what was registered is lost")
		}
	})
}

// traffic has clients register services at any node until it is stopped, and
// returns what was acknowledged: by name, the index.
func (s *securedSite) traffic(seed uint64) (stop func() map[string]uint64) {
	var (
		clients      sync.WaitGroup
		once         sync.Once
		mu           sync.Mutex
		acknowledged = map[string]uint64{}
		done         = make(chan struct{})
	)
	for c := range 3 {
		r := rand.New(rand.NewPCG(seed, uint64(c)))
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-time.After(time.Duration(r.IntN(400)) * time.Millisecond):
				}
				name := fmt.Sprintf("s%d-%d-%d", seed, c, i)
				if index := s.register(r, name, done); index > 0 {
					mu.Lock()
					acknowledged[name] = index
					mu.Unlock()
				}
			}
		})
	}
	return func() map[string]uint64 {
		once.Do(func() { close(done) })
		clients.Wait()
		return acknowledged
	}
}

// register goes on at other nodes with the same requestId until it is
// answered; 0 is that the traffic ended first.
func (s *securedSite) register(r *rand.Rand, name string, done <-chan struct{}) uint64 {
	for {
		nodes := s.running()
		if len(nodes) > 0 {
			id := nodes[r.IntN(len(nodes))].cfg.ID
			a, err := ask[answer](s.world, id, s.admin, "applyAction", create(name, "request-"+name))
			switch {
			case err == nil && a.Success:
				return a.Index
			case err == nil:
				s.t.Errorf("%s at %s: %+v", name, id, a)
				return 0
			}
		}
		select {
		case <-done:
			return 0
		case <-time.After(time.Duration(20+r.IntN(80)) * time.Millisecond):
		}
	}
}

// kept checks that every node holds all that was acknowledged, applied once.
func (s *securedSite) kept(acknowledged map[string]uint64) {
	s.t.Helper()
	table := s.checkEqual()
	for name, index := range acknowledged {
		switch r := table.Local(name + ":http"); {
		case r == nil:
			s.t.Errorf("%s was acknowledged at index %d and is lost", name, index)
		case r.CreatedIndex != index:
			s.t.Errorf("%s was acknowledged at index %d and created at %d: applied twice?", name, index, r.CreatedIndex)
		}
	}
	if len(acknowledged) == 0 {
		s.t.Error("nothing was acknowledged: there was no traffic")
	}
	s.t.Logf("%d acknowledged", len(acknowledged))
}
