package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// A simulated site: real nodes, real Raft, real memberlist, real Cap'n Web
// sessions, over networks and disks in memory. In a synctest bubble its hours
// take seconds, and a seed decides what happens to whom.

// world is the simulated network and what survives on the nodes' disks.
type world struct {
	t    *testing.T
	rand *rand.Rand

	mu    sync.Mutex
	hosts map[string]*host   // by node id
	cut   map[string]bool    // ids that no packet reaches or leaves
	inner map[string]bool    // ids that no packet of their own site reaches or leaves
	apart map[[2]string]bool // sites between which no connection is, in order
	mute  map[[2]string]bool // sites between which connections stand and carry nothing
	quiet map[string]bool    // ids that no gossip reaches or leaves
	slow  time.Duration      // that a message takes from one site to another

	started []*Node // all that ever ran
}

// host is a simulated machine: its disk stays when the node on it crashes.
type host struct {
	w     *world
	id    string
	site  string
	ip    string
	moves int // to another address
	logs  *raft.InmemStore
	snaps *shelf
	files map[string][]byte
	full  bool // the disk

	credentials *trust.Credentials
	refused     error // the last greeting that was not taken
	stalled     bool  // the disk: writes wait until it is not
	damages     atomic.Uint64
	node        *Node // nil while down
	raftNet     *raft.InmemTransport
	gossipTr    *gossipTransport
	serving     context.Context
	stop        context.CancelFunc
	done        chan error
	conns       map[transport.Conn]string // to the other end's id
}

func newWorld(t *testing.T, seed uint64, ids ...string) *world {
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, seed)), hosts: map[string]*host{}, cut: map[string]bool{}, quiet: map[string]bool{}}
	w.inner, w.apart, w.mute = map[string]bool{}, map[[2]string]bool{}, map[[2]string]bool{}
	w.add("sim", ids...)
	return w
}

// add puts hosts of a site into the world.
func (w *world) add(site string, ids ...string) {
	for _, id := range ids {
		w.hosts[id] = &host{
			w: w, id: id, site: site, ip: fmt.Sprintf("10.0.0.%d", len(w.hosts)+1),
			logs: raft.NewInmemStore(), snaps: &shelf{}, files: map[string][]byte{},
		}
	}
}

func (h *host) rpcAddr() string    { return h.ip + ":3000" }
func (h *host) raftAddr() string   { return h.ip + ":3001" }
func (h *host) gossipAddr() string { return h.ip + ":3002" }

