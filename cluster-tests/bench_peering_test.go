package clustertests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The figures of peering between sites of real processes with their logs on the disk: `make bench-peering`. What counts
// is the ratios, which are in the log lines; each benchmark fails unless what it measured really happened.

// BenchmarkPeeringFullTable: a new site of three nodes learns 100,000 routes.
func BenchmarkPeeringFullTable(b *testing.B) {
	const count, rounds = 100_000, 3
	rome := startBenchSite(b, "rome", 1)
	rome.nodes[0].do(b, 1000, registrations("svc", count, 0)...)
	var configured, sessions, before, after, most []float64
	for round := range rounds {
		l := learnFullTable(b, rome.nodes[0], fmt.Sprintf("paris%d", round+1), count)
		configured, sessions = append(configured, l.fromConfigured.Seconds()), append(sessions, l.fromEstablished.Seconds())
		before, after, most = append(before, l.before...), append(after, l.after...), append(most, l.most...)
	}
	c, e := quantile(configured, 0.5), quantile(sessions, 0.5)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(c, "s-configured")
	b.ReportMetric(e, "s-established")
	b.ReportMetric(count/e, "routes/s")
	b.ReportMetric(quantile(after, 1), "MB-resident")
	b.ReportMetric(quantile(most, 1), "MB-peak")
	b.Logf("%d routes at all three nodes after peer add: %.2f s, the median of %.2f (asked: < 4 s, this is %.0f%% of it)", count, c, configured, 25*c)
	b.Logf("of this from established on: %.2f s, the median of %.2f; %.0f routes/s", e, sessions, count/e)
	b.Logf("resident memory of a node in MB, worst of %d: %.0f before, %.0f after, %.0f at most (asked: < 200, this is %.0f%% of it)",
		len(after), quantile(before, 1), quantile(after, 1), quantile(most, 1), quantile(most, 1)/2)
}

type fullTable struct {
	fromConfigured, fromEstablished time.Duration
	before, after, most             []float64 // resident MB, for each node
}

func learnFullTable(b *testing.B, rome *benchNode, name string, count int) (l fullTable) {
	b.Helper()
	paris := startBenchSite(b, name, 3)
	defer paris.kill(b)
	leader, _ := paris.leader(b)
	for _, n := range paris.nodes {
		now, _ := n.resident(b)
		l.before = append(l.before, now)
	}
	var wg sync.WaitGroup
	var session time.Time
	var sessionErr error
	began := time.Now()
	wg.Go(func() {
		_, session, sessionErr = leader.peer("rome", func(p benchPeer) error {
			if p.State != "established" {
				return fmt.Errorf("%+v", p)
			}
			return nil
		})
	})
	leader.do(b, 1, peering("create", "rome", rome.ws()))
	for _, n := range paris.nodes { // one after the other: asking costs them time, and the last one counts
		n.learns(b, count)
	}
	l.fromConfigured = time.Since(began)
	wg.Wait()
	if sessionErr != nil {
		b.Fatal(sessionErr)
	}
	l.fromEstablished = l.fromConfigured - session.Sub(began)
	time.Sleep(2 * time.Second) // the comparison of digests belongs to it
	leader.insistPeer(b, "rome", established(count, 0))
	rome.insistPeer(b, name, established(0, count))
	for _, n := range paris.nodes {
		n.holds(b, "rome", registrations("svc", count, 0)[count/3])
		now, most := n.resident(b)
		l.after, l.most = append(l.after, now), append(l.most, most)
	}
	return l
}

// holds asserts that the node has learned a registration, and nothing is registered there.
func (n *benchNode) holds(b *testing.B, site string, a action) {
	b.Helper()
	want := a.Data.(dataChannel)
	list, err := benchAsk[struct {
		Routes []struct {
			Service dataChannel `json:"service"`
			Path    []string    `json:"path"`
		} `json:"routes"`
	}](n, "listRoutes", query{Consistency: "stale", Name: want.Name})
	if err != nil || len(list.Routes) != 1 || list.Routes[0].Service.Endpoint != want.Endpoint || !slices.Equal(list.Routes[0].Path, []string{site}) {
		b.Fatalf("%s has %s as %+v, %v", n.id, want.Name, list, err)
	}
	if local := n.status(b).Routes.Local; local != 0 {
		b.Fatalf("%s has %d local routes, want 0", n.id, local)
	}
}

