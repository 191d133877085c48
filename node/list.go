package node

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// maxListed is the most routes that one answer holds; longer lists are paged.
const maxListed = 50_000

// maxListing is how many lists are made at a time: a client that asks for a
// thousand must not have the node hold them all.
const maxListing = 2

// Route is the contract's Route: a path as clients see it.
type Route struct {
	ID            string      `json:"id"`
	Service       fsm.Service `json:"service"`
	Site          string      `json:"site"`
	Source        string      `json:"source"`
	Peer          string      `json:"peer,omitempty"`
	Path          []string    `json:"path"`
	Best          bool        `json:"best"`
	Stale         bool        `json:"stale"`
	CreatedAt     int64       `json:"createdAt"`
	ModifiedAt    int64       `json:"modifiedAt"`
	CreatedIndex  uint64      `json:"createdIndex"`
	ModifiedIndex uint64      `json:"modifiedIndex"`
}

func view(r *fsm.Route, best bool) Route {
	source := "peer"
	if r.Local() {
		source = "local"
	}
	return Route{
		ID: r.ID(), Service: r.Service, Site: r.Site, Source: source, Peer: r.Peer, Path: r.Path,
		Best: best, Stale: r.Stale, CreatedAt: r.CreatedAt, ModifiedAt: r.ModifiedAt,
		CreatedIndex: r.CreatedIndex, ModifiedIndex: r.ModifiedIndex,
	}
}

func (q query) matches(r *fsm.Route) bool {
	return (q.Protocol == "" || q.Protocol == string(r.Service.Protocol)) &&
		(q.Site == "" || q.Site == r.Site) &&
		(q.After == "" || r.ID() > q.After)
}

// from is where the ids begin that a query can match, and past tells that
// there are no more: the routes of one name stand together.
func (q query) from() string {
	if q.Name == "" {
		return q.After
	}
	return max(q.After, q.Name+":")
}

func (q query) past(r *fsm.Route) bool { return q.Name != "" && r.Service.Name != q.Name }

func readQuery(c *transport.Call) (query, error) {
	var q query
	err := c.Decode(0, &q)
	q.Protocol = strings.TrimPrefix(fsm.NormalID(":"+q.Protocol), ":")
	if err == nil && q.Limit < 0 {
		err = typeError("limit is %d: give the number of routes to return at most, or 0 for all", q.Limit)
	}
	return q, err
}

// queried reads a call's query and gets a table that satisfies it.
func (n *Node) queried(ctx context.Context, c *transport.Call) (query, *fsm.Table, error) {
	q, err := readQuery(c)
	if err != nil {
		return q, nil, err
	}
	t, err := n.table(ctx, q)
	return q, t, edge(err)
}

type routeList struct {
	Routes []Route `json:"routes"`
	Index  uint64  `json:"index"`
	More   bool    `json:"more,omitempty"` // limit cut the list: go on with after = the last id
}