// start runs a node on its host.
func (w *world) start(id string, alter func(*Config)) *Node {
	w.t.Helper()
	h := w.hosts[id]
	cfg := Config{
		ID: id, Site: h.site, AS: 64512, DataDir: "memory",
		RPCAddr: "127.0.0.1:0", RaftAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0",
		Version: "sim", Log: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, url string, c *tls.Config) (transport.Conn, error) {
			return w.dial(ctx, id, url, c)
		},
		Upgrade: func(http.ResponseWriter, *http.Request) (transport.Conn, error) {
			return nil, errors.New("no HTTP here")
		},
		ground: h,
		// Short logs: restarts then read snapshots, and laggards are sent them.
		tune: func(c *raft.Config) {
			c.SnapshotThreshold, c.TrailingLogs, c.SnapshotInterval = 200, 50, 5*time.Second
		},
	}
	if alter != nil {
		alter(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.mu.Lock()
	w.started = append(w.started, n)
	h.serving = nil
	h.node, h.stop, h.done, h.conns = n, cancel, make(chan error, 1), map[transport.Conn]string{}
	w.mu.Unlock()
	go func() { h.done <- n.Run(ctx) }()
	select {
	case <-n.Listening():
	case err := <-h.done:
		w.t.Fatalf("start %s: %v", id, err)
	}
	for w.unserved(id) {
		time.Sleep(time.Millisecond)
	}
	return n
}

// unserved says whether a node that has started does not serve yet.
func (w *world) unserved(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[id].serving == nil
}

// halt stops a node gracefully.
func (w *world) halt(id string) {
	h := w.hosts[id]
	h.stop()
	if err := <-h.done; err != nil {
		w.t.Errorf("%s ended: %v", id, err)
	}
	w.mu.Lock()
	h.node = nil
	w.mu.Unlock()
}

// crash takes a node off the network at once and then ends what is left of
// it: nothing that it says in between reaches anyone.
func (w *world) crash(id string) {
	w.isolate(id)
	h := w.hosts[id]
	h.stop()
	<-h.done
	w.mu.Lock()
	h.node = nil
	w.mu.Unlock()
}

// isolate cuts a host off; heal undoes it.
func (w *world) isolate(id string) {
	w.alter(func() { w.cut[id] = true })
}

func (w *world) heal(id string) {
	w.alter(func() { delete(w.cut, id) })
}

// hush keeps a host's gossip from the others, and nothing else of it.
func (w *world) hush(id string) {
	w.alter(func() { w.quiet[id] = true })
}

// alter changes who is linked; connections between those who are not are cut.
func (w *world) alter(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	for _, h := range w.hosts {
		for c, other := range h.conns {
			if !w.linked(h.id, other) {
				_ = c.Close(errors.New("link cut"))
				delete(h.conns, c)
			}
		}
	}
	w.wire()
}

// wire connects the Raft transports of all who can reach each other.
func (w *world) wire() {
	for _, a := range w.hosts {
		for _, b := range w.hosts {
			if a.raftNet == nil || b.raftNet == nil || a == b {
				continue
			}
			if w.linked(a.id, b.id) {
				a.raftNet.Connect(b.raftNet.LocalAddr(), b.raftNet)
			} else {
				a.raftNet.Disconnect(b.raftNet.LocalAddr())
			}
		}
	}
}

// linked needs w.mu. A client is of no site.
func (w *world) linked(a, b string) bool {
	if a == b {
		return true
	}
	if x, y := w.hosts[a], w.hosts[b]; x != nil && y != nil {
		if w.apart[pair(x.site, y.site)] || x.site == y.site && (w.inner[a] || w.inner[b]) {
			return false
		}
	}
	return !w.cut[a] && !w.cut[b]
}

func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// dial opens a session's connection from one host to another, by URL.
// There is no TLS here: who dials as a node of a secured site is believed.
func (w *world) dial(_ context.Context, from, url string, c *tls.Config) (transport.Conn, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	address := strings.TrimSuffix(rest, "/rpc")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		if h.rpcAddr() != address || h.node == nil || h.serving == nil || h.serving.Err() != nil || !w.linked(from, h.id) {
			continue
		}
		near, far := transport.Pipe()
		if x := w.hosts[from]; x != nil && x.site != h.site {
			near, far = &wideConn{near, w, pair(x.site, h.site)}, &wideConn{far, w, pair(x.site, h.site)}
		}
		h.conns[far] = from
		n, ctx := h.node, h.serving
		if (scheme == "wss") != n.secured() {
			return nil, fmt.Errorf("dial %s: the far end speaks otherwise", url)
		}
		as := caller{address: clientAddress(from), local: from == h.id}
		if x := w.hosts[from]; x != nil {
			as.address = x.ip
			if x.node != nil && x.node.secured() && c != nil {
				as.node = from
			}
		}
		n.wg.Go(func() { n.serveConn(ctx, far, as) })
		return near, nil
	}
	return nil, fmt.Errorf("dial %s: connection refused", address)
}

// clientAddress is where a client dials from: it may say so, as client@ADDRESS.
func clientAddress(from string) string {
	if _, address, ok := strings.Cut(from, "@"); ok {
		return address
	}
	return "10.0.0.99"
}

// The host as a node's ground.

// monotonic is a log without gaps, as one on a disk.
type monotonic struct{ *raft.InmemStore }

func (monotonic) IsMonotonic() bool { return true }

func (h *host) openRaft(n *Node) (*raftGround, error) {
	_, trans := raft.NewInmemTransportWithTimeout(raft.ServerAddress(h.raftAddr()), time.Second)
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.raftNet != nil {
		for _, other := range h.w.hosts {
			if other.raftNet != nil && other != h {
				other.raftNet.Disconnect(h.raftNet.LocalAddr())
			}
		}
	}
	h.raftNet = trans
	h.damages.Store(0)
	delete(h.w.cut, h.id)
	h.w.wire()
	return &raftGround{logs: monotonic{h.logs}, stable: h.logs, snapshots: h.snaps, transport: &greetedNet{trans, h, n}, damaged: h.damages.Load, close: func() error {
		h.w.mu.Lock()
		defer h.w.mu.Unlock()
		trans.DisconnectAll()
		return trans.Close()
	}}, nil
}

