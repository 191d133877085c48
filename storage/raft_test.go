package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// words is the state of a node: what was applied, in order.
type words struct {
	mu   sync.Mutex
	list []string
}

func (w *words) Apply(log *raft.Log) any {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, string(log.Data))
	return nil
}

func (w *words) said() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.list[:len(w.list):len(w.list)]
}

func (w *words) Snapshot() (raft.FSMSnapshot, error) { return spoken(w.said()), nil }

func (w *words) Restore(r io.ReadCloser) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(json.NewDecoder(r).Decode(&w.list), r.Close())
}

type spoken []string

func (s spoken) Persist(sink raft.SnapshotSink) error {
	return errors.Join(json.NewEncoder(sink).Encode(s), sink.Close())
}

func (spoken) Release() {}

// peer is a real Raft node on a real directory.
type peer struct {
	id    raft.ServerID
	dir   string
	store *Store
	words *words
	raft  *raft.Raft
	trans *raft.InmemTransport
}

func (p *peer) start(t *testing.T, all []*peer) {
	t.Helper()
	var err error
	p.store, err = Open(p.dir, Options{})
	must(t, err)
	p.words = &words{}
	_, p.trans = raft.NewInmemTransport(raft.ServerAddress(p.id))
	for _, q := range all {
		if q != p && q.trans != nil {
			p.trans.Connect(q.trans.LocalAddr(), q.trans)
			q.trans.Connect(p.trans.LocalAddr(), p.trans)
		}
	}
	c := raft.DefaultConfig()
	c.LocalID, c.LogOutput = p.id, io.Discard
	c.TrailingLogs, c.SnapshotInterval = 10, time.Hour
	p.raft, err = raft.NewRaft(c, p.words, p.store, p.store, p.store.Snapshots(), p.trans)
	must(t, err)
}

func (p *peer) stop(t *testing.T) {
	t.Helper()
	must(t, p.raft.Shutdown().Error())
	must(t, p.trans.Close())
	must(t, p.store.Close())
	p.raft = nil
}

// leaderOf waits for one to be elected and ready.
func leaderOf(t *testing.T, all []*peer) *peer {
	t.Helper()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		for _, p := range all {
			if p.raft != nil && p.raft.State() == raft.Leader && p.raft.Barrier(time.Second).Error() == nil {
				return p
			}
		}
	}
	t.Fatal("nobody leads after a minute")
	return nil
}

func say(t *testing.T, leader *peer, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		must(t, leader.raft.Apply(fmt.Appendf(nil, "word %d", i), time.Minute).Error())
	}
}

func agreed(t *testing.T, all []*peer, count int) {
	t.Helper()
	for _, p := range all {
		for range 600 {
			if len(p.words.said()) >= count {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		got := p.words.said()
		if len(got) != count || !reflect.DeepEqual(got, all[0].words.said()) {
			t.Errorf("%s: got %d words, want the same %d as everyone", p.id, len(got), count)
		}
	}
}

// Three nodes elect, replicate, take snapshots, send one to a node that was
// away, and all come back after a restart.
func TestRaftLivesOnTheseStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var all []*peer
		for _, id := range []raft.ServerID{"a", "b", "c"} {
			all = append(all, &peer{id: id, dir: filepath.Join(dir, string(id))})
		}
		for _, p := range all {
			p.start(t, all)
		}
		must(t, all[0].raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{
			{ID: "a", Address: "a"}, {ID: "b", Address: "b"}, {ID: "c", Address: "c"},
		}}).Error())
		say(t, leaderOf(t, all), 1, 100)
		agreed(t, all, 100)

		away := all[0]
		if away.raft.State() == raft.Leader {
			away = all[1]
		}
		away.stop(t)
		leader := leaderOf(t, all)
		say(t, leader, 101, 200)
		must(t, leader.raft.Snapshot().Error())
		away.start(t, all)
		say(t, leaderOf(t, all), 201, 220)
		agreed(t, all, 220)
		if n := away.store.snapshots.latest().index; n < 200 {
			t.Errorf("the node that was away has a snapshot of record %d, want the leader's", n)
		}

		for _, p := range all {
			p.stop(t)
		}
		for _, p := range all {
			p.start(t, all)
		}
		say(t, leaderOf(t, all), 221, 230)
		agreed(t, all, 230)

		// An operator's restore burns an index, and the whole log is replaced.
		backup := `["word 1","word 2"]`
		must(t, leaderOf(t, all).raft.Restore(&raft.SnapshotMeta{Version: 1, Size: int64(len(backup))}, strings.NewReader(backup), time.Minute))
		say(t, leaderOf(t, all), 3, 5)
		agreed(t, all, 5)

		for _, p := range all {
			p.stop(t)
		}
		r, err := Survey(away.dir)
		must(t, err)
		if r.First <= 100 || len(r.Configuration.Servers) != 3 || len(r.Damage) != 0 {
			t.Errorf("got a log from record %d, servers %v, damage %v; want one that begins behind the snapshot, and three servers", r.First, r.Configuration.Servers, r.Damage)
		}
	})
}

// The last node of a site goes on alone, as catalyst recover makes it.
func TestOneNodeIsRecoveredAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{id: "a", dir: t.TempDir()}
		p.start(t, []*peer{p})
		must(t, p.raft.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}}).Error())
		say(t, leaderOf(t, []*peer{p}), 1, 50)
		must(t, p.raft.AddVoter("b", "b", 0, time.Second).Error()) // which never lived
		p.stop(t)

		s := open(t, p.dir)
		c := raft.DefaultConfig()
		c.LocalID, c.LogOutput = p.id, io.Discard
		_, trans := raft.NewInmemTransport("a")
		alone := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}}
		must(t, raft.RecoverCluster(c, &words{}, s, s, s.Snapshots(), trans, alone))
		must(t, s.Close())

		p.start(t, []*peer{p})
		say(t, leaderOf(t, []*peer{p}), 51, 60)
		agreed(t, []*peer{p}, 60)
		p.stop(t)
		if r, err := Survey(p.dir); err != nil || len(r.Damage) != 0 {
			t.Errorf("got %v %v, want no damage", r.Damage, err)
		}
	})
}
