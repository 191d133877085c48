package storage

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// BenchmarkStoreLogs compares with the store underneath, which knows no
// checksums. The two take turns, so that both meet the same disk.
func BenchmarkStoreLogs(b *testing.B) {
	for _, batch := range []uint64{1, 64} {
		b.Run(fmt.Sprintf("logs=%d", batch), func(b *testing.B) {
			bare, err := raftboltdb.New(raftboltdb.Options{
				Path:        filepath.Join(b.TempDir(), boltName),
				BoltOptions: &bbolt.Options{FreelistType: bbolt.FreelistMapType},
			})
			must(b, err)
			defer bare.Close()
			verified, err := Open(b.TempDir(), Options{})
			must(b, err)
			defer verified.Close()
			var took [2][]float64
			for index := uint64(1); b.Loop(); index += batch {
				logs := records(index, index+batch-1, 1)
				for i, s := range []raft.LogStore{bare, verified} {
					start := time.Now()
					must(b, s.StoreLogs(logs))
					took[i] = append(took[i], float64(time.Since(start)))
				}
			}
			b.ReportMetric(median(took[0]), "bare-ns/op")
			b.ReportMetric(median(took[1]), "verified-ns/op")
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

func BenchmarkGetLog(b *testing.B) {
	s := open(b, b.TempDir())
	must(b, s.StoreLogs(records(1, 10_000, 1)))
	get := func(name string, s raft.LogStore) {
		b.Run("store="+name, func(b *testing.B) {
			var log raft.Log
			for i := uint64(0); b.Loop(); i++ {
				if err := s.GetLog(1+i%10_000, &log); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	get("bare", s.ledger.bolt)
	get("verified", s)
}

// BenchmarkOpen reads and verifies the log that a node keeps between two
// snapshots.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	for i := uint64(0); i < 15; i++ {
		must(b, s.StoreLogs(records(1+i*1000, (i+1)*1000, 1)))
	}
	must(b, s.Close())
	for b.Loop() {
		s, err := Open(dir, Options{})
		must(b, err)
		must(b, s.Close())
	}
}
