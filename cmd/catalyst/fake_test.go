package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
	"github.com/catalyst/orchestrator/trust"
)

// fakeSite is a site that keeps services and peers in maps. Its nodes share
// those, as real ones do, and each can be told to misbehave.
type fakeSite struct {
	mu       sync.Mutex
	routes   map[string]map[string]any
	peers    map[string]map[string]any // definitions
	index    uint64
	outcomes map[string]map[string]any // by requestId
	applied  []string                  // what changed something: create books:http
	actions  int                       // that arrived
	gateway  string                    // state in answers; none leaves it out
	said     map[string]any            // more of what the gateway says in answers
	older    bool                      // than progress and than saying that nothing has changed
	watchers []*transport.Stub
	changed  chan struct{} // closed and replaced when a watcher came or went

	about  map[string]any // more of what status says
	mixed  bool           // the members are of different levels, and one has a problem
	backup string         // what snapshot gives
	ill    bool           // diagnose finds something
	skew   time.Duration  // of the nodes' clocks

	indifferent bool // every action succeeds and none is kept
}

func newFakeSite() *fakeSite {
	return &fakeSite{
		routes: map[string]map[string]any{}, peers: map[string]map[string]any{},
		outcomes: map[string]map[string]any{}, changed: make(chan struct{}),
	}
}

// fakeNode is one way into the site.
type fakeNode struct {
	site   *fakeSite
	name   string
	server *httptest.Server
	open   sync.WaitGroup // sessions

	mu       sync.Mutex
	token    string
	shown    any      // as token, last
	rejects  []string // codes with which the next calls reject
	chaos    *rand.Rand
	stalls   bool // takes calls and answers none
	drops    int  // the call, counted from 1, whose answer gets lost with its session; 0 none
	sessions map[*transport.Session]context.CancelFunc
}

func (s *fakeSite) node(name string) *fakeNode {
	n := &fakeNode{site: s, name: name, sessions: map[*transport.Session]context.CancelFunc{}}
	n.server = httptest.NewServer(http.HandlerFunc(n.serve))
	return n
}

// secureNode speaks TLS with a certificate of the authority.
func (s *fakeSite) secureNode(name string, a trust.Authority) (*fakeNode, error) {
	key, request, err := trust.NewRequest(name)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	certificate, err := a.Issue(request, trust.Subject{Site: "paris", Role: trust.Node, Name: name}, []string{"127.0.0.1"}, now, time.Hour)
	if err != nil {
		return nil, err
	}
	k := &trust.Keeper{}
	if err := k.Set(&trust.Credentials{Key: key, Certificate: certificate, Authority: a.Certificate}); err != nil {
		return nil, err
	}
	n := &fakeNode{site: s, name: name, sessions: map[*transport.Session]context.CancelFunc{}}
	n.server = httptest.NewUnstartedServer(http.HandlerFunc(n.serve))
	n.server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are part of the tests
	n.server.Listener = tls.NewListener(n.server.Listener, k.ServerRPC())
	n.server.Start()
	return n, nil
}

func (n *fakeNode) address() string { return "ws" + strings.TrimPrefix(n.server.URL, "http") + "/rpc" }

func (n *fakeNode) hostPort() string { return strings.TrimPrefix(n.server.URL, "http://") }

func (n *fakeNode) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/rpc" {
		http.NotFound(w, r)
		return
	}
	n.open.Add(1)
	defer n.open.Done()
	conn, err := ws.Accept(w, r, ws.Options{})
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	session := transport.NewSession(conn, transport.Config{Main: n.publicAPI(cancel)})
	n.mu.Lock()
	n.sessions[session] = cancel
	n.mu.Unlock()
	_ = session.Run(ctx)
	n.mu.Lock()
	delete(n.sessions, session)
	n.mu.Unlock()
}

// stop takes the node away, with its sessions.
func (n *fakeNode) stop() {
	n.mu.Lock()
	for _, cancel := range n.sessions {
		cancel()
	}
	n.mu.Unlock()
	n.server.Close()
	n.open.Wait()
}