// BenchmarkPeeringLatency: from the call of a registration at one site's leader to its answer, and to the event at all
// three nodes of the other site. That site dialled the leader, or a follower, which carries the session on. The first
// figure has no second site: it is how long the site's own nodes take.
func BenchmarkPeeringLatency(b *testing.B) {
	rome, paris := startBenchSite(b, "rome", 3), startBenchSite(b, "paris", 3)
	writer, romans := rome.leader(b)
	at, parisians := paris.leader(b)
	b.Run("alone", func(b *testing.B) {
		measureLatency(b, "alone", writer, writer, romans)
	})
	verb := "create"
	for _, way := range []struct {
		name string
		to   *benchNode
	}{{"leader", writer}, {"follower", romans[0]}} {
		b.Run("dialled="+way.name, func(b *testing.B) {
			at.do(b, 1, peering(verb, "rome", way.to.ws()))
			verb = "update"
			routes := writer.status(b).Routes.Local
			at.insistPeer(b, "rome", func(p benchPeer) error {
				if p.Endpoint != way.to.ws() {
					return fmt.Errorf("%+v, want it dialled at %s", p, way.to.ws())
				}
				return established(routes, 0)(p)
			})
			for _, n := range parisians {
				n.learns(b, routes)
			}
			measureLatency(b, way.name, writer, at, parisians)
			at.insistPeer(b, "rome", established(writer.status(b).Routes.Local, 0))
		})
	}
}

func measureLatency(b *testing.B, prefix string, writer, leader *benchNode, followers []*benchNode) {
	b.Helper()
	const warmup, count = 20, 300
	watches := []<-chan benchEvent{leader.watch(b)}
	for _, n := range followers {
		watches = append(watches, n.watch(b))
	}
	var durable, first, all []time.Duration
	for i, a := range registrations(prefix, warmup+count, 0) {
		began := time.Now()
		writer.do(b, 1, a)
		answered := time.Since(began)
		atLeader, atAll := seen(b, watches, a, began)
		if i >= warmup {
			durable, first, all = append(durable, answered), append(first, atLeader), append(all, atAll)
		}
	}
	d, f, v := quantile(durable, 0.5), quantile(first, 0.5), quantile(all, 0.5)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(inMS(d), "ms-durable-p50")
	b.ReportMetric(inMS(quantile(durable, 0.99)), "ms-durable-p99")
	b.ReportMetric(inMS(v), "ms-visible-p50")
	b.ReportMetric(inMS(quantile(all, 0.99)), "ms-visible-p99")
	b.ReportMetric(float64(v)/float64(d), "visible/durable")
	b.Logf("p50/p99 in ms: answered %.2f/%.2f; visible at %s, the leader, %.2f/%.2f, at all nodes of the site %.2f/%.2f",
		inMS(d), inMS(quantile(durable, 0.99)), leader.id, inMS(f), inMS(quantile(first, 0.99)), inMS(v), inMS(quantile(all, 0.99)))
	b.Logf("medians: visible at all is %.2f times answered (asked of another site: < 4); at the leader alone it is %.2f times", float64(v)/float64(d), float64(f)/float64(d))
}

// seen waits until all watches have told of a registration, and of nothing else, and says how long the first of them
// and the last one took.
func seen(b *testing.B, watches []<-chan benchEvent, a action, began time.Time) (first, last time.Duration) {
	b.Helper()
	for i, events := range watches {
		e := next(b, events)
		if want := a.Data.(dataChannel).Name + ":http"; e.Type != "put" || e.ID != want {
			b.Fatalf("watch %d tells of %s %s, want put %s", i, e.Type, e.ID, want)
		}
		last = max(last, e.at.Sub(began))
		if i == 0 {
			first = last
		}
	}
	return first, last
}

// BenchmarkPeeringFailover: the leader of a site that exports 50,000 routes is killed. Either site may be the one that
// dials; proxies in front of the dialled one count the bytes.
func BenchmarkPeeringFailover(b *testing.B) {
	const count = 50_000
	rome, paris := startBenchSite(b, "rome", 3), startBenchSite(b, "paris", 3)
	leader, _ := rome.leader(b)
	leader.do(b, 1000, registrations("svc", count, 0)...)
	b.Run("dialled-by=other", func(b *testing.B) {
		startFailover(b, rome, paris, paris, rome, count).run(b)
	})
	b.Run("dialled-by=failing", func(b *testing.B) {
		startFailover(b, rome, paris, rome, paris, count).run(b)
	})
}

