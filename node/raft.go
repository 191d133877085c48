package node

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/gossip"
)

// Raft's settings and why: raft-notes, "Settings".
const (
	commitTimeout     = 10 * time.Millisecond
	maxAppendEntries  = 512
	snapshotInterval  = time.Minute
	snapshotThreshold = 4096
	trailingLogs      = 10240
	notifyBuffer      = 16
)

func (n *Node) raftConfig(notify chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.cfg.ID)
	c.HeartbeatTimeout = n.cfg.RaftTiming
	c.ElectionTimeout = n.cfg.RaftTiming
	c.LeaderLeaseTimeout = n.cfg.RaftTiming * 2 / 3
	c.CommitTimeout = commitTimeout
	c.MaxAppendEntries = maxAppendEntries
	c.SnapshotInterval = snapshotInterval
	c.SnapshotThreshold = snapshotThreshold
	c.TrailingLogs = trailingLogs
	c.NotifyCh = notify
	c.Logger = raftLogger(n.lines())
	c.NoLegacyTelemetry = true
	if n.cfg.tune != nil {
		n.cfg.tune(c)
	}
	return c
}

func raftLogger(l logLines) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: l, DisableTime: true})
}

// startRaft opens the stores and starts Raft. A node without earlier state
// starts empty: it votes for nobody and waits to be made a member.
func (n *Node) startRaft(notify chan<- bool) error {
	g, err := n.ground.openRaft(n)
	if err != nil {
		return err
	}
	n.stores = g
	n.opened.Store(g)
	seasoned, err := raft.HasExistingState(g.logs, g.stable, g.snapshots)
	if err != nil {
		return fmt.Errorf("read the Raft log: %w", err)
	}
	if n.who().Member && !seasoned {
		return fmt.Errorf("the log in %s is gone: %s", n.cfg.DataDir, amnesia(n.cfg.ID))
	}
	n.members.Announce(func(m *gossip.About) { m.Member = seasoned })
	trans := &steady{raftTransport: g.transport}
	logs := &seam{g.logs, g.snapshots}
	n.raft, err = raft.NewRaft(n.raftConfig(notify), n.machine, logs, g.stable, g.snapshots, trans)
	if err != nil {
		return fmt.Errorf("start Raft: %w", err)
	}
	trans.raft.Store(n.raft)
	return nil
}

// configuration is Raft's list of servers as this node knows it now.
func (n *Node) configuration() []raft.Server {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return nil // only when Raft has shut down
	}
	return f.Configuration().Servers
}

// isMember says whether this node is in its site's Raft configuration.
func (n *Node) isMember() bool {
	for _, s := range n.configuration() {
		if string(s.ID) == n.cfg.ID {
			return true
		}
	}
	return false
}
