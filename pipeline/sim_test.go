package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// site is a table that commits at once: a Source and a Proposer.
type site struct {
	mu    sync.Mutex
	table *fsm.Table
	wake  chan struct{}
	last  fsm.Command
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{table: new(fsm.Table), wake: make(chan struct{})}
	if out, _, _ := s.Propose(t.Context(), fsm.Command{Op: fsm.Found{Site: "paris", AS: 64512, Epoch: "1"}}); out.Code != "" {
		t.Fatal(out.Message)
	}
	return s
}

func (s *site) Propose(_ context.Context, c fsm.Command) (fsm.Outcome, *fsm.Table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.At = time.Now().UnixMilli()
	s.last = c
	table, outcomes := s.table.Apply([]fsm.Command{c})
	s.table = table
	close(s.wake)
	s.wake = make(chan struct{})
	return outcomes[0], table, nil
}

func (s *site) Table() *fsm.Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table
}

func (s *site) Await(ctx context.Context, newerThan uint64) (*fsm.Table, error) {
	for {
		s.mu.Lock()
		table, wake := s.table, s.wake
		s.mu.Unlock()
		if table.Version() > newerThan {
			return table, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// simGateway behaves like the reference gateway: a list is taken as a whole,
// and one that is refused leaves in place what was there.
type simGateway struct {
	mu       sync.Mutex
	down     bool
	takes    time.Duration                      // each call
	hangs    func(list []GatewayService) bool   // gives no answer to such a list
	refuses  func(list []GatewayService) string // why, or empty
	holds    []GatewayService                   // what it serves
	pushes   [][]GatewayService                 // every list it was sent
	times    []time.Time                        // when
	conn     chan struct{}                      // the connection of the last accepted push
	calls    int                                // under way
	guarded  map[string]bool                    // URLs that must be served from now on
	accepted []int                              // the lengths of the lists it took
	breaches []string
	versions []uint64 // of the lists, as they were sent
	fence    string   // why it heeds another leader, or empty
	tells    bool
	of       map[string]ServiceReport // what it tells of services, by name; of others that they are served
	said     *Told
	changed  chan struct{}
}

func newSimGateway() *simGateway {
	return &simGateway{conn: make(chan struct{}), refuses: func([]GatewayService) string { return "" }}
}

// says has it tell what it makes of its services, by name. Others that it holds
// are served.
func (g *simGateway) says(of map[string]ServiceReport) {
	g.set(func() {
		g.tells, g.of = true, of
		g.tell()
	})
}

func (g *simGateway) tell() {
	all := map[string]ServiceReport{}
	for _, s := range g.holds {
		all[s.Name] = ServiceReport{State: ReportServing}
		if of, ok := g.of[s.Name]; ok {
			all[s.Name] = of
		}
	}
	if g.changed != nil {
		defer close(g.changed)
	}
	g.changed = make(chan struct{})
	g.said = &Told{all, g.changed}
}

func (g *simGateway) Told() *Told {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.said
}

var errRefused = errors.New("dial: connection refused")

func (g *simGateway) UpdateConfig(ctx context.Context, version uint64, list []GatewayService) error {
	g.mu.Lock()
	g.calls++
	if g.calls > 1 {
		g.breaches = append(g.breaches, "two calls at once")
	}
	g.pushes, g.times = append(g.pushes, list), append(g.times, time.Now())
	g.versions = append(g.versions, version)
	down, takes, hangs := g.down, g.takes, g.hangs != nil && g.hangs(list)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.calls--
	}()
	switch {
	case down:
		return fmt.Errorf("open ws://gateway: %w", errRefused)
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		return errRefused
	}
	if g.fence != "" {
		return &Fenced{g.fence}
	}
	if why := g.refuses(list); why != "" {
		return &Rejected{Message: why}
	}
	g.holds = list
	g.accepted = append(g.accepted, len(list))
	if g.tells {
		g.tell()
	}
	g.checkGuarded()
	return nil
}

func (g *simGateway) checkGuarded() {
	served := map[string]bool{}
	for _, s := range g.holds {
		served[s.URL] = true
	}
	for u := range g.guarded {
		if !served[u] {
			g.breaches = append(g.breaches, u+" is not served")
		}
	}
}

func (g *simGateway) Broken() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.conn
}

// restart makes it forget its list.
func (g *simGateway) restart() {
	g.set(func() { g.holds = nil; close(g.conn); g.conn = make(chan struct{}) })
}

func (g *simGateway) stop() {
	g.set(func() { g.down = true; g.holds = nil; close(g.conn); g.conn = make(chan struct{}) })
}

func (g *simGateway) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// guard makes it an error that any of what is served now ever is not.
func (g *simGateway) guard(except ...string) {
	g.set(func() {
		g.guarded = map[string]bool{}
		for _, s := range g.holds {
			if !slices.Contains(except, s.Name) {
				g.guarded[s.URL] = true
			}
		}
	})
}

func (g *simGateway) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.pushes)
}

