package clustertests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// The figures of the gateway, as a real process, beside those of a gateway of npm's graphql-yoga and @graphql-tools/stitch:
// `make bench-gateway`. What counts is the ratios, which are taken within each round: what else the machine does then meets
// both sides.

const (
	benchConnections = 64
	benchRounds      = 5
	benchRound       = 2 * time.Second
	benchWarmUp      = 3 * time.Second // V8 takes that long to compile what is hot
)

const (
	oneBook  = `{"book":{"id":"1","title":"Structure and Interpretation of Computer Programs","author":{"name":"Abelson"}}}`
	oneFilm  = `{"film":{"id":"7","title":"Brazil","year":1985}}`
	bookFilm = `{"book":{"id":"1","title":"Structure and Interpretation of Computer Programs","author":{"name":"Abelson"}},"film":{"id":"7","title":"Brazil","year":1985}}`
	askBook  = `{"query":"query Book($id: ID!) { book(id: $id) { id title author { name } } }","variables":{"id":"1"}}`
	askBoth  = `{"query":"query Both($id: ID!) { book(id: $id) { id title author { name } } film { id title year } }","variables":{"id":"1"}}`
	booksSDL = `type Query { book(id: ID!): Book books: [Book!]! } type Book { id: ID! title: String! author: Author } type Author { name: String! books: [Book!]! }`
	filmsSDL = `type Query { film: Film films(first: Int): [Film!]! } type Film { id: ID! title: String! year: Int }`
)

func dataOf(data string) string { return `{"data":` + data + `}` }

func BenchmarkGateway(b *testing.B) {
	b.Setenv("NODE_ENV", "production") // graphql-js checks less then, and is faster
	var f findings
	queriesASecond(b, &f)
	fiftyServices(b, &f)
	b.ReportMetric(0, "ns/op") // it means nothing
	fmt.Println(f.String())
}

// findings are what is printed in the end.
type findings struct{ table, aims strings.Builder }

func (f *findings) String() string { return "\n" + f.table.String() + "\n" + f.aims.String() }

// aim notes a figure that should be at least, or at most, something.
func (f *findings) aim(what string, got float64, unit, bound string, limit float64) {
	verdict := "ok"
	if bound == "at least" && got < limit || bound == "at most" && got > limit {
		verdict = "MISSED"
	}
	fmt.Fprintf(&f.aims, "%-66s %8.2f %-2s  aim: %s %g %-2s  %s\n", what, got, unit, bound, limit, unit, verdict)
}

// candidate is something that answers a question.
type candidate struct {
	name string
	load queryLoad
	*process
	behind *process // that it asks, if not a stub
	rounds []measured
	usage
}

func (c *candidate) round(b *testing.B, d time.Duration) {
	b.Helper()
	before, ours, all, behind := c.use(b).cpu, thisProcess().use(b).cpu, machineCPU(b), c.behindCPU(b)
	m := c.load.run(b, benchConnections, d)
	c.usage = c.use(b)
	cpu, load, rest := c.usage.cpu-before, thisProcess().use(b).cpu-ours, machineCPU(b)-all-(c.behindCPU(b)-behind)
	m.others = (rest - cpu - load).Seconds() / m.took.Seconds()
	m.cpu, m.load = cpu/time.Duration(m.count), load/time.Duration(m.count)
	c.rounds = append(c.rounds, m)
}

func (c *candidate) behindCPU(b *testing.B) time.Duration {
	if c.behind == nil {
		return 0
	}
	return c.behind.use(b).cpu
}

// median of a figure of a candidate's rounds.
func (c *candidate) median(figure func(measured) float64) float64 {
	var all []float64
	for _, m := range c.rounds {
		all = append(all, figure(m))
	}
	return quantile(all, 0.5)
}

// over is the median of the ratios of a figure, round by round.
func (c *candidate) over(other *candidate, figure func(measured) float64) float64 {
	var all []float64
	for i, m := range c.rounds {
		all = append(all, figure(m)/figure(other.rounds[i]))
	}
	return quantile(all, 0.5)
}

func cpuOf(m measured) float64 { return float64(m.cpu) }

func p99(m measured) float64 { return inMS(m.at(0.99)) }

