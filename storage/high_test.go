package storage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
)

// moment is the two files as they were at some time.
type moment struct{ log, mark string }

// life records both files around each write of a node.
func life(t *testing.T, steps ...func(*Store)) (before, after []moment) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	for _, step := range steps {
		before = append(before, freeze(t, dir))
		step(s)
		after = append(after, freeze(t, dir))
	}
	return before, after
}

func freeze(t *testing.T, dir string) moment {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, boltName))
	must(t, err)
	mark, err := os.ReadFile(filepath.Join(dir, highName))
	must(t, err)
	return moment{string(log), string(mark)}
}

// crashed is a directory with the log and the mark of two moments.
func crashed(t *testing.T, log, mark moment) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, boltName), []byte(log.log), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, highName), []byte(mark.mark), 0o600))
	return dir
}

// A crash between the log and the mark is no damage, in the order in which
// they are written. In the other order it would be, so that the mark tells.
func TestACrashAtAnyPointIsNoDamage(t *testing.T) {
	vote := func(term uint64) func(*Store) {
		return func(s *Store) { must(t, s.SetUint64(keyVoteTerm, term)) }
	}
	store := func(from, to, term uint64) func(*Store) {
		return func(s *Store) { must(t, s.StoreLogs(records(from, to, term))) }
	}
	mark := func(s *Store) { must(t, s.mark()) }
	cut := func(s *Store) { must(t, s.DeleteRange(15, 20)) }
	retreats := map[int]bool{6: true}
	before, after := life(t, vote(1), store(1, 10, 1), mark, vote(2), store(11, 20, 2), mark, cut, store(15, 16, 3), mark, vote(3))
	for i := range before {
		// The mark is lowered first and raised last.
		log, late := after[i], before[i]
		if retreats[i] {
			log, late = before[i], after[i]
		}
		for what, dir := range map[string]string{
			"before":  crashed(t, before[i], before[i]),
			"between": crashed(t, log, late),
			"after":   crashed(t, after[i], after[i]),
		} {
			s, err := Open(dir, Options{})
			if err != nil {
				t.Errorf("step %d, a crash %s: %v", i, what, err)
				continue
			}
			must(t, s.Close())
		}
		if after[i].mark == before[i].mark || after[i].log == before[i].log {
			continue // only one of them was written
		}
		refused(t, crashed(t, late, log), "raft.db ")
	}
}

func TestAnOlderLogIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 10, 1)))
	old := freeze(t, dir)
	must(t, s.StoreLogs(records(11, 14, 1)))
	must(t, s.Close())
	must(t, os.WriteFile(filepath.Join(dir, boltName), []byte(old.log), 0o600))
	refused(t, dir, "raft.db has lost records 11..14, which this node had acknowledged")
	refused(t, dir, "catalyst member remove ID") // still
}

func TestAnOlderVoteIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 10, 1)))
	old := freeze(t, dir)
	must(t, s.Set(keyVotedFor, []byte("paris"))) // marked at once
	fresh := freeze(t, dir)
	must(t, s.Close())
	refused(t, crashed(t, old, fresh), "votes may be lost")
}

// The disk acknowledged a page that it did not write: everything fits, and
// the vote is the one before.
func TestALostWriteOfAVoteIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 200, 1))) // the log has pages of its own
	path := filepath.Join(dir, boltName)
	roots := map[uint64][]byte{}
	for term := uint64(1); term < 9; term++ {
		must(t, s.SetUint64(keyVoteTerm, term))
		must(t, s.Set(keyVotedFor, []byte{'a' + byte(term)}))
		b, err := os.ReadFile(path)
		must(t, err)
		m, _, err := newestMeta(s.ledger.f)
		must(t, err)
		page := b[m.root*m.pageSize:][:m.pageSize]
		old := roots[m.root]
		roots[m.root] = page
		if old == nil {
			continue
		}
		copy(b[m.root*m.pageSize:], old)
		mark, err := os.ReadFile(filepath.Join(dir, highName))
		must(t, err)
		refused(t, crashed(t, moment{log: string(b)}, moment{mark: string(mark)}), "raft.db ")
	}
}