// failover is rome, whose leaders are killed, and paris, which has learned its routes, peered through proxies.
type failover struct {
	rome, paris *benchSite
	keeper      *benchNode // paris's leader
	events      <-chan benchEvent
	proxies     []*benchProxy
	count       int
	dump        int64 // bytes of the whole table
	changes     int   // rounds of changes so far
}

func startFailover(b *testing.B, rome, paris, dials, dialled *benchSite, count int) *failover {
	b.Helper()
	for _, n := range paris.nodes {
		n.learns(b, 0) // it has withdrawn what it knew from an earlier session
	}
	f := &failover{rome: rome, paris: paris, count: count}
	var through []string
	for _, n := range dialled.nodes {
		p := startProxy(b, n.at.RPC)
		f.proxies, through = append(f.proxies, p), append(through, p.url())
	}
	dialler, _ := dials.leader(b)
	dialler.do(b, 1, peering("create", dialled.name, through...))
	b.Cleanup(func() {
		dialler, _ := dials.leader(b)
		dialler.do(b, 1, peering("delete", dialled.name))
	})
	for _, n := range paris.nodes {
		n.learns(b, count)
	}
	f.dump = f.bytes()
	leader, followers := paris.leader(b)
	f.keeper, f.events = leader, followers[0].watch(b)
	f.stands(b)
	return f
}

func (f *failover) bytes() (sum int64) {
	for _, p := range f.proxies {
		sum += p.bytes.Load()
	}
	return sum
}

// stands waits until a session has stood for so long that its end is answered at once: one that ends early is taken for
// a failed try, and there is a pause before the next.
func (f *failover) stands(b *testing.B) benchPeer {
	b.Helper()
	const steady = 6 * time.Second
	for {
		p := f.keeper.insistPeer(b, f.rome.name, established(f.count, 0))
		left := time.Until(time.UnixMilli(p.Since).Add(steady))
		if left <= 0 {
			return p
		}
		time.Sleep(left)
	}
}

// recovery is what one kill came to. Times are from the election on, bytes from the kill on.
type recovery struct {
	election, session, fresh time.Duration // election from the kill on
	resume, settled          int64         // bytes until all is fresh, and until the next kill
}

func (f *failover) run(b *testing.B) {
	b.Helper()
	const rounds, changed = 5, 100
	quiet, busy := f.rounds(b, rounds, 0), f.rounds(b, 3, changed)
	election, lateElection := spread(quiet, func(r recovery) time.Duration { return r.election })
	session, lateSession := spread(quiet, func(r recovery) time.Duration { return r.session })
	fresh, lateFresh := spread(quiet, func(r recovery) time.Duration { return r.fresh })
	resume, mostResume := spread(quiet, func(r recovery) int64 { return r.resume })
	settled, mostSettled := spread(quiet, func(r recovery) int64 { return r.settled })
	told, mostTold := spread(busy, func(r recovery) int64 { return r.resume })
	afterChanges, lateAfterChanges := spread(busy, func(r recovery) time.Duration { return r.session })
	each := float64(told-resume) / changed
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(inMS(session), "ms-session-p50")
	b.ReportMetric(inMS(lateSession), "ms-session-max")
	b.ReportMetric(float64(resume), "B-resume")
	b.ReportMetric(each, "B/changed")
	b.Logf("median/max of %d: elected %.0f/%.0f ms after the kill; established %.0f/%.0f ms after that (asked: < 1000), and all fresh %.0f/%.0f ms",
		rounds, inMS(election), inMS(lateElection), inMS(session), inMS(lateSession), inMS(fresh), inMS(lateFresh))
	b.Logf("bytes when nothing changed: %d/%d until all is fresh (asked: < 65536), %d/%d until the next kill; the first dump took %d, which is %.0f times that",
		resume, mostResume, settled, mostSettled, f.dump, float64(f.dump)/float64(resume))
	b.Logf("bytes when %d of %d routes changed: %d/%d, more by %.0f a route; in the dump a route took %d; established %.0f/%.0f ms after they could",
		changed, f.count, told, mostTold, each, f.dump/int64(f.count), inMS(afterChanges), inMS(lateAfterChanges))
}

