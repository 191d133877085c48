package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

const simGatewayURL = "ws://gateway/api"

// simGateway is a GraphQL gateway as the nodes of a simulation see it: one that
// heeds fences and tells how its services stand, or a foreign one.
type simGateway struct {
	foreign bool
	deaf    bool // it tells with its answers, and cannot be watched

	mu       sync.Mutex
	wg       sync.WaitGroup
	fence    fence
	fences   []fence    // of accepted lists
	fenced   []fence    // of lists that were refused because of that
	methods  []string   // every call, in order
	services []reported // in the last accepted list
	says     []reported // of some, instead of that they are served
	revision int        //
	watchers []*transport.Stub
	hold     func(fence) chan struct{} // makes a list wait; nil holds none
}

// reported is a ServiceStatus of Catalyst's own gateway, as far as a node
// reads it.
type reported struct {
	Name     string   `json:"name"`
	URL      string   `json:"url"`
	State    string   `json:"state"`
	Error    string   `json:"error,omitempty"`
	Queries  []string `json:"queries"`
	Warnings []string `json:"warnings"`
}

// with has a node use the gateway.
func (g *simGateway) with(c *Config) {
	c.GatewayEndpoint = simGatewayURL
	dial := c.Dial
	c.Dial = func(ctx context.Context, url string, t *tls.Config) (transport.Conn, error) {
		if url != simGatewayURL {
			return dial(ctx, url, t)
		}
		near, far := transport.Pipe()
		g.wg.Go(func() { _ = transport.NewSession(far, transport.Config{Main: g.main()}).Run(context.Background()) })
		return near, nil
	}
}

func (g *simGateway) main() *transport.Target {
	methods := map[string]transport.Method{"updateConfig": g.updateConfig}
	if !g.foreign && !g.deaf {
		methods["watchStatus"] = g.watchStatus
	}
	return transport.NewTarget(methods)
}

func (f fence) compare(o fence) int {
	return cmp.Or(cmp.Compare(f.Epoch, o.Epoch), cmp.Compare(f.Term, o.Term), cmp.Compare(f.Index, o.Index))
}

func (g *simGateway) updateConfig(ctx context.Context, c *transport.Call) (any, error) {
	var in struct {
		Services []reported `json:"services"`
		Fence    fence      `json:"fence"`
	}
	if err := c.Decode(0, &in); err != nil {
		return nil, err
	}
	g.mu.Lock()
	hold := g.hold
	g.mu.Unlock()
	if hold != nil {
		if wait := hold(in.Fence); wait != nil {
			<-wait
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.methods = append(g.methods, "updateConfig")
	if g.foreign {
		g.services = in.Services
		return map[string]any{"success": true}, nil
	}
	if in.Fence.compare(g.fence) < 0 {
		g.fenced = append(g.fenced, in.Fence)
		return map[string]any{"success": false, "error": "a newer list was accepted", "code": "fenced"}, nil
	}
	g.fence, g.services = in.Fence, in.Services
	g.fences = append(g.fences, in.Fence)
	g.revision++
	status := g.status()
	status["success"] = true
	return status, nil
}

func (g *simGateway) status() map[string]any {
	services := slices.Clone(g.services)
	for i := range services {
		s := &services[i]
		s.State, s.Queries, s.Warnings = "serving", []string{"all_" + s.Name}, []string{}
		for _, says := range g.says {
			if says.Name == s.Name {
				*s = says
			}
		}
	}
	return map[string]any{"services": services, "revision": g.revision}
}

func (g *simGateway) watchStatus(_ context.Context, c *transport.Call) (any, error) {
	callback, err := c.Stub(0)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.methods = append(g.methods, "watchStatus")
	g.watchers = append(g.watchers, callback.Dup())
	return g.status(), nil
}

// say has it tell something else of some services, to all who watch.
func (g *simGateway) say(of ...reported) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.says = of
	g.revision++
	for _, w := range g.watchers {
		w.Call("", g.status()).Release()
	}
}

func (g *simGateway) calls() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.Join(g.methods, " ")
}

