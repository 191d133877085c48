package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
)

// Gossip's pace: a crash shows after about 2.4 s (raft-notes, "memberlist").
const (
	probeInterval    = 500 * time.Millisecond
	probeTimeout     = 250 * time.Millisecond
	suspicionMult    = 3
	gossipInterval   = 100 * time.Millisecond
	pushPullInterval = 5 * time.Second
	reclaimTime      = time.Second // after which a dead node's name may come back on another address
	leaveTimeout     = 500 * time.Millisecond
	announceTimeout  = 500 * time.Millisecond
	metaLimit        = 512 // memberlist.MetaMaxSize
)

// meta is what a node tells the others about itself through gossip. Short
// keys: memberlist carries 512 bytes at most.
type meta struct {
	Site     string `json:"s"`
	SiteID   string `json:"u,omitempty"` // of the site whose state it holds
	Instance string `json:"i"`           // of its data directory
	Raft     string `json:"r"`           // host:port
	RPC      string `json:"c"`           // host:port
	Version  string `json:"v"`
	Level    int    `json:"l"`           // the newest feature level that it knows
	Member   bool   `json:"m,omitempty"` // it holds Raft state: it is, or once was, a member
	Expect   int    `json:"x,omitempty"` // --bootstrap-expect
	Full     bool   `json:"f,omitempty"` // its disk: it should not lead
}

// members is this node's view of its site through gossip: a hint of who is
// there and on which addresses. Raft's configuration is the truth.
type members struct {
	log     logLines
	id      string
	list    *memberlist.Memberlist
	keys    *memberlist.Keyring
	changed chan struct{} // holds a token after a change
	said    failures      // of conflicts

	mu      sync.Mutex
	self    meta
	version uint64 // of keys

	remembered map[string]string // Raft addresses from before the start, by node id

	seen atomic.Pointer[map[string]seen] // by node id; replaced whole, never altered
}

// seen is a node as gossip last showed it.
type seen struct {
	meta
	gossip string // host:port
	state  string // alive, suspect, failed, left
}

func newMembers(id string, self meta, keys *memberlist.Keyring, log logLines) *members {
	m := &members{id: id, self: self, keys: keys, log: log, changed: make(chan struct{}, 1)}
	m.seen.Store(&map[string]seen{})
	return m
}

// start begins to gossip. Joining is a step of its own.
func (m *members) start(g ground) (address string, err error) {
	c := memberlist.DefaultLANConfig()
	c.Name = m.id
	c.ProbeInterval, c.ProbeTimeout = probeInterval, probeTimeout
	c.SuspicionMult = suspicionMult
	c.GossipInterval, c.PushPullInterval = gossipInterval, pushPullInterval
	c.DeadNodeReclaimTime = reclaimTime
	c.Keyring = m.keys
	c.LogOutput = nil
	c.Logger = log.New(m.log, "", 0)
	c.Delegate, c.Events, c.Conflict, c.Merge, c.Alive = m, m, m, m, m
	if err := g.gossip(c); err != nil {
		return "", err
	}
	m.list, err = memberlist.Create(c)
	if err != nil {
		return "", fmt.Errorf("start gossip: %w", err)
	}
	self := m.list.LocalNode()
	return net.JoinHostPort(self.Addr.String(), strconv.Itoa(int(self.Port))), nil
}

// join finds the site through any of the given gossip addresses.
func (m *members) join(addresses []string) error {
	n, err := m.list.Join(addresses)
	if n > 0 || err == nil {
		return nil
	}
	// memberlist makes a list of it, with a line to each address.
	_, list, found := strings.Cut(strings.Join(strings.Fields(err.Error()), " "), " occurred: * ")
	if !found {
		return err
	}
	return errors.New(strings.ReplaceAll(list, " * ", "; "))
}

// stop tells the others that this node goes on purpose, and stops gossiping.
func (m *members) stop() error {
	if err := m.list.Leave(leaveTimeout); err != nil {
		m.log.log.Debug("gossip: not all nodes were told", "err", err) // they will see it fail
	}
	return m.list.Shutdown()
}

func (m *members) setMember(member bool) { m.announce(func(s *meta) { s.Member = member }) }

