package clustertests

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// What the peering benchmarks stand on: sites of real processes, and a client of the project's own transport at each
// node. It is the one thing here that is not npm's: a pipe to Node.js would be in every figure of a few milliseconds.

// With a token the nodes answer to any Host, also to that of a proxy in front of them.
const benchToken, benchSecret = "bench-token", "bench-secret"

type benchSite struct {
	name  string
	nodes []*benchNode
}

// benchNode is a node and a session with it.
type benchNode struct {
	*node
	session *transport.Session
	scope   *transport.Promise // its CliScope
}

// startBenchSite starts a site and waits until all of its nodes vote.
func startBenchSite(b *testing.B, name string, size int) *benchSite {
	b.Helper()
	s := &benchSite{name: name}
	for i := range size {
		n := &benchNode{node: newNode(b, fmt.Sprintf("%s-%d", name, i+1), "--site", name, "--gateway-endpoint=",
			"--peering-secret", benchSecret, "--admin-token", benchToken)}
		s.nodes = append(s.nodes, n)
		if i == 0 {
			n.start(b, anyPort, "--bootstrap")
		} else {
			n.start(b, anyPort, "--join", s.nodes[0].at.Gossip)
		}
		n.connect(b)
	}
	s.complete(b)
	return s
}

// connect opens the node's session, again when the node was started again. It ends with the node's owner.
func (n *benchNode) connect(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := ws.Dial(ctx, n.ws(), ws.Options{})
	if err != nil {
		cancel()
		b.Fatal(err)
	}
	n.session = transport.NewSession(conn, transport.Config{})
	go func(s *transport.Session) { _ = s.Run(ctx) }(n.session)
	done := n.session.Done()
	n.owner.Cleanup(func() {
		cancel()
		<-done
	})
	n.scope = n.session.Main().Call("connectionFromCli", benchToken)
}

// benchAsk calls a method of a node's CliScope.
func benchAsk[T any](n *benchNode, method string, arguments ...any) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return transport.Invoke[T](ctx, n.scope, method, arguments...)
}

type benchStatus struct {
	Role   string `json:"role"`
	Leader string `json:"leader"`
	Term   uint64 `json:"term"`
	Index  uint64 `json:"index"`
	Voters int    `json:"voters"`
	Routes struct {
		Local   int `json:"local"`
		Learned int `json:"learned"`
	} `json:"routes"`
}

func (n *benchNode) status(b *testing.B) benchStatus {
	b.Helper()
	s, err := benchAsk[benchStatus](n, "status")
	if err != nil {
		b.Fatalf("status of %s: %v", n.id, err)
	}
	return s
}

// complete waits until all nodes are ready and tell of one leader and all voters.
func (s *benchSite) complete(b *testing.B) {
	b.Helper()
	eventually(b, fmt.Sprintf("all %d nodes of %s vote", len(s.nodes), s.name), func() error {
		leader := ""
		for _, n := range s.nodes {
			st, err := benchAsk[benchStatus](n, "status")
			if err != nil {
				return err
			}
			if leader == "" {
				leader = st.Leader
			}
			if st.Leader == "" || st.Leader != leader || st.Voters != len(s.nodes) {
				return fmt.Errorf("%s tells of leader %q and %d voters", n.id, st.Leader, st.Voters)
			}
			if err := n.ready(); err != nil {
				return err
			}
		}
		return nil
	})
}

// leader comes first, then the followers.
func (s *benchSite) leader(b *testing.B) (leader *benchNode, followers []*benchNode) {
	b.Helper()
	name := s.nodes[0].status(b).Leader
	for _, n := range s.nodes {
		if n.id == name {
			leader = n
		} else {
			followers = append(followers, n)
		}
	}
	if leader == nil {
		b.Fatalf("%s names a leader %q", s.nodes[0].id, name)
	}
	return leader, followers
}

func (s *benchSite) kill(b *testing.B) {
	b.Helper()
	for _, n := range s.nodes {
		n.kill(b)
	}
}

// do applies actions, so many at a time; all must succeed.
func (n *benchNode) do(b *testing.B, inFlight int, actions ...action) {
	b.Helper()
	todo := make(chan action)
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for a := range todo {
				r, err := benchAsk[struct {
					Success bool   `json:"success"`
					Error   string `json:"error"`
				}](n, "applyAction", a)
				if err != nil || !r.Success {
					b.Errorf("%s: %v %s", asJSON(a), err, r.Error)
				}
			}
		})
	}
	for _, a := range actions {
		todo <- a
	}
	close(todo)
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// registrations are of services that differ in name and endpoint; another round gives them other endpoints.
func registrations(prefix string, count, round int) []action {
	all := make([]action, count)
	for i := range all {
		d := service(fmt.Sprintf("%s-%06d", prefix, i))
		d.Endpoint = fmt.Sprintf("http://%s.internal.example.test:8080/graphql?round=%d", d.Name, round)
		all[i] = action{Resource: "dataChannel", Action: "upsert", Data: d}
	}
	return all
}

func peering(verb, id string, endpoints ...string) action {
	data := map[string]any{"id": id}
	if len(endpoints) > 0 {
		data["endpoints"] = endpoints
	}
	return action{Resource: "peer", Action: verb, Data: data}
}