// end waits for its sessions, which end with the nodes.
func (g *simGateway) end() {
	g.wg.Wait()
	for _, w := range g.watchers {
		w.Release()
	}
}

// inSite tells a story of three nodes and a gateway.
func inSite(t *testing.T, g *simGateway, story func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 90, "n1", "n2", "n3")
		w.site(g.with)
		defer g.end()
		defer w.shutdown()
		story(w)
	})
}

func (w *world) anyFollower() string {
	leader := w.leader().cfg.ID
	for _, n := range w.running() {
		if n.cfg.ID != leader {
			return n.cfg.ID
		}
	}
	w.t.Fatal("no follower runs")
	return ""
}

func (w *world) client(id string) *session {
	w.t.Helper()
	c, err := w.connect(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

type graphQLAnswer struct {
	actionResult
	Data struct {
		ID      string               `json:"id"`
		Gateway pipeline.GatewayData `json:"gateway"`
	} `json:"data"`
}

func createGraphQL(name, requestID string) map[string]any {
	return map[string]any{"resource": "dataChannel", "action": "create", "requestId": requestID,
		"data": map[string]any{"name": name, "endpoint": "http://" + name + ".test/graphql", "protocol": "http:graphql"}}
}

func (w *world) addGraphQL(id, name string) graphQLAnswer {
	w.t.Helper()
	r, err := ask[graphQLAnswer](w, id, "", "applyAction", createGraphQL(name, ""))
	if err != nil || !r.Success {
		w.t.Fatalf("register %s at %s: %+v, %v", name, id, r, err)
	}
	return r
}

func (w *world) gatewayAt(id string) pipeline.GatewayStatus {
	w.t.Helper()
	st, err := ask[Status](w, id, "", "status")
	if err != nil || st.Gateway == nil {
		w.t.Fatalf("status at %s: %+v, %v", id, st, err)
	}
	return *st.Gateway
}

func TestWhatTheGatewaySaysIsSeenAtEveryNode(t *testing.T) {
	g := &simGateway{}
	inSite(t, g, func(w *world) {
		at := w.anyFollower()
		if got := w.addGraphQL(at, "books").Data.Gateway; !reflect.DeepEqual(got, pipeline.GatewayData{State: "applied", Queries: []string{"all_books"}}) {
			t.Errorf("the answer says %+v", got)
		}
		g.mu.Lock()
		g.says = []reported{{Name: "late", State: "down", Error: "service late cannot be reached"}}
		g.mu.Unlock()
		if got := w.addGraphQL(at, "late").Data.Gateway; got.State != "pending" || got.Error != "service late cannot be reached" {
			t.Errorf("the answer says %+v", got)
		}
		states := func() string {
			m, err := ask[struct {
				Metrics []RouteMetrics `json:"metrics"`
			}](w, at, "", "listMetrics")
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, r := range m.Metrics {
				all = append(all, r.ID+" "+r.Gateway)
			}
			return strings.Join(all, ", ")
		}
		for _, n := range w.running() {
			got := w.gatewayAt(n.cfg.ID)
			if got.State != "applied" || len(got.Waiting) != 1 || got.Waiting[0] != (pipeline.Waiting{ID: "late:http:graphql", Error: "service late cannot be reached"}) {
				t.Errorf("status at %s: %+v", n.cfg.ID, got)
			}
		}
		if got, want := states(), "books:http:graphql applied, late:http:graphql pending"; got != want {
			t.Errorf("routes: %s, want %s", got, want)
		}
		g.say(reported{Name: "books", State: "serving", Warnings: []string{"type Book is books_Book"}})
		synctest.Wait()
		for _, n := range w.running() {
			got := w.gatewayAt(n.cfg.ID)
			if len(got.Waiting) != 0 || len(got.Warnings) != 1 || got.Warnings[0] != (pipeline.Warning{ID: "books:http:graphql", Warning: "type Book is books_Book"}) {
				t.Errorf("status at %s: %+v", n.cfg.ID, got)
			}
		}
		if got, want := states(), "books:http:graphql applied, late:http:graphql applied"; got != want {
			t.Errorf("routes: %s, want %s", got, want)
		}
	})
}

func TestForeignGatewayIsAskedNothingMore(t *testing.T) {
	for name, g := range map[string]*simGateway{"foreign": {foreign: true}, "cannot be watched": {deaf: true}} {
		t.Run(name, func(t *testing.T) {
			inSite(t, g, func(w *world) {
				got := w.addGraphQL(w.anyFollower(), "books").Data.Gateway
				if got.State != "applied" || len(got.Queries) > 0 != g.deaf {
					t.Errorf("the answer says %+v", got)
				}
				time.Sleep(time.Minute)
				if calls := g.calls(); strings.Contains(calls, "watch") {
					t.Errorf("it was called: %s", calls)
				}
				if s := w.gatewayAt("n1"); s.State != "applied" || s.Waiting == nil || s.Warnings == nil {
					t.Errorf("status: %+v", s)
				}
			})
		})
	}
}

func TestReportThatWasOvertakenIsNotHeeded(t *testing.T) {
	g := &gatewaySession{}
	said := func(revision int, state string) any {
		return map[string]any{"revision": float64(revision), "services": []any{map[string]any{"name": "a", "state": state}}}
	}
	for _, step := range []struct {
		said  any
		first bool
		state string
	}{
		{said(5, "pending"), true, "pending"}, {said(4, "down"), false, "pending"}, {said(6, "serving"), false, "serving"}, {said(6, "down"), false, "serving"},
	} {
		before := g.Told()
		first, err := g.hear(nil, step.said)
		if err != nil || first != step.first || g.Told().Services["a"].State != step.state {
			t.Errorf("after %v: %+v, first %t, %v", step.said, g.Told(), first, err)
		}
		if before == nil || before == g.Told() {
			continue
		}
		select {
		case <-before.Changed:
		default:
			t.Errorf("after %v nobody was told", step.said)
		}
	}
	for _, nonsense := range []any{nil, "x", map[string]any{"services": 3.0}, map[string]any{"services": []any{1.0}}} {
		if _, err := g.hear(nil, nonsense); err == nil {
			t.Errorf("%v was taken", nonsense)
		}
	}
	if _, err := g.hear(new(transport.Session), said(9, "down")); !errors.Is(err, errOtherSession) {
		t.Errorf("over another session: %v", err)
	}
}

// What a deposed leader sent late is refused, and that is held against nobody.
func TestADeposedLeadersLateListIsRefused(t *testing.T) {
	g := &simGateway{}
	inSite(t, g, func(w *world) {
		w.addGraphQL("n1", "books")
		old := w.leader()
		term := old.raft.CurrentTerm()
		late := make(chan struct{})
		g.mu.Lock()
		g.hold = func(f fence) chan struct{} {
			if f.Term == term {
				return late
			}
			return nil
		}
		g.mu.Unlock()
		id := old.cfg.ID
		answered := make(chan graphQLAnswer, 1)
		go func() {
			r, _ := ask[graphQLAnswer](w, id, "", "applyAction", createGraphQL("authors", "r"))
			answered <- r
		}()
		w.eventually("the old leader has sent its list", func() bool { return w.leader().machine.Table().NumLocal() == 2 })
		time.Sleep(100 * time.Millisecond)
		w.alter(func() { w.inner[id] = true }) // the gateway still reaches it
		w.eventually("another leads and has told the gateway", func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.fence.Term > term
		})
		close(late)
		<-answered
		w.eventually("the late list is refused", func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return len(g.fenced) > 0 && g.fenced[0].Term == term
		})
		w.alter(func() { delete(w.inner, id) })
		w.addGraphQL(w.leader().cfg.ID, "reviews")
		for _, n := range w.running() {
			if s := w.gatewayAt(n.cfg.ID); s.State != "applied" || s.Services != 3 || len(s.Quarantined) > 0 {
				t.Errorf("status at %s: %+v", n.cfg.ID, s)
			}
		}
	})
}

