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
