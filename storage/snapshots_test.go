package storage

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// withSnapshots is the closed directory of a node with two snapshots, and
// their names, newest first.
func withSnapshots(t *testing.T) (dir string, ids []string) {
	t.Helper()
	dir = t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 100, 1)))
	for _, index := range []uint64{50, 70, 90} {
		snapshot(t, s, index, 1, "the table")
	}
	must(t, s.DeleteRange(1, 85))
	must(t, s.Close())
	names, err := snapshotNames(dir)
	must(t, err)
	for _, n := range names {
		ids = append(ids, n.id)
	}
	if len(ids) != 2 {
		t.Fatalf("got %v, want the two newest snapshots", ids)
	}
	return dir, ids
}

func TestRaftIsOfferedTheNewestSnapshotOnly(t *testing.T) {
	dir, ids := withSnapshots(t)
	s := open(t, dir)
	list, err := s.Snapshots().List()
	must(t, err)
	if len(list) != 1 || list[0].ID != ids[0] || list[0].Index != 90 {
		t.Fatalf("got %v, want %s", list, ids[0])
	}
	m, state, err := s.Snapshots().Open(list[0].ID)
	must(t, err)
	defer state.Close()
	b, err := io.ReadAll(state)
	must(t, err)
	if string(b) != "the table" || m.Size != int64(len(b)) {
		t.Errorf("got %q of %d bytes, want the table", b, m.Size)
	}
}

func TestEveryFileOfASnapshotIsVerified(t *testing.T) {
	for _, name := range []string{metaName, stateName, sealName} {
		for which := range 2 {
			dir, ids := withSnapshots(t)
			path := filepath.Join(dir, snapshotDir, ids[which], name)
			b, err := os.ReadFile(path)
			must(t, err)
			b[len(b)/2] ^= 1
			must(t, os.WriteFile(path, b, 0o600))
			refused(t, dir, ids[which]+" is damaged")
			must(t, os.Remove(path))
			refused(t, dir, ids[which]+" is damaged")
		}
	}
}

// Damage that comes while the node runs does not make Raft go back to an
// older snapshot: the log behind the newest is gone.
func TestARunningNodeNoticesToo(t *testing.T) {
	dir, ids := withSnapshots(t)
	s := open(t, dir)
	state := filepath.Join(dir, snapshotDir, ids[0], stateName)
	must(t, os.WriteFile(state, []byte("the fable"), 0o600))
	if _, _, err := s.Snapshots().Open(ids[0]); !IsDamage(err) {
		t.Errorf("open: got %v, want damage", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, snapshotDir, ids[0], metaName), []byte("{}"), 0o600))
	if list, err := s.Snapshots().List(); !IsDamage(err) {
		t.Errorf("list: got %v %v, want damage", list, err)
	}
	if got := s.ChecksumFailures(); got != 2 {
		t.Errorf("got %d checksum failures, want 2", got)
	}
	if _, _, err := s.Snapshots().Open("1-2-3"); err == nil || IsDamage(err) {
		t.Errorf("got %v, want that there is no such snapshot", err)
	}
}

func TestWhatACrashLeftOfSnapshotsIsClearedAway(t *testing.T) {
	dir, ids := withSnapshots(t)
	half := filepath.Join(dir, snapshotDir, "1-50-1") // its deletion had begun
	must(t, os.Mkdir(half, 0o700))
	must(t, os.WriteFile(filepath.Join(half, metaName), nil, 0o600))
	begun := filepath.Join(dir, snapshotDir, "1-95-9"+unfinished)
	must(t, os.Mkdir(begun, 0o700))
	open(t, dir)
	entries, err := os.ReadDir(filepath.Join(dir, snapshotDir))
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("got %v, want %v", entries, ids)
	}
}

func TestACancelledSnapshotLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	_, trans := raft.NewInmemTransport("")
	sink, err := s.Snapshots().Create(1, 5, 1, raft.Configuration{}, 1, trans)
	must(t, err)
	must(t, sink.Cancel())
	must(t, sink.Close())
	if list, err := s.Snapshots().List(); len(list) != 0 || err != nil {
		t.Errorf("got %v %v, want none", list, err)
	}
}

// FuzzMetaFile: no meta.json and seal make reading them panic.
func FuzzMetaFile(f *testing.F) {
	m := snapshotMeta{SnapshotMeta: raft.SnapshotMeta{Version: 1, ID: "1-2-3", Index: 2, Term: 1}}
	b, err := m.seal()
	must(f, err)
	f.Add([]byte(`{"Version":1,"ID":"1-2-3","Index":2,"Term":1}`), b)
	f.Add([]byte(`{"Configuration":{"Servers":[{}]},"CRC":"AA=="}`), []byte{})
	dir := filepath.Join(f.TempDir(), "1-2-3")
	must(f, os.Mkdir(dir, 0o700))
	f.Fuzz(func(t *testing.T, meta, seal []byte) {
		must(t, os.WriteFile(filepath.Join(dir, metaName), meta, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, sealName), seal, 0o600))
		m, err := readMetaFile(dir)
		if err == nil && m.ID != "1-2-3" {
			t.Errorf("got %s, want 1-2-3", m.ID)
		}
	})
}
