package node

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/peering"
)

// traffic registers, changes and deletes services at every site until it is
// stopped, each client at nodes that it picks at random.
func (f *fabric) traffic(seed uint64) (stop func() (actions int)) {
	var (
		clients sync.WaitGroup
		done    = make(chan struct{})
		counts  = make([]int, len(f.sites))
	)
	for i, site := range f.sites {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		clients.Go(func() {
			for ; ; counts[i]++ {
				select {
				case <-done:
					return
				case <-time.After(time.Duration(r.IntN(600)) * time.Millisecond):
				}
				name := fmt.Sprintf("s%d", r.IntN(40))
				action, data := "upsert", service(name, fmt.Sprintf("http://%s.%s:%d/", name, site, 1+r.IntN(3)))
				if r.IntN(3) == 0 {
					action, data = "delete", map[string]any{"id": name + ":http"}
				}
				if _, err := f.try(r, site, "dataChannel", action, data); err != nil {
					f.t.Errorf("%s at %s: %v", action, site, err)
					return
				}
			}
		})
	}
	return func() (actions int) {
		close(done)
		clients.Wait()
		for _, n := range counts {
			actions += n
		}
		return actions
	}
}

// mishap does something to the fabric, sees that it took effect, lets it last
// for some seconds and undoes it.
func (f *fabric) mishap() string {
	r := f.rand
	at := r.IntN(len(f.sites))
	site, other := f.sites[at], f.sites[(at+1+r.IntN(len(f.sites)-1))%len(f.sites)]
	lasts := time.Duration(1_000+r.IntN(30_000)) * time.Millisecond
	leader := f.leaderOf(site).cfg.ID
	ids := f.ids(site)
	var what string
	switch r.IntN(8) {
	case 0:
		what = "crash of leader " + leader
		f.crash(leader)
		f.succeeded(site, leader)
		time.Sleep(lasts)
		f.start(leader, peeringOn)
	case 1:
		what = "restart of leader " + leader
		f.halt(leader)
		f.succeeded(site, leader)
		f.start(leader, peeringOn)
	case 2:
		id := ids[r.IntN(len(ids))]
		what = "isolation of " + id
		f.isolate(id)
		if id == leader {
			f.succeeded(site, leader)
		}
		time.Sleep(lasts)
		f.heal(id)
	case 3:
		what = "all of site " + site + " at once"
		for _, id := range ids {
			f.crash(id)
		}
		f.parted(other, site)
		time.Sleep(lasts)
		for _, id := range ids {
			f.start(id, peeringOn)
		}
	case 4:
		beside := f.leaderOf(other).cfg.ID
		what = "crash of both leaders, " + leader + " and " + beside
		f.crash(leader)
		f.crash(beside)
		f.succeeded(site, leader)
		f.succeeded(other, beside)
		time.Sleep(lasts)
		f.start(leader, peeringOn)
		f.start(beside, peeringOn)
	case 5:
		what = "leader " + leader + " is cut off from its own site alone"
		f.alter(func() { f.inner[leader] = true })
		f.succeeded(site, leader)
		time.Sleep(lasts)
		f.alter(func() { delete(f.inner, leader) })
	case 6:
		what = "silence between " + site + " and " + other
		f.alter(func() { f.mute[pair(site, other)] = true })
		time.Sleep(lasts)
		if lasts > peering.DefaultHoldTime+time.Second {
			f.parted(site, other)
		}
		f.alter(func() { delete(f.mute, pair(site, other)) })
	default:
		what = "cut between " + site + " and " + other
		f.alter(func() { f.apart[pair(site, other)] = true })
		f.parted(site, other)
		time.Sleep(lasts)
		f.alter(func() { delete(f.apart, pair(site, other)) })
	}
	return fmt.Sprintf("%s for %s", what, lasts)
}

// succeeded waits until another node leads a site.
func (f *fabric) succeeded(site, id string) {
	f.t.Helper()
	f.eventually("another node than "+id+" leads", func() bool { return f.leaderOf(site).cfg.ID != id })
}

// parted waits until a site has no session with another.
func (f *fabric) parted(site, other string) {
	f.t.Helper()
	f.eventually(site+" has no session with "+other, func() bool {
		f.leaderOf(site)
		state := f.peerAt(site, other).State
		return state != peering.Established && state != peering.OpenConfirm
	})
}

// Whatever happens, at rest every site holds exactly what the others
// originate.
func TestSitesConvergeThroughMishaps(t *testing.T) {
	seeds, mishaps := 4, 40
	if testing.Short() {
		seeds, mishaps = 1, 10
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFabric(t, 100+seed, "a", "b", "c", "d")
				defer f.shutdown()
				f.mesh()
				if seed%2 == 1 {
					f.alter(func() { f.slow = 80 * time.Millisecond })
				}
				stop := f.traffic(seed)
				for range mishaps {
					what := f.mishap()
					if testing.Verbose() {
						t.Log(what)
					}
					time.Sleep(time.Duration(f.rand.IntN(10_000)) * time.Millisecond)
				}
				actions := stop()
				f.rest()
				if healed := f.healed(); healed > 0 {
					t.Errorf("the digests found %d differences: the sessions themselves must leave none", healed)
				}
				t.Logf("%d actions, %d mishaps", actions, mishaps)
			})
		})
	}
}

