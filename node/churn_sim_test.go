package node

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// churn is a secured site whose members come and go.
type churn struct {
	*securedSite
	alter func(*Config)
}

// spare says whether the site can lose a voter more.
func (c *churn) spare() bool {
	alive := 0
	for _, id := range c.voters() {
		if c.hosts[id].node != nil {
			alive++
		}
	}
	return alive > quorum(len(c.voters()))
}

// out are the hosts that are in no site, in order.
func (c *churn) out() (ids []string) {
	members := c.members()
	for _, id := range sortedKeys(c.hosts) {
		if !slices.Contains(members, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c *churn) members() (ids []string) {
	for _, m := range c.leader().memberList() {
		ids = append(ids, m.ID)
	}
	return ids
}

// mishap does something to the site, sees that it took effect, and undoes what
// would stand in the way of the next one.
func (c *churn) mishap() string {
	r := c.rand
	members := c.members()
	id := members[r.IntN(len(members))]
	lasts := time.Duration(500+r.IntN(8_000)) * time.Millisecond
	switch kind := r.IntN(9); {
	case kind <= 1 && len(c.out()) > 0:
		return c.enter(c.out()[0], id)
	case kind <= 3 && len(members) > 3 && c.spare():
		return c.goes(id, r.IntN(2) == 0)
	case kind == 4 && c.spare():
		return c.forgets(id)
	case kind == 5:
		c.must("keys", "rotate", map[string]any{})
		return "rotation of the keys"
	case kind == 6:
		return c.restarts(id, r.IntN(3) == 0, lasts)
	case kind == 7:
		c.isolate(id)
		c.eventually("another leads", func() bool { n := c.leaderNow(); return n != nil && n.cfg.ID != id })
		time.Sleep(lasts)
		c.heal(id)
		return "isolation of " + id
	default:
		return c.loses(id, lasts)
	}
}

// enter takes in a host that is out, at a node that may be down or cut off.
func (c *churn) enter(id, at string) string {
	h := c.hosts[id]
	if h.node == nil {
		h.wipe()
		c.start(id, c.alter)
	}
	c.eventually(id+" is taken in", func() bool {
		r, err := c.joinAt(id, at)
		if err == nil && r.Code == "conflict" {
			n := c.leaderNow() // an earlier try was lost on the way back
			return n != nil && slices.Contains(c.members(), id)
		}
		return err == nil && r.Success
	})
	return id + " joins at " + at
}

// goes takes a member out: by itself, or at another node.
func (c *churn) goes(id string, itself bool) string {
	what := id + " is removed"
	if itself {
		what = id + " leaves"
		c.eventually(what, func() bool {
			r, err := ask[answer](c.world, id, c.admin, "leave", map[string]any{})
			return err == nil && r.Success || !slices.Contains(c.members(), id)
		})
	} else {
		c.must("member", "remove", map[string]any{"id": id})
	}
	err := c.ended(id)
	if itself && err != nil {
		c.t.Errorf("%s left and ended with %v", id, err)
	}
	c.eventually(id+" is no member", func() bool { return !slices.Contains(c.members(), id) })
	return what
}

// forgets wipes a member, sees that it is refused, and goes by the remedy.
func (c *churn) forgets(id string) string {
	c.crash(id)
	c.hosts[id].wipe()
	c.start(id, c.alter)
	c.eventually(id+" is refused", func() bool {
		r, err := c.joinAt(id, c.leader().cfg.ID)
		if err == nil && r.Success {
			c.t.Fatalf("%s was believed without its data: %+v", id, r)
		}
		return err == nil && r.Code == "forbidden"
	})
	c.must("member", "remove", map[string]any{"id": id})
	time.Sleep(2 * time.Second) // as an operator would take; the removed one's replication ends meanwhile
	c.enter(id, c.leader().cfg.ID)
	return id + " loses its data and is replaced"
}

// restarts stops a node, perhaps for it to come back on another address.
func (c *churn) restarts(id string, moves bool, lasts time.Duration) string {
	leads := c.leader().cfg.ID == id
	c.halt(id)
	if leads {
		c.eventually("another leads", func() bool { n := c.leaderNow(); return n != nil && n.cfg.ID != id })
	}
	time.Sleep(lasts)
	what := "restart of " + id
	if moves {
		c.hosts[id].move()
		what += " on another address"
	}
	c.start(id, c.alter)
	return what
}

// loses crashes a node without a word.
func (c *churn) loses(id string, lasts time.Duration) string {
	c.crash(id)
	c.eventually("another leads", func() bool { n := c.leaderNow(); return n != nil && n.cfg.ID != id })
	time.Sleep(lasts)
	c.start(id, c.alter)
	return "crash of " + id
}

// settled waits until all members are there and vote, up to five, each known
// by the incarnation that it is.
func (c *churn) settled() {
	c.t.Helper()
	var fault error
	for range 6_000 {
		if fault = c.unsettled(); fault == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatalf("not at rest within a minute: %v", fault)
}

func (c *churn) unsettled() error {
	n := c.leaderNow()
	if n == nil {
		return fmt.Errorf("there is no leader")
	}
	members, voters := n.memberList(), 0
	for _, m := range members {
		h := c.hosts[m.ID]
		switch instance, _ := n.machine.Table().Instance(m.ID); {
		case h.node == nil:
			return fmt.Errorf("%s is a member and does not run", m.ID)
		case instance != h.node.who().Instance:
			return fmt.Errorf("%s is known as %q and is %q", m.ID, instance, h.node.who().Instance)
		case m.State != "alive" || m.Raft != h.raftAddr():
			return fmt.Errorf("%s is %s at %s, and at %s", m.ID, m.State, m.Raft, h.raftAddr())
		case h.node.members.KeysVersion() != n.machine.Table().GossipKeysVersion():
			return fmt.Errorf("%s gossips with keys of version %d", m.ID, h.node.members.KeysVersion())
		case m.Role != "nonvoter":
			voters++
		}
	}
	if want := min(len(members), maxVoters); voters != want {
		return fmt.Errorf("%d of %d members vote, want %d", voters, len(members), want)
	}
	leaders := 0
	for _, n := range c.running() {
		if n.leadership.current.Load() != nil && n.raft.VerifyLeader().Error() == nil {
			leaders++
		}
	}
	if leaders != 1 {
		return fmt.Errorf("%d nodes lead", leaders)
	}
	return nil
}

// Whatever comes and goes, what was acknowledged is kept, and at rest one node
// leads and all members vote, up to five.
func TestASiteKeepsItsWordWhileMembersComeAndGo(t *testing.T) {
	seeds, mishaps := 6, 30
	if testing.Short() {
		seeds, mishaps = 2, 10
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 700+seed, "n1", "n2", "n3", "n4", "n5", "n6", "n7")
				defer w.shutdown()
				c := &churn{securedSite: secure(w, nil, "n1", "n2", "n3")}
				stop := c.traffic(seed)
				defer stop()
				for i := range mishaps {
					what := c.mishap()
					if testing.Verbose() {
						t.Logf("%d: %s", i, what)
					}
					c.settled()
				}
				c.kept(stop())
			})
		})
	}
}
