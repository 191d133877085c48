package clustertests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The process-level figures: what a user of the catalyst command sees. Each benchmark is one measured run; `make bench`
// prints it. The client's share of the two cores is in every figure.

// BenchmarkApplyFile: catalyst apply -f of 100,000 registrations at one of three real processes, fsync on.
func BenchmarkApplyFile(b *testing.B) {
	b.Run("leader", func(b *testing.B) { applyToThree(b, (*site).leader) })
	b.Run("follower", func(b *testing.B) { applyToThree(b, (*site).follower) })
}

func applyToThree(b *testing.B, at func(*site, testing.TB) *node) {
	const count = 100_000
	s := startSite(b, 3, "--gateway-endpoint=")
	n := at(s, b)
	var took time.Duration
	for round := range b.N {
		path := filepath.Join(b.TempDir(), "actions.jsonl")
		writeActions(b, path, count, round)
		began := time.Now()
		if got := cli(b, nil, "apply", "-f", path, "--address", n.ws()); got.status != 0 {
			b.Fatalf("apply: status %d: %.2000s", got.status, got.stderr)
		}
		took += time.Since(began)
	}
	eventually(b, "the node shows them all", func() error {
		if st, err := s.status(n); err != nil || st.Routes.Local != count*b.N {
			return fmt.Errorf("%d of %d routes (%v)", st.Routes.Local, count*b.N, err)
		}
		return nil
	})
	b.ReportMetric(0, "ns/op") // it includes the site's start
	b.ReportMetric(float64(count*b.N)/took.Seconds(), "actions/s")
}

func writeActions(b *testing.B, path string, count, round int) {
	b.Helper()
	var lines strings.Builder
	for i := range count {
		lines.WriteString(asJSON(creation(service(fmt.Sprintf("svc-%d-%06d", round, i)))) + "\n")
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStartToReady: a single new node, from exec to 200 at /ready, polled every 5 ms.
func BenchmarkStartToReady(b *testing.B) {
	var took []time.Duration
	for i := range 20 {
		n := newNode(b, fmt.Sprintf("r%d", i), "--gateway-endpoint=", "--bootstrap")
		at := addresses{RPC: fmt.Sprintf("127.0.0.1:%d", freePort(b)), Raft: anyPort.Raft, Gossip: anyPort.Gossip}
		began := time.Now()
		n.begin(b, at)
		n.at = at
		poll(b, n.ready)
		took = append(took, time.Since(began))
		n.stop(b)
	}
	report(b, took)
}

// BenchmarkFailover: kill -9 of the leader to the next acknowledged registration by any of four npm clients that keep
// trying at the survivors, 20 times.
func BenchmarkFailover(b *testing.B) {
	s := startSite(b, 3, "--gateway-endpoint=")
	var killed []int64
	l := s.load(b, 4, "bench")
	_, term := s.leaderAfter(b, 0)
	for range 20 {
		l.advances(b, 20)
		leader := s.leader(b)
		killed = append(killed, time.Now().UnixMilli())
		leader.crash(b)
		l.aim(b)
		_, term = s.leaderAfter(b, term)
		l.advances(b, 4)
		leader.start(b, leader.at)
		s.complete(b, 3)
		l.aim(b)
	}
	f := l.finish(b)
	s.holds(b, f)
	var took []time.Duration
	for _, at := range killed {
		took = append(took, f.firstAfter(b, at))
	}
	report(b, took)
}

// firstAfter is the time from at to the first registration that was acknowledged well after it: one that the dead leader
// had answered before may be written down in the same milliseconds, so 50 ms are passed over.
func (f finished) firstAfter(b *testing.B, at int64) time.Duration {
	b.Helper()
	for _, a := range f.Acked {
		if a.At > at+50 {
			return time.Duration(a.At-at) * time.Millisecond
		}
	}
	b.Fatalf("nothing was acknowledged after the kill at %d", at)
	return 0
}

func poll(b *testing.B, check func() error) {
	b.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(patience)
	for err := check(); err != nil; err = check() {
		if time.Now().After(deadline) {
			b.Fatal(err)
		}
		<-ticker.C
	}
}

func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(0, "ns/op") // the sum means nothing
	b.ReportMetric(milliseconds(took[len(took)/2]), "ms-p50")
	b.ReportMetric(milliseconds(took[len(took)-1]), "ms-max")
}