func (n *fakeNode) publicAPI(drop context.CancelFunc) *transport.Target {
	scope := func(ctx context.Context, c *transport.Call) (any, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.shown = c.Arg(0)
		if n.token != "" && c.Arg(0) != n.token {
			return nil, rejection("unauthenticated", "this site wants a token: give it with --token (CATALYST_TOKEN)")
		}
		return n.cliScope(drop), nil
	}
	return transport.NewTarget(map[string]transport.Method{
		"connectionFromCli": scope, "version": canned(map[string]any{"version": "v1.2.3", "protocol": 1}),
	})
}

func rejection(code, message string) error {
	return &transport.Error{Message: message, Props: map[string]any{"code": code}}
}

func (n *fakeNode) cliScope(drop context.CancelFunc) *transport.Target {
	methods := map[string]transport.Method{
		"applyAction":     n.site.applyAction,
		"listLocalRoutes": n.site.listRoutes,
		"listRoutes":      n.site.listRoutes,
		"showRoute":       n.site.showRoute,
		"listPeers":       n.site.listPeers,
		"listMembers":     n.site.listMembers,
		"listMetrics": canned(map[string]any{"metrics": []any{
			map[string]any{"id": "books:http:graphql", "site": "paris", "ageMs": 7_200_000, "paths": 2, "best": true, "gateway": "applied"},
			map[string]any{"id": "ledger:tcp", "site": "rome", "peer": "rome", "ageMs": 90_000, "paths": 1, "best": true, "stale": true},
		}}),
		"status":      n.status,
		"watchRoutes": n.site.watchRoutes,
		"init":        n.init,
		"join":        n.join,
		"leave":       n.leave,
		"listTokens":  listTokens,
		"listKeys":    listKeys,
		"listAudit":   n.site.listAudit,
		"snapshot":    n.site.snapshot,
		"restore":     n.site.restore,
		"diagnose":    n.diagnose,
	}
	for name, m := range methods {
		methods[name] = n.unreliable(m, drop)
	}
	return transport.NewTarget(methods)
}

func canned(answer any) transport.Method {
	return func(context.Context, *transport.Call) (any, error) { return answer, nil }
}

// unreliable makes a method reject, or lose its answer, as the node was told.
func (n *fakeNode) unreliable(m transport.Method, drop context.CancelFunc) transport.Method {
	return func(ctx context.Context, c *transport.Call) (any, error) {
		n.mu.Lock()
		n.misbehave()
		if len(n.rejects) > 0 {
			code := n.rejects[0]
			n.rejects = n.rejects[1:]
			n.mu.Unlock()
			return nil, rejection(code, n.name+" says "+code)
		}
		n.drops--
		lose, stall := n.drops == 0, n.stalls
		n.mu.Unlock()
		if stall {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		answer, err := m(ctx, c)
		if lose {
			drop()
			<-ctx.Done()
		}
		return answer, err
	}
}

// misbehave arms, now and then, a rejection or the loss of an answer.
func (n *fakeNode) misbehave() {
	if n.chaos == nil {
		return
	}
	switch n.chaos.IntN(100) {
	case 0:
		n.rejects = []string{"no_leader"}
	case 1:
		n.rejects = []string{"leader_changed"}
	case 2:
		n.rejects = []string{"unknown_outcome"}
	case 3, 4:
		n.drops = 1
	}
}

var fakeMembers = []any{
	map[string]any{"id": "a", "role": "voter", "state": "alive", "rpc": "10.0.0.1:3000", "raft": "10.0.0.1:3001", "gossip": "10.0.0.1:3002", "version": "v1.2.3"},
	map[string]any{"id": "b", "role": "leader", "state": "alive", "rpc": "10.0.0.2:3000", "raft": "10.0.0.2:3001", "gossip": "10.0.0.2:3002", "version": "v1.2.3"},
	map[string]any{"id": "c", "role": "voter", "state": "failed", "rpc": "", "raft": "10.0.0.3:3001", "gossip": "", "version": ""},
}

func (s *fakeSite) listMembers(context.Context, *transport.Call) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var members []any
	for i, one := range fakeMembers {
		m := maps.Clone(one.(map[string]any))
		if s.mixed {
			m["level"] = 2 - i/2
		}
		if s.mixed && i == 2 {
			m["problem"] = "has lost its data:\ncatalyst member remove c"
		}
		members = append(members, m)
	}
	return map[string]any{"members": members}, nil
}

