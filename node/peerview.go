package node

import (
	"context"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/transport"
)

const askTime = time.Second

// askLeader gets from the leader what only a leader knows; false when there is
// no answer in good time. here is the answer of this node, should it lead.
func askLeader[T any](ctx context.Context, n *Node, method string, here func(*term) T, args ...any) (answer T, ok bool) {
	if t := n.leadership.current.Load(); t != nil {
		return here(t), true
	}
	transport.Concurrent(ctx)
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	leader, err := n.leaderScope(ctx)
	if err != nil {
		return answer, false
	}
	answer, err = transport.Await[T](ctx, leader.Call(method, args...))
	return answer, err == nil
}

// peersView is what the leader knows of the peers.
type peersView struct {
	Peers      []peering.Peer `json:"peers"`
	Collectors []peering.Peer `json:"collectors"`
}

func speakerView(t *term) peersView { return peersView{t.speaker.Peers(), t.speaker.Collectors()} }

func (n *Node) peersAtLeader(context.Context, *transport.Call) (any, error) {
	if t := n.leadership.current.Load(); t != nil {
		return speakerView(t), nil
	}
	return nil, failure(leaderChanged, "%s does not lead (any more)", n.cfg.ID)
}

// peers is what the site knows of its peers; without a leader what the table
// says, as there are no sessions then.
func (n *Node) peers(ctx context.Context, t *fsm.Table) peersView {
	view, ok := askLeader(ctx, n, "peers", speakerView)
	if !ok {
		view = peersView{peering.Configured(t), []peering.Peer{}}
	}
	return view
}

func (s *cliScope) listPeers(ctx context.Context, c *transport.Call) (any, error) {
	_, t, err := s.n.queried(ctx, c)
	if err != nil {
		return nil, err
	}
	view := s.n.peers(ctx, t)
	return map[string]any{"peers": view.Peers, "collectors": view.Collectors, "index": t.Version()}, nil
}

// RoutePath is one path to a service, and why it is used or not.
type RoutePath struct {
	Route  Route    `json:"route"`
	Why    string   `json:"why"`
	SentTo []string `json:"sentTo"` // peer sites
}

// showRoute explains the paths to one id, the best first.
func (s *cliScope) showRoute(ctx context.Context, c *transport.Call) (any, error) {
	var id string
	if err := c.Decode(0, &id); err != nil {
		return nil, err
	}
	var q query
	if err := c.Decode(1, &q); err != nil {
		return nil, err
	}
	t, err := s.n.table(ctx, q)
	if err != nil {
		return nil, edge(err)
	}
	id = fsm.NormalID(id)
	sent, _ := askLeader(ctx, s.n, "sentTo", func(l *term) map[string][]string { return sentTo(l, s.n.machine.Table(), id) }, id)
	routes, paths := t.Paths(id), []RoutePath{}
	for i, r := range routes {
		p := RoutePath{Route: view(r, i == 0), Why: fsm.Why(routes, i), SentTo: []string{}}
		if sites := sent[pathName(r)]; sites != nil {
			p.SentTo = sites
		}
		paths = append(paths, p)
	}
	return map[string]any{"id": id, "paths": paths, "index": t.Version()}, nil
}

// sentTo lists, for each path to an id, the peers that were told of it. Paths
// go by name: the leader's table may be newer than that of who asks.
func sentTo(l *term, t *fsm.Table, id string) map[string][]string {
	sites := map[string][]string{}
	for _, r := range t.Paths(id) {
		sites[pathName(r)] = l.speaker.SentTo(r)
	}
	return sites
}

// pathName tells apart the paths to one id.
func pathName(r *fsm.Route) string { return r.Site + " by " + r.Peer }

func (n *Node) sentToAtLeader(_ context.Context, c *transport.Call) (any, error) {
	var id string
	if err := c.Decode(0, &id); err != nil {
		return nil, err
	}
	if l := n.leadership.current.Load(); l != nil {
		return sentTo(l, n.machine.Table(), id), nil
	}
	return nil, failure(leaderChanged, "%s does not lead (any more)", n.cfg.ID)
}