// greetedNet greets before it replicates, as raftLink does, and knows where
// nodes are now by the same address book.
type greetedNet struct {
	*raft.InmemTransport
	h *host
	n *Node
}

func (g *greetedNet) greet(id raft.ServerID, target raft.ServerAddress) (raft.ServerAddress, error) {
	if now, err := g.n.raftAddress(id); err == nil {
		target = now
	}
	other := g.h.w.nodeAt(target)
	if other == nil || other.who() == nil || g.n.who() == nil {
		return target, nil // nobody greets there: the call itself fails
	}
	err := other.stranger(g.n.greeting())
	if err == nil {
		err = g.n.stranger(other.greeting())
	}
	if err == nil && other.secured() != g.n.secured() {
		err = errPlainToTLS
	}
	if err != nil {
		g.h.w.mu.Lock()
		defer g.h.w.mu.Unlock()
		g.h.refused = err
	}
	return target, err
}

// nodeAt is the node whose Raft listens there.
func (w *world) nodeAt(address raft.ServerAddress) *Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		if h.raftNet != nil && h.raftNet.LocalAddr() == address {
			return h.node
		}
	}
	return nil
}

func (g *greetedNet) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	target, err := g.greet(id, target)
	if err != nil {
		return nil, err
	}
	return g.InmemTransport.AppendEntriesPipeline(id, target)
}

func (g *greetedNet) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	target, err := g.greet(id, target)
	if err != nil {
		return err
	}
	return g.InmemTransport.AppendEntries(id, target, args, resp)
}

func (g *greetedNet) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	target, err := g.greet(id, target)
	if err != nil {
		return err
	}
	return g.InmemTransport.RequestVote(id, target, args, resp)
}

func (g *greetedNet) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	target, err := g.greet(id, target)
	if err != nil {
		return err
	}
	return g.InmemTransport.RequestPreVote(id, target, args, resp)
}

func (g *greetedNet) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	target, err := g.greet(id, target)
	if err != nil {
		return err
	}
	return g.InmemTransport.InstallSnapshot(id, target, args, resp, data)
}

func (g *greetedNet) TimeoutNow(id raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	target, err := g.greet(id, target)
	if err != nil {
		return err
	}
	return g.InmemTransport.TimeoutNow(id, target, args, resp)
}

func (h *host) gossip(c *memberlist.Config) error {
	g := &gossipTransport{h: h, ip: h.ip, packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn, 64)}
	h.w.mu.Lock()
	h.gossipTr = g
	h.w.mu.Unlock()
	c.Transport, c.BindAddr, c.BindPort, c.AdvertiseAddr, c.AdvertisePort = g, h.ip, 3002, h.ip, 3002
	return nil
}

func (h *host) listenRPC(*Node) (string, error) { return h.rpcAddr(), nil }

func (h *host) serveRPC(ctx context.Context, _ *Node) error {
	h.w.mu.Lock()
	h.serving = ctx
	h.w.mu.Unlock()
	<-ctx.Done()
	return nil
}

func (h *host) remember(name string, data []byte) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.files[name] = data
	return nil
}

func (h *host) recall(name string) ([]byte, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.files[name], nil
}

func (h *host) keepCredentials(c *trust.Credentials) error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.credentials = c
	return nil
}

func (h *host) recallCredentials() (*trust.Credentials, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.credentials == nil {
		return nil, fs.ErrNotExist
	}
	return h.credentials, nil
}

func (h *host) authorityFile() string { return "" }

func (h *host) holdsLog() bool {
	last, _ := h.logs.LastIndex()
	return last > 0
}

func (h *host) table() (*fsm.Table, error) { return nil, errors.New("no table in a simulation") }

// space and touch are those of a disk that a test fills or stalls.
func (h *host) space() (free, total uint64, err error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.full {
		return 1 << 20, 10 << 30, nil
	}
	return 5 << 30, 10 << 30, nil
}