func (g *simGateway) names() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []string
	for _, s := range g.holds {
		names = append(names, s.Name)
	}
	return names
}

// refusing is a gateway that cannot take these services, and says why.
func refusing(say func(name string) string, bad ...string) func([]GatewayService) string {
	return func(list []GatewayService) string {
		for _, s := range list {
			if slices.Contains(bad, s.Name) {
				return say(s.Name)
			}
		}
		return ""
	}
}

func saysURL(name string) string {
	return "Service validation failed for " + endpoint(name) + ": fetch failed"
}
func saysName(name string) string { return "service '" + name + "': no schema" }
func saysNothing(string) string   { return "fetch failed" }

func endpoint(name string) string { return "http://" + name + ":8080/graphql" }

// world is a site, its gateway and the pipeline between them, in a bubble.
type world struct {
	*testing.T
	site    *site
	gateway *simGateway
	plugin  *GatewayIntegrationPlugin
	pipe    Pipeline
	end     func()
}

func inBubble(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, site: newSite(t), gateway: newSimGateway(), end: func() {}}
		w.plugin = NewGatewayIntegrationPlugin(GatewayConfig{Endpoint: "ws://gateway/api"})
		w.plugin.jitter = func() float64 { return 0.5 }
		w.pipe = Pipeline{AuthPlugin{}, LocalRoutingPlugin{}, DirectProxyRouteTablePlugin{}, w.plugin, InternalBGPPlugin{}}
		story(w)
		w.end()
		synctest.Wait()
		for _, b := range w.gateway.breaches {
			t.Error(b)
		}
	})
}

// lead begins a term.
func (w *world) lead() {
	w.end()
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- w.plugin.Run(ctx, w.site, w.gateway) }()
	w.end = func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run: %v", err)
		}
		w.end = func() {}
	}
	synctest.Wait()
}

func (w *world) apply(action string, data map[string]any) Result {
	w.Helper()
	a, refusal := DecodeAction(map[string]any{"resource": "dataChannel", "action": action, "data": data})
	if refusal != nil {
		w.Fatal(refusal.Error)
	}
	r, err := w.pipe.Apply(w.Context(), &Context{Action: a, Identity: Identity{Name: "ann", Role: Operator}, Proposer: w.site})
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func channel(name, url string) map[string]any {
	return map[string]any{"name": name, "endpoint": url, "protocol": "http:graphql"}
}

// add registers a service and returns the gateway's part of the answer.
func (w *world) add(name string) GatewayData {
	w.Helper()
	return w.data(w.apply("create", channel(name, endpoint(name))))
}

func (w *world) remove(name string) GatewayData {
	w.Helper()
	return w.data(w.apply("delete", map[string]any{"id": name + ":http:graphql"}))
}

func (w *world) data(r Result) GatewayData {
	w.Helper()
	d, ok := r.Data.(RouteData)
	if !r.Success || !ok || d.Gateway == nil {
		w.Fatalf("the action ended as %+v", r)
	}
	return *d.Gateway
}

// commit puts services into the table without any waiting.
func (w *world) commit(names ...string) {
	w.Helper()
	for _, name := range names {
		out, _, _ := w.site.Propose(w.Context(), fsm.Command{Op: fsm.Put{Service: fsm.Service{Name: name, Endpoint: endpoint(name), Protocol: fsm.HTTPGraphQL}}})
		if out.Code != "" {
			w.Fatal(out.Message)
		}
	}
}

func (w *world) serves(want ...string) {
	w.Helper()
	if got := w.gateway.names(); !slices.Equal(got, want) {
		w.Errorf("the gateway serves %v, want %v", got, want)
	}
}

func (w *world) status(state string, quarantined ...string) {
	w.Helper()
	s := w.plugin.Status()
	var got []string
	for _, q := range s.Quarantined {
		got = append(got, q.ID)
		if q.Error == "" {
			w.Errorf("%s is quarantined without a reason", q.ID)
		}
	}
	for i := range quarantined {
		quarantined[i] += ":http:graphql"
	}
	if s.State != state || !slices.Equal(got, quarantined) {
		w.Errorf("the status is %s with %v quarantined, want %s with %v", s.State, got, state, quarantined)
	}
}

// later lets time pass.
func (w *world) later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func numbered(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("s%04d", i)
	}
	return names
}