// spread is the median and the most of a figure.
func spread[T int64 | time.Duration](all []recovery, of func(recovery) T) (median, most T) {
	var figures []T
	for _, r := range all {
		figures = append(figures, of(r))
	}
	return quantile(figures, 0.5), quantile(figures, 1)
}

func (f *failover) rounds(b *testing.B, count, changed int) (all []recovery) {
	b.Helper()
	for void := 0; len(all) < count; {
		r, ok := f.round(b, changed)
		if ok {
			all = append(all, r)
			continue
		}
		b.Logf("a round does not count: there was another election in it; is the machine busy?")
		if void++; void > 2 {
			b.Fatal("too many rounds do not count")
		}
	}
	return all
}

// round kills rome's leader and brings it back. It is false when more than one leader was elected, and nothing measured.
func (f *failover) round(b *testing.B, changed int) (r recovery, ok bool) {
	b.Helper()
	f.keeper, _ = f.paris.leader(b)
	before, elections := f.stands(b), f.keeper.status(b).Term
	victim, survivors := f.rome.leader(b)
	for _, p := range f.proxies {
		p.bytes.Store(0)
	}
	r, session, leader := f.kill(b, victim, survivors, before, changed)
	f.told(b, changed)
	r.resume = f.bytes()

	victim.start(b, victim.at)
	victim.connect(b)
	f.rome.complete(b)
	now := f.stands(b)
	r.settled = f.bytes()
	f.told(b, 0)
	if f.keeper.status(b).Term != elections || leader.status(b).Term != session.Term {
		return r, false
	}
	if now.Since != session.Since || now.Term != session.Term || now.Resumes != before.Resumes+1 {
		b.Fatalf("the peer was %+v, then %+v, and in the end is %+v: want one session, which resumed", before, session, now)
	}
	return r, true
}

// kill waits until the next leader has a session, and until that has resumed. With changes nothing passes the proxies
// until the next leader has registered them, and the times are from then on.
func (f *failover) kill(b *testing.B, victim *benchNode, survivors []*benchNode, before benchPeer, changed int) (r recovery, session benchPeer, leader *benchNode) {
	b.Helper()
	var wg sync.WaitGroup
	var came, fresh time.Time
	var cameErr, freshErr error
	if changed > 0 {
		f.hold()
	}
	killed := time.Now()
	victim.kill(b)
	wg.Go(func() {
		_, came, cameErr = f.keeper.peer(f.rome.name, func(p benchPeer) error {
			if p.State != "established" || p.Term <= before.Term {
				return fmt.Errorf("%+v, want a session of a term after %d", p, before.Term)
			}
			return nil
		})
		session, fresh, freshErr = f.keeper.peer(f.rome.name, func(p benchPeer) error {
			if p.Resumes == before.Resumes || p.Resumes == 0 {
				return fmt.Errorf("%+v, want %d resumes", p, before.Resumes+1)
			}
			return established(f.count, 0)(p)
		})
	})
	elected, err := soon(func() (err error) {
		leader, err = elects(survivors, victim.id)
		return err
	})
	r.election = elected.Sub(killed)
	if changed > 0 && err == nil {
		f.changes++
		leader.do(b, changed, registrations("svc", changed, f.changes)...)
		elected = time.Now()
		f.open()
	}
	wg.Wait()
	if err := errors.Join(err, cameErr, freshErr); err != nil {
		b.Fatal(err)
	}
	r.session, r.fresh = max(0, came.Sub(elected)), max(0, fresh.Sub(elected))
	return r, session, leader
}

func (f *failover) hold() {
	for _, p := range f.proxies {
		p.hold()
	}
}

func (f *failover) open() {
	for _, p := range f.proxies {
		p.open()
	}
}

// elects is the node that survivors have elected. Its members are what a node can tell without its leader.
func elects(survivors []*benchNode, dead string) (*benchNode, error) {
	for _, n := range survivors {
		list, err := benchAsk[struct {
			Members []struct {
				ID   string `json:"id"`
				Role string `json:"role"`
			} `json:"members"`
		}](n, "listMembers")
		if err != nil {
			return nil, err
		}
		for _, m := range list.Members {
			if m.Role == "leader" && m.ID != dead {
				i := slices.IndexFunc(survivors, func(n *benchNode) bool { return n.id == m.ID })
				return survivors[i], nil
			}
		}
	}
	return nil, errors.New("no survivor has been elected")
}

