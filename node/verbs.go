package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

var errLeft = errors.New("this node has left its site")

// dismissal ends a node that its site does not have any more.
func dismissal(why string) error { return fmt.Errorf("the site refuses this node: %s", why) }

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
	var how verb
	if refusal := readData(c.Action, &how); refusal != nil {
		return *refusal, nil
	}
	select {
	case p.n.changing <- struct{}{}:
		defer func() { <-p.n.changing }()
	case <-ctx.Done():
		return pipeline.Result{}, proposalFailure(ctx.Err())
	}
	e, err := p.n.electorate()
	if err != nil {
		return pipeline.Result{}, proposalFailure(err)
	}
	server, known := e.find(id)
	if !known {
		return pipeline.Refuse(fsm.NotFound, "id: the site has no member %q; `catalyst members` lists them", id), nil
	}
	v := change{membershipPlugin: p, c: c, e: e, server: server, verb: how, before: p.n.strength(e)}
	switch c.Action.Action {
	case "remove":
		return v.remove(ctx)
	case "promote":
		return v.promote(ctx)
	default:
		return v.demote(ctx)
	}
}

func (n *Node) electorate() (electorate, error) {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return electorate{}, err
	}
	return electorate{servers: f.Configuration().Servers, index: f.Index()}, nil
}

// verb is how an operator wants a change of the members to be made.
type verb struct {
	DryRun bool `json:"dryRun"` // say what would come of it
	Force  bool `json:"force"`  // also against what gossip shows
}

// change is one verb about one member.
type change struct {
	membershipPlugin
	verb
	c      *pipeline.Context
	e      electorate
	server raft.Server
	before strength
}

func (v change) remove(ctx context.Context) (pipeline.Result, error) {
	n, id := v.n, v.server.ID
	rest := v.e.without(id)
	if refusal := v.losesQuorum(ctx, rest, "without"); refusal != nil {
		return *refusal, nil
	}
	switch {
	case v.DryRun:
		return v.outcome(n.strength(rest)), nil
	case string(id) == n.cfg.ID:
		return pipeline.Result{}, n.handOverFor("remove " + n.cfg.ID)
	}
	if err := n.removeServer(ctx, v.log(), v.c.Identity.Name, id, v.e.index); err != nil {
		return pipeline.Result{}, proposalFailure(err)
	}
	n.log.Info("a member is removed", "site", n.site(), "node", id, "by", v.c.Identity.Name)
	if n.isAlive(id) {
		_ = n.dismiss(ctx, n.members.Of(string(id)).RPC, removed)
	}
	return v.done(ctx)
}

func (v change) promote(ctx context.Context) (pipeline.Result, error) {
	n, id := v.n, v.server.ID
	switch {
	case v.server.Suffrage == raft.Voter:
		return v.outcome(v.before), nil
	case !n.isAlive(id):
		return pipeline.Refuse(fsm.Conflict, "id: %s is not alive: a voter that does not answer costs the site a failure it could survive", id), nil
	case v.DryRun:
		return v.outcome(n.strength(v.e.with(id, raft.Voter))), nil
	}
	if _, err := v.c.Propose(ctx, fsm.HoldBack{ID: string(id), Held: false}); err != nil {
		return pipeline.Result{}, err
	}
	if err := n.raft.AddVoter(id, v.server.Address, v.e.index, configTimeout).Error(); err != nil {
		return pipeline.Result{}, proposalFailure(err)
	}
	return v.done(ctx)
}

// demote makes a voter a non-voter that stays one until it is promoted by hand.
func (v change) demote(ctx context.Context) (pipeline.Result, error) {
	n, id := v.n, v.server.ID
	rest := v.e.without(id)
	if refusal := v.losesQuorum(ctx, rest, "without the vote of"); refusal != nil {
		return *refusal, nil
	}
	switch {
	case v.DryRun:
		return v.outcome(n.strength(rest)), nil
	case string(id) == n.cfg.ID:
		return pipeline.Result{}, n.handOverFor("demote " + n.cfg.ID)
	}
	if _, err := v.c.Propose(ctx, fsm.HoldBack{ID: string(id), Held: true}); err != nil {
		return pipeline.Result{}, err
	}
	if v.server.Suffrage == raft.Voter {
		if err := n.raft.DemoteVoter(id, v.e.index, configTimeout).Error(); err != nil {
			return pipeline.Result{}, proposalFailure(err)
		}
	}
	return v.done(ctx)
}

func (v change) log() *proposer {
	log, _ := v.c.Proposer.(*proposer)
	return log
}

