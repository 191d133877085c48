// Package node composes one Catalyst node: Raft and its terms, the members of
// the site, the RPC scopes, and the duties of a leader. It decides nothing
// about routes (fsm does) or actions (pipeline does); it carries them to where
// they are decided. Node.Run owns every goroutine here.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// Node is one process of a site.
type Node struct {
	cfg    Config
	log    *slog.Logger
	ground ground

	machine       *fsm.Machine
	pipeline      pipeline.Pipeline
	gateway       *pipeline.GatewayIntegrationPlugin // nil when off
	members       *members
	links         *links
	confirmations *confirmations
	leadership    *leadership
	pledges       pledges
	counts        counts
	peerCounts    peering.Counts
	ready         atomic.Bool
	leaving       atomic.Bool

	// Set while Run starts, before anything is served.
	raft      *raft.Raft
	stores    *raftGround
	identity  identity // node.json; keepJoined's after the start
	addresses Addresses

	listening chan struct{}
	listing   chan struct{} // a slot for each list being made
	wg        sync.WaitGroup
	cancel    context.CancelCauseFunc
}

// New makes a node of a valid Config. It opens nothing.
func New(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Log, ground: cfg.ground,
		machine:   fsm.NewMachine(),
		listening: make(chan struct{}),
		listing:   make(chan struct{}, maxListing),
	}
	if n.ground == nil {
		n.ground = &machine{cfg: &n.cfg}
	}
	n.links = &links{dial: cfg.Dial, limits: n.limits(), token: cfg.AdminToken, byAddress: map[string]*link{}}
	n.confirmations = &confirmations{confirm: n.confirmOnce}
	n.leadership = &leadership{n: n}
	n.pipeline = n.plugins()
	return n, nil
}

// limits bound what one session may cost. A node sends and takes more than a
// client may: lists and snapshots are long.
func (n *Node) limits() transport.Limits { return transport.Limits{} }

// plugins is the pipeline, in order. A new plugin is a line here.
func (n *Node) plugins() pipeline.Pipeline {
	p := pipeline.Pipeline{
		pipeline.AuthPlugin{},
		pipeline.LocalRoutingPlugin{},
		pipeline.DirectProxyRouteTablePlugin{},
		membershipPlugin{n},
	}
	if n.cfg.GatewayEndpoint != "" {
		n.gateway = pipeline.NewGatewayIntegrationPlugin(pipeline.GatewayConfig{Endpoint: n.cfg.GatewayEndpoint, Log: n.log})
		p = append(p, n.gateway)
	}
	return append(p, pipeline.InternalBGPPlugin{})
}

// Listening is closed once the node listens on all its addresses.
func (n *Node) Listening() <-chan struct{} { return n.listening }

// Addresses are where the node listens; valid once Listening is closed.
func (n *Node) Addresses() Addresses { return n.addresses }

// Run runs the node until ctx ends, it leaves its site (nil), or something
// breaks. At the end it hands leadership over and lets open calls finish.
func (n *Node) Run(ctx context.Context) error {
	ctx, n.cancel = context.WithCancelCause(ctx)
	defer n.cancel(nil)
	// What serves outlives ctx by the handing over.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	notify := make(chan bool, notifyBuffer)
	if err := n.start(notify); err != nil {
		return errors.Join(err, n.close())
	}
	n.links.life, n.confirmations.life = life, life
	n.wg.Go(func() { n.leadership.run(life, notify) })
	n.wg.Go(func() { n.links.run(life) })
	n.wg.Go(func() { n.keepJoined(life, append(n.cfg.Join, n.identity.Gossip...)) })
	n.wg.Go(func() { n.becomeReady(life) })
	if n.cfg.BootstrapExpect > 0 {
		n.wg.Go(func() { n.bootstrapExpect(life) })
	}
	n.wg.Go(func() {
		if err := n.ground.serveRPC(life, n); err != nil {
			n.cancel(err)
		}
	})
	close(n.listening)
	n.log.Info("listening", "site", n.cfg.Site, "node", n.cfg.ID, "rpc", n.addresses.RPC, "raft", n.addresses.Raft, "gossip", n.addresses.Gossip)

	<-ctx.Done()
	n.stepDown()
	end(errShutdown)
	n.wg.Wait()
	n.confirmations.wg.Wait()
	return n.end(context.Cause(ctx))
}