func (h *host) touch() error {
	for {
		h.w.mu.Lock()
		hangs := h.stalled
		h.w.mu.Unlock()
		if !hangs {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (h *host) forgetLog() error {
	h.wipe()
	return nil
}

// wipe empties the disk.
func (h *host) wipe() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.logs, h.snaps = raft.NewInmemStore(), &shelf{}
	h.files, h.credentials = map[string][]byte{}, nil
}

// move gives a host that is down another address.
func (h *host) move() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.moves++
	h.ip = fmt.Sprintf("10.0.%d%s", h.moves, h.ip[strings.LastIndex(h.ip, "."):])
}

// gossipTransport carries memberlist's packets and streams between hosts.
type gossipTransport struct {
	h       *host
	ip      string // where h was when it began
	packets chan *memberlist.Packet
	streams chan net.Conn
}

func (g *gossipTransport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return net.ParseIP(g.ip), 3002, nil
}

func (g *gossipTransport) find(address string) *gossipTransport {
	w := g.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hosts {
		if h.gossipAddr() == address && h.node != nil && h.gossipTr != nil && w.linked(g.h.id, h.id) && !w.quiet[g.h.id] && !w.quiet[h.id] {
			return h.gossipTr
		}
	}
	return nil
}

func (g *gossipTransport) WriteTo(b []byte, address string) (time.Time, error) {
	now := time.Now()
	if to := g.find(address); to != nil {
		select {
		case to.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: &net.UDPAddr{IP: net.ParseIP(g.ip), Port: 3002}, Timestamp: now}:
		default: // as UDP would
		}
	}
	return now, nil
}

func (g *gossipTransport) DialTimeout(address string, _ time.Duration) (net.Conn, error) {
	to := g.find(address)
	if to == nil {
		return nil, fmt.Errorf("dial %s: no route to host", address)
	}
	near, far := net.Pipe()
	select {
	case to.streams <- far:
		return near, nil
	default:
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
}

func (g *gossipTransport) PacketCh() <-chan *memberlist.Packet { return g.packets }
func (g *gossipTransport) StreamCh() <-chan net.Conn           { return g.streams }
func (g *gossipTransport) Shutdown() error                     { return nil }

// What tests ask of the world.

// leader waits until one running node leads and is ready to, and returns it.
func (w *world) leader() *Node {
	w.t.Helper()
	for range 10_000 {
		if n := w.leaderNow(); n != nil {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatal("no leader within 100 s")
	return nil
}

// leaderNow is a reachable leader whose term has been confirmed, or nil.
func (w *world) leaderNow() *Node { return leading(w.running()) }

func leading(nodes []*Node) *Node {
	for _, n := range nodes {
		if n.leadership.current.Load() != nil && n.raft.VerifyLeader().Error() == nil {
			return n
		}
	}
	return nil
}

// running are the nodes that are up and not cut off, in order of id.
func (w *world) running() []*Node { return w.runningOf("") }

// runningOf is running for one site; all of them if it is empty.
func (w *world) runningOf(site string) []*Node {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*Node
	for _, id := range sortedKeys(w.hosts) {
		if h := w.hosts[id]; h.node != nil && !w.cut[id] && (site == "" || h.site == site) {
			out = append(out, h.node)
		}
	}
	return out
}

// eventually waits in fake time until a condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for range 6_000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.t.Fatalf("not within a minute: %s", what)
}

// site starts a site of all the world's hosts: the first founds it, the
// others join, and all have become voters.
func (w *world) site(alter func(*Config)) {
	w.t.Helper()
	w.found(sortedKeys(w.hosts), alter)
}

// found is site for some of the hosts.
func (w *world) found(ids []string, alter func(*Config)) {
	w.t.Helper()
	for i, id := range ids {
		w.start(id, func(c *Config) {
			if i == 0 {
				c.Bootstrap = true
			} else {
				c.Join = []string{w.hosts[ids[0]].gossipAddr()}
			}
			if alter != nil {
				alter(c)
			}
		})
	}
	w.eventually("all nodes are voters", func() bool {
		n := leading(w.runningOf(w.hosts[ids[0]].site))
		return n != nil && (electorate{servers: n.configuration()}).voters() == min(len(ids), maxVoters)
	})
}

// shutdown ends every node, so that the bubble can end.
func (w *world) shutdown() {
	for _, id := range sortedKeys(w.hosts) {
		if w.hosts[id].node != nil {
			w.heal(id)
			w.halt(id)
		}
	}
	// Raft leaves goroutines that end by their own timeouts.
	time.Sleep(time.Minute)
}

// url is where a client finds a host's node.
func (w *world) url(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.hosts[id].node; n != nil {
		return n.url()
	}
	return "ws://" + w.hosts[id].rpcAddr() + "/rpc"
}
