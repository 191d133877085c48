package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
)

var (
	errLeft      = errors.New("this node has left its site")
	errDismissed = errors.New("this node was removed from its site: to add it again, start it with an empty data directory and --join")
)

// membershipPlugin decides the actions on resource member: the operator's
// verbs over Raft's configuration.
type membershipPlugin struct{ n *Node }

func (membershipPlugin) Name() string { return "MembershipPlugin" }

func (membershipPlugin) Handles() []string {
	return []string{"member/remove", "member/promote", "member/demote"}
}

func (p membershipPlugin) Apply(ctx context.Context, c *pipeline.Context) (pipeline.Result, error) {
	if c.Action.Resource != "member" {
		return c.Result, nil
	}
	id, refusal := pipeline.DataID(c.Action)
	if refusal != nil {
		return *refusal, nil
	}
	e, err := p.n.electorate()
	if err != nil {
		return pipeline.Result{}, proposalFailure(err)
	}
	server, known := e.find(id)
	if !known {
		return pipeline.Refuse(fsm.NotFound, "id: the site has no member %q; `catalyst members` lists them", id), nil
	}
	switch c.Action.Action {
	case "remove":
		return p.remove(ctx, e, server)
	case "promote":
		return p.promote(ctx, c, e, server)
	default:
		return p.demote(ctx, c, e, server)
	}
}

func (n *Node) electorate() (electorate, error) {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return electorate{}, err
	}
	return electorate{servers: f.Configuration().Servers, index: f.Index()}, nil
}

func (p membershipPlugin) remove(ctx context.Context, e electorate, s raft.Server) (pipeline.Result, error) {
	n := p.n
	if rest := e.without(s.ID); s.Suffrage == raft.Voter && !rest.quorate(n.isAlive) {
		return pipeline.Refuse(fsm.Conflict, "id: without %s %s: the site would lose its quorum; bring back other members first", s.ID, rest.arithmetic(n.isAlive)), nil
	}
	if string(s.ID) == n.cfg.ID {
		return pipeline.Result{}, n.handOverFor("remove " + n.cfg.ID)
	}
	if err := n.raft.RemoveServer(s.ID, e.index, configTimeout).Error(); err != nil {
		return pipeline.Result{}, proposalFailure(err)
	}
	n.log.Info("a member is removed", "site", n.cfg.Site, "node", s.ID)
	if rpc := n.members.rpcAddress(string(s.ID)); n.isAlive(s.ID) {
		n.dismiss(ctx, rpc)
	}
	return p.done(string(s.ID)), nil
}

func (p membershipPlugin) promote(ctx context.Context, c *pipeline.Context, e electorate, s raft.Server) (pipeline.Result, error) {
	if s.Suffrage == raft.Voter {
		return p.done(string(s.ID)), nil
	}
	if !p.n.isAlive(s.ID) {
		return pipeline.Refuse(fsm.Conflict, "id: %s is not alive: a voter that does not answer costs the site a failure it could survive", s.ID), nil
	}
	if _, err := c.Propose(ctx, fsm.HoldBack{ID: string(s.ID), Held: false}); err != nil {
		return pipeline.Result{}, err
	}
	if err := p.n.raft.AddVoter(s.ID, s.Address, e.index, configTimeout).Error(); err != nil {
		return pipeline.Result{}, proposalFailure(err)
	}
	return p.done(string(s.ID)), nil
}

// demote makes a voter a non-voter that stays one until it is promoted by hand.
func (p membershipPlugin) demote(ctx context.Context, c *pipeline.Context, e electorate, s raft.Server) (pipeline.Result, error) {
	n := p.n
	if rest := e.without(s.ID); s.Suffrage == raft.Voter && !rest.quorate(n.isAlive) {
		return pipeline.Refuse(fsm.Conflict, "id: without the vote of %s %s: the site would lose its quorum", s.ID, rest.arithmetic(n.isAlive)), nil
	}
	if string(s.ID) == n.cfg.ID {
		return pipeline.Result{}, n.handOverFor("demote " + n.cfg.ID)
	}
	if _, err := c.Propose(ctx, fsm.HoldBack{ID: string(s.ID), Held: true}); err != nil {
		return pipeline.Result{}, err
	}
	if s.Suffrage == raft.Voter {
		if err := n.raft.DemoteVoter(s.ID, e.index, configTimeout).Error(); err != nil {
			return pipeline.Result{}, proposalFailure(err)
		}
	}
	return p.done(string(s.ID)), nil
}