func (n *fakeNode) status(context.Context, *transport.Call) (any, error) {
	n.site.mu.Lock()
	defer n.site.mu.Unlock()
	answer := map[string]any{
		"node": n.name, "site": "paris", "as": 64512, "epoch": "e1", "version": "v1.2.3", "role": "voter", "leader": "b",
		"term": 7, "index": n.site.index, "voters": 3, "tolerates": 1,
		"peers":  map[string]any{"established": 1, "configured": 2},
		"routes": map[string]any{"local": 1234, "learned": 0},
	}
	switch n.site.gateway {
	case "":
	case "no leader":
		answer["leader"], answer["tolerates"] = transport.Undefined{}, 0
	case "waiting":
		answer["role"], answer["leader"], answer["voters"], answer["tolerates"] = "waiting", transport.Undefined{}, 0, 0
	default:
		quarantined := []any{}
		if n.site.gateway == "rejected" {
			quarantined = append(quarantined, map[string]any{"id": "dead:http:graphql", "error": "connect ECONNREFUSED\n  at 10.0.0.9"})
		}
		answer["gateway"] = map[string]any{
			"endpoint": "ws://gateway:4000/api", "state": n.site.gateway, "services": 4,
			"lastPush": time.Now().Add(-3 * time.Hour).UnixMilli(), "quarantined": quarantined,
		}
	}
	maps.Copy(answer, n.site.about)
	return answer, nil
}

func (s *fakeSite) applyAction(ctx context.Context, c *transport.Call) (any, error) {
	if s.indifferent {
		return map[string]any{"success": true, "index": 1}, nil
	}
	answer, err := s.settle(c)
	if err != nil || answer["success"] == false || s.older || c.Len() < 2 {
		return answer, err
	}
	transport.Concurrent(ctx)
	told, err := c.Stub(1)
	if err != nil {
		return nil, err
	}
	e := map[string]any{"step": "replicated", "index": answer["index"]}
	data, _ := answer["data"].(map[string]any)
	for _, key := range []string{"id", "unchanged"} {
		if v, ok := data[key]; ok {
			e[key] = v
		}
	}
	return answer, deliver(ctx, told, e)
}

// settle answers an action, and the same one again as before.
func (s *fakeSite) settle(c *transport.Call) (map[string]any, error) {
	var a struct {
		Resource  string         `json:"resource"`
		Action    string         `json:"action"`
		RequestID string         `json:"requestId"`
		Data      map[string]any `json:"data"`
	}
	if err := c.Decode(0, &a); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.actions++
	if a.RequestID == "" {
		return nil, rejection("internal", "this action has no requestId")
	}
	if first, ok := s.outcomes[a.RequestID]; ok {
		return first, nil
	}
	if len(a.RequestID) > 128 {
		return refusedAs("invalid", "requestId: too long"), nil
	}
	answer := s.decide(a.Resource, a.Action, a.Data)
	s.outcomes[a.RequestID] = answer
	return answer, nil
}

func refusedAs(code, message string) map[string]any {
	return map[string]any{"success": false, "code": code, "error": message}
}

// decide applies an action as the table would.
func (s *fakeSite) decide(resource, verb string, data map[string]any) map[string]any {
	switch resource {
	case "member":
		return s.decideMember(data)
	case "token":
		return s.decideToken(verb, data)
	case "keys":
		return s.decideKeys()
	case "peer":
		return s.decidePeer(verb, data)
	}
	if resource != "dataChannel" {
		return refusedAs("invalid", fmt.Sprintf("resource: %q is none", resource))
	}
	id, _ := data["id"].(string)
	if verb != "delete" {
		id = fmt.Sprint(data["name"], ":", data["protocol"])
	}
	old, exists := s.routes[id]
	switch {
	case !exists && (verb == "update" || verb == "delete"):
		return refusedAs("not_found", id+" is not registered")
	case exists && verb == "create" && old["endpoint"] != data["endpoint"]:
		return refusedAs("conflict", id+" is already registered with another definition")
	case strings.Contains(id, " "):
		return refusedAs("invalid", "data.name: has a space")
	}
	if !exists || verb != "create" {
		s.index++
		s.applied = append(s.applied, fmt.Sprint(verb, " ", id, " ", data["endpoint"]))
	}
	if verb == "delete" {
		delete(s.routes, id)
	} else {
		s.routes[id] = data
	}
	about := map[string]any{"id": id}
	if exists && verb == "create" && !s.older {
		about["unchanged"] = true
	}
	if s.gateway != "" {
		g := map[string]any{"state": s.gateway, "error": "cannot\nstitch"}
		maps.Copy(g, s.said)
		about["gateway"] = g
	}
	return map[string]any{"success": true, "index": s.index, "data": about}
}

