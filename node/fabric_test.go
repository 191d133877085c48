package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/transport"
)

// A fabric is several simulated sites of three nodes each, peered with one
// another, over links that can be cut and slowed down.
type fabric struct {
	*world
	sites []string
}

const fabricSecret = "fabric secret"

func newFabric(t *testing.T, seed uint64, sites ...string) *fabric {
	f := &fabric{newWorld(t, seed), sites}
	for _, site := range sites {
		f.add(site, site+"1", site+"2", site+"3")
	}
	for _, site := range sites {
		f.found(f.ids(site), peeringOn)
	}
	return f
}

func peeringOn(c *Config) { c.PeeringSecret = fabricSecret }

func (f *fabric) ids(site string) []string {
	return slices.DeleteFunc(sortedKeys(f.hosts), func(id string) bool { return f.hosts[id].site != site })
}

// endpoints are those of all nodes of a site.
func (f *fabric) endpoints(site string) (urls []any) {
	for _, id := range f.ids(site) {
		urls = append(urls, "ws://"+f.hosts[id].rpcAddr()+"/rpc")
	}
	return urls
}

// peer configures one site as a peer of another.
func (f *fabric) peer(at, site string) {
	f.t.Helper()
	f.act(at, "peer", "create", map[string]any{"id": site, "endpoints": f.endpoints(site)})
}

// mesh configures every site as a peer of every other, in one direction only:
// either dials, as chance has it.
func (f *fabric) mesh() {
	f.t.Helper()
	for i, a := range f.sites {
		for _, b := range f.sites[i+1:] {
			if f.rand.IntN(2) == 0 {
				f.peer(a, b)
			} else {
				f.peer(b, a)
			}
		}
	}
}

// act sends an action to some node of a site until it is answered.
func (f *fabric) act(site, resource, action string, data map[string]any) actionResult {
	f.t.Helper()
	r, err := f.try(f.rand, site, resource, action, data)
	if err != nil || !r.Success {
		f.t.Fatalf("%s/%s at %s: %+v, %v", resource, action, site, r, err)
	}
	return r
}

var requests struct {
	sync.Mutex
	n int
}

func (f *fabric) try(r *rand.Rand, site, resource, action string, data map[string]any) (result actionResult, err error) {
	requests.Lock()
	requests.n++
	sent := map[string]any{"resource": resource, "action": action, "data": data, "requestId": fmt.Sprint("fabric-", requests.n)}
	requests.Unlock()
	ids := f.ids(site)
	for range 4_000 {
		if result, err = f.once(ids[r.IntN(len(ids))], sent); err == nil {
			return result, nil
		}
		time.Sleep(time.Duration(20+r.IntN(80)) * time.Millisecond)
	}
	return result, err
}

