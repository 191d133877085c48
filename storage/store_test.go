package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// open opens a directory, and closes it at the end unless the test did.
func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{LockTimeout: time.Millisecond, MarkEvery: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func refused(t *testing.T, dir string, want string) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err == nil {
		_ = s.Close()
		t.Fatalf("opened; want an error of %q", want)
	}
	if !strings.Contains(err.Error(), want) || !IsDamage(err) {
		t.Errorf("got %v, want damage: %q", err, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record makes a record whose bytes follow from its place.
func record(index, term uint64) *raft.Log {
	return &raft.Log{
		Index: index, Term: term, Type: raft.LogCommand,
		Data:       []byte(strings.Repeat(fmt.Sprintf("record %d of term %d;", index, term), 6)),
		AppendedAt: time.Unix(1_700_000_000+int64(index), int64(index)).UTC(),
	}
}

func records(from, to, term uint64) []*raft.Log {
	var list []*raft.Log
	for i := from; i <= to; i++ {
		list = append(list, record(i, term))
	}
	return list
}

func contents(t *testing.T, s *Store) []raft.Log {
	t.Helper()
	first, err := s.FirstIndex()
	must(t, err)
	last, err := s.LastIndex()
	must(t, err)
	var list []raft.Log
	for i := first; i != 0 && i <= last; i++ {
		var log raft.Log
		must(t, s.GetLog(i, &log))
		log.AppendedAt = log.AppendedAt.UTC()
		list = append(list, log)
	}
	return list
}

// snapshot takes one of some state.
func snapshot(t testing.TB, s *Store, index, term uint64, state string) {
	t.Helper()
	servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "127.0.0.1:1"}}}
	_, trans := raft.NewInmemTransport("")
	sink, err := s.Snapshots().Create(1, index, term, servers, 1, trans)
	must(t, err)
	_, err = sink.Write([]byte(state))
	must(t, err)
	must(t, sink.Close())
}

func TestWhatWasStoredIsThereAfterAReopening(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	logs := records(1, 300, 1)
	logs[7].Extensions = []byte("the caller's own")
	logs[8].Data, logs[9].AppendedAt = nil, time.Time{}
	must(t, s.StoreLogs(logs[:100]))
	must(t, s.StoreLog(logs[100]))
	must(t, s.StoreLogs(logs[101:]))
	must(t, s.SetUint64([]byte("CurrentTerm"), 7))
	must(t, s.Set([]byte("LastVoteCand"), []byte("paris")))
	must(t, s.Close())

	s = open(t, dir)
	got := contents(t, s)
	if len(got) != len(logs) {
		t.Fatalf("got %d records, want %d", len(got), len(logs))
	}
	for i := range logs {
		if !reflect.DeepEqual(got[i], *logs[i]) {
			t.Errorf("record %d: got %+v, want %+v", i+1, got[i], *logs[i])
		}
	}
	if n, err := s.GetUint64([]byte("CurrentTerm")); n != 7 || err != nil {
		t.Errorf("term: got %d %v, want 7", n, err)
	}
	if v, err := s.Get([]byte("LastVoteCand")); string(v) != "paris" || err != nil {
		t.Errorf("vote: got %q %v, want paris", v, err)
	}
	if s.ChecksumFailures() != 0 {
		t.Errorf("got %d checksum failures, want 0", s.ChecksumFailures())
	}
}

func TestRaftKnowsWhatWasNeverSet(t *testing.T) {
	s := open(t, t.TempDir())
	if _, err := s.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Errorf("got %v, want the text that raft compares with", err)
	}
	if err := s.GetLog(3, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("got %v, want ErrLogNotFound", err)
	}
}

// Raft goes on to use the record that it stored: it sends it to others.
func TestTheCallersRecordIsLeftAlone(t *testing.T) {
	s := open(t, t.TempDir())
	log := record(1, 1)
	must(t, s.StoreLog(log))
	if want := record(1, 1); !reflect.DeepEqual(log, want) {
		t.Errorf("got %+v, want %+v", log, want)
	}
}

func TestASecondProcessIsToldSo(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := Open(dir, Options{LockTimeout: time.Millisecond})
	want := filepath.Join(dir, "raft.db") + " is in use by another process: is this node already running?"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := Survey(dir); !errors.Is(err, errInUse) {
		t.Errorf("survey: got %v, want %v", err, errInUse)
	}
}

