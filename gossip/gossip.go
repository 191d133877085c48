// Package gossip is a node's view of its site: who seems to be there, and at
// which addresses. It is a hint and never counts towards a quorum; Raft's
// configuration is the truth. It knows nothing of Raft or of routes.
package gossip

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
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
)

// About is what a node tells the others about itself. Short keys: memberlist
// carries 512 bytes at most.
type About struct {
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

// States of a node.
const (
	Alive  = "alive"
	Failed = "failed"
	Left   = "left" // on purpose
)

// Seen is a node as gossip last showed it.
type Seen struct {
	About
	Gossip string // host:port
	State  string
}

// Config says how to take part. All of it is needed but Keys.
type Config struct {
	ID    string // of this node, unique in the site
	About About
	Keys  [][]byte // the first encrypts, all decrypt; none is gossip in clear

	// Where sets where memberlist listens, or its whole transport.
	Where func(*memberlist.Config) error
	// Stranger says why another node does not belong to this one's site, if it
	// does not.
	Stranger func(me About, id string, other About) error
	// Doubled hears that two live nodes have one id, at these addresses; often.
	Doubled func(id string, addresses []string)
	Log     *slog.Logger
	Lines   io.Writer // where memberlist writes
}

// Members is the view. Its methods may be called before Start, when it is
// empty, and from anywhere.
type Members struct {
	cfg     Config
	keys    *memberlist.Keyring
	list    *memberlist.Memberlist // nil before Start
	changed chan struct{}          // holds a token after a change
	seen    atomic.Pointer[map[string]Seen]

	mu      sync.Mutex
	self    About
	version uint64 // of keys
}

// New does not begin to gossip. The error is that a key cannot be one.
func New(cfg Config) (*Members, error) {
	keys, err := newKeyring(cfg.Keys)
	if err != nil {
		return nil, err
	}
	m := &Members{cfg: cfg, keys: keys, self: cfg.About, changed: make(chan struct{}, 1)}
	m.seen.Store(&map[string]Seen{})
	return m, nil
}

// Start begins to gossip, and says where. Joining is a step of its own.
func (m *Members) Start() (address string, err error) {
	c := memberlist.DefaultLANConfig()
	c.Name = m.cfg.ID
	c.ProbeInterval, c.ProbeTimeout = probeInterval, probeTimeout
	c.SuspicionMult = suspicionMult
	c.GossipInterval, c.PushPullInterval = gossipInterval, pushPullInterval
	c.DeadNodeReclaimTime = reclaimTime
	c.Keyring = m.keys
	c.LogOutput = nil
	c.Logger = log.New(m.cfg.Lines, "", 0)
	d := delegate{m}
	c.Delegate, c.Events, c.Conflict, c.Merge, c.Alive = d, d, d, d, d
	if err := m.cfg.Where(c); err != nil {
		return "", err
	}
	m.list, err = memberlist.Create(c)
	if err != nil {
		return "", fmt.Errorf("start gossip: %w", err)
	}
	return addressOf(m.list.LocalNode()), nil
}

// Join finds the site through any of the given gossip addresses.
func (m *Members) Join(addresses []string) error {
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

// Stop tells the others that this node goes on purpose, and stops gossiping.
func (m *Members) Stop() error {
	if m.list == nil {
		return nil
	}
	if err := m.list.Leave(leaveTimeout); err != nil {
		m.cfg.Log.Debug("gossip: not all nodes were told", "err", err) // they will see it fail
	}
	return m.list.Shutdown()
}

// Me is what this node says of itself.
func (m *Members) Me() About {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self
}

// Announce changes what this node says of itself.
func (m *Members) Announce(change func(*About)) {
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
		m.cfg.Log.Debug("gossip: announce", "err", err)
	}
}

// Changed has a token after a change of the view. It is for one follower.
func (m *Members) Changed() <-chan struct{} { return m.changed }

// All is the latest view, by id; the map must not be altered.
func (m *Members) All() map[string]Seen { return *m.seen.Load() }

// Of is a node of the latest view; zero if it was never heard of.
func (m *Members) Of(id string) Seen { return m.All()[id] }

// Misses says whether a node that was seen before is not alive now.
func (m *Members) Misses() bool {
	for id, s := range m.All() {
		if id != m.cfg.ID && s.State != Alive {
			return true
		}
	}
	return false
}

// Addresses are those of all other nodes ever seen, for rejoining.
func (m *Members) Addresses() (gossip, rpc []string) {
	for id, s := range m.All() {
		if id != m.cfg.ID && s.Gossip != "" {
			gossip, rpc = append(gossip, s.Gossip), append(rpc, s.RPC)
		}
	}
	slices.Sort(gossip)
	slices.Sort(rpc)
	return gossip, rpc
}

// note records what gossip says of one node and wakes whoever follows.
func (m *Members) note(n *memberlist.Node, state string) {
	s := Seen{Gossip: addressOf(n), State: state}
	if err := json.Unmarshal(n.Meta, &s.About); err != nil {
		m.cfg.Log.Warn("gossip: a node's metadata is unreadable", "node", n.Name, "err", err)
	}
	m.mu.Lock()
	next := maps.Clone(m.All())
	if old, ok := next[n.Name]; ok && s.Raft == "" {
		s.About = old.About
	}
	next[n.Name] = s
	m.seen.Store(&next)
	m.mu.Unlock()
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// addressOf is where a node gossips.
func addressOf(n *memberlist.Node) string {
	return net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
}
