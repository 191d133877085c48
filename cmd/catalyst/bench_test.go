package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// The product's figures, through three real processes with fsync on, from one
// client over one WebSocket. `make bench` prints them; ratios count, not
// times. CATALYST_BENCH_ROUTES loads the table first, for the same at scale.

type benchSite struct {
	b         *testing.B
	addresses []string // RPC, the first leads
	pids      []int
}

func newBenchSite(b *testing.B) *benchSite {
	b.Helper()
	dir := b.TempDir()
	binary := filepath.Join(dir, "catalyst")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	s := &benchSite{b: b}
	join := ""
	for i := range 3 {
		data := filepath.Join(dir, fmt.Sprint("n", i))
		args := []string{"node", "--id", fmt.Sprint("n", i), "--data-dir", data, "--gateway-endpoint=",
			"--rpc-addr", "127.0.0.1:0", "--raft-addr", "127.0.0.1:0", "--gossip-addr", "127.0.0.1:0"}
		if i == 0 {
			args = append(args, "--bootstrap")
		} else {
			args = append(args, "--join", join)
		}
		cmd := exec.Command(binary, args...)
		var log bytes.Buffer
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if b.Failed() {
				b.Log(log.String())
			}
		})
		s.pids = append(s.pids, cmd.Process.Pid)
		a := s.addressesOf(data)
		s.addresses = append(s.addresses, a.RPC)
		if i == 0 {
			join = a.Gossip
		}
	}
	s.await("three voters", func() bool {
		var status struct {
			Voters int `json:"voters"`
		}
		c, err := s.dial(0)
		if err != nil {
			return false
		}
		defer c.close()
		status, err = transport.Await[struct {
			Voters int `json:"voters"`
		}](context.Background(), c.scope.Call("status"))
		return err == nil && status.Voters == 3
	})
	return s
}

type addresses struct {
	RPC    string `json:"rpc"`
	Gossip string `json:"gossip"`
}

func (s *benchSite) addressesOf(data string) (a addresses) {
	s.b.Helper()
	s.await("addresses.json", func() bool {
		text, err := os.ReadFile(filepath.Join(data, "addresses.json"))
		return err == nil && json.Unmarshal(text, &a) == nil
	})
	return a
}

func (s *benchSite) await(what string, holds func() bool) {
	s.b.Helper()
	for range 600 {
		if holds() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.b.Fatalf("not within 30 s: %s", what)
}

type benchClient struct {
	session *transport.Session
	scope   *transport.Promise
	done    chan struct{}
	cancel  context.CancelFunc
}

func (s *benchSite) dial(node int) (*benchClient, error) {
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := ws.Dial(ctx, "ws://"+s.addresses[node]+"/rpc", ws.Options{MessageBytes: 64 << 20})
	if err != nil {
		cancel()
		return nil, err
	}
	session := transport.NewSession(conn, transport.Config{Limits: transport.Limits{MessageBytes: 64 << 20}})
	c := &benchClient{session: session, done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(c.done)
		_ = session.Run(ctx)
	}()
	c.scope = session.Main().Call("connectionFromCli")
	return c, nil
}

func (c *benchClient) close() {
	c.cancel()
	<-c.done
}

func service(name string) map[string]any {
	return map[string]any{
		"resource": "dataChannel", "action": "create",
		"data": map[string]any{"name": name, "endpoint": "http://" + name + ".example.test:8080/graphql", "protocol": "http", "region": "eu-1"},
	}
}

// register makes n registrations with so many in flight and returns how long each took.
func (c *benchClient) register(b *testing.B, prefix string, n, inFlight int) []time.Duration {
	b.Helper()
	took := make([]time.Duration, n)
	slots := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		start := time.Now()
		p := c.scope.Call("applyAction", service(fmt.Sprintf("%s-%d", prefix, i))).Pull()
		wg.Go(func() {
			r, err := transport.Await[struct {
				Success bool   `json:"success"`
				Error   string `json:"error"`
			}](context.Background(), p)
			took[i] = time.Since(start)
			<-slots
			if err != nil || !r.Success {
				b.Errorf("register: %+v, %v", r, err)
			}
		})
	}
	wg.Wait()
	return took
}