// enter is for a node that waited and is in a site now.
func (m *members) enter(site, siteID string) {
	m.announce(func(s *meta) { s.Site, s.SiteID = site, siteID })
}

func (m *members) me() meta {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// announce changes what this node says of itself.
func (m *members) announce(change func(*meta)) {
	m.mu.Lock()
	before := m.self
	change(&m.self)
	same := m.self == before
	m.mu.Unlock()
	if same || m.list == nil {
		return
	}
	// What has not reached the others in time goes on by gossip. (A timeout
	// of 0 would wait for good when they are all gone.)
	if err := m.list.UpdateNode(announceTimeout); err != nil {
		m.log.log.Debug("gossip: announce", "err", err)
	}
}

// all returns the latest view; the map must not be altered.
func (m *members) all() map[string]seen { return *m.seen.Load() }

// raftAddress is Raft's address book: where a server is now, or was last. Nodes
// come and go on other addresses without a change of Raft's configuration.
func (m *members) raftAddress(id raft.ServerID) (raft.ServerAddress, error) {
	s, ok := m.all()[string(id)]
	if !ok || s.Raft == "" {
		s.Raft, ok = m.remembered[string(id)]
	}
	if !ok {
		return "", fmt.Errorf("no address of %s in gossip", id)
	}
	return raft.ServerAddress(s.Raft), nil
}

func (m *members) rpcAddress(id string) string { return m.all()[id].RPC }

// missesSome reports whether nodes that were seen before are now missing.
func (m *members) missesSome() bool {
	for id, s := range m.all() {
		if id != m.id && s.state != "alive" {
			return true
		}
	}
	return false
}

// note records what gossip says of one node and wakes whoever follows.
func (m *members) note(n *memberlist.Node, state string) {
	var s seen
	if err := json.Unmarshal(n.Meta, &s.meta); err != nil {
		m.log.log.Warn("gossip: a node's metadata is unreadable", "node", n.Name, "err", err)
	}
	s.gossip = net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
	s.state = state
	m.mu.Lock()
	next := maps.Clone(m.all())
	if old, ok := next[n.Name]; ok && s.Raft == "" {
		s.meta = old.meta
	}
	next[n.Name] = s
	m.seen.Store(&next)
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// The rest is memberlist's delegates. They must not block.

func (m *members) NodeMeta(limit int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := json.Marshal(m.self)
	if err != nil || len(b) > limit {
		m.log.log.Error("gossip: this node's metadata is too long", "bytes", len(b), "limit", limit)
		return nil
	}
	return b
}

func (m *members) NotifyMsg([]byte)                {}
func (m *members) GetBroadcasts(int, int) [][]byte { return nil }
func (m *members) LocalState(bool) []byte          { return nil }
func (m *members) MergeRemoteState([]byte, bool)   {}
func (m *members) NotifyJoin(n *memberlist.Node)   { m.note(n, "alive") }
func (m *members) NotifyUpdate(n *memberlist.Node) { m.note(n, "alive") }

func (m *members) NotifyLeave(n *memberlist.Node) {
	state := "failed"
	if n.State == memberlist.StateLeft {
		state = "left"
	}
	m.note(n, state)
}

// NotifyConflict: two live nodes carry one id.
func (m *members) NotifyConflict(existing, other *memberlist.Node) {
	if !m.said.first(existing.Name) {
		return
	}
	m.log.log.Error("two nodes have the same id: give each its own --id", "node", existing.Name,
		"addresses", []string{existing.Address(), other.Address()})
}

// NotifyMerge and NotifyAlive keep other sites out.
func (m *members) NotifyMerge(others []*memberlist.Node) error {
	for _, o := range others {
		if err := m.NotifyAlive(o); err != nil {
			return err
		}
	}
	return nil
}

func (m *members) NotifyAlive(other *memberlist.Node) error {
	var o meta
	me := m.me()
	if json.Unmarshal(other.Meta, &o) != nil || o.Site == "" || other.Name == m.id {
		return nil
	}
	return strangerTo(me.Site, me.SiteID, other.Name, o.Site, o.SiteID)
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
			err := n.members.join(first)
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
			known, _ := n.members.addresses()
			if n.members.join(known) != nil {
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
	return n.members.missesSome()
}
