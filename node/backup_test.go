package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/transport"
)

// backup reads a snapshot from a node, as an operator would.
func (w *world) backup(id, token string) []byte {
	w.t.Helper()
	c, err := w.connectAs(id, "client", token)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := transport.Await[*transport.Readable](ctx, c.scope.Call("snapshot"))
	if err != nil {
		w.t.Fatalf("snapshot at %s: %v", id, err)
	}
	defer stream.Release()
	data, err := io.ReadAll(stream)
	if err != nil {
		w.t.Fatalf("snapshot at %s: %v", id, err)
	}
	return data
}

func (w *world) restore(id, token string, backup []byte) (answer, error) {
	return ask[answer](w, id, token, "restore", transport.ReadableFrom(bytes.NewReader(backup)))
}

// seeingOnlyGrow watches the versions of all nodes until it is stopped, which
// tells what went backwards.
func (w *world) seeingOnlyGrow() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		last := map[*Node]uint64{}
		for {
			for _, n := range w.running() {
				v := n.machine.Table().Version()
				if v < last[n] {
					w.t.Errorf("%s went from version %d back to %d", n.cfg.ID, last[n], v)
				}
				last[n] = v
			}
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// watched is what a watcher knows by the events it was sent.
type watched struct {
	mu     sync.Mutex
	at     uint64
	routes map[string]uint64 // id to modifiedIndex
	lagged int
	faults []string
}

func (k *watched) take(_ context.Context, c *transport.Call) (any, error) {
	var e WatchEvent
	err := c.Decode(0, &e)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil || e.Index < k.at {
		k.faults = append(k.faults, fmt.Sprintf("%s at %d after %d, %v", e.Type, e.Index, k.at, err))
	}
	k.at = e.Index
	switch e.Type {
	case "snapshot":
		k.routes = map[string]uint64{}
		for _, r := range *e.Routes {
			k.routes[r.ID] = r.ModifiedIndex
		}
	case "put":
		k.routes[e.ID] = e.Route.ModifiedIndex
	case "delete":
		delete(k.routes, e.ID)
	case "lagged":
		k.lagged++
	}
	return nil, nil
}

// is says whether the watcher knows what a table holds.
func (k *watched) is(t *fsm.Table) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	count := 0
	for r := range t.All() {
		count++
		if at, ok := k.routes[r.ID()]; !ok || at != r.ModifiedIndex {
			return false
		}
	}
	return count == len(k.routes)
}

// A restore under traffic: what was acknowledged after it is kept, what was
// acknowledged between backup and restore is gone, nothing is a mixture, no
// version goes back, and watches see it.
func TestARestoreUnderTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 61, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		grow := w.seeingOnlyGrow()
		watches := map[string]*watched{}
		for _, id := range sortedKeys(w.hosts) {
			c, err := w.connectAs(id, "client", s.admin)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			k := &watched{}
			watches[id] = k
			if _, err := c.scope.Call("watchRoutes", transport.NewFunc(k.take)).Await(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		revoked, id := s.token(map[string]any{"role": "viewer"})
		stop := s.traffic(61)
		time.Sleep(5 * time.Second)
		backup := w.backup(w.follower().cfg.ID, s.admin)
		info, err := InspectSnapshot(bytes.NewReader(backup))
		if err != nil || info.Site != "sim" || info.Routes.Local == 0 || info.Tokens != 3 {
			t.Fatalf("the backup: %+v, %v", info, err)
		}
		s.must("token", "revoke", map[string]any{"id": id})
		time.Sleep(5 * time.Second)
		epoch, siteID, term := w.leader().machine.Table().Epoch(), w.leader().machine.Table().ID(), w.leader().raft.CurrentTerm()
		r, err := w.restore(w.follower().cfg.ID, s.admin, backup)
		if err != nil || !r.Success {
			t.Fatalf("restore: %+v, %v", r, err)
		}
		if r.Data["routes"] != float64(info.Routes.Local) || r.Index <= info.Version {
			t.Errorf("restored: %+v, want %d routes", r, info.Routes.Local)
		}
		time.Sleep(5 * time.Second)
		acknowledged := stop()
		table := w.checkEqual()
		var before, between, after int
		for name, index := range acknowledged {
			there := table.Local(name+":http") != nil
			switch {
			case index <= info.Version:
				before++
				if !there {
					t.Errorf("%s (%d) is in the backup (%d) and not there", name, index, info.Version)
				}
			case index < r.Index:
				between++
				if there {
					t.Errorf("%s (%d) was registered after the backup (%d) and before the restore (%d), and is there", name, index, info.Version, r.Index)
				}
			default:
				after++
				if !there {
					t.Errorf("%s (%d) was acknowledged after the restore (%d) and is lost", name, index, r.Index)
				}
			}
		}
		if before == 0 || between == 0 || after == 0 {
			t.Errorf("acknowledged before the backup, between, after: %d, %d, %d; want some of each", before, between, after)
		}
		if table.Epoch() <= epoch || table.ID() != siteID {
			t.Errorf("epoch %s after %s, site id %s after %s", table.Epoch(), epoch, table.ID(), siteID)
		}
		if now := w.leader().raft.CurrentTerm(); now != term {
			t.Errorf("the term went from %d to %d: a restore costs no election", term, now)
		}
		for id, k := range watches {
			w.eventually("the watch at "+id+" knows the table", func() bool { return k.is(table) })
			if k.lagged != 1 || len(k.faults) > 0 {
				t.Errorf("the watch at %s lagged %d times, want once; faults: %q", id, k.lagged, k.faults)
			}
		}
		grow()
		if _, err := ask[Status](w, "n1", revoked, "status"); code(err) != "unauthenticated" {
			t.Errorf("a token revoked after the backup: %v, want unauthenticated", err)
		}
		// All of it is on disk.
		for _, id := range sortedKeys(w.hosts) {
			w.crash(id)
		}
		for _, id := range sortedKeys(w.hosts) {
			w.start(id, nil)
		}
		w.leader()
		if again := w.checkEqual(); again.Version() < table.Version() || again.NumLocal() != table.NumLocal() {
			t.Errorf("after a restart: %d routes at %d, were %d at %d", again.NumLocal(), again.Version(), table.NumLocal(), table.Version())
		}
	})
}