// The order of fences is that of the leaders, also over a restored backup.
func TestFencesOnlyGrow(t *testing.T) {
	g := &simGateway{}
	inSite(t, g, func(w *world) {
		w.addGraphQL("n1", "books")
		w.addGraphQL("n2", "authors")
		backup := w.backup("n1", "")
		w.addGraphQL("n3", "reviews")
		w.crash(w.leader().cfg.ID)
		at := w.leader().cfg.ID
		w.addGraphQL(at, "films")
		if r, err := w.restore(at, "", backup); err != nil || !r.Success {
			t.Fatalf("restore: %+v, %v", r, err)
		}
		w.addGraphQL(at, "songs")
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.fenced) > 0 || len(g.services) != 3 {
			t.Errorf("refused: %v; the gateway has %v", g.fenced, g.services)
		}
		epochs, terms := map[string]bool{}, map[uint64]bool{}
		for i, f := range g.fences {
			epochs[f.Epoch], terms[f.Term] = true, true
			if i > 0 && f.compare(g.fences[i-1]) < 0 {
				t.Errorf("%+v after %+v", f, g.fences[i-1])
			}
		}
		if len(epochs) != 2 || len(terms) != 2 {
			t.Errorf("%d epochs and %d terms, want two of each: a failover and a restore", len(epochs), len(terms))
		}
	})
}

