package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/transport"
)

// newEpoch names an incarnation of a site. Epochs order by creation time, so
// that of two sites of one name the younger is told apart (design, "Fencing").
func newEpoch(now time.Time) string {
	return fmt.Sprintf("%013d-%s", now.UnixMilli(), rand.Text()[:10])
}

// bootstrap writes the first configuration of a new site, unless this node
// already has one.
func (n *Node) bootstrap(servers []raft.Server) error {
	if n.raft.LastIndex() > 0 {
		return nil
	}
	if err := n.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return fmt.Errorf("bootstrap site %s: %w", n.site(), err)
	}
	n.members.Announce(func(m *gossip.About) { m.Member = true })
	return nil
}

func (n *Node) server() raft.Server {
	return raft.Server{ID: raft.ServerID(n.cfg.ID), Address: raft.ServerAddress(n.addresses.Raft), Suffrage: raft.Voter}
}

const (
	expectInterval = 200 * time.Millisecond
	pledgeTime     = 5 * time.Second // after which a pledge to a candidate that did nothing is void
)

// bootstrapExpect waits until as many new nodes as expected have found each
// other. Views differ while nodes appear, and two nodes that bootstrap from
// different views would make two sites that share members. So only the
// lowest id in a node's view acts, and only with the pledge of every other:
// a node pledges itself to one founder at a time.
func (n *Node) bootstrapExpect(ctx context.Context) {
	tick := time.NewTicker(expectInterval)
	defer tick.Stop()
	for n.raft.LastIndex() == 0 {
		if founders := n.founders(); len(founders) == n.cfg.BootstrapExpect && string(founders[0].ID) == n.cfg.ID {
			if err := n.foundWith(ctx, founders); err != nil {
				n.log.Info("not all expected nodes are ready", "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// founders are the first expected nodes by id, when enough are there and none
// holds state: a site that exists is joined, not founded again.
func (n *Node) founders() []raft.Server {
	var out []raft.Server
	for id, s := range n.members.All() {
		if s.Member {
			return nil
		}
		if s.State == "alive" && s.Expect == n.cfg.BootstrapExpect {
			out = append(out, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(s.Raft), Suffrage: raft.Voter})
		}
	}
	slices.SortFunc(out, func(a, b raft.Server) int { return cmp.Compare(a.ID, b.ID) })
	return out[:min(len(out), n.cfg.BootstrapExpect)]
}

func (n *Node) foundWith(ctx context.Context, founders []raft.Server) error {
	ctx, cancel := context.WithTimeout(ctx, pledgeTime/2)
	defer cancel()
	if !n.pledges.to(n.cfg.ID, time.Now()) {
		return fmt.Errorf("this node is pledged to another founder")
	}
	for _, f := range founders[1:] {
		scope, err := n.links.to(ctx, n.members.Of(string(f.ID)).RPC)
		if err != nil {
			return fmt.Errorf("%s: %w", f.ID, err)
		}
		if ok, err := transport.Await[bool](ctx, scope.Call("pledge", n.cfg.ID)); err != nil || !ok {
			return fmt.Errorf("%s did not pledge itself: %v", f.ID, err)
		}
	}
	n.log.Info("bootstrap", "site", n.site(), "founders", len(founders))
	return n.bootstrap(founders)
}

// pledge is asked by a founder: may it count this node as one of its own?
func (n *Node) pledge(_ context.Context, c *transport.Call) (any, error) {
	var founder string
	if err := c.Decode(0, &founder); err != nil {
		return nil, err
	}
	return n.raft.LastIndex() == 0 && n.pledges.to(founder, time.Now()), nil
}

// pledges remembers to whom this node has pledged itself.
type pledges struct {
	mu      sync.Mutex
	founder string
	until   time.Time
}

func (p *pledges) to(founder string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.founder != "" && p.founder != founder && now.Before(p.until) {
		return false
	}
	p.founder, p.until = founder, now.Add(pledgeTime)
	return true
}
