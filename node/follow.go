package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/gossip"
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
func (n *Node) followMembers(ctx context.Context, p *proposer) {
	f := &following{n: n, log: p, failedSince: map[string]time.Time{}}
	for {
		wait := followInterval
		more, err := f.once(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Warn("membership", "site", n.site(), "node", n.cfg.ID, "err", err)
		} else if more {
			wait = promoteInterval
		}
		select {
		case <-n.members.Changed():
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// following is a leader's view of who should belong to the site.
type following struct {
	n           *Node
	log         *proposer
	failedSince map[string]time.Time
}

// once makes at most one change. More says that another is likely soon: one
// was made, or a node is catching up.
func (f *following) once(ctx context.Context) (more bool, err error) {
	n := f.n
	select {
	case n.changing <- struct{}{}:
		defer func() { <-n.changing }()
	case <-ctx.Done():
		return false, nil
	}
	c, err := n.electorate()
	if err != nil {
		return false, err
	}
	if raised, err := n.raiseLevel(ctx, f.log, c); raised || err != nil {
		return true, err
	}
	for id, s := range n.members.All() {
		if s.State != "alive" {
			continue
		}
		made, soon, err := f.consider(ctx, id, s, c)
		if made || err != nil {
			return true, err
		}
		more = more || soon
	}
	return more, n.removeLongFailed(ctx, f.log, c, f.failedSince)
}

// consider makes the change that one node that is alive calls for, if any.
func (f *following) consider(ctx context.Context, id string, s gossip.Seen, c electorate) (made, soon bool, err error) {
	n, t := f.n, f.n.machine.Table()
	server, known := c.find(id)
	instance, admitted := t.Instance(id)
	belongs := admitted && instance == s.Instance
	switch {
	case s.SiteID != "" && s.SiteID != t.ID():
		n.complain("a node of another site of this name is ignored", s.Gossip, strangerTo(n.site(), t.ID(), id, s.Site, s.SiteID))
	case known && admitted && !belongs && s.Instance != "":
		n.complain("a member has lost its data and is refused", s.Gossip, n.dismiss(ctx, s.RPC, amnesia(id)))
	case known && !admitted && s.Instance != "" && n.allows(levelMembership):
		return true, true, f.commit(ctx, fsm.Admit{ID: id, Instance: s.Instance})
	case !known && s.Member && !belongs:
		// It holds a log that it once shared with us: it was removed.
		_ = n.dismiss(ctx, s.RPC, removed)
	case !known:
		// It is new; or it belongs, and its addition was lost with a leader.
		made, err = f.joins(ctx, id, s, c, belongs)
		return made, true, err
	case server.Suffrage == raft.Nonvoter && c.voters() < maxVoters && !t.HeldBack(id):
		if !n.caughtUp(ctx, s) {
			return false, true, nil
		}
		n.log.Info("a node is promoted to voter", "site", n.site(), "node", id, "voters", c.voters()+1)
		return true, true, n.raft.AddVoter(server.ID, server.Address, c.index, configTimeout).Error()
	}
	return false, false, nil
}

// joins takes a new node in as a non-voter. Gossip may not show yet that it
// was a member, or that it leaves: only the node itself knows.
func (f *following) joins(ctx context.Context, id string, s gossip.Seen, c electorate, belongs bool) (bool, error) {
	n := f.n
	p, err := n.progressOf(ctx, s)
	if err != nil {
		n.log.Debug("a node in gossip does not answer", "node", id, "err", err)
		return false, nil
	}
	if p.Last > 0 && !belongs {
		_ = n.dismiss(ctx, s.RPC, removed)
		return false, nil
	}
	if n.allows(levelMembership) && !belongs {
		// A member that was removed in a way that this site's log does not
		// show may have been known by its id.
		if instance, admitted := n.machine.Table().Instance(id); admitted && instance != s.Instance {
			if err := f.commit(ctx, fsm.Expel{ID: id}); err != nil {
				return false, err
			}
		}
		if err := f.commit(ctx, fsm.Admit{ID: id, Instance: s.Instance}); err != nil {
			return false, err
		}
	}
	n.log.Info("a node joins", "site", n.site(), "node", id, "raft", s.Raft)
	return true, n.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(s.Raft), c.index, configTimeout).Error()
}

func (f *following) commit(ctx context.Context, op fsm.Op) error {
	return f.n.commit(ctx, f.log, op)
}

// commit is for what a leader does on its own account.
func (n *Node) commit(ctx context.Context, log *proposer, op fsm.Op) error {
	out, _, err := log.Propose(ctx, fsm.Command{By: "node " + n.cfg.ID, Op: op})
	if err == nil && out.Code != "" {
		err = errors.New(out.Message)
	}
	return err
}

// removeLongFailed drops one member that has been gone for the whole grace,
// when the rest keep their quorum without it.
func (n *Node) removeLongFailed(ctx context.Context, log *proposer, c electorate, since map[string]time.Time) error {
	seen := n.members.All()
	alive := func(id raft.ServerID) bool { return seen[string(id)].State == "alive" }
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
		n.log.Warn("a member that was gone too long is removed", "site", n.site(), "node", s.ID, "grace", failedGrace)
		return n.removeServer(ctx, log, "site", s.ID, c.index)
	}
	return nil
}

// removeServer takes a member out of Raft's configuration and of the table.
// The table goes first: should this leader fail in between, the next takes the
// node for a member still, and not a removed one for one whose addition was lost.
func (n *Node) removeServer(ctx context.Context, log *proposer, by string, id raft.ServerID, index uint64) error {
	if n.allows(levelMembership) {
		_, _, err := log.Propose(ctx, fsm.Command{By: by, Op: fsm.Expel{ID: string(id)}})
		if err != nil {
			return err
		}
	}
	return n.raft.RemoveServer(id, index, configTimeout).Error()
}

// progressOf asks a node how far its log is.
func (n *Node) progressOf(ctx context.Context, s gossip.Seen) (progress, error) {
	ctx, cancel := context.WithTimeout(ctx, progressDeadline)
	defer cancel()
	scope, err := n.links.to(ctx, s.RPC)
	if err != nil {
		return progress{}, err
	}
	return transport.Await[progress](ctx, scope.Call("progress"))
}

func (n *Node) caughtUp(ctx context.Context, s gossip.Seen) bool {
	p, err := n.progressOf(ctx, s)
	return err == nil && p.Applied > 0 && p.Applied+caughtUpEntries >= n.raft.LastIndex()
}

// removed is what a node is told that is no member any more.
const removed = "it was removed from its site: to add it again, empty its data directory and join it anew"

// dismiss tells a node that it is no member, and why; it stops itself. The
// error says the same of it, or that it was not reached.
func (n *Node) dismiss(ctx context.Context, rpc, why string) error {
	ctx, cancel := context.WithTimeout(ctx, progressDeadline)
	defer cancel()
	scope, err := n.links.to(ctx, rpc)
	if err == nil {
		_, err = scope.Call("dismiss", why, n.who().SiteID).Await(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s (it was not told: %w)", why, err)
	}
	return errors.New(why)
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

func (e electorate) with(id raft.ServerID, suffrage raft.ServerSuffrage) electorate {
	next := electorate{servers: slices.Clone(e.servers), index: e.index}
	for i := range next.servers {
		if next.servers[i].ID == id {
			next.servers[i].Suffrage = suffrage
		}
	}
	return next
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

// arithmetic is the sentence that goes with a refusal to lose the quorum, or
// with its loss.
func (e electorate) arithmetic(verb string, alive func(raft.ServerID) bool) string {
	return fmt.Sprintf("%d of %d voters %s alive and %d are needed", e.alive(alive), e.voters(), verb, quorum(e.voters()))
}