// heardSteps is what a client hears of its action before the answer.
type heardSteps struct {
	mu    sync.Mutex
	steps []string
	fails error
}

func (h *heardSteps) callback() *transport.Target {
	return transport.NewFunc(transport.Proc1(func(_ context.Context, s map[string]any) error {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.steps = append(h.steps, fmt.Sprintf("%v %v %v", s["step"], s["id"], s["index"]))
		return h.fails
	}))
}

func (h *heardSteps) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.steps, ", ")
}

func TestClientHearsOfTheCommitBeforeTheGateway(t *testing.T) {
	g := &simGateway{}
	release := make(chan struct{})
	inSite(t, g, func(w *world) {
		for at, id := range map[string]string{"leader": w.leader().cfg.ID, "follower": w.anyFollower()} {
			release = make(chan struct{})
			g.mu.Lock()
			g.hold = func(fence) chan struct{} { return release }
			g.mu.Unlock()
			var h heardSteps
			answered := make(chan graphQLAnswer)
			go func() {
				r, err := ask[graphQLAnswer](w, id, "", "applyAction", createGraphQL("via-"+at, ""), h.callback())
				if err != nil {
					t.Error(err)
				}
				answered <- r
			}()
			w.eventually("the client hears of it", func() bool { return h.all() != "" })
			select {
			case r := <-answered:
				t.Errorf("at the %s the answer came before the gateway's: %+v", at, r)
			default:
			}
			close(release)
			r := <-answered
			if want := fmt.Sprintf("replicated via-%s:http:graphql %d", at, r.Index); h.all() != want || r.Data.Gateway.State != "applied" {
				t.Errorf("at the %s it heard %q, want %q, and then %+v", at, h.all(), want, r)
			}
		}
	})
}

func TestCallbackOfAnActionChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 91, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		for _, id := range []string{w.leader().cfg.ID, w.anyFollower()} {
			refused, failing := heardSteps{}, heardSteps{fails: errors.New("no")}
			if r, err := ask[actionResult](w, id, "", "applyAction", create("", ""), refused.callback()); err != nil || r.Success || refused.all() != "" {
				t.Errorf("a refusal at %s: %+v, %v, heard %q", id, r, err, refused.all())
			}
			r, err := ask[actionResult](w, id, "", "applyAction", create("x-"+id, "r-"+id), failing.callback())
			if err != nil || !r.Success || failing.all() == "" {
				t.Errorf("a failing callback at %s: %+v, %v, heard %q", id, r, err, failing.all())
			}
			slow := transport.NewFunc(func(context.Context, *transport.Call) (any, error) { time.Sleep(10 * time.Second); return nil, nil })
			began, c := time.Now(), w.client(id)
			r, err = transport.Await[actionResult](t.Context(), c.scope.Call("applyAction", create("y-"+id, ""), slow))
			if err != nil || !r.Success || time.Since(began) > time.Second {
				t.Errorf("a slow callback at %s: %+v, %v after %s", id, r, err, time.Since(began))
			}
			c.close()
			for _, none := range []any{nil, transport.Undefined{}} {
				if r, err := ask[actionResult](w, id, "", "applyAction", create("z-"+id, ""), none); err != nil || !r.Success {
					t.Errorf("no callback at %s: %+v, %v", id, r, err)
				}
			}
			if _, err := ask[actionResult](w, id, "", "applyAction", create("never-"+id, ""), "a word"); err == nil || !strings.Contains(err.Error(), "argument 2: want a stub or function") {
				t.Errorf("a word as callback at %s: %v", id, err)
			}
		}
		w.checkEqual()
	})
}