// Restores beside lost leaders: each is done or not, and what is acknowledged
// after one that was answered stays.
func TestRestoresAndLostLeaders(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 62, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		s.must("dataChannel", "create", service("in-the-backup", "http://x:80/"))
		backup := w.backup("n2", s.admin)
		done := 0
		for i := range rounds {
			stop := s.traffic(6200 + uint64(i))
			lose := make(chan struct{})
			go func() {
				defer close(lose)
				time.Sleep(time.Duration(w.rand.IntN(12)) * time.Millisecond)
				w.loseLeader()
			}()
			at := sortedKeys(w.hosts)[i%3]
			r, err := w.restore(at, s.admin, backup)
			if err == nil && !r.Success {
				t.Errorf("restore %d at %s: %+v", i, at, r)
			}
			<-lose
			acknowledged := stop()
			table := w.checkEqual()
			if table.Local("in-the-backup:http") == nil {
				t.Fatal("what is in the backup is lost")
			}
			if err != nil {
				continue
			}
			done++
			for name, index := range acknowledged {
				if index > r.Index && table.Local(name+":http") == nil {
					t.Errorf("round %d: %s (%d) was acknowledged after the restore (%d) and is lost", i, name, index, r.Index)
				}
			}
		}
		if done == 0 {
			t.Error("no restore was answered")
		}
		t.Logf("%d of %d restores answered", done, rounds)
	})
}

// What is no backup of this site, or not whole, changes nothing.
func TestABackupThatCannotBeUsedChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 63, "n1", "n2")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2")
		for i := range 50 {
			s.must("dataChannel", "create", service(fmt.Sprint("s", i), "http://x:80/"))
		}
		good := w.backup("n1", s.admin)
		foreign, err := foreignTable("rome")
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(good)
		flipped[len(flipped)/2] ^= 4
		version := w.leader().machine.Table().Version()
		for name, c := range map[string]struct {
			data  []byte
			code  string
			words []string
		}{
			"cut off":      {good[:len(good)-10], "invalid", []string{"nothing was restored"}},
			"one bit off":  {flipped, "invalid", []string{"nothing was restored"}},
			"nothing":      {nil, "invalid", []string{"nothing was restored"}},
			"another file": {[]byte(strings.Repeat("hello ", 100)), "invalid", []string{"nothing was restored"}},
			"another site": {snapshotBytes(t, foreign), "conflict", []string{`site "rome"`, `this is site`, "sim"}},
		} {
			for _, id := range []string{"n1", "n2"} {
				r, err := w.restore(id, s.admin, c.data)
				if err != nil || r.Code != c.code {
					t.Errorf("%s at %s: %+v, %v; want %s", name, id, r, err, c.code)
				}
				wantWords(t, r.Error, c.words...)
			}
			if _, err := InspectSnapshot(bytes.NewReader(c.data)); (err == nil) != (c.code == "conflict") {
				t.Errorf("%s, inspected: %v", name, err)
			}
		}
		if now := w.leader().machine.Table(); now.Version() != version || now.NumLocal() != 50 {
			t.Errorf("version %d with %d routes, was %d with 50", now.Version(), now.NumLocal(), version)
		}
		s.must("dataChannel", "create", service("after", "http://x:80/"))
	})
}