func TestALogHasNoGaps(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.StoreLog(record(5, 1)); err == nil {
		t.Error("a log began at record 5 without a snapshot of record 4")
	}
	must(t, s.StoreLogs(records(1, 3, 1)))
	for _, logs := range [][]*raft.Log{records(5, 6, 1), records(3, 4, 1), {record(4, 1), record(6, 1)}} {
		if err := s.StoreLogs(logs); err == nil {
			t.Errorf("records %d.. were stored after record 3", logs[0].Index)
		}
	}
	must(t, s.StoreLogs(records(4, 6, 1)))
}

func TestAnOverruledTailIsReplaced(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 100, 1)))
	must(t, s.mark())
	must(t, s.DeleteRange(51, 100))
	abandoned := t.TempDir()
	must(t, os.CopyFS(abandoned, os.DirFS(dir))) // a crash right here
	must(t, s.StoreLogs(records(51, 60, 2)))
	must(t, s.Close())

	if got := contents(t, open(t, abandoned)); len(got) != 50 {
		t.Errorf("after the crash: got %d records, want 50", len(got))
	}
	got := contents(t, open(t, dir))
	if len(got) != 60 || got[49].Term != 1 || got[50].Term != 2 {
		t.Errorf("got %d records, want 50 of term 1 and 10 of term 2", len(got))
	}
}

// A leader's snapshot overtakes a follower's whole log.
func TestASnapshotReplacesTheLog(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 100, 1)))
	snapshot(t, s, 500, 2, "state")
	crashed := t.TempDir()
	must(t, os.CopyFS(crashed, os.DirFS(dir)))
	must(t, s.DeleteRange(1, 100))
	must(t, s.StoreLogs(records(501, 510, 2)))
	must(t, s.Close())
	if got := contents(t, open(t, dir)); len(got) != 10 || got[0].Index != 501 {
		t.Errorf("got %d records, want 501..510", len(got))
	}
	if got := contents(t, open(t, crashed)); len(got) != 0 {
		t.Errorf("a crash before the deletion left %d records, want them deleted", len(got))
	}
}

func TestALogIsCompactedBehindASnapshot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 100, 1)))
	snapshot(t, s, 90, 1, "ninety")
	must(t, s.DeleteRange(1, 80))
	must(t, s.Close())
	s = open(t, dir)
	if got := contents(t, s); len(got) != 20 || got[0].Index != 81 {
		t.Errorf("got %d records, want 81..100", len(got))
	}
	must(t, s.DeleteRange(81, 100)) // all that is left, as catalyst recover does
	must(t, s.Close())
	refusedOnceMarked := s.high.last
	if refusedOnceMarked.index != 0 || refusedOnceMarked.snapshot != 90 {
		t.Errorf("mark: got %+v, want index 0 and snapshot 90", refusedOnceMarked)
	}
	s = open(t, dir)
	must(t, s.StoreLogs(records(91, 95, 2)))
}

func TestAFullDiskPasses(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{maxSize: 1 << 20})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	index, full := uint64(1), error(nil)
	for ; full == nil && index < 1<<20; index++ {
		log := record(index, 1)
		log.Data = make([]byte, 4000)
		full = s.StoreLog(log)
	}
	index-- // was not stored
	if full == nil || IsDamage(full) {
		t.Fatalf("got %v, want a full disk", full)
	}
	snapshot(t, s, index-1, 1, "state")
	must(t, s.DeleteRange(1, index-2))
	must(t, s.StoreLogs(records(index, index+9, 1)))
	must(t, s.Close())
	s = open(t, dir)
	if got := contents(t, s); len(got) != 11 || s.ledger.found.torn {
		t.Errorf("got %d records, want 11", len(got))
	}
}

// The mark follows without anyone waiting for it.
func TestTheMarkFollowsTheLog(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{MarkEvery: time.Millisecond})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	must(t, s.StoreLogs(records(1, 10, 1)))
	for deadline := time.Now().Add(time.Minute); ; {
		m, err := readHigh(dir)
		must(t, err)
		if m.index == 10 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("mark at %d, want 10", m.index)
		}
	}
}

func TestUseAfterCloseIsNoDamage(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s.StoreLogs(records(1, 3, 1)))
	must(t, s.Close())
	for what, err := range map[string]error{
		"get":   s.GetLog(1, &raft.Log{}),
		"store": s.StoreLog(record(4, 1)),
		"vote":  s.SetUint64([]byte("CurrentTerm"), 2),
	} {
		if err == nil || IsDamage(err) {
			t.Errorf("%s: got %v, want an error that is no damage", what, err)
		}
	}
}
