package node

import (
	"encoding/json"
	"fmt"
	"slices"
)

// identity is node.json: who this data directory belongs to, and whom the
// node knew, for finding the site again after a restart.
type identity struct {
	Node   string   `json:"node"`
	Site   string   `json:"site"`
	Epoch  string   `json:"epoch,omitempty"`
	Gossip []string `json:"gossip,omitempty"` // addresses of the other nodes
}

const (
	identityFile  = "node.json"
	addressesFile = "addresses.json"
)

// Addresses are where a node listens, as host:port.
type Addresses struct {
	RPC    string `json:"rpc"`
	Raft   string `json:"raft"`
	Gossip string `json:"gossip"`
}

// recallIdentity reads node.json and refuses a directory of another node.
func (n *Node) recallIdentity() error {
	data, err := n.ground.recall(identityFile)
	if err != nil {
		return fmt.Errorf("read %s: %w", identityFile, err)
	}
	if data == nil {
		n.identity = identity{Node: n.cfg.ID, Site: n.cfg.Site}
		return n.rememberIdentity()
	}
	if err := json.Unmarshal(data, &n.identity); err != nil {
		return fmt.Errorf("%s in %s is damaged (%w): restore it, or start this node anew with an empty data directory", identityFile, n.cfg.DataDir, err)
	}
	if n.identity.Node != n.cfg.ID || n.identity.Site != n.cfg.Site {
		return fmt.Errorf("data directory %s belongs to node %q of site %q, and this is node %q of site %q: use --id and --site as before, or another --data-dir",
			n.cfg.DataDir, n.identity.Node, n.identity.Site, n.cfg.ID, n.cfg.Site)
	}
	return nil
}

func (n *Node) rememberIdentity() error {
	data, err := json.Marshal(n.identity)
	if err != nil {
		return err
	}
	return n.ground.remember(identityFile, data)
}

// rememberPeers keeps node.json in step with gossip and the table. Only
// keepJoined calls it.
func (n *Node) rememberPeers() {
	next := n.identity
	if epoch := n.machine.Table().Epoch(); epoch != "" { // else the log is not replayed yet
		next.Epoch = epoch
	}
	if known := n.members.gossipAddresses(); len(known) > 0 {
		next.Gossip = known
	}
	n.members.setEpoch(next.Epoch)
	n.members.setMember(n.raft.LastIndex() > 0)
	if next.Epoch == n.identity.Epoch && slices.Equal(next.Gossip, n.identity.Gossip) {
		return
	}
	n.identity = next
	if err := n.rememberIdentity(); err != nil {
		n.log.Warn("remember the site's nodes", "err", err)
	}
}

func (n *Node) rememberAddresses() error {
	data, err := json.Marshal(n.addresses)
	if err != nil {
		return err
	}
	return n.ground.remember(addressesFile, append(data, '\n'))
}