// losesQuorum refuses a change after which the rest could not decide. Gossip's
// word about who is alive can be overruled, arithmetic cannot: the change
// itself is decided by the rest.
func (v change) losesQuorum(ctx context.Context, rest electorate, without string) *pipeline.Result {
	n := v.n
	if v.server.Suffrage != raft.Voter {
		return nil
	}
	if !v.Force && !rest.quorate(n.isAlive) {
		r := pipeline.Refuse(fsm.Conflict, "id: %s %s %s: the site would lose its quorum; bring back other members first. "+
			"If those that seem down do answer the leader, --force goes by that", without, v.server.ID, rest.arithmetic("would be", n.isAlive))
		return &r
	}
	hear := n.hearing(ctx, rest)
	for deadline := time.Now().Add(hearTime); !rest.quorate(hear) && time.Now().Before(deadline); hear = n.hearing(ctx, rest) {
		select {
		case <-time.After(leaderPoll): // who has just come back is heard in a moment
		case <-ctx.Done():
		}
	}
	if rest.quorate(hear) {
		return nil
	}
	r := pipeline.Refuse(fsm.Conflict, "id: %s %s %s, as the others do not hear the leader: --force cannot help, as those that are left decide the change. "+
		"Bring back other members; if they are lost for good, see catalyst recover", without, v.server.ID, rest.arithmetic("would be", hear))
	return &r
}

const hearTime = 2 * time.Second

// hearing asks every voter whether it has just heard this node as its leader:
// who has not cannot decide anything with it.
func (n *Node) hearing(ctx context.Context, e electorate) func(raft.ServerID) bool {
	hears := map[raft.ServerID]bool{raft.ServerID(n.cfg.ID): true}
	for _, s := range e.servers {
		if s.Suffrage == raft.Voter && !hears[s.ID] {
			p, err := n.progressOf(ctx, n.members.Of(string(s.ID)))
			hears[s.ID] = err == nil && p.Silence < n.cfg.RaftTiming.Milliseconds()
		}
	}
	return func(id raft.ServerID) bool { return hears[id] }
}

// strength is what a site survives.
type strength struct {
	Voters    int `json:"voters"`
	Tolerates int `json:"tolerates"`
}

func (n *Node) strength(e electorate) strength {
	return strength{e.voters(), max(0, e.alive(n.isAlive)-quorum(e.voters()))}
}

// done notes who wanted the change, which is not in Raft's configuration, and
// says what the site survives now.
func (v change) done(ctx context.Context) (pipeline.Result, error) {
	if v.n.allows(levelMembership) {
		note := fsm.Note{Action: v.c.Action.String(), ID: string(v.server.ID)}
		if _, err := v.c.Propose(ctx, note); err != nil {
			v.n.log.Warn("a change of the members is not in the audit trail", "action", note.Action, "id", note.ID, "by", v.c.Identity.Name, "err", err)
		}
	}
	e, err := v.n.electorate()
	if err != nil {
		return pipeline.Result{}, proposalFailure(err)
	}
	return v.outcome(v.n.strength(e)), nil
}

func (v change) outcome(after strength) pipeline.Result {
	data := map[string]any{"id": string(v.server.ID), "voters": after.Voters, "tolerates": after.Tolerates, "before": v.before}
	if v.DryRun {
		data["dryRun"] = true
	}
	return pipeline.Result{Success: true, Data: data, Index: v.n.machine.Table().Version()}
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

// leave takes this node out of its site: leadership first, then membership,
// then the process.
func (s *cliScope) leave(ctx context.Context, c *transport.Call) (any, error) {
	var how verb
	if err := c.Decode(0, &how); err != nil {
		return nil, err
	}
	transport.Concurrent(ctx)
	result, err := s.n.leave(ctx, s.who, how)
	return result, edge(err)
}

func (n *Node) leave(ctx context.Context, who pipeline.Identity, how verb) (any, error) {
	e, err := n.electorate()
	if err != nil {
		return nil, proposalFailure(err)
	}
	if _, known := e.find(n.cfg.ID); !known {
		return pipeline.Refuse(fsm.Conflict, "%s is in no site", n.cfg.ID), nil
	}
	if len(e.servers) == 1 {
		return n.leaveLast(how), nil
	}
	// Removing the leader makes it hand over and asks for a repeat, which
	// apply does: the second round goes to the new leader.
	a := pipeline.Action{Resource: "member", Action: "remove", Data: map[string]any{"id": n.cfg.ID, "dryRun": how.DryRun, "force": how.Force}}
	n.leaving.Store(!how.DryRun)
	result, err := n.apply(ctx, who, a, nil)
	if err != nil {
		n.leaving.Store(false)
		return nil, err
	}
	if ok, refused := succeeded(result); !ok || how.DryRun {
		n.leaving.Store(false)
		return refused, nil
	}
	n.log.Info("left", "site", n.site(), "node", n.cfg.ID)
	n.stopSoon(errLeft)
	return result, nil
}

// leaveLast ends the site, if that is what is wanted: its data is set aside.
func (n *Node) leaveLast(how verb) pipeline.Result {
	if !how.Force {
		return pipeline.Refuse(fsm.Conflict, "%s is the only member: without it 0 of 0 voters would be left and the site would end. "+
			"Stop the process instead; --force ends the site and sets its data aside", n.cfg.ID)
	}
	if !how.DryRun {
		n.log.Warn("the last member leaves: the site ends", "site", n.site(), "node", n.cfg.ID)
		n.stopSoon(errLeft)
	}
	data := map[string]any{"id": n.cfg.ID, "voters": 0, "tolerates": 0, "before": strength{Voters: 1}}
	if how.DryRun {
		data["dryRun"] = true
	}
	return pipeline.Result{Success: true, Data: data}
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
