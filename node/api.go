package node

import (
	"context"
	"fmt"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// protocolVersion is that of the RPC surface; it grows with a breaking change.
const protocolVersion = 1

// publicAPI is the main object of every session: each connectionFrom… checks
// who is there and returns what that identity may use.
// end ends the connection beneath; nil says that nothing can be called back
// over it.
func (n *Node) publicAPI(end func(error)) *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"connectionFromCli":      n.connectionFromCli,
		"connectionFromIBGPPeer": n.connectionFromIBGPPeer(end),
		"connectionFromNode":     n.connectionFromNode,
		"version": func(context.Context, *transport.Call) (any, error) {
			return map[string]any{"version": n.cfg.Version, "protocol": protocolVersion}, nil
		},
	})
}

func (n *Node) connectionFromCli(_ context.Context, c *transport.Call) (any, error) {
	if err := n.checkToken(c, "--token (CATALYST_TOKEN)"); err != nil {
		return nil, err
	}
	return n.cliScope(pipeline.Identity{Name: "admin", Role: pipeline.Admin}), nil
}

// connectionFromNode is for the nodes of the site, which hold the same token.
func (n *Node) connectionFromNode(_ context.Context, c *transport.Call) (any, error) {
	if err := n.checkToken(c, "--admin-token (CATALYST_ADMIN_TOKEN) of the calling node"); err != nil {
		return nil, err
	}
	return n.nodeScope(), nil
}

// checkToken compares the first argument with the admin token, in constant time.
func (n *Node) checkToken(c *transport.Call, source string) error {
	if n.cfg.AdminToken == "" {
		return nil
	}
	var token string
	if err := c.Decode(0, &token); err != nil {
		return err
	}
	switch {
	case sameSecret(token, n.cfg.AdminToken):
		return nil
	case token == "":
		return failure(unauthenticated, "this site wants a token: give it with %s", source)
	default:
		return failure(unauthenticated, "the token is not valid at this site: check %s", source)
	}
}

// cliScope is what a client may use, acting as who.
func (n *Node) cliScope(who pipeline.Identity) *transport.Target {
	s := &cliScope{n: n, who: who}
	return transport.NewTarget(map[string]transport.Method{
		"applyAction":            s.applyAction,
		"createLocalDataChannel": s.dataChannel("create"),
		"updateLocalDataChannel": s.dataChannel("update"),
		"deleteLocalDataChannel": s.deleteLocalDataChannel,
		"listLocalRoutes":        s.listRoutes((*fsm.Table).LocalsFrom),
		"listRoutes":             s.listRoutes((*fsm.Table).AllFrom),
		"showRoute":              s.showRoute,
		"listPeers":              s.listPeers,
		"listMembers":            s.listMembers,
		"listMetrics":            s.listMetrics,
		"status":                 s.status,
		"watchRoutes":            s.watchRoutes,
		"join":                   s.join,
		"leave":                  s.leave,
	})
}

type cliScope struct {
	n   *Node
	who pipeline.Identity
}

func (s *cliScope) applyAction(ctx context.Context, c *transport.Call) (any, error) {
	return s.n.take(ctx, s.who, c.Arg(0))
}

// dataChannel is applyAction with the resource and verb given.
func (s *cliScope) dataChannel(verb string) transport.Method {
	return func(ctx context.Context, c *transport.Call) (any, error) {
		return s.act(ctx, verb, c.Arg(0))
	}
}

func (s *cliScope) deleteLocalDataChannel(ctx context.Context, c *transport.Call) (any, error) {
	return s.act(ctx, "delete", map[string]any{"id": c.Arg(0)})
}

func (s *cliScope) act(ctx context.Context, verb string, data any) (any, error) {
	return s.n.take(ctx, s.who, pipeline.Action{Resource: "dataChannel", Action: verb, Data: data})
}

// join tells this node, which waits, where its site is.
func (s *cliScope) join(ctx context.Context, c *transport.Call) (any, error) {
	var address string
	if err := c.Decode(0, &address); err != nil {
		return nil, err
	}
	transport.Concurrent(ctx)
	return s.n.join(ctx, address), nil
}

func (s *cliScope) leave(ctx context.Context, _ *transport.Call) (any, error) {
	transport.Concurrent(ctx)
	result, err := s.n.leave(ctx)
	return result, edge(err)
}

// progress is how far a node's log is, for its promotion.
type progress struct {
	Last    uint64 `json:"last"`
	Applied uint64 `json:"applied"`
}

// nodeScope is what the nodes of a site ask of each other.
func (n *Node) nodeScope() *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"apply":     n.applyForwarded,
		"readIndex": n.readIndex,
		"progress": func(context.Context, *transport.Call) (any, error) {
			return progress{Last: n.raft.LastIndex(), Applied: n.raft.AppliedIndex()}, nil
		},
		"gateway": func(context.Context, *transport.Call) (any, error) { return n.gatewayStatus(), nil },
		"peers":   n.peersAtLeader,
		"sentTo":  n.sentToAtLeader,
		"peer":    n.peerAtLeader,
		"pledge":  n.pledge,
		"dismiss": func(context.Context, *transport.Call) (any, error) {
			if !n.leaving.Load() { // leave ends the node itself, once it has answered
				n.stopSoon(errDismissed)
			}
			return nil, nil
		},
	})
}

// applyForwarded decides an action that another node carried here. It goes no
// further: if this node no longer leads, the sender looks for who does.
func (n *Node) applyForwarded(ctx context.Context, c *transport.Call) (any, error) {
	var who pipeline.Identity
	if err := c.Decode(0, &who); err != nil {
		return nil, err
	}
	a, refusal := pipeline.DecodeAction(c.Arg(1))
	if refusal != nil {
		return *refusal, nil
	}
	t := n.leadership.current.Load()
	if t == nil {
		return nil, failure(leaderChanged, "%s does not lead (any more): the action was not applied", n.cfg.ID)
	}
	result, err := n.decide(ctx, t, who, a)
	return result, edge(err)
}

func (n *Node) readIndex(ctx context.Context, _ *transport.Call) (any, error) {
	if n.leadership.current.Load() == nil {
		return nil, failure(leaderChanged, "%s does not lead (any more)", n.cfg.ID)
	}
	transport.Concurrent(ctx)
	v, err := n.confirmations.next(ctx)
	if err != nil {
		return nil, edge(fmt.Errorf("read index: %w", err))
	}
	return v, nil
}