// told asserts that the watch has told of so many services, each once, and of nothing else: nothing was withdrawn, and
// nothing even looked as if it had been.
func (f *failover) told(b *testing.B, count int) {
	b.Helper()
	ids := map[string]bool{}
	for range count {
		e := next(b, f.events)
		if e.Type != "put" || ids[e.ID] {
			b.Fatalf("the watch tells of %s %s after %d of %d changes", e.Type, e.ID, len(ids), count)
		}
		ids[e.ID] = true
	}
	select {
	case e := <-f.events:
		b.Fatalf("the watch tells of %s %s after all %d changes", e.Type, e.ID, count)
	default:
	}
}

// benchProxy passes TCP connections on to one address and counts the bytes, both ways.
type benchProxy struct {
	listener net.Listener
	to       string
	bytes    atomic.Int64
	wg       sync.WaitGroup

	mu   sync.Mutex
	gate chan struct{} // closed while connections may pass
}

func startProxy(b *testing.B, to string) *benchProxy {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	p := &benchProxy{listener: listener, to: to, gate: make(chan struct{})}
	p.open()
	ctx, cancel := context.WithCancel(context.Background())
	p.wg.Go(func() { p.accept(ctx) })
	b.Cleanup(func() {
		cancel()
		listener.Close()
		p.wg.Wait()
	})
	return p
}

func (p *benchProxy) url() string { return "ws://" + p.listener.Addr().String() + "/rpc" }

// hold keeps new connections waiting until open.
func (p *benchProxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

func (p *benchProxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.gate)
}

func (p *benchProxy) accept(ctx context.Context) {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		gate := p.gate
		p.mu.Unlock()
		p.wg.Go(func() {
			defer c.Close()
			select {
			case <-gate:
				p.pass(ctx, c)
			case <-ctx.Done():
			}
		})
	}
}

// pass closes both connections with the first way that ends: a WebSocket has no use for half of one.
func (p *benchProxy) pass(ctx context.Context, near net.Conn) {
	far, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	end := func() {
		near.Close()
		far.Close()
	}
	defer context.AfterFunc(ctx, end)()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		wg.Go(func() {
			defer end()
			_, _ = io.Copy(way[0], io.TeeReader(way[1], counter{&p.bytes}))
		})
	}
	wg.Wait()
}

type counter struct{ sum *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.sum.Add(int64(len(p)))
	return len(p), nil
}

// BenchmarkPeeringMesh: 20 sites of one node, each pair of them peered.
func BenchmarkPeeringMesh(b *testing.B) {
	const count, perBurst = 20, 200
	var sites []*benchSite
	for i := range count {
		sites = append(sites, startBenchSite(b, fmt.Sprintf("site%02d", i+1), 1))
	}
	alone := restOf(b, sites, 5*time.Second)
	own := changes(b, sites[:1], "alone", perBurst, 1, alone.cpu/count)
	ownBurst := changes(b, sites[:1], "alone-burst", perBurst, perBurst, alone.cpu/count)
	meshed := time.Now()
	mesh(b, sites, 2*perBurst)
	took := time.Since(meshed)
	together := restOf(b, sites, 10*time.Second)

	idle := together.cpu
	each := changes(b, sites, "each", perBurst, 1, idle)
	burst := changes(b, sites, "burst", perBurst, perBurst, idle)
	meshHolds(b, sites, 4*perBurst)

	kb := (together.resident - alone.resident) * 1000 / (count - 1)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(each.cpu*1000, "cpu-ms/change")
	b.ReportMetric(burst.cpu*1000, "cpu-ms/change-burst")
	b.ReportMetric(burst.took.Seconds(), "s-burst")
	b.ReportMetric(kb, "kB/session")
	b.ReportMetric(100*idle, "%cpu-idle")
	b.Logf("%d sites, %d sessions, established %.1f s after the first was configured", count, count*(count-1)/2, took.Seconds())
	for _, c := range []struct {
		what        string
		alone, mesh change
	}{{"one after the other", own, each}, {"all at once", ownBurst, burst}} {
		b.Logf("%d changes at one site, %s: at all %d others after %.2f s; CPU of all processes %.2f ms a change; %.2f ms without peers, each site that is told costs %.2f times that",
			perBurst, c.what, count-1, c.mesh.took.Seconds(), 1000*c.mesh.cpu, 1000*c.alone.cpu, (c.mesh.cpu/c.alone.cpu-1)/(count-1))
	}
	b.Logf("resident memory of a process: %.1f MB without sessions, %.1f MB with %d: %.0f kB for a session's end, with %.1f goroutines",
		alone.resident, together.resident, count-1, kb, (together.goroutines-alone.goroutines)/(count-1))
	b.Logf("CPU of the idle mesh: %.1f%% of one core, %.1f%% without sessions: %.2f%% for a session",
		100*idle, 100*alone.cpu, 100*(idle-alone.cpu)/(count*(count-1)/2))
}

