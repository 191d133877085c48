package clustertests

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

// writers register services at a site's nodes without pause, and write down at which index each was acknowledged.
type writers struct {
	mu    sync.Mutex
	acked map[string]uint64 // by service id
	stop  chan struct{}
	wg    sync.WaitGroup
}

// write starts one writer at each of the nodes. A call that is not answered is repeated under its requestId, in a new session.
func (s *site) write(t testing.TB, nodes ...*node) *writers {
	w := &writers{acked: map[string]uint64{}, stop: make(chan struct{})}
	for _, n := range nodes {
		w.wg.Go(func() {
			c := s.dial(t, n)
			for i := 0; ; i++ {
				a := creation(service(fmt.Sprintf("by-%s-%d", n.id, i)))
				a.RequestID = fmt.Sprintf("%s-%s-%d", t.Name(), n.id, i)
				for {
					select {
					case <-w.stop:
						return
					default:
					}
					r, err := c.apply(a)
					if err == nil && r.Success {
						w.note(r)
						break
					}
					if err == nil {
						t.Errorf("%s: %v", asJSON(a), r)
						return
					}
					if codeOf(err) == "" {
						c = s.dial(t, n)
					}
				}
			}
		})
	}
	return w
}

func (w *writers) note(r result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[r.Data.ID] = r.Index
}

// advance waits until so many more are acknowledged than now.
func (w *writers) advance(t testing.TB, more int) {
	t.Helper()
	count := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked)
	}
	want := count() + more
	eventually(t, fmt.Sprintf("%d registrations are acknowledged", want), func() error {
		if now := count(); now < want {
			return fmt.Errorf("%d are", now)
		}
		return nil
	})
}

func (w *writers) finish() map[string]uint64 {
	close(w.stop)
	w.wg.Wait()
	return w.acked
}

// TestRestoreUnderLoad restores a backup while clients write, and kills the leader as soon as the restore is answered. All
// that was acknowledged before the backup or after the restore is there on every node, and nothing in between; that is so as
// well when all nodes were killed, and at a node that was down meanwhile.
func TestRestoreUnderLoad(t *testing.T) {
	s := startSite(t, 3, "--gateway-endpoint=")
	followers := s.followers(t)
	w := s.write(t, followers...)
	w.advance(t, 100)

	file := filepath.Join(t.TempDir(), "backup")
	s.cli(t, followers[0], 0, "snapshot", "save", file)
	held := inspect(t, file)
	w.advance(t, 100)

	got := s.restore(t, file, "-o", "json")
	var answer result
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || !answer.Success || answer.Index <= held.Version {
		t.Fatalf("restore: %s %v", got.stdout, err)
	}
	leader, term := s.leaderAfter(t, 0)
	leader.crash(t)
	if _, now := s.leaderAfter(t, term); now <= term {
		t.Fatalf("term %d after %d", now, term)
	}
	w.advance(t, 100)
	acked := w.finish()
	leader.start(t, leader.at)
	s.complete(t, 3)

	want, dropped, newest := map[string]bool{}, 0, answer.Index
	for id, index := range acked {
		if index > held.Version && index < answer.Index {
			dropped++
			continue
		}
		want[id] = true
		newest = max(newest, index)
	}
	if dropped == 0 || len(want) < 150 {
		t.Errorf("of %d registrations %d fell between the backup and its restore: the load did not meet it", len(acked), dropped)
	}
	check := func(when string) {
		t.Helper()
		for _, n := range s.nodes {
			got := s.table(t, n, newest)
			for id := range want {
				if _, there := got[id]; !there {
					t.Errorf("%s: %s lacks %s, acknowledged at %d; the backup is of %d and was restored at %d", when, n.id, id, acked[id], held.Version, answer.Index)
				}
			}
			for id := range got {
				if index, known := acked[id]; known && !want[id] {
					t.Errorf("%s: %s shows %s of index %d, which the restore undid", when, n.id, id, index)
				}
			}
		}
	}
	check("after the restore")
	for _, n := range s.nodes {
		n.crash(t)
	}
	for _, n := range s.nodes {
		n.start(t, n.at)
	}
	s.complete(t, 3)
	check("after a restart of all")
	for _, n := range s.nodes {
		neverPanicked(t, n)
	}
}
