package node

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// BenchmarkBareRaft is the peer of cmd's BenchmarkRegister: hashicorp/raft
// with raft-boltdb and nothing else, three nodes over TCP, one 150-byte
// command to an entry.
func BenchmarkBareRaft(b *testing.B) {
	leader := bareSite(b)
	command := make([]byte, 150)
	for _, inFlight := range []int{1, 64, 256, 1000} {
		b.Run(fmt.Sprintf("inflight=%d", inFlight), func(b *testing.B) {
			took := make([]time.Duration, min(20_000, 1000*inFlight))
			slots := make(chan struct{}, inFlight)
			var wg sync.WaitGroup
			began := time.Now()
			for i := range took {
				slots <- struct{}{}
				wg.Go(func() {
					start := time.Now()
					if err := leader.Apply(command, 10*time.Second).Error(); err != nil {
						b.Error(err)
					}
					took[i] = time.Since(start)
					<-slots
				})
			}
			wg.Wait()
			elapsed := time.Since(began)
			slices.Sort(took)
			b.ReportMetric(float64(len(took))/elapsed.Seconds(), "ops/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func bareSite(b *testing.B) *raft.Raft {
	b.Helper()
	var (
		nodes   []*raft.Raft
		servers []raft.Server
	)
	for i := range 3 {
		id := fmt.Sprint("n", i)
		store, err := raftboltdb.NewBoltStore(filepath.Join(b.TempDir(), "raft.db"))
		if err != nil {
			b.Fatal(err)
		}
		trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, raftPool, raftTransportTimeout, nil)
		if err != nil {
			b.Fatal(err)
		}
		n := &Node{cfg: Config{ID: id, RaftTiming: defaultRaftTiming}}
		c := n.raftConfig(nil)
		c.Logger, c.LogLevel = nil, "ERROR"
		r, err := raft.NewRaft(c, &raft.MockFSM{}, store, store, raft.NewInmemSnapshotStore(), trans)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = r.Shutdown().Error()
			_ = trans.Close()
			_ = store.Close()
		})
		nodes = append(nodes, r)
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: trans.LocalAddr()})
	}
	if err := nodes[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		b.Fatal(err)
	}
	for {
		for _, r := range nodes {
			if r.State() == raft.Leader && r.Barrier(time.Second).Error() == nil {
				return r
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
}