func queriesASecond(b *testing.B, f *findings) {
	books := startFast(b, "books", introspectionOf(b, booksSDL), dataOf(oneBook))
	films := startFast(b, "films", introspectionOf(b, filmsSDL), dataOf(oneFilm))
	yoga := startPeer(b, 0, "yoga.mjs")
	node := startGateway(b)
	own, front := startOwnGateway(b), startOwnGateway(b)
	dialGateway(b, node.api()).push(b, books.service(), films.service())
	dialGateway(b, own.api()).push(b, books.service(), films.service())
	dialGateway(b, front.api()).push(b, benchService{"yoga", yoga.graphql()})

	direct := &candidate{name: "stub service, asked directly", load: queryLoad{books.url(), askBook, dataOf(oneBook)}, process: thisProcess()}
	nodeOne := &candidate{name: "one service, node gateway", load: queryLoad{node.graphql(), askBook, dataOf(oneBook)}, process: node.process}
	ownOne := &candidate{name: "one service, catalyst gateway", load: queryLoad{own.graphql(), askBook, dataOf(oneBook)}, process: own.process}
	nodeTwo := &candidate{name: "two services, node gateway", load: queryLoad{node.graphql(), askBoth, dataOf(bookFilm)}, process: node.process}
	ownTwo := &candidate{name: "two services, catalyst gateway", load: queryLoad{own.graphql(), askBoth, dataOf(bookFilm)}, process: own.process}
	yogaDirect := &candidate{name: "yoga service, asked directly", load: queryLoad{yoga.graphql(), askBook, dataOf(oneBook)}, process: yoga.process}
	yogaOwn := &candidate{name: "yoga service, through catalyst", load: queryLoad{front.graphql(), askBook, dataOf(oneBook)}, process: front.process, behind: yoga.process}
	all := []*candidate{direct, nodeOne, ownOne, nodeTwo, ownTwo, yogaDirect, yogaOwn}
	for _, c := range all {
		c.load.run(b, benchConnections, benchWarmUp)
	}
	for range benchRounds {
		for _, c := range all {
			c.round(b, benchRound)
		}
	}
	fmt.Fprintf(&f.table, "%d connections, the median of %d rounds of %v; CPU is of the process that is asked, load CPU of the load and the stubs\n\n",
		benchConnections, benchRounds, benchRound)
	fmt.Fprintf(&f.table, "%-36s %8s %8s %8s %12s %13s %7s\n", "candidate", "q/s", "p50 ms", "p99 ms", "CPU µs/query", "load CPU µs", "RSS MB")
	for _, c := range all {
		fmt.Fprintf(&f.table, "%-36s %8.0f %8.2f %8.2f %12.0f %13.0f %7.0f\n", c.name, c.median(measured.perSecond),
			c.median(func(m measured) float64 { return inMS(m.at(0.5)) }), c.median(p99),
			c.median(func(m measured) float64 { return inMS(m.cpu) * 1000 }), c.median(func(m measured) float64 { return inMS(m.load) * 1000 }), c.resident)
	}
	var others []float64
	for _, c := range all[1:] {
		others = append(others, c.median(func(m measured) float64 { return m.others }))
	}
	fmt.Fprintf(&f.table, "\nother processes had %.1f of %d cores meanwhile; of the node gateway's CPU for a query catalyst's is 1/%.1f over one service, 1/%.1f over two\n",
		quantile(others, 0.5), runtime.NumCPU(), nodeOne.over(ownOne, cpuOf), nodeTwo.over(ownTwo, cpuOf))
	f.aim("one service: queries a second, over the node gateway's", ownOne.over(nodeOne, measured.perSecond), "x", "at least", 10)
	f.aim("two services: queries a second, over the node gateway's", ownTwo.over(nodeTwo, measured.perSecond), "x", "at least", 10)
	f.aim("one service: p99, over the node gateway's", ownOne.over(nodeOne, p99), "x", "at most", 0.25)
	f.aim("two services: p99, over the node gateway's", ownTwo.over(nodeTwo, p99), "x", "at most", 0.25)
	f.aim("yoga service: queries a second through catalyst, over directly", yogaOwn.over(yogaDirect, measured.perSecond), "x", "at least", 0.7)
}