// start opens everything, in the order in which addresses become known.
func (n *Node) start(notify chan<- bool) error {
	if n.cfg.ground == nil {
		if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
			return fmt.Errorf("--data-dir (CATALYST_DATA_DIR): %w", err)
		}
	}
	if err := n.recallIdentity(); err != nil {
		return err
	}
	var err error
	if n.addresses.RPC, err = n.ground.listenRPC(); err != nil {
		return err
	}
	n.members = newMembers(n.cfg.ID, meta{
		Site: n.cfg.Site, RPC: n.addresses.RPC, Version: n.cfg.Version, Epoch: n.identity.Epoch, Expect: n.cfg.BootstrapExpect,
	}, logLines{n.log})
	if err := n.startRaft(notify); err != nil {
		return err
	}
	n.addresses.Raft = string(n.stores.transport.LocalAddr())
	n.members.announce(func(m *meta) { m.Raft = n.addresses.Raft })
	if n.cfg.Bootstrap {
		if err := n.bootstrap([]raft.Server{n.self()}); err != nil {
			return err
		}
	}
	if n.addresses.Gossip, err = n.members.start(n.ground); err != nil {
		return err
	}
	return n.rememberAddresses()
}

// stop ends the node with a cause.
func (n *Node) stop(cause error) { n.cancel(cause) }

// farewell is the time for the answer to the call that ends this node to leave it.
const farewell = 300 * time.Millisecond

func (n *Node) stopSoon(cause error) {
	n.wg.Go(func() {
		time.Sleep(farewell)
		n.stop(cause)
	})
}

// stepDown hands leadership over, so that a planned stop costs no election.
func (n *Node) stepDown() {
	if n.raft.State() != raft.Leader {
		return
	}
	if err := n.handOver(); err != nil {
		n.log.Warn("leadership was not handed over", "err", err)
	}
}

// handOver gives leadership to another voter that is alive.
func (n *Node) handOver() error {
	for _, s := range n.configuration() {
		if s.Suffrage == raft.Voter && string(s.ID) != n.cfg.ID && n.isAlive(s.ID) {
			return n.raft.LeadershipTransferToServer(s.ID, s.Address).Error()
		}
	}
	return errors.New("no other voter is alive")
}

// end closes what start opened and says why the node ended.
func (n *Node) end(cause error) error {
	err := n.close()
	switch {
	case errors.Is(cause, errLeft):
		return errors.Join(err, n.ground.forgetLog())
	case errors.Is(cause, context.Canceled):
		return err
	default:
		return errors.Join(cause, err)
	}
}

func (n *Node) close() error {
	var errs []error
	if n.members != nil && n.members.list != nil {
		errs = append(errs, n.members.stop())
	}
	if n.raft != nil {
		errs = append(errs, n.raft.Shutdown().Error())
	}
	if n.stores != nil {
		errs = append(errs, n.stores.close())
	}
	return errors.Join(errs...)
}

// becomeReady latches readiness: once this node has a leader and holds what
// that leader had committed when this node started (contract, /ready).
func (n *Node) becomeReady(ctx context.Context) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, minIndexWait)
		_, err := n.table(attempt, query{})
		cancel()
		if err == nil {
			n.ready.Store(true)
			n.log.Info("ready", "site", n.cfg.Site, "node", n.cfg.ID, "index", n.machine.Table().Version())
			return
		}
	}
}

// notReady is the reason for which the node is not ready, or "".
func (n *Node) notReady() string {
	if _, id := n.raft.LeaderWithID(); id == "" {
		if !n.isMember() {
			return "waits to join a site"
		}
		return "the site has no leader: " + n.quorumNow()
	}
	if !n.ready.Load() {
		return "catching up with the leader"
	}
	return ""
}
