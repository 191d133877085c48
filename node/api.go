package node

import (
	"context"
	"fmt"
	"time"

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
func (n *Node) publicAPI(from caller, end func(error)) *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"connectionFromCli": func(ctx context.Context, c *transport.Call) (any, error) {
			return n.connectionFromCli(ctx, from, end, c)
		},
		"connectionFromIBGPPeer": n.connectionFromIBGPPeer(from, end),
		"connectionFromNode": func(_ context.Context, c *transport.Call) (any, error) {
			return n.connectionFromNode(from, c)
		},
		"enroll": func(ctx context.Context, c *transport.Call) (any, error) { return n.enroll(ctx, from, c) },
		"version": func(context.Context, *transport.Call) (any, error) {
			return map[string]any{"version": n.cfg.Version, "protocol": protocolVersion}, nil
		},
	})
}

func (n *Node) connectionFromCli(ctx context.Context, from caller, end func(error), c *transport.Call) (any, error) {
	var token string
	if err := c.Decode(0, &token); err != nil {
		return nil, err
	}
	shown, err := n.authenticate(ctx, from, token)
	if err != nil {
		return nil, err
	}
	if shown.who.Role == pipeline.Peer {
		return nil, failure(unauthenticated, "the token %s is that of peer site %s: it is used with `catalyst peer add --secret` there", shown.token, shown.who.Site)
	}
	return n.cliScope(shown, end), nil
}

// connectionFromNode is for the nodes of the site.
func (n *Node) connectionFromNode(from caller, c *transport.Call) (any, error) {
	var token string
	if err := c.Decode(0, &token); err != nil {
		return nil, err
	}
	if err := n.patience(from); err != nil {
		return nil, err
	}
	if err := n.fromNode(from, token); err != nil {
		n.failed(from, "refused a node", err)
		return nil, err
	}
	return n.nodeScope(from), nil
}

// cliScope is what a client may use with what it has shown.
func (n *Node) cliScope(shown credential, end func(error)) *transport.Target {
	s := &cliScope{n: n, credential: shown, end: end}
	methods := map[string]transport.Method{}
	for role, of := range s.methods() {
		for name, m := range of {
			methods[name] = s.allow(role, name, m)
		}
	}
	return transport.NewTarget(methods)
}

// methods are all there are, by the least role that may call them.
func (s *cliScope) methods() map[pipeline.Role]map[string]transport.Method {
	return map[pipeline.Role]map[string]transport.Method{
		// What an action needs, its pipeline says.
		pipeline.Viewer: {
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
			"diagnose":               s.diagnose,
		},
		pipeline.Admin: {
			"init":       s.init,
			"join":       s.join,
			"leave":      s.leave,
			"listTokens": s.listTokens,
			"listKeys":   s.listKeys,
			"listAudit":  s.listAudit,
			"snapshot":   s.snapshot,
			"restore":    s.restore,
		},
	}
}

type cliScope struct {
	n *Node
	credential
	end func(error) // ends the connection; nil where there is none
}

// applyAction takes an action, and a function that hears of its steps, if any.
func (s *cliScope) applyAction(ctx context.Context, c *transport.Call) (any, error) {
	l, err := listenerOf(c, 1)
	if err != nil {
		return nil, err
	}
	return s.n.take(ctx, s.who, c.Arg(0), l)
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
	return s.n.take(ctx, s.who, pipeline.Action{Resource: "dataChannel", Action: verb, Data: data}, nil)
}

// progress is how far a node is, for its promotion and for a rotation of keys.
type progress struct {
	Last    uint64 `json:"last"`
	Applied uint64 `json:"applied"`
	Keys    uint64 `json:"keys"`              // the version of the gossip keys in use
	Silence int64  `json:"silence"`           // since it last heard the leader, in ms
	Bytes   int64  `json:"bytes"`             // of the newest snapshot
	Expires int64  `json:"expires,omitempty"` // of its certificate, ms since the epoch
	Now     int64  `json:"now"`               // ms since the epoch
	Stands  bool   `json:"stands"`            // who asks will not be made a voter: there are enough, or it is held back
}

func (n *Node) progress(_ context.Context, c *transport.Call) (any, error) {
	var asks string
	if err := c.Decode(0, &asks); err != nil {
		return nil, err
	}
	p := progress{Now: time.Now().UnixMilli(), Last: n.raft.LastIndex(), Applied: n.raft.AppliedIndex(), Keys: n.members.KeysVersion()}
	p.Silence = time.Since(n.raft.LastContact()).Milliseconds()
	if n.secured() {
		p.Expires = n.keeper.Expires().UnixMilli()
	}
	if asks != "" {
		p.Bytes = n.stores.snapshotBytes()
		p.Stands = electorate{servers: n.configuration()}.voters() >= maxVoters || n.machine.Table().HeldBack(asks)
	}
	return p, nil
}

// nodeScope is what the nodes of a site ask of each other.
func (n *Node) nodeScope(from caller) *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"apply":     n.applyForwarded,
		"readIndex": n.readIndex,
		"progress":  n.progress,
		"gateway":   func(context.Context, *transport.Call) (any, error) { return n.gatewayStatus(), nil },
		"peers":     n.peersAtLeader,
		"sentTo":    n.sentToAtLeader,
		"peer":      n.peerAtLeader,
		"pledge":    n.pledge,
		"enroll":    n.enrollAtLeader,
		"renew":     n.renewAtLeader(from),
		"keys":      func(context.Context, *transport.Call) (any, error) { return n.gossipKeys(), nil },
		"restore":   n.restoreAtLeader,
		"dismiss":   transport.Method2(n.obeyDismissal),
	})
}

// obeyDismissal ends a node that its site does not have any more. Only its own
// site can say so.
func (n *Node) obeyDismissal(_ context.Context, why, siteID string) (any, error) {
	mine := n.who().SiteID
	if mine != "" && siteID != mine {
		return nil, failure(forbidden, "%s is a node of another site (%s) than %s", n.cfg.ID, mine, siteID)
	}
	if !n.leaving.Load() { // leave ends the node itself, once it has answered
		n.stopSoon(dismissal(why))
	}
	return nil, nil
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
	l, err := listenerOf(c, 2)
	if err != nil {
		return nil, err
	}
	t := n.leadership.current.Load()
	if t == nil {
		return nil, failure(leaderChanged, "%s does not lead (any more): the action was not applied", n.cfg.ID)
	}
	result, err := n.decide(ctx, t, who, a, l)
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
