package node

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/catalyst/orchestrator/gossip"
)

// identity is node.json: who this data directory belongs to, and whom the
// node knew, for finding the site again after a restart.
type identity struct {
	Node     string            `json:"node"`
	Site     string            `json:"site"`
	SiteID   string            `json:"siteId,omitempty"`  // empty until it is in a site
	Secured  bool              `json:"secured,omitempty"` // it has a certificate of that site
	Member   bool              `json:"member,omitempty"`  // it holds a log of that site
	Guarded  bool              `json:"guarded,omitempty"` // the site wants tokens
	Instance string            `json:"instance"`          // minted with the directory: another one under the same id has lost its memory
	Epoch    string            `json:"epoch,omitempty"`
	Gossip   []string          `json:"gossip,omitempty"` // addresses of the other nodes
	RPC      []string          `json:"rpc,omitempty"`
	Raft     map[string]string `json:"raft,omitempty"`    // by node id
	Hosts    []string          `json:"hosts,omitempty"`   // more names for its certificate
	Renewal  *renewal          `json:"renewal,omitempty"` // a recovery that is not in the log yet
}

const (
	identityFile  = "node.json"
	addressesFile = "addresses.json"
	defaultSite   = "default"
)

// self holds the identity: read by all, changed by one at a time.
type self struct {
	ground  ground
	now     atomic.Pointer[identity]
	changes sync.Mutex
	written []byte // the file
}

// Addresses are where a node listens, as host:port.
type Addresses struct {
	RPC    string `json:"rpc"`
	Raft   string `json:"raft"`
	Gossip string `json:"gossip"`
}

// who is this node's identity as of now; it must not be altered.
func (n *Node) who() *identity { return n.self.now.Load() }

// site is the name of this node's site.
func (n *Node) site() string { return n.who().Site }

// recallIdentity reads node.json and refuses a directory of another node.
func (n *Node) recallIdentity() error {
	data, err := n.ground.recall(identityFile)
	if err != nil {
		return fmt.Errorf("read %s: %w", identityFile, err)
	}
	if data == nil && n.ground.holdsLog() {
		return fmt.Errorf("%s is gone from %s, beside a log: restore it from a copy, or replace the node: %s", identityFile, n.cfg.DataDir, replace(n.cfg.ID))
	}
	if data == nil {
		n.self.now.Store(&identity{Node: n.cfg.ID, Site: cmp.Or(n.cfg.Site, defaultSite)})
		return n.self.alter(func(i *identity) { i.Instance = rand.Text() })
	}
	i, err := readIdentity(data)
	if err != nil {
		return fmt.Errorf("%s in %s is damaged (%w): restore it from a copy, or replace the node: %s", identityFile, n.cfg.DataDir, err, replace(n.cfg.ID))
	}
	if i.Node != n.cfg.ID || n.cfg.Site != "" && i.Site != n.cfg.Site {
		return fmt.Errorf("data directory %s belongs to node %q of site %q, and this is node %q of site %q: use --id and --site as before, or another --data-dir",
			n.cfg.DataDir, i.Node, i.Site, n.cfg.ID, cmp.Or(n.cfg.Site, defaultSite))
	}
	n.self.now.Store(&i)
	return nil
}

func readIdentity(data []byte) (i identity, err error) {
	if err := openChecked(data, &i); err != nil {
		return i, err
	}
	if i.Node == "" || i.Instance == "" {
		return i, errors.New("it names no node")
	}
	return i, nil
}

// alter changes the identity and writes it down.
func (s *self) alter(change func(*identity)) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	next := *s.now.Load()
	change(&next)
	data, err := checked(next)
	if err != nil || bytes.Equal(data, s.written) {
		return err
	}
	if err := s.ground.remember(identityFile, data); err != nil {
		return err
	}
	s.written = data
	s.now.Store(&next)
	return nil
}

// rememberPeers keeps node.json in step with gossip and the table. Only
// keepJoined calls it.
func (n *Node) rememberPeers() {
	t := n.machine.Table()
	err := n.self.alter(func(i *identity) {
		i.Epoch = cmp.Or(t.Epoch(), i.Epoch) // empty until the log is replayed
		i.Member = i.Member || n.raft.LastIndex() > 0
		if t.Epoch() != "" && n.ready.Load() {
			i.Guarded = t.NumTokens() > 0
		}
		if i.Renewal == nil {
			i.SiteID = cmp.Or(t.ID(), i.SiteID)
		}
		if gossip, rpc := n.members.Addresses(); len(gossip) > 0 {
			i.Gossip, i.RPC = gossip, rpc
		}
		i.Raft = n.raftAddresses()
	})
	if err != nil {
		n.log.Warn("remember the site's nodes", "err", err)
	}
	n.members.Announce(func(m *gossip.About) {
		m.SiteID, m.Member = n.who().SiteID, n.who().Member
	})
}

// raftAddresses are those of all members, as far as they are known.
func (n *Node) raftAddresses() map[string]string {
	known := map[string]string{}
	for _, s := range n.configuration() {
		if at, err := n.raftAddress(s.ID); err == nil {
			known[string(s.ID)] = string(at)
		}
	}
	return known
}

func (n *Node) rememberAddresses() error {
	data, err := json.Marshal(n.addresses)
	if err != nil {
		return err
	}
	return n.ground.remember(addressesFile, append(data, '\n'))
}
