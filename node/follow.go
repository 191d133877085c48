package node

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/transport"
)

const (
	maxVoters        = 5 // more voters cost every write and gain little
	followInterval   = 500 * time.Millisecond
	promoteInterval  = 50 * time.Millisecond // while a node is catching up
	configTimeout    = 5 * time.Second
	caughtUpEntries  = 256            // log entries behind that count as caught up
	failedGrace      = 24 * time.Hour // after which a failed member is removed
	progressDeadline = time.Second
)

// followMembers makes Raft's configuration follow what gossip shows, one
// change at a time, on every event and on a tick.
func (n *Node) followMembers(ctx context.Context) {
	failedSince := map[string]time.Time{}
	for {
		wait := followInterval
		more, err := n.followOnce(ctx, failedSince)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("membership", "site", n.cfg.Site, "node", n.cfg.ID, "err", err)
		} else if more {
			wait = promoteInterval
		}
		select {
		case <-n.members.changed:
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// followOnce makes at most one change. More says that another is likely soon:
// one was made, or a node is catching up.
func (n *Node) followOnce(ctx context.Context, failedSince map[string]time.Time) (more bool, err error) {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return false, err
	}
	c := electorate{servers: f.Configuration().Servers, index: f.Index()}
	for id, s := range n.members.all() {
		if s.state != "alive" {
			continue
		}
		server, known := c.find(id)
		switch {
		case s.Epoch != "" && s.Epoch != n.machine.Table().Epoch():
			n.log.Warn("a node of another site of the same name is ignored", "node", id, "site", s.Site)
		case !known && s.Member:
			// It holds a log that it once shared with us: it was removed.
			n.dismiss(ctx, s.RPC)
		case !known:
			// Gossip may not show yet that it was a member, or that it leaves:
			// only the node itself knows.
			p, err := n.progressOf(ctx, s)
			if err != nil {
				more = true
				continue
			}
			if p.Last > 0 {
				n.dismiss(ctx, s.RPC)
				continue
			}
			n.log.Info("a node joins", "site", n.cfg.Site, "node", id, "raft", s.Raft)
			return true, n.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(s.Raft), c.index, configTimeout).Error()
		case string(server.Address) != s.Raft:
			n.log.Info("a node has moved", "site", n.cfg.Site, "node", id, "raft", s.Raft)
			return true, n.readdress(server, s.Raft, c.index)
		case server.Suffrage == raft.Nonvoter && c.voters() < maxVoters && !n.machine.Table().HeldBack(id):
			if n.caughtUp(ctx, s) {
				n.log.Info("a node is promoted to voter", "site", n.cfg.Site, "node", id, "voters", c.voters()+1)
				return true, n.raft.AddVoter(server.ID, server.Address, c.index, configTimeout).Error()
			}
			more = true
		}
	}
	return more, n.removeLongFailed(c, failedSince)
}

func (n *Node) readdress(s raft.Server, address string, index uint64) error {
	if s.Suffrage == raft.Voter {
		return n.raft.AddVoter(s.ID, raft.ServerAddress(address), index, configTimeout).Error()
	}
	return n.raft.AddNonvoter(s.ID, raft.ServerAddress(address), index, configTimeout).Error()
}

// removeLongFailed drops one member that has been gone for the whole grace,
// when the rest keep their quorum without it.
func (n *Node) removeLongFailed(c electorate, since map[string]time.Time) error {
	seen := n.members.all()
	alive := func(id raft.ServerID) bool { return seen[string(id)].state == "alive" }
	for _, s := range c.servers {
		if alive(s.ID) {
			delete(since, string(s.ID))
			continue
		}
		if _, ok := since[string(s.ID)]; !ok {
			since[string(s.ID)] = time.Now()
		}
		if time.Since(since[string(s.ID)]) < failedGrace || !c.without(s.ID).quorate(alive) {
			continue
		}
		n.log.Warn("a member that was gone too long is removed", "site", n.cfg.Site, "node", s.ID, "grace", failedGrace)
		return n.raft.RemoveServer(s.ID, c.index, configTimeout).Error()
	}
	return nil
}

// progressOf asks a node how far its log is.
func (n *Node) progressOf(ctx context.Context, s seen) (progress, error) {
	ctx, cancel := context.WithTimeout(ctx, progressDeadline)
	defer cancel()
	scope, err := n.links.to(ctx, s.RPC)
	if err != nil {
		return progress{}, err
	}
	return transport.Await[progress](ctx, scope.Call("progress"))
}

func (n *Node) caughtUp(ctx context.Context, s seen) bool {
	p, err := n.progressOf(ctx, s)
	return err == nil && p.Applied > 0 && p.Applied+caughtUpEntries >= n.raft.LastIndex()
}

// dismiss tells a node that it is no longer a member; it stops itself.
func (n *Node) dismiss(ctx context.Context, rpc string) {
	ctx, cancel := context.WithTimeout(ctx, progressDeadline)
	defer cancel()
	scope, err := n.links.to(ctx, rpc)
	if err != nil {
		return
	}
	_, _ = scope.Call("dismiss").Await(ctx)
}

// electorate is a Raft configuration, with the index that makes a change to
// it a compare-and-set.
type electorate struct {
	servers []raft.Server
	index   uint64
}

func (e electorate) find(id string) (raft.Server, bool) {
	for _, s := range e.servers {
		if string(s.ID) == id {
			return s, true
		}
	}
	return raft.Server{}, false
}

func (e electorate) voters() int {
	count := 0
	for _, s := range e.servers {
		if s.Suffrage == raft.Voter {
			count++
		}
	}
	return count
}

func (e electorate) without(id raft.ServerID) electorate {
	var rest []raft.Server
	for _, s := range e.servers {
		if s.ID != id {
			rest = append(rest, s)
		}
	}
	return electorate{servers: rest, index: e.index}
}

// alive counts the voters that are.
func (e electorate) alive(alive func(raft.ServerID) bool) int {
	count := 0
	for _, s := range e.servers {
		if s.Suffrage == raft.Voter && alive(s.ID) {
			count++
		}
	}
	return count
}

func quorum(voters int) int { return voters/2 + 1 }

// quorate says whether the voters that are alive can commit.
func (e electorate) quorate(alive func(raft.ServerID) bool) bool {
	return e.voters() > 0 && e.alive(alive) >= quorum(e.voters())
}

// arithmetic is the sentence that goes with a refusal to lose the quorum.
func (e electorate) arithmetic(alive func(raft.ServerID) bool) string {
	return fmt.Sprintf("%d of %d voters would be alive and %d are needed", e.alive(alive), e.voters(), quorum(e.voters()))
}