// benchPeer is what a leader tells of a peer.
type benchPeer struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Since     int64  `json:"since"`
	Endpoint  string `json:"endpoint"`
	Term      uint64 `json:"term"`
	RoutesIn  int    `json:"routesIn"`
	RoutesOut int    `json:"routesOut"`
	Stale     int    `json:"stale"`
	Resumes   int    `json:"resumes"`
	Healed    int    `json:"healed"`
	LastError string `json:"lastError"`
}

func (n *benchNode) peers() ([]benchPeer, error) {
	list, err := benchAsk[struct {
		Peers []benchPeer `json:"peers"`
	}](n, "listPeers", query{Consistency: "stale"})
	return list.Peers, err
}

// peer waits for a peer that is as check wants it, and says when it was.
func (n *benchNode) peer(id string, check func(benchPeer) error) (p benchPeer, at time.Time, err error) {
	at, err = soon(func() error {
		peers, err := n.peers()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(peers, func(p benchPeer) bool { return p.ID == id })
		if i < 0 {
			return fmt.Errorf("%s has no peer %s", n.id, id)
		}
		p = peers[i]
		return check(p)
	})
	return p, at, err
}

// established wants a session, and that all which has come through it is fresh.
func established(routesIn, routesOut int) func(benchPeer) error {
	return func(p benchPeer) error {
		if p.State != "established" || p.RoutesIn != routesIn || p.RoutesOut != routesOut || p.Stale != 0 || p.Healed != 0 {
			return fmt.Errorf("%+v, want it established with %d routes in and %d out", p, routesIn, routesOut)
		}
		return nil
	}
}

// insistPeer is peer for what must come.
func (n *benchNode) insistPeer(b *testing.B, id string, check func(benchPeer) error) benchPeer {
	b.Helper()
	p, _, err := n.peer(id, check)
	if err != nil {
		b.Fatalf("peer %s at %s: %v", id, n.id, err)
	}
	return p
}

// soon checks every 5 ms, and says when it was content.
func soon(check func() error) (time.Time, error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		err := check()
		now := time.Now()
		if err == nil || now.After(deadline) {
			return now, err
		}
	}
}

// learns waits until a node's table has so many routes of other sites.
func (n *benchNode) learns(b *testing.B, count int) {
	b.Helper()
	eventually(b, fmt.Sprintf("%s has %d learned routes", n.id, count), func() error {
		learned, err := n.metric("catalyst_routes_learned")
		if err == nil && int(learned) != count {
			err = fmt.Errorf("%v", learned)
		}
		return err
	})
}

func (n *benchNode) metric(name string) (float64, error) {
	response, err := http.Get("http://" + n.at.RPC + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", n.id, name)
}

// benchEvent is an event of a watch and when it came.
type benchEvent struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	at   time.Time
}

// watch tells of changes at the node from now on, until b ends.
func (n *benchNode) watch(b *testing.B) <-chan benchEvent {
	b.Helper()
	events := make(chan benchEvent, 1<<12)
	callback := transport.NewFunc(func(_ context.Context, c *transport.Call) (any, error) {
		e := benchEvent{at: time.Now()}
		err := c.Decode(0, &e)
		if err != nil {
			e.Type = err.Error()
		}
		events <- e
		return nil, err
	})
	subscription, err := benchAsk[*transport.Stub](n, "watchRoutes", callback, map[string]any{"fromIndex": n.status(b).Index})
	if err != nil {
		b.Fatalf("watch at %s: %v", n.id, err)
	}
	b.Cleanup(subscription.Release)
	return events
}

// next is the event of a watch that must come.
func next(b *testing.B, events <-chan benchEvent) benchEvent {
	b.Helper()
	select {
	case e := <-events:
		return e
	case <-time.After(patience):
		b.Fatal("a watch tells of nothing")
		return benchEvent{}
	}
}

// resident is what the node's process has in memory, and had at most, in MB.
func (n *benchNode) resident(b *testing.B) (now, most float64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for key, value := range map[string]*float64{"VmRSS:": &now, "VmHWM:": &most} {
		_, rest, _ := strings.Cut(string(text), key)
		if _, err := fmt.Sscan(rest, value); err != nil {
			b.Fatalf("%s of %s: %v", key, n.id, err)
		}
		*value *= 1024 / 1e6
	}
	return now, most
}

// cpu is the processor time that the processes of sites have used. It is what utime and stime tell, in ns instead of
// clock ticks: many changes cost a process less than one of those.
func cpu(b *testing.B, sites []*benchSite) (used time.Duration) {
	b.Helper()
	for _, s := range sites {
		for _, n := range s.nodes {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", n.cmd.Process.Pid))
			if err != nil || len(threads) == 0 {
				b.Fatalf("threads of %s: %d, %v", n.id, len(threads), err)
			}
			for _, thread := range threads {
				text, err := os.ReadFile(thread)
				if err != nil {
					b.Fatal(err)
				}
				var ns int64
				if _, err := fmt.Sscan(string(text), &ns); err != nil {
					b.Fatalf("%s: %v", thread, err)
				}
				used += time.Duration(ns)
			}
		}
	}
	return used
}

// quantile of figures, which need not be sorted: 0.5 is the median, 1 the most.
func quantile[T int64 | float64 | time.Duration](figures []T, q float64) T {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func inMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
