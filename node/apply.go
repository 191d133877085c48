package node

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// take carries out whatever a client sent as an action.
func (n *Node) take(ctx context.Context, who pipeline.Identity, sent any, l *listener) (any, error) {
	a, refusal := pipeline.DecodeAction(sent)
	if refusal != nil {
		return *refusal, nil
	}
	result, err := n.apply(ctx, who, a, l)
	return result, edge(err)
}

const leaderPoll = 20 * time.Millisecond

// apply carries an action to where it is decided: here, if this node leads,
// else one hop to the leader. While there is none it waits up to LeaderWait,
// so that an election is latency to the caller and not an error. What may
// have been applied is tried again only when its requestId makes that safe.
func (n *Node) apply(ctx context.Context, who pipeline.Identity, a pipeline.Action, l *listener) (any, error) {
	n.counts.actions.Add(1)
	deadline := time.Now().Add(n.cfg.LeaderWait)
	for {
		result, err := n.applyOnce(ctx, who, a, l)
		if err == nil && a.Resource == "token" {
			n.awaitResult(ctx, result) // whoever has it uses it here next
		}
		if err == nil {
			return result, nil
		}
		if !repeatable(err, a.RequestID) || time.Now().After(deadline) || ctx.Err() != nil {
			n.counts.failures.Add(1)
			return nil, n.withReason(err)
		}
		transport.Concurrent(ctx) // later calls may find the leader first
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
		}
	}
}

// awaitResult waits until this node's table shows a change that was decided
// elsewhere, within reason.
func (n *Node) awaitResult(ctx context.Context, result any) {
	answer, remote := result.(map[string]any)
	index, _ := answer["index"].(float64)
	if !remote || index < 1 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, _ = n.machine.Await(ctx, uint64(index)-1)
}

func repeatable(err error, requestID string) bool {
	switch codeOf(err) {
	case noLeader, leaderChanged:
		return true
	case unknownOutcome:
		return requestID != ""
	default:
		return false
	}
}

func (n *Node) applyOnce(ctx context.Context, who pipeline.Identity, a pipeline.Action, l *listener) (any, error) {
	if t := n.leadership.current.Load(); t != nil {
		return n.decide(ctx, t, who, a, l)
	}
	leader, err := n.leaderScope(ctx)
	if err != nil {
		return nil, err
	}
	p := leader.Call("apply", append([]any{who, a}, l.carried()...)...)
	transport.Concurrent(ctx)
	result, err := p.Await(ctx)
	if errors.Is(err, transport.ErrBroken) {
		return nil, failure(unknownOutcome, "the connection to the leader broke before its answer came: the action may or may not be applied; "+
			"send it again with the same requestId, or read the table")
	}
	return result, err
}

// decide runs the pipeline in a term of this node.
func (n *Node) decide(ctx context.Context, t *term, who pipeline.Identity, a pipeline.Action, l *listener) (any, error) {
	if who.Unasked && n.machine.Table().NumTokens() > 0 {
		return nil, failure(unauthenticated, "this site wants a token by now: give it with --token (CATALYST_TOKEN)")
	}
	if why := n.full.Load(); why != nil {
		return nil, failure(unavailable, "the site takes no changes: %s; nothing was applied", *why)
	}
	return n.pipeline.Apply(ctx, &pipeline.Context{Action: a, Identity: who, Proposer: t.proposer, Committed: l.committed()})
}

// leaderScope is the way to another node that leads.
func (n *Node) leaderScope(ctx context.Context) (*transport.Promise, error) {
	_, id := n.raft.LeaderWithID()
	switch {
	case id == "" && !n.isMember():
		return nil, failure(noLeader, "this node waits to join a site: run `catalyst join GOSSIP_ADDR` against it, or start it with --join or --bootstrap")
	case id == "":
		return nil, failure(noLeader, "the site has no leader: %s", n.quorumNow())
	case string(id) == n.cfg.ID:
		return nil, failure(leaderChanged, "this node has just been elected and is not ready: the action was not applied; send it again")
	}
	scope, err := n.links.to(ctx, n.members.Of(string(id)).RPC)
	if err != nil {
		return nil, failure(noLeader, "the leader %s cannot be reached: %v", id, err)
	}
	return scope, nil
}

// quorumNow says in a sentence what keeps the site from electing a leader.
func (n *Node) quorumNow() string {
	e := electorate{servers: n.configuration()}
	return e.arithmetic("are", n.isAlive) + "; start the missing nodes, it recovers by itself"
}

func (n *Node) isAlive(id raft.ServerID) bool {
	return string(id) == n.cfg.ID || n.members.Of(string(id)).State == gossip.Alive
}

// withReason adds to a failure what this node knows of its cause.
func (n *Node) withReason(err error) error {
	var e *transport.Error
	if why := n.full.Load(); why != nil && errors.As(err, &e) && repeatable(err, "") {
		e.Message += "; " + *why
	}
	return n.withLeader(err)
}

// withLeader adds the leader's id to a failure where one is known.
func (n *Node) withLeader(err error) error {
	var e *transport.Error
	if !errors.As(err, &e) || e.Props["leader"] != nil {
		return err
	}
	if _, id := n.raft.LeaderWithID(); id != "" {
		e.Props["leader"] = string(id)
	}
	return e
}
