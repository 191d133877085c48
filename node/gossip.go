package node

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/gossip"
)

// gossipWith makes this node's part in gossip.
func (n *Node) gossipWith(keys [][]byte) (*gossip.Members, error) {
	return gossip.New(gossip.Config{
		ID: n.cfg.ID, Keys: keys, Where: n.ground.gossip, Stranger: foreign, Doubled: n.doubled, Log: n.log, Lines: n.lines(),
		About: gossip.About{
			Site: n.site(), SiteID: n.who().SiteID, Instance: n.who().Instance, RPC: n.addresses.RPC,
			Version: n.cfg.Version, Level: n.level(), Expect: n.cfg.BootstrapExpect,
		},
	})
}

// foreign keeps other sites out of gossip.
func foreign(me gossip.About, id string, other gossip.About) error {
	return strangerTo(me.Site, me.SiteID, id, other.Site, other.SiteID)
}

func (n *Node) doubled(id string, addresses []string) {
	if n.failures.first("doubled " + id) {
		n.log.Error("two nodes have the same id: give each its own --id", "node", id, "addresses", addresses)
	}
}

// raftAddress is Raft's address book: where a server is now, or was last. Nodes
// come and go on other addresses without a change of Raft's configuration.
func (n *Node) raftAddress(id raft.ServerID) (raft.ServerAddress, error) {
	at := n.members.Of(string(id)).Raft
	if at == "" {
		at = n.who().Raft[string(id)]
	}
	if at == "" {
		return "", fmt.Errorf("no address of %s in gossip", id)
	}
	return raft.ServerAddress(at), nil
}

const (
	joinInterval     = 250 * time.Millisecond // also of looking for nodes to remember
	rejoinInterval   = 2 * time.Second
	patienceToJoin   = 3 * time.Second
	complainInterval = 30 * time.Second
)

// keepJoined joins the given addresses until it worked once, and afterwards
// looks again for nodes that have gone missing: memberlist forgets them. It
// remembers new ones at once: a node that restarts within seconds is not
// missed by the others, and must find them by itself.
func (n *Node) keepJoined(ctx context.Context, first []string) {
	joined := len(first) == 0
	var rejoin time.Time
	hurry := time.Now().Add(patienceToJoin) // the others may be starting, too
	complain := hurry
	for {
		now := time.Now()
		if !joined && (now.Before(hurry) || now.After(rejoin)) {
			err := n.members.Join(first)
			joined = err == nil
			cured := err != nil && n.secured() && n.askForKeys(ctx) == nil // with other keys the next try may do
			if err != nil && !cured && now.After(complain) {
				n.log.Warn("no node of the site takes this one in yet", "site", n.site(), "node", n.cfg.ID, "addresses", first, "err", err)
				complain = now.Add(complainInterval)
			}
			rejoin = now.Add(rejoinInterval)
		}
		n.rememberPeers()
		if joined && now.After(rejoin) && n.missesMembers() {
			known, _ := n.members.Addresses()
			if n.members.Join(known) != nil {
				_ = n.askForKeys(ctx)
			}
			rejoin = now.Add(rejoinInterval)
		}
		select {
		case <-time.After(joinInterval):
		case <-ctx.Done():
			return
		}
	}
}

// missesMembers says whether gossip lacks a node that it showed before, or
// that Raft's configuration holds.
func (n *Node) missesMembers() bool {
	for _, s := range n.configuration() {
		if !n.isAlive(s.ID) {
			return true
		}
	}
	return n.members.Misses()
}