// foreignTable is that of another site.
func foreignTable(site string) (*fsm.Table, error) {
	m := fsm.NewMachine()
	ops := []fsm.Command{{Op: fsm.Found{Site: site, AS: 1, Epoch: "1", ID: newSiteID(), Level: 2}}}
	err := applyAll(m, ops)
	return m.Table(), err
}

// A site of a fabric is put back to a backup. Its peers converge to that, and
// what it had learned from them is there again.
func TestPeersConvergeToARestoredSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFabric(t, 64, "a", "b", "c")
		defer f.shutdown()
		f.mesh()
		for _, site := range f.sites {
			f.register(site, "early-"+site)
		}
		f.rest()
		backup := f.backup("a2", "")
		for _, site := range f.sites {
			f.register(site, "late-"+site)
		}
		f.act("a", "dataChannel", "delete", map[string]any{"id": "early-a:http"})
		f.rest()
		r, err := f.restore("a3", "", backup)
		if err != nil || !r.Success {
			t.Fatalf("restore: %+v, %v", r, err)
		}
		f.rest()
		table := f.leaderOf("b").machine.Table()
		for id, want := range map[string]bool{"early-a:http": true, "late-a:http": false, "late-b:http": true, "late-c:http": true} {
			if got := len(table.Paths(id)) > 0; got != want {
				t.Errorf("b has %s: %v, want %v", id, got, want)
			}
		}
		f.register("a", "afterwards")
		f.rest()
		for _, site := range f.sites {
			for _, other := range f.sites {
				if site != other {
					f.established(site, other)
				}
			}
		}
		if healed := f.healed(); healed > 0 {
			t.Errorf("the digests found %d differences: the sessions themselves must leave none", healed)
		}
	})
}

// Snapshots are left from time to time, when something has changed, and the
// newest stay; what is not this node's is left alone.
func TestScheduledSnapshotsAreKeptAndLetGo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 65, "n1")
		defer w.shutdown()
		w.start("n1", func(c *Config) {
			c.Bootstrap, c.SnapshotDir, c.SnapshotEvery, c.SnapshotKeep = true, dir, time.Minute, 3
		})
		others := []string{"sim-n1-b-20000101T000000Z-1.snapshot", "sim-n2-20000101T000000Z-1.snapshot", "sim-n1-notes.txt", "rome-n1-20000101T000000Z-1.snapshot"}
		for _, name := range others {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.leader()
		mine := func() (names []string) {
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !slices.Contains(others, e.Name()) {
					names = append(names, e.Name())
				}
			}
			return names
		}
		var all []string
		for i := range 6 {
			if _, err := w.registerAt("n1", fmt.Sprint("s", i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			names := mine()
			if len(names) != min(i+1, 3) {
				t.Fatalf("after %d minutes: %q, want %d", i+1, names, min(i+1, 3))
			}
			all = append(all, names[len(names)-1])
		}
		if got := mine(); !slices.Equal(got, all[3:]) {
			t.Errorf("kept %q, want the newest %q", got, all[3:])
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := mine(); !slices.Equal(got, all[3:]) {
			t.Errorf("%q after minutes without a change, want %q", got, all[3:])
		}
		f, err := os.Open(filepath.Join(dir, all[5]))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if info, err := InspectSnapshot(f); err != nil || info.Routes.Local != 6 || info.Site != "sim" {
			t.Errorf("the newest: %+v, %v; want 6 routes", info, err)
		}
		for _, name := range others {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("a file of someone else's is gone: %v", err)
			}
		}
	})
}

// A directory that cannot be written is complained of, and the next time it
// can it is used.
func TestAScheduledSnapshotThatFailsIsTriedAgain(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "snapshots")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file is in its place
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 66, "n1")
		defer w.shutdown()
		log := &locked{}
		w.start("n1", func(c *Config) {
			c.Bootstrap, c.SnapshotDir, c.SnapshotEvery = true, dir, time.Minute
			c.Log = slog.New(slog.NewTextHandler(log, nil))
		})
		w.leader()
		time.Sleep(90 * time.Second)
		synctest.Wait()
		wantWords(t, log.String(), "the scheduled snapshot was not taken", dir)
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("after the trouble: %v, %v; want one snapshot", entries, err)
		}
	})
}

// locked is a buffer for many.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