// fiftyServices has each gateway told of 50 services at once, and of one more than 49.
func fiftyServices(b *testing.B, f *findings) {
	list := fiftyStubs(b)
	const rounds, cold = 20, 5
	var full, more, resident, most []float64
	for range cold {
		g := startOwnGateway(b)
		full = append(full, inMS(liveAfter(b, g.graphql(), g.api(), list[0], list)))
		r, m := g.memory(b)
		resident, most = append(resident, r), append(most, m)
		g.kill(b)
	}
	g := startOwnGateway(b)
	api := dialGateway(b, g.api())
	for range rounds {
		api.push(b, listOf(list[:49])...)
		more = append(more, inMS(liveAfter(b, g.graphql(), g.api(), list[49], list)))
	}
	load := queryLoad{g.graphql(), list[7].question, list[7].data}
	m := load.run(b, benchConnections, 2*benchRound)
	r, peak := g.memory(b)
	resident, most = append(resident, r), append(most, peak)

	node := startGateway(b)
	nodeFull := inMS(liveAfter(b, node.graphql(), node.api(), list[0], list))
	dialGateway(b, node.api()).push(b, listOf(list[:49])...)
	nodeMore := inMS(liveAfter(b, node.graphql(), node.api(), list[49], list))

	fmt.Fprintf(&f.table, "\n50 services, from the push to the first answer of a new field: catalyst, the median (most) of %d loads and %d of one more; node once\n", cold, rounds)
	fmt.Fprintf(&f.table, "%-36s %8.1f ms (%.1f), node gateway %.0f ms\n", "nothing to 50 services", quantile(full, 0.5), quantile(full, 1), nodeFull)
	fmt.Fprintf(&f.table, "%-36s %8.1f ms (%.1f), node gateway %.0f ms\n", "49 to 50 services", quantile(more, 0.5), quantile(more, 1), nodeMore)
	fmt.Fprintf(&f.table, "%-36s %8.1f MB after %d queries and %d changes; at most it ever was %.1f MB\n", "resident with 50 services", r, m.count, 2*rounds, quantile(most, 1))
	f.aim("49 to 50 services: live after", quantile(more, 0.5), "ms", "at most", 20)
	f.aim("50 services at once: live after", quantile(full, 0.5), "ms", "at most", 250)
	f.aim("resident with 50 services, most of all processes", quantile(resident, 1), "MB", "at most", 64)
}

// liveAfter pushes a list and returns how long it took until a service of it answered through the gateway.
func liveAfter(b *testing.B, graphql, address string, s *fastService, list []*fastService) time.Duration {
	b.Helper()
	api := dialGateway(b, address)
	q, err := queryLoad{graphql, s.question, s.data}.dial()
	if err != nil {
		b.Fatal(err)
	}
	defer q.conn.Close()
	if err := q.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		b.Fatal(err)
	}
	if err := q.ask(); err == nil {
		b.Fatalf("%s answers before it is told of", s.name)
	}
	began := time.Now()
	pushed := make(chan error, 1)
	go func() { pushed <- api.tell(listOf(list)...) }()
	for err := q.ask(); err != nil; err = q.ask() {
		if !errors.Is(err, errOtherAnswer) {
			b.Fatalf("%s is not live after %v: %v", s.name, time.Since(began), err)
		}
		time.Sleep(200 * time.Microsecond) // the gateway should have the processor
	}
	took := time.Since(began)
	if err := <-pushed; err != nil {
		b.Fatal(err)
	}
	return took
}

// startOwn starts a `catalyst gateway` that keeps its state.
func startOwnGateway(b *testing.B) *ownGateway {
	b.Helper()
	g := &ownGateway{state: filepath.Join(b.TempDir(), "gateway.json")}
	g.start(b)
	return g
}

func (g *ownGateway) api() string { return "ws://" + g.address + "/api" }

// memory is what a gateway has resident, and had at most, in MB.
func (g *ownGateway) memory(b *testing.B) (now, most float64) {
	b.Helper()
	n := benchNode{node: &node{process: g.process}}
	return n.resident(b)
}

func thisProcess() *process { return &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}} }

type benchService struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

func listOf(list []*fastService) (all []benchService) {
	for _, s := range list {
		all = append(all, s.service())
	}
	return all
}

// gatewayAPI is a session with a gateway's main object.
type gatewayAPI struct{ session *transport.Session }

func dialGateway(b *testing.B, address string) gatewayAPI {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := ws.Dial(ctx, address, ws.Options{})
	if err != nil {
		cancel()
		b.Fatal(err)
	}
	session := transport.NewSession(conn, transport.Config{})
	go func() { _ = session.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		<-session.Done()
	})
	return gatewayAPI{session}
}

// tell tells the gateway the whole list of services.
func (a gatewayAPI) tell(list ...benchService) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	verdict, err := transport.Invoke[struct {
		Success bool   `json:"success"`
		Error   string `json:"error"`
	}](ctx, a.session.Main(), "updateConfig", map[string]any{"services": list})
	if err == nil && !verdict.Success {
		err = errors.New(verdict.Error)
	}
	return err
}

func (a gatewayAPI) push(b *testing.B, list ...benchService) {
	b.Helper()
	if err := a.tell(list...); err != nil {
		b.Fatalf("push %d services: %v", len(list), err)
	}
}