func (s *cliScope) listRoutes(from func(*fsm.Table, string) iter.Seq[*fsm.Route]) transport.Method {
	return func(ctx context.Context, c *transport.Call) (any, error) {
		q, t, err := s.n.queried(ctx, c)
		if err != nil {
			return nil, err
		}
		transport.Concurrent(ctx)
		select {
		case s.n.listing <- struct{}{}:
			defer func() { <-s.n.listing }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if err := ctx.Err(); err != nil {
			return nil, err // ended while it waited: nobody wants the list
		}
		return q.list(t, from(t, q.from()))
	}
}

// list collects what a query asks for. A page ends between two ids, never
// among the paths of one.
func (q query) list(t *fsm.Table, routes iter.Seq[*fsm.Route]) (any, error) {
	out := routeList{Routes: []Route{}, Index: t.Version()}
	last := ""
	for r := range routes {
		if q.past(r) {
			break
		}
		if !q.matches(r) {
			continue
		}
		id := r.ID()
		if q.Limit > 0 && len(out.Routes) >= q.Limit && id != last {
			out.More = true
			break
		}
		if len(out.Routes) == maxListed {
			return nil, failure(tooLarge, "more than %d routes match: narrow the query by name, protocol or site, or page with limit and after", maxListed)
		}
		out.Routes = append(out.Routes, view(r, t.IsBest(r)))
		last = id
	}
	return out, nil
}

// RouteMetrics is what this node knows of one path beside the path itself.
type RouteMetrics struct {
	ID         string `json:"id"`
	Site       string `json:"site"`
	Peer       string `json:"peer,omitempty"`
	Protocol   string `json:"protocol"`
	CreatedAt  int64  `json:"createdAt"`  // ms since the epoch
	ModifiedAt int64  `json:"modifiedAt"` // ms since the epoch
	AgeMS      int64  `json:"ageMs"`      // since it was created
	Paths      int    `json:"paths"`      // known to the same id
	Best       bool   `json:"best"`
	Stale      bool   `json:"stale"`
	Gateway    string `json:"gateway,omitempty"` // applied, pending or rejected, for GraphQL services
}

func (s *cliScope) listMetrics(ctx context.Context, c *transport.Call) (any, error) {
	q, t, err := s.n.queried(ctx, c)
	if err != nil {
		return nil, err
	}
	gateway := s.n.askGateway(ctx)
	now := time.Now().UnixMilli()
	metrics := []RouteMetrics{}
	for r := range t.AllFrom(q.from()) {
		if q.past(r) {
			break
		}
		if !q.matches(r) {
			continue
		}
		if len(metrics) == maxListed {
			return nil, failure(tooLarge, "more than %d routes match: narrow the query by name, protocol or site", maxListed)
		}
		id := r.ID()
		metrics = append(metrics, RouteMetrics{
			ID: id, Site: r.Site, Peer: r.Peer, Protocol: string(r.Service.Protocol),
			CreatedAt: r.CreatedAt, ModifiedAt: r.ModifiedAt, AgeMS: max(0, now-r.CreatedAt),
			Paths: len(t.Paths(id)), Best: t.IsBest(r), Stale: r.Stale, Gateway: gatewayStateOf(gateway, r),
		})
	}
	return map[string]any{"metrics": metrics, "index": t.Version()}, nil
}

// gatewayStateOf is how far a gateway is with a route, if it has a part in it.
func gatewayStateOf(status *pipeline.GatewayStatus, r *fsm.Route) string {
	if status == nil || !r.Service.Protocol.GraphQL() {
		return ""
	}
	return status.Of(r.ID())
}

// Member is the contract's Member.
type Member struct {
	ID      string `json:"id"`
	Role    string `json:"role"`
	State   string `json:"state"`
	RPC     string `json:"rpc"`
	Raft    string `json:"raft"`
	Gossip  string `json:"gossip"`
	Version string `json:"version"`
	Level   int    `json:"level,omitempty"` // the newest feature level that it knows
}

func (s *cliScope) listMembers(context.Context, *transport.Call) (any, error) {
	return map[string]any{"members": s.n.memberList()}, nil
}

func (n *Node) memberList() []Member {
	_, leader := n.raft.LeaderWithID()
	seen := n.members.All()
	out := []Member{}
	for _, s := range n.configuration() {
		g := seen[string(s.ID)]
		m := Member{
			ID: string(s.ID), Role: "voter", State: g.State, Raft: cmp.Or(g.Raft, string(s.Address)),
			RPC: g.RPC, Gossip: g.Gossip, Version: g.Version, Level: g.Level,
		}
		switch {
		case s.ID == leader:
			m.Role = "leader"
		case s.Suffrage != raft.Voter:
			m.Role = "nonvoter"
		}
		if m.State == "" {
			m.State = "failed" // never heard of since this node started
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Status is the contract's Status.
type Status struct {
	Node     string                  `json:"node"`
	Site     string                  `json:"site"`
	AS       uint32                  `json:"as"`
	Epoch    string                  `json:"epoch"`
	Version  string                  `json:"version"`
	Role     string                  `json:"role"`
	Leader   string                  `json:"leader,omitempty"`
	Term     uint64                  `json:"term"`
	Index    uint64                  `json:"index"`
	Voters   int                     `json:"voters"`
	Tolerate int                     `json:"tolerates"`
	Secured  bool                    `json:"secured"`
	Expires  int64                   `json:"certificateExpiresAt,omitempty"` // ms since the epoch
	Level    int                     `json:"level"`                          // of the features that are on
	ReadOnly string                  `json:"readOnly,omitempty"`             // why this node takes no changes
	Gateway  *pipeline.GatewayStatus `json:"gateway,omitempty"`
	Peers    struct {
		Established int `json:"established"`
		Configured  int `json:"configured"`
	} `json:"peers"`
	Routes struct {
		Local   int `json:"local"`
		Learned int `json:"learned"`
	} `json:"routes"`
}

func (s *cliScope) status(ctx context.Context, _ *transport.Call) (any, error) {
	n := s.n
	t := n.machine.Table()
	out := Status{
		Node: n.cfg.ID, Site: n.site(), AS: n.cfg.AS, Epoch: t.Epoch(), Version: n.cfg.Version,
		Role: "waiting", Term: n.raft.CurrentTerm(), Index: t.Version(),
	}
	for _, m := range n.memberList() {
		if m.ID == n.cfg.ID {
			out.Role = m.Role
		}
		if m.Role == "leader" {
			out.Leader = m.ID
		}
	}
	e := electorate{servers: n.configuration()}
	out.Voters = e.voters()
	if out.Voters > 0 {
		out.Tolerate = max(0, e.alive(n.isAlive)-quorum(out.Voters))
	}
	out.Secured, out.Level = n.secured(), t.Level()
	if out.Secured {
		out.Expires = n.keeper.Expires().UnixMilli()
	}
	if why := n.full.Load(); why != nil {
		out.ReadOnly = *why
	}
	out.Routes.Local, out.Routes.Learned = t.NumLocal(), t.NumLearned()
	out.Gateway = n.askGateway(ctx)
	for _, p := range n.peers(ctx, t).Peers {
		if p.Configured {
			out.Peers.Configured++
		}
		if p.State == peering.Established {
			out.Peers.Established++
		}
	}
	return out, nil
}