// healed sums up what all nodes that ever led had to heal.
func (f *fabric) healed() (times uint64) {
	for _, n := range f.started {
		times += n.peerCounts.Healed.Load()
	}
	return times
}

// A leader that is cut off from its own site, but not from the others, goes on
// until it notices. Its successor's session takes the place of its own, and
// what it says after that is refused.
func TestADeposedLeaderIsNotHeardBySites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFabric(t, 7, "a", "b")
		defer f.shutdown()
		f.peer("a", "b")
		f.register("a", "one")
		f.rest()
		f.established("b", "a")
		old := f.leaderOf("a")
		term := f.peerAt("b", "a").Term
		f.alter(func() { f.inner[old.cfg.ID] = true })
		f.eventually("b has a session with the next leader", func() bool {
			p := f.peerAt("b", "a")
			return p.State == peering.Established && p.Term > term
		})
		l := f.leaderOf("b").leadership.current.Load()
		_, _, err := l.speaker.Accept(nil, &peering.Info{
			Site: "a", AS: 64512, Node: old.cfg.ID, Term: term, Epoch: old.machine.Table().Epoch(),
		}, peering.Admission{})
		if r, ok := peering.IsRefused(err); !ok || r.Kind != peering.Deposed {
			t.Errorf("the deposed leader's open: %v", err)
		}
		f.alter(func() { clear(f.inner) })
		f.rest()
	})
}

// A site that is gone for longer than the restart time is withdrawn, and
// everything is there again when it returns.
func TestALostSiteGoesStaleThenGoesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFabric(t, 8, "a", "b")
		defer f.shutdown()
		f.peer("a", "b")
		f.register("b", "svc")
		f.rest()
		for _, id := range f.ids("b") {
			f.crash(id)
		}
		at := func() (routes, stale int) {
			h := f.leaderOf("a").machine.Table().Held("b")
			return h.Routes, h.Stale
		}
		time.Sleep(4 * time.Second)
		if routes, stale := at(); routes != 1 || stale != 0 {
			t.Errorf("after 4 s: %d routes, %d stale", routes, stale)
		}
		time.Sleep(4 * time.Second)
		if routes, stale := at(); routes != 1 || stale != 1 {
			t.Errorf("after 8 s: %d routes, %d stale", routes, stale)
		}
		f.crash(f.leaderOf("a").cfg.ID) // the next one goes on counting
		time.Sleep(100 * time.Second)
		if routes, stale := at(); routes != 1 || stale != 1 {
			t.Errorf("after 108 s: %d routes, %d stale", routes, stale)
		}
		time.Sleep(20 * time.Second)
		if routes, _ := at(); routes != 0 {
			t.Errorf("after 128 s: %d routes", routes)
		}
		for _, id := range f.ids("b") {
			f.start(id, peeringOn)
		}
		for _, id := range f.ids("a") {
			if f.hosts[id].node == nil {
				f.start(id, peeringOn)
			}
		}
		f.rest()
	})
}

func TestAPeerIsRemovedAndItsRoutesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFabric(t, 9, "a", "b")
		defer f.shutdown()
		f.peer("a", "b")
		f.register("a", "svc")
		f.register("b", "svc")
		f.rest()
		f.act("a", "peer", "delete", map[string]any{"id": "b"})
		f.eventually("neither side holds anything of the other", func() bool {
			return f.leaderOf("a").machine.Table().NumLearned() == 0 && f.leaderOf("b").machine.Table().NumLearned() == 0
		})
		f.peer("a", "b")
		f.rest()
	})
}

// Sites that are not fully meshed learn of each other through a reflector.
func TestSpokesLearnOfEachOtherThroughAReflector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fabric{newWorld(t, 10), []string{"hub", "x", "y"}}
		for _, site := range f.sites {
			f.add(site, site+"1", site+"2", site+"3")
		}
		for _, site := range f.sites {
			f.found(f.ids(site), func(c *Config) {
				peeringOn(c)
				c.RouteReflector = site == "hub"
			})
		}
		defer f.shutdown()
		f.peer("x", "hub")
		f.peer("hub", "y")
		for _, site := range f.sites {
			f.register(site, "of-"+site)
		}
		f.rest()
		r := f.leaderOf("x").machine.Table().Best("of-y:http")
		if fmt.Sprint(r.Path) != "[hub y]" || r.Peer != "hub" {
			t.Errorf("x has y's service by %s over %v", r.Peer, r.Path)
		}
		f.act("y", "dataChannel", "delete", map[string]any{"id": "of-y:http"})
		f.rest()
	})
}