// A power cut may tear the newest meta page, before the transaction was
// acknowledged. Afterwards the same is a loss.
func TestATornTransactionIsToldFromALostOne(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 10, 1)))
	must(t, s.mark())
	acknowledged := freeze(t, dir)
	must(t, s.StoreLogs(records(11, 14, 1)))
	torn := freeze(t, dir)
	tear := func(m moment) moment {
		b := []byte(m.log)
		newest, _, err := newestMeta(s.ledger.f)
		must(t, err)
		b[newest.txid%2*newest.pageSize+pageHeader+50] ^= 1
		return moment{log: string(b)}
	}
	cut := crashed(t, tear(torn), acknowledged)
	if got := contents(t, open(t, cut)); len(got) != 10 {
		t.Errorf("got %d records, want the 10 that were acknowledged", len(got))
	}
	must(t, s.mark())
	refused(t, crashed(t, tear(torn), freeze(t, dir)), "has lost records 11..14")
}

func TestMissingFilesAreNoticed(t *testing.T) {
	for file, want := range map[string]string{
		boltName:    "raft.db is missing",
		highName:    "high is missing beside a log that is not empty",
		snapshotDir: "has lost the snapshot of record 90",
	} {
		dir := t.TempDir()
		s := open(t, dir)
		must(t, s.StoreLogs(records(1, 100, 1)))
		snapshot(t, s, 90, 1, "state")
		must(t, s.Close())
		must(t, os.RemoveAll(filepath.Join(dir, file)))
		refused(t, dir, want)
	}
}

// A store that was written before there were checksums.
func TestAnOlderVersionsLogIsNamedSo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.ledger.bolt.StoreLog(record(1, 1)))
	must(t, s.Close())
	refused(t, dir, "has a bad record 1: it carries no checksum: it was written by an older version of catalyst")
	must(t, os.Remove(filepath.Join(dir, highName)))
	refused(t, dir, "an older version of catalyst wrote the log")
}

func TestOneDamagedMarkIsMadeUpForByTheOther(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 10, 1)))
	must(t, s.Close())
	path := filepath.Join(dir, highName)
	for slot := range 2 {
		b, err := os.ReadFile(path)
		must(t, err)
		clear(b[slot*slotSize:][:512])
		must(t, os.WriteFile(path, b, 0o600))
		must(t, open(t, dir).Close())
	}
	must(t, os.WriteFile(path, nil, 0o600))
	refused(t, dir, "high is damaged: neither of its two marks is valid")
}

// FuzzMarks: what is decoded is what was encoded, or nothing.
func FuzzMarks(f *testing.F) {
	m := mark{txid: 1, index: 2, term: 3, snapshot: 4, votes: 5, sequence: 6}
	f.Add(m.encode())
	f.Add(append(make([]byte, slotSize), m.encode()...))
	f.Add([]byte("high"))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, ok := decodeMarks(file)
		if !ok {
			return
		}
		if got, ok := decodeMark(m.encode()); !ok || got != m {
			t.Errorf("got %+v, want %+v", got, m)
		}
	})
}

// FuzzOpenLog: a record passes only with the checksum that it got.
func FuzzOpenLog(f *testing.F) {
	whole := sealLog(record(1, 1))
	f.Add(uint64(1), whole.Data, whole.Extensions)
	f.Add(uint64(2), []byte(nil), []byte{sealVersion, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, index uint64, data, extensions []byte) {
		log := raft.Log{Index: index, Term: 1, Data: data, Extensions: extensions}
		if openLog(index, &log) != nil {
			return
		}
		again := sealLog(&log)
		if err := openLog(index, &again); err != nil {
			t.Errorf("sealed again: %v", err)
		}
		if _, err := openValue(data, sealValue(data, extensions)); err != nil {
			t.Errorf("value: %v", err)
		}
	})
}