// done says what the site survives now, which is what the verb was about.
func (p membershipPlugin) done(id string) pipeline.Result {
	e, err := p.n.electorate()
	data := map[string]any{"id": id}
	if err == nil {
		data["voters"] = e.voters()
		data["tolerates"] = max(0, e.alive(p.n.isAlive)-quorum(e.voters()))
	}
	return pipeline.Result{Success: true, Data: data, Index: p.n.machine.Table().Version()}
}

// handOverFor gives leadership away because what was asked for
// needs a leader other than this node. The caller's retry finds the new one:
// a leader that removes itself would leave a gap of an election.
func (n *Node) handOverFor(what string) error {
	if err := n.handOver(); err != nil {
		return failure(unavailable, "%s: no other voter can lead: %v", what, err)
	}
	return failure(leaderChanged, "%s: leadership was handed over first: send it again", what)
}

const joinDeadline = 8 * time.Second

// join is `catalyst join`: it returns when the leader has made this node a
// member, or says how far it came.
func (n *Node) join(ctx context.Context, address string) pipeline.Result {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return pipeline.Refuse(fsm.Invalid, "address: %q is not a gossip address: give host:port of a node of the site, as in 10.0.0.1:3002", address)
	}
	if n.isMember() {
		return pipeline.Refuse(fsm.Conflict, "%s is a member of site %q already", n.cfg.ID, n.cfg.Site)
	}
	if err := n.members.join([]string{address}); err != nil {
		return pipeline.Refuse(fsm.Invalid, "address: join %s: %v", address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, joinDeadline)
	defer cancel()
	for !n.isMember() {
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
			return pipeline.Refuse(fsm.Conflict, "%s found nodes at %s, but no leader made it a member within %s: does that site have a leader?", n.cfg.ID, address, joinDeadline)
		}
	}
	return pipeline.Result{Success: true, Data: map[string]any{"id": n.cfg.ID, "site": n.cfg.Site}, Index: n.machine.Table().Version()}
}

// leave takes this node out of its site: leadership first, then membership,
// then the process.
func (n *Node) leave(ctx context.Context) (any, error) {
	e, err := n.electorate()
	if err != nil {
		return nil, proposalFailure(err)
	}
	if _, known := e.find(n.cfg.ID); !known {
		return pipeline.Refuse(fsm.Conflict, "%s is in no site", n.cfg.ID), nil
	}
	if e.voters() == 1 && len(e.servers) == 1 {
		return pipeline.Refuse(fsm.Conflict, "%s is the only member: leaving would end the site; stop the process instead", n.cfg.ID), nil
	}
	// Removing the leader makes it hand over and asks for a repeat, which
	// apply does: the second round goes to the new leader.
	who := pipeline.Identity{Name: "node " + n.cfg.ID, Role: pipeline.Admin}
	a := pipeline.Action{Resource: "member", Action: "remove", Data: map[string]any{"id": n.cfg.ID}}
	n.leaving.Store(true)
	defer n.leaving.Store(false)
	result, err := n.apply(ctx, who, a)
	if err != nil {
		return nil, err
	}
	if ok, refused := succeeded(result); !ok {
		return refused, nil
	}
	n.log.Info("left", "site", n.cfg.Site, "node", n.cfg.ID)
	n.stopSoon(errLeft)
	return result, nil
}

// succeeded reads an ActionResult that was decided here or carried from the leader.
func succeeded(result any) (bool, any) {
	switch r := result.(type) {
	case pipeline.Result:
		return r.Success, r
	case map[string]any:
		ok, _ := r["success"].(bool)
		return ok, r
	default:
		return false, fmt.Errorf("no ActionResult: %T", result)
	}
}