// listRoutes lists three hours after everything was registered, and a page at
// a time when asked to.
func (s *fakeSite) listRoutes(_ context.Context, c *transport.Call) (any, error) {
	var q query
	if err := c.Decode(0, &q); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	routes, more := []any{}, false
	for _, id := range slices.Sorted(maps.Keys(s.routes)) {
		d := s.routes[id]
		if id <= q.After || (q.Name != "" && d["name"] != q.Name) || (q.Protocol != "" && d["protocol"] != q.Protocol) {
			continue
		}
		if more = len(routes) == min(q.Limit, 2); more {
			break
		}
		routes = append(routes, fakeRoute(id, d))
	}
	answer := map[string]any{"routes": routes, "index": s.index}
	if more {
		answer["more"] = true
	}
	return answer, nil
}

func fakeRoute(id string, d map[string]any) map[string]any {
	then := time.Now().Add(-3*time.Hour - time.Minute).UnixMilli()
	r := map[string]any{
		"id": id, "service": d, "site": "paris", "source": "local", "path": []string{"paris"}, "best": true, "stale": false,
		"createdAt": then, "modifiedAt": then, "createdIndex": 1, "modifiedIndex": 2,
	}
	if strings.HasPrefix(id, "far") {
		r["site"], r["source"], r["peer"], r["path"], r["stale"] = "oslo", "peer", "rome", []string{"rome", "oslo"}, true
	}
	return r
}

func (s *fakeSite) watchRoutes(ctx context.Context, c *transport.Call) (any, error) {
	callback, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	var o struct {
		FromIndex *uint64 `json:"fromIndex"`
	}
	if err := c.Decode(1, &o); err != nil {
		return nil, err
	}
	callback = callback.Dup()
	transport.Concurrent(ctx)
	if o.FromIndex == nil {
		if err := deliver(ctx, callback, map[string]any{"type": "snapshot", "index": 1, "routes": []any{}, "more": true}); err != nil {
			return nil, err
		}
		first := map[string]any{"name": "books", "endpoint": "http://books", "protocol": "http"}
		if err := deliver(ctx, callback, map[string]any{"type": "snapshot", "index": 1, "routes": []any{fakeRoute("books:http", first)}}); err != nil {
			return nil, err
		}
	} else if err := deliver(ctx, callback, map[string]any{"type": "put", "index": *o.FromIndex + 1, "id": "resumed:http",
		"route": fakeRoute("resumed:http", map[string]any{"name": "resumed", "endpoint": "http://resumed", "protocol": "http"})}); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = append(s.watchers, callback)
	s.signal()
	callback.OnBroken(func(error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watchers = slices.DeleteFunc(s.watchers, func(w *transport.Stub) bool { return w == callback })
		s.signal()
	})
	return transport.NewTarget(nil), nil
}

func (s *fakeSite) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// deliver passes an event to a watcher and waits until it has been printed.
func deliver(ctx context.Context, watcher *transport.Stub, event any) error {
	_, err := watcher.Call("", event).Await(ctx)
	return err
}

// awaitWatcher waits for the first watcher.
func (s *fakeSite) awaitWatcher(ctx context.Context) (*transport.Stub, error) {
	for {
		s.mu.Lock()
		changed, watchers := s.changed, s.watchers
		s.mu.Unlock()
		if len(watchers) > 0 {
			return watchers[0], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, errors.New("nobody watches")
		}
	}
}