// An action that goes to one leader after the other is told of once.
func TestStepIsHeardOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h heardSteps
		near, far := transport.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		client := transport.NewSession(near, transport.Config{Main: h.callback()})
		server := transport.NewSession(far, transport.Config{})
		for _, s := range []*transport.Session{client, server} {
			go func() { _ = s.Run(ctx) }()
		}
		l := &listener{callback: server.Main()}
		for index := range 3 {
			l.committed()(pipeline.Result{Index: uint64(index + 7), Data: pipeline.RouteData{ID: "a:tcp"}})
		}
		synctest.Wait()
		if h.all() != "replicated a:tcp 7" {
			t.Errorf("it heard %q", h.all())
		}
	})
}

// simEmbedded is a gateway in a node's process.
type simEmbedded struct {
	mu   sync.Mutex
	has  []GatewayService
	says map[string]ServiceReport
	err  error
}

func (e *simEmbedded) Update(_ context.Context, list []GatewayService) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.has = list
	return e.err
}

func (e *simEmbedded) Reports() map[string]ServiceReport {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.says
}

func TestNodeShowsTheGatewayInItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 92, "n1", "n2", "n3")
		w.site(nil)
		defer w.shutdown()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		gateways := map[string]*simEmbedded{}
		for _, n := range w.running() {
			e := &simEmbedded{says: map[string]ServiceReport{"books": {State: "down", Error: "as seen from " + n.cfg.ID}}}
			gateways[n.cfg.ID] = e
			wg.Go(func() { n.FollowServices(ctx, "http://"+n.cfg.ID+"/graphql", e) })
		}
		began := time.Now()
		r := w.addGraphQL(w.anyFollower(), "books")
		if r.Data.Gateway.State != "" || time.Since(began) > time.Second {
			t.Errorf("the answer waits for gateways: %+v after %s", r, time.Since(began))
		}
		time.Sleep(time.Second)
		for id, e := range gateways {
			s := w.gatewayAt(id)
			if s.Endpoint != "http://"+id+"/graphql" || s.State != "applied" || s.Services != 1 || s.LastPush == 0 ||
				!reflect.DeepEqual(s.Waiting, []pipeline.Waiting{{ID: "books:http:graphql", Error: "as seen from " + id}}) {
				t.Errorf("status at %s: %+v", id, s)
			}
			if len(e.has) != 1 || e.has[0].URL != "http://books.test/graphql" {
				t.Errorf("the gateway of %s has %v", id, e.has)
			}
			e.mu.Lock()
			e.says, e.err = map[string]ServiceReport{"books": {State: "serving"}}, errors.New("it is full")
			e.mu.Unlock()
			if s := w.gatewayAt(id); len(s.Waiting) != 0 || s.State != "applied" {
				t.Errorf("status at %s once it is served: %+v", id, s)
			}
		}
		w.addGraphQL("n1", "authors")
		time.Sleep(time.Second)
		if s := w.gatewayAt("n1"); s.State != "pending" || !strings.Contains(s.Error, "it is full") {
			t.Errorf("status of a gateway that does not take the list: %+v", s)
		}
	})
}
