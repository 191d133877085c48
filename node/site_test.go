package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// session is a client of one node, over a pipe.
type session struct {
	s      *transport.Session
	scope  *transport.Promise
	cancel context.CancelFunc
	done   chan struct{}
}

func (w *world) connect(id string) (*session, error) { return w.connectAs(id, "client", "") }

// connectAs is connect from an address (clientAddress) and with a token.
func (w *world) connectAs(id, from, token string) (*session, error) {
	conn, err := w.dial(context.Background(), from, w.url(id), nil)
	if err != nil {
		return nil, err
	}
	s := transport.NewSession(conn, transport.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	c := &session{s: s, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_ = s.Run(ctx)
	}()
	c.scope = s.Main().Call("connectionFromCli", token)
	return c, nil
}

func (c *session) close() {
	c.cancel()
	<-c.done
}

func create(name, requestID string) map[string]any {
	return map[string]any{"resource": "dataChannel", "action": "create", "requestId": requestID,
		"data": map[string]any{"name": name, "endpoint": "http://" + name + ".test:80/", "protocol": "http"}}
}

type actionResult struct {
	Success bool   `json:"success"`
	Code    string `json:"code"`
	Error   string `json:"error"`
	Index   uint64 `json:"index"`
}

// register creates a service at a node of the client's choice, and goes on
// with the same requestId at another until it is answered.
func (w *world) register(r *rand.Rand, name string) (uint64, error) {
	ids := sortedKeys(w.hosts)
	for attempt := 0; attempt < 200; attempt++ {
		index, err := w.registerAt(ids[r.IntN(len(ids))], name)
		if err == nil {
			return index, nil
		}
		time.Sleep(time.Duration(20+r.IntN(80)) * time.Millisecond)
	}
	return 0, fmt.Errorf("%s was not answered in 200 attempts", name)
}

func (w *world) registerAt(id, name string) (uint64, error) {
	c, err := w.connect(id)
	if err != nil {
		return 0, err
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := transport.Await[actionResult](ctx, c.scope.Call("applyAction", create(name, "request-"+name)))
	if err != nil {
		return 0, err
	}
	if !r.Success {
		return 0, errors.New(r.Error)
	}
	return r.Index, nil
}

func snapshotBytes(t *testing.T, table *fsm.Table) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := fsm.WriteSnapshot(&b, table); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checkEqual waits until all nodes have the same version and compares tables.
func (w *world) checkEqual() *fsm.Table {
	w.t.Helper()
	nodes := w.running()
	w.eventually("all nodes have the same index", func() bool {
		for _, n := range nodes {
			if n.machine.Table().Version() != nodes[0].machine.Table().Version() {
				return false
			}
		}
		return true
	})
	want := snapshotBytes(w.t, nodes[0].machine.Table())
	for _, n := range nodes[1:] {
		if !bytes.Equal(want, snapshotBytes(w.t, n.machine.Table())) {
			w.t.Errorf("%s and %s hold different tables at index %d", nodes[0].cfg.ID, n.cfg.ID, n.machine.Table().Version())
		}
	}
	return nodes[0].machine.Table()
}

func TestThousandLeaderLossesLoseNothing(t *testing.T) {
	losses := 1000
	if testing.Short() {
		losses = 100
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()

		var (
			mu           sync.Mutex
			acknowledged = map[string]uint64{}
			stop         = make(chan struct{})
			clients      sync.WaitGroup
		)
		for c := range 4 {
			r := rand.New(rand.NewPCG(7, uint64(c)))
			clients.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					name := fmt.Sprintf("s%d-%d", c, i)
					index, err := w.register(r, name)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acknowledged[name] = index
					mu.Unlock()
					time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
				}
			})
		}
		terms := w.leader().raft.CurrentTerm()
		for range losses {
			w.loseLeader()
		}
		close(stop)
		clients.Wait()

		if now := w.leader().raft.CurrentTerm(); now < terms+uint64(losses) {
			t.Errorf("term went from %d to %d: fewer elections than the %d losses", terms, now, losses)
		}
		table := w.checkEqual()
		for name, index := range acknowledged {
			r := table.Local(name + ":http")
			if r == nil {
				t.Errorf("%s was acknowledged and is lost", name)
			} else if r.CreatedIndex != index {
				t.Errorf("%s was acknowledged at index %d and created at %d: applied twice?", name, index, r.CreatedIndex)
			}
		}
		if len(acknowledged) < losses {
			t.Errorf("only %d registrations over %d losses", len(acknowledged), losses)
		}
		t.Logf("%d leader losses, %d acknowledged registrations", losses, len(acknowledged))
	})
}

// loseLeader takes the leader away in one of three ways, waits for its
// successor, and brings it back.
func (w *world) loseLeader() {
	w.t.Helper()
	old := w.leader()
	id, term := old.cfg.ID, old.raft.CurrentTerm()
	var back func()
	switch w.rand.IntN(3) {
	case 0:
		w.crash(id)
		back = func() { w.start(id, nil) }
	case 1:
		w.isolate(id)
		back = func() { w.heal(id) }
	default:
		w.halt(id)
		back = func() { w.start(id, nil) }
	}
	w.eventually("another node leads in a newer term", func() bool {
		n := w.leaderNow()
		return n != nil && n.cfg.ID != id && n.raft.CurrentTerm() > term
	})
	time.Sleep(time.Duration(w.rand.IntN(500)) * time.Millisecond)
	back()
	w.eventually("the lost node follows again", func() bool {
		n := w.leaderNow()
		return n != nil && w.hosts[id].node != nil && w.hosts[id].node.machine.Table().Version() >= n.machine.Table().Version()
	})
}

func TestEveryNodeTakesActionsAndShowsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		for _, id := range sortedKeys(w.hosts) {
			index, err := w.registerAt(id, "from-"+id)
			if err != nil {
				t.Fatalf("register at %s: %v", id, err)
			}
			for _, reader := range sortedKeys(w.hosts) {
				c, err := w.connect(reader)
				if err != nil {
					t.Fatal(err)
				}
				list, err := transport.Await[routeList](t.Context(), c.scope.Call("listLocalRoutes", map[string]any{"name": "from-" + id}))
				c.close()
				if err != nil || len(list.Routes) != 1 || list.Index < index || !list.Routes[0].Best {
					t.Errorf("read at %s after the write at %s (index %d): %+v, %v", reader, id, index, list, err)
				}
			}
		}
	})
}

func TestNoQuorumRefusesWritesAndServesStaleReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		if _, err := w.registerAt("n1", "before"); err != nil {
			t.Fatal(err)
		}
		w.checkEqual()
		w.crash("n1")
		w.crash("n2")
		_, err := w.registerAt("n3", "during")
		var e *transport.Error
		if !errors.As(err, &e) || e.Code() != "no_leader" {
			t.Errorf("write without a quorum: %v, want code no_leader", err)
		}
		c, err := w.connect("n3")
		if err != nil {
			t.Fatal(err)
		}
		list, err := transport.Await[routeList](t.Context(), c.scope.Call("listRoutes", map[string]any{"consistency": "stale"}))
		c.close()
		if err != nil || len(list.Routes) != 1 {
			t.Errorf("stale read without a quorum: %+v, %v", list, err)
		}
		w.start("n1", nil)
		w.start("n2", nil)
		if _, err := w.register(w.rand, "after"); err != nil {
			t.Errorf("after the others returned: %v", err)
		}
	})
}

func TestARetriedRequestIsAppliedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		first, err := w.registerAt("n2", "once")
		if err != nil {
			t.Fatal(err)
		}
		w.crash(w.leader().cfg.ID)
		w.leader()
		again, err := w.register(w.rand, "once")
		if err != nil || again != first {
			t.Errorf("the same requestId after a leader change: index %d, %v; want %d", again, err, first)
		}
	})
}

func TestExpectedNodesFoundOneSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, "n1", "n2", "n3")
		ids := sortedKeys(w.hosts)
		for _, id := range ids {
			w.start(id, func(c *Config) {
				c.BootstrapExpect = 3
				c.Join = []string{w.hosts[ids[0]].gossipAddr(), w.hosts[ids[1]].gossipAddr(), w.hosts[ids[2]].gossipAddr()}
			})
		}
		defer w.shutdown()
		w.eventually("one site of three voters", func() bool {
			n := w.leaderNow()
			return n != nil && (electorate{servers: n.configuration()}).voters() == 3
		})
		epoch := w.leader().machine.Table().Epoch()
		w.eventually("all nodes have the same epoch", func() bool {
			for _, n := range w.running() {
				if n.machine.Table().Epoch() != epoch {
					return false
				}
			}
			return true
		})
	})
}

func TestANodeLeavesAndTheSiteGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6, "n1", "n2", "n3", "n4")
		w.site(nil)
		defer w.shutdown()
		leaver := w.leader().cfg.ID
		c, err := w.connect(leaver)
		if err != nil {
			t.Fatal(err)
		}
		r, err := transport.Await[actionResult](t.Context(), c.scope.Call("leave"))
		c.close()
		if err != nil || !r.Success {
			t.Fatalf("leave: %+v, %v", r, err)
		}
		if err := <-w.hosts[leaver].done; err != nil {
			t.Errorf("the leaver's process ended with %v", err)
		}
		w.mu.Lock()
		w.hosts[leaver].node = nil
		w.mu.Unlock()
		w.eventually("three voters remain", func() bool {
			n := w.leaderNow()
			return n != nil && len(n.configuration()) == 3
		})
	})
}

func TestAWatchSeesEveryChangeOnceThroughALeaderLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		leader := w.leader().cfg.ID
		watched := "n1"
		if watched == leader {
			watched = "n2"
		}
		if _, err := w.register(w.rand, "first"); err != nil {
			t.Fatal(err)
		}
		c, err := w.connect(watched)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		var mu sync.Mutex
		var got []WatchEvent
		callback := transport.NewFunc(func(_ context.Context, call *transport.Call) (any, error) {
			var e WatchEvent
			if err := call.Decode(0, &e); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e)
			return nil, nil
		})
		if _, err := c.scope.Call("watchRoutes", callback).Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		const changes = 40 // after the snapshot
		for i := range changes {
			if i == changes/2 {
				w.crash(leader)
			}
			if _, err := w.register(w.rand, fmt.Sprintf("w%02d", i)); err != nil {
				t.Fatal(err)
			}
		}
		w.eventually("the watcher has everything", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(got) == changes+1
		})
		if got[0].Type != "snapshot" || len(*got[0].Routes) != 1 || !(*got[0].Routes)[0].Best {
			t.Errorf("a watch starts with %+v, want a snapshot of the first route, marked best", got[0])
		}
		for i, e := range got[1:] {
			if want := fmt.Sprintf("w%02d:http", i); e.Type != "put" || e.ID != want || e.Index <= got[i].Index {
				t.Errorf("event %d is %s of %s at %d after %d, want put of %s", i, e.Type, e.ID, e.Index, got[i].Index, want)
			}
		}
	})
}

var _ = pipeline.Admin