// rest is what sites take that have nothing to do.
type rest struct {
	cpu                  float64 // cores, of all processes
	resident, goroutines float64 // resident in MB; of one process
}

func restOf(b *testing.B, sites []*benchSite, during time.Duration) (r rest) {
	b.Helper()
	time.Sleep(2 * time.Second) // what was begun comes to its end
	began, used := time.Now(), cpu(b, sites)
	time.Sleep(during)
	r.cpu = (cpu(b, sites) - used).Seconds() / time.Since(began).Seconds()
	for _, s := range sites {
		resident, _ := s.nodes[0].resident(b)
		goroutines, err := s.nodes[0].metric("go_goroutines")
		if err != nil {
			b.Fatal(err)
		}
		r.resident += resident / float64(len(sites))
		r.goroutines += goroutines / float64(len(sites))
	}
	return r
}

// mesh configures each pair at one side, and waits until both sides of each have their session.
func mesh(b *testing.B, sites []*benchSite, routes int) {
	b.Helper()
	for i, s := range sites {
		for _, other := range sites[i+1:] {
			s.nodes[0].do(b, 1, peering("create", other.name, other.nodes[0].ws()))
		}
	}
	meshHolds(b, sites, routes)
}

// meshHolds waits until every site has its sessions, and in each has told or learned of what the first has.
func meshHolds(b *testing.B, sites []*benchSite, routes int) {
	b.Helper()
	for i, s := range sites {
		for j, other := range sites {
			in, out := 0, 0
			if i == 0 {
				out = routes
			} else if j == 0 {
				in = routes
			}
			if i != j {
				s.nodes[0].insistPeer(b, other.name, established(in, out))
			}
		}
		peers, err := s.nodes[0].peers()
		if err != nil || len(peers) != len(sites)-1 {
			b.Fatalf("%s has %d peers (%v), want %d", s.name, len(peers), err, len(sites)-1)
		}
	}
}

// change is what one of many changes cost.
type change struct {
	took time.Duration // of all of them, at all sites
	cpu  float64       // seconds, without what the idle mesh takes
}

// changes registers services at the first site, so many at a time, and waits until all others have them. They wait for
// an index, which asks nothing of them meanwhile.
func changes(b *testing.B, sites []*benchSite, prefix string, count, inFlight int, idle float64) (c change) {
	b.Helper()
	indexes := make([]uint64, len(sites))
	want := count
	for i, s := range sites[1:] {
		st := s.nodes[0].status(b)
		indexes[i+1], want = st.Index, st.Routes.Learned+count
	}
	used, began := cpu(b, sites), time.Now()
	sites[0].nodes[0].do(b, inFlight, registrations(prefix, count, 0)...)
	var wg sync.WaitGroup
	for i, s := range sites[1:] {
		wg.Go(func() {
			_, err := benchAsk[any](s.nodes[0], "listRoutes", query{Consistency: "stale", Name: "none", MinIndex: indexes[i+1] + uint64(count)})
			if err != nil {
				b.Errorf("%s: %v", s.name, err)
			}
		})
	}
	wg.Wait()
	c.took = time.Since(began)
	time.Sleep(time.Second) // the answers
	spent := cpu(b, sites) - used
	c.cpu = (spent.Seconds() - idle*time.Since(began).Seconds()) / float64(count)
	for _, s := range sites[1:] {
		if st := s.nodes[0].status(b); st.Routes.Learned != want {
			b.Fatalf("%s has learned %d routes, want %d", s.name, st.Routes.Learned, want)
		}
	}
	return c
}