func figures(b *testing.B, took []time.Duration, elapsed time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(len(took))/elapsed.Seconds(), "ops/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkRegister(b *testing.B) {
	s := newBenchSite(b)
	for _, at := range []string{"leader", "follower"} {
		node := 0
		if at == "follower" {
			node = 1
		}
		c, err := s.dial(node)
		if err != nil {
			b.Fatal(err)
		}
		defer c.close()
		for _, inFlight := range []int{1, 64, 256, 1000} {
			b.Run(fmt.Sprintf("%s/inflight=%d", at, inFlight), func(b *testing.B) {
				n := min(60_000, 1500*inFlight)
				start := time.Now()
				took := c.register(b, fmt.Sprintf("%s-%d-%d", at, inFlight, start.UnixNano()), n, inFlight)
				figures(b, took, time.Since(start))
			})
		}
	}
}

// BenchmarkScale loads the table (CATALYST_BENCH_ROUTES, 100,000 unless told)
// and measures what should not feel its size.
func BenchmarkScale(b *testing.B) {
	size := 100_000
	if text := os.Getenv("CATALYST_BENCH_ROUTES"); text != "" {
		if _, err := fmt.Sscan(text, &size); err != nil {
			b.Fatalf("CATALYST_BENCH_ROUTES: %v", err)
		}
	}
	s := newBenchSite(b)
	c, err := s.dial(0)
	if err != nil {
		b.Fatal(err)
	}
	defer c.close()
	for _, routes := range []int{1000, size} {
		at := fmt.Sprintf("routes=%d/", routes)
		c.load(b, routes)
		for _, inFlight := range []int{1, 256, 1000} {
			b.Run(fmt.Sprintf("%sregister/inflight=%d", at, inFlight), func(b *testing.B) {
				start := time.Now()
				took := c.register(b, fmt.Sprint("r", start.UnixNano()), min(40_000, 1000*inFlight), inFlight)
				figures(b, took, time.Since(start))
			})
		}
		for _, consistency := range []string{"stale", "linearizable"} {
			b.Run(at+"read/"+consistency, func(b *testing.B) { s.reads(b, consistency) })
		}
		b.Run(at+"watch", func(b *testing.B) { s.watches(b, c) })
		b.Run(at+"memory", func(b *testing.B) {
			for i, pid := range s.pids {
				b.ReportMetric(float64(rss(b, pid))/(1<<20), fmt.Sprintf("n%d-MiB", i))
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (c *benchClient) load(b *testing.B, routes int) {
	status, err := transport.Await[struct {
		Routes struct {
			Local int `json:"local"`
		} `json:"routes"`
	}](context.Background(), c.scope.Call("status"))
	if err != nil {
		b.Fatal(err)
	}
	if missing := routes - status.Routes.Local; missing > 0 {
		start := time.Now()
		c.register(b, fmt.Sprint("load", start.UnixNano()), missing, 1000)
		b.Logf("loaded %d routes at %.0f/s", missing, float64(missing)/time.Since(start).Seconds())
	}
}

// reads asks a follower for one route, one call at a time.
func (s *benchSite) reads(b *testing.B, consistency string) {
	c, err := s.dial(1)
	if err != nil {
		b.Fatal(err)
	}
	defer c.close()
	took := make([]time.Duration, 2000)
	began := time.Now()
	for i := range took {
		start := time.Now()
		list, err := transport.Await[struct {
			Index uint64 `json:"index"`
		}](context.Background(), c.scope.Call("listRoutes", map[string]any{"name": "nothing", "consistency": consistency}))
		if err != nil || list.Index == 0 {
			b.Fatalf("read: %+v, %v", list, err)
		}
		took[i] = time.Since(start)
	}
	figures(b, took, time.Since(began))
}

// watches measures from a registration's answer to its event at a follower;
// an event that comes first counts as 0.
func (s *benchSite) watches(b *testing.B, writer *benchClient) {
	c, err := s.dial(1)
	if err != nil {
		b.Fatal(err)
	}
	defer c.close()
	seen := make(chan time.Time, 1024)
	status, err := transport.Await[struct {
		Index uint64 `json:"index"`
	}](context.Background(), writer.scope.Call("status"))
	if err != nil {
		b.Fatal(err)
	}
	callback := transport.NewFunc(func(context.Context, *transport.Call) (any, error) {
		seen <- time.Now()
		return nil, nil
	})
	if _, err := c.scope.Call("watchRoutes", callback, map[string]any{"fromIndex": status.Index}).Await(context.Background()); err != nil {
		b.Fatal(err)
	}
	took := make([]time.Duration, 300)
	began := time.Now()
	for i := range took {
		writer.register(b, fmt.Sprint("w", time.Now().UnixNano()), 1, 1)
		answered := time.Now()
		took[i] = max(0, (<-seen).Sub(answered))
	}
	figures(b, took, time.Since(began))
}

func rss(b *testing.B, pid int) (bytes int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}
