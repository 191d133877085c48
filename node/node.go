// Package node composes one Catalyst node: Raft and its terms, the members of
// the site, the RPC scopes, and the duties of a leader. It decides nothing
// about routes (fsm does) or actions (pipeline does); it carries them to where
// they are decided. Node.Run owns every goroutine here.
package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// Node is one process of a site.
type Node struct {
	cfg    Config
	log    *slog.Logger
	ground ground

	machine       *fsm.Machine
	pipeline      pipeline.Pipeline
	gateway       *pipeline.GatewayIntegrationPlugin // nil when off
	embedded      atomic.Pointer[embedded]           // the gateway in this process; nil without one
	members       *gossip.Members
	links         *links
	keeper        *trust.Keeper // of this node's certificate; empty while it has none
	self          self
	confirmations *confirmations
	leadership    *leadership
	pledges       pledges
	counts        counts
	peerCounts    peering.Counts
	failures      failures
	ready         atomic.Bool
	leaving       atomic.Bool
	beginning     sync.Mutex                 // held while this node is being taken into a site
	founding      atomic.Pointer[founding]   // of a site that init founds
	full          atomic.Pointer[string]     // why this node takes no changes: its disk; nil while it does
	opened        atomic.Pointer[raftGround] // stores, for who greets
	exposed       bool                       // some address of this node is not on loopback

	// Set while Run starts, before anything is served.
	raft      *raft.Raft
	stores    *raftGround
	addresses Addresses

	foretelling sync.Once
	foretells   *fsm.Table

	changing  chan struct{} // held while the site's members are changed
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
		keeper:    &trust.Keeper{},
		exposed:   cfg.exposed(),
		changing:  make(chan struct{}, 1),
		listening: make(chan struct{}),
		listing:   make(chan struct{}, maxListing),
	}
	if n.ground == nil {
		n.ground = &machine{cfg: &n.cfg}
	}
	n.self.ground = n.ground
	n.links = &links{dial: n.dialNode, limits: n.limits(), token: cfg.AdminToken, byAddress: map[string]*link{}}
	n.confirmations = &confirmations{confirm: n.confirmOnce}
	n.leadership = &leadership{n: n, aside: make(chan aside)}
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
		tokensPlugin{n},
		keysPlugin{n},
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
	n.wg.Go(func() { n.keepJoined(life, append(n.cfg.Join, n.who().Gossip...)) })
	n.wg.Go(func() { n.becomeReady(life) })
	n.wg.Go(func() { n.followKeys(life) })
	n.wg.Go(func() { n.heedLevel(life) })
	n.wg.Go(func() { n.keepCertified(life) })
	n.wg.Go(func() { n.watchSpace(life) })
	if n.cfg.SnapshotDir != "" {
		n.wg.Go(func() { n.keepSnapshots(life) })
	}
	if n.cfg.BootstrapExpect > 0 {
		n.wg.Go(func() { n.bootstrapExpect(life) })
	}
	n.wg.Go(func() {
		if err := n.ground.serveRPC(life, n); err != nil {
			n.cancel(err)
		}
	})
	close(n.listening)
	n.log.Info("listening", "site", n.site(), "node", n.cfg.ID, "rpc", n.addresses.RPC, "raft", n.addresses.Raft, "gossip", n.addresses.Gossip)

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
	keys, err := n.recallCredentials()
	if err != nil {
		return err
	}
	if n.addresses.RPC, err = n.ground.listenRPC(n); err != nil {
		return err
	}
	if n.members, err = n.gossipWith(keys); err != nil {
		return err
	}
	if err := n.startRaft(notify); err != nil {
		return err
	}
	n.addresses.Raft = string(n.stores.transport.LocalAddr())
	n.members.Announce(func(m *gossip.About) { m.Raft = n.addresses.Raft })
	if n.cfg.Bootstrap {
		if err := n.bootstrap([]raft.Server{n.server()}); err != nil {
			return err
		}
	}
	if n.addresses.Gossip, err = n.members.Start(); err != nil {
		return err
	}
	return n.rememberAddresses()
}

// recallCredentials reads by what this node is known, if it is, and returns
// the keys that it gossips with.
func (n *Node) recallCredentials() (keys [][]byte, err error) {
	c, err := n.ground.recallCredentials()
	if err != nil && n.who().Secured {
		c, err = n.reissue(err)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && n.who().Secured:
		return nil, fmt.Errorf("the certificate of this node is gone from %s: restore it from a copy, or replace the node: %s", n.cfg.DataDir, replace(n.cfg.ID))
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := n.keeper.Set(c); err != nil {
			return nil, err
		}
		if who := n.keeper.Subject(); who.Name != n.cfg.ID || who.Site != n.site() {
			return nil, fmt.Errorf("the certificate is that of node %s of site %s, and this is node %s of site %s: use --id and --site as before, or the certificate of this node",
				who.Name, who.Site, n.cfg.ID, n.site())
		}
	}
	if err := n.cfg.checkOpen(n.secured(), len(n.who().Gossip) > 0 || n.who().SiteID != ""); err != nil {
		return nil, err
	}
	k, err := n.recallKeys()
	if err != nil {
		n.log.Warn("the gossip keys cannot be read; this node takes them from its log, or from another node", "node", n.cfg.ID, "err", err)
	}
	switch {
	case len(k.Keys) > 0:
		return k.Keys, nil
	case n.locked(), n.secured() && n.cfg.TLSCert == "":
		// With a key that nobody else has: a node that waits in the open gossips
		// with nobody.
		return [][]byte{trust.NewGossipKey()}, nil
	case n.cfg.GossipKey != "":
		key, err := readGossipKey(n.cfg.GossipKey)
		if err != nil {
			return nil, err
		}
		return [][]byte{key}, nil
	}
	return nil, nil
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

// handOver gives leadership to another voter that is alive, one with room on
// its disk if there is one.
func (n *Node) handOver() error {
	var to *raft.Server
	for _, s := range n.configuration() {
		if s.Suffrage != raft.Voter || string(s.ID) == n.cfg.ID || !n.isAlive(s.ID) {
			continue
		}
		if to == nil || !n.members.Of(string(s.ID)).Full {
			to = &s
		}
	}
	if to == nil {
		return errors.New("no other voter is alive")
	}
	return n.raft.LeadershipTransferToServer(to.ID, to.Address).Error()
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
	if n.members != nil {
		errs = append(errs, n.members.Stop())
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
			n.log.Info("ready", "site", n.site(), "node", n.cfg.ID, "index", n.machine.Table().Version())
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