func (f *fabric) once(id string, action map[string]any) (actionResult, error) {
	c, err := f.connect(id)
	if err != nil {
		return actionResult{}, err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return transport.Await[actionResult](ctx, c.scope.Call("applyAction", action))
}

func service(name, endpoint string) map[string]any {
	return map[string]any{"name": name, "endpoint": endpoint, "protocol": "http"}
}

func (f *fabric) register(site, name string) {
	f.t.Helper()
	f.act(site, "dataChannel", "create", service(name, "http://"+name+"."+site+":80/"))
}

// leaderOf waits until a site has a leader.
func (f *fabric) leaderOf(site string) *Node {
	f.t.Helper()
	var n *Node
	f.eventually("site "+site+" has a leader", func() bool {
		n = leading(f.runningOf(site))
		return n != nil
	})
	return n
}

// faults says what keeps the sites from being at rest: every node of every
// site holding exactly what the others originate, nothing of it stale.
func (f *fabric) faults() error {
	own := map[string]map[string]*fsm.Route{}
	for _, site := range f.sites {
		n := leading(f.runningOf(site))
		if n == nil {
			return fmt.Errorf("%s has no leader", site)
		}
		own[site] = map[string]*fsm.Route{}
		for r := range n.machine.Table().Locals() {
			own[site][r.ID()] = r
		}
	}
	for _, n := range f.running() {
		if err := holdsAll(n.machine.Table(), own); err != nil {
			return fmt.Errorf("%s: %w", n.cfg.ID, err)
		}
	}
	return nil
}

func holdsAll(t *fsm.Table, own map[string]map[string]*fsm.Route) error {
	held := map[string]int{}
	for r := range t.All() {
		want := own[r.Site][r.ID()]
		switch {
		case want == nil:
			return fmt.Errorf("has %s of %s by %q, which is not registered there", r.ID(), r.Site, r.Peer)
		case !want.Service.Equal(r.Service):
			return fmt.Errorf("has %s of %s as %+v, want %+v", r.ID(), r.Site, r.Service, want.Service)
		case r.Stale:
			return fmt.Errorf("has %s of %s stale", r.ID(), r.Site)
		}
		held[r.Site]++
	}
	for site, routes := range own {
		if held[site] != len(routes) {
			return fmt.Errorf("holds %d routes of %s, want %d", held[site], site, len(routes))
		}
	}
	return nil
}

// rest waits until the fabric is at rest.
func (f *fabric) rest() {
	f.t.Helper()
	var err error
	for range 6_000 {
		if err = f.faults(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, site := range f.sites {
		f.t.Logf("%s: %+v", site, f.leaderOf(site).leadership.current.Load().speaker.Peers())
	}
	f.t.Fatalf("not at rest within five minutes: %v", err)
}

// peerAt is what a site's leader says of a peer.
func (f *fabric) peerAt(site, peer string) peering.Peer {
	n := leading(f.runningOf(site))
	if n == nil {
		return peering.Peer{}
	}
	if l := n.leadership.current.Load(); l != nil {
		for _, p := range l.speaker.Peers() {
			if p.ID == peer {
				return p
			}
		}
	}
	return peering.Peer{}
}

func (f *fabric) established(site, peer string) {
	f.t.Helper()
	f.eventually(site+" has a session with "+peer, func() bool { return f.peerAt(site, peer).State == peering.Established })
}

// wideConn is a connection between sites.
type wideConn struct {
	transport.Conn
	w     *world
	sites [2]string
}

// Write takes as long as the link does, and for ever while that is mute.
func (c *wideConn) Write(ctx context.Context, messages ...[]byte) error {
	for {
		c.w.mu.Lock()
		mute, slow := c.w.mute[c.sites], c.w.slow
		c.w.mu.Unlock()
		if mute {
			slow = 50 * time.Millisecond
		}
		if err := pause(ctx, slow); err != nil {
			return err
		}
		if !mute {
			return c.Conn.Write(ctx, messages...)
		}
	}
}

// pause makes no timer that is due at once: with the race detector on, Go 1.26.8
// crashes now and then over one in a bubble.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestTwoSitesSeeEachOthersServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFabric(t, 1, "a", "b")
		defer f.shutdown()
		f.register("a", "before")
		f.peer("b", "a")
		f.register("b", "other")
		f.rest()
		f.register("a", "after")
		f.act("a", "dataChannel", "update", service("before", "http://moved:80/"))
		f.rest()
		f.act("a", "dataChannel", "delete", map[string]any{"id": "after:http"})
		f.rest()
		f.established("a", "b")
		f.established("b", "a")
		t.Logf("%+v", f.peerAt("a", "b"))
		t.Logf("%+v", f.peerAt("b", "a"))
	})
}

func TestAPeersLeaderFailsOverAndNobodySeesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFabric(t, 2, "a", "b", "c")
		defer f.shutdown()
		f.mesh()
		for _, site := range f.sites {
			f.register(site, "of-"+site)
		}
		f.rest()
		before := map[string]uint64{}
		for _, n := range f.running() {
			before[n.cfg.ID] = n.machine.Table().Version()
		}
		failovers := 5
		if testing.Short() {
			failovers = 2
		}
		for range failovers {
			old := f.leaderOf("a").cfg.ID
			f.crash(old)
			f.eventually("a has another leader, with its sessions", func() bool {
				return f.peerAt("a", "b").State == peering.Established && f.peerAt("a", "c").State == peering.Established
			})
			f.start(old, peeringOn)
			time.Sleep(20 * time.Second) // past what a lost session would do to its routes
		}
		f.alter(func() { f.apart[pair("a", "b")] = true })
		time.Sleep(2 * time.Second)
		f.alter(func() { clear(f.apart) })
		f.rest()
		for _, n := range f.running() {
			if got := n.machine.Table().Version(); got != before[n.cfg.ID] {
				t.Errorf("%s went from version %d to %d", n.cfg.ID, before[n.cfg.ID], got)
			}
		}
	})
}
