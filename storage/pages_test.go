package storage

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// layoutOf verifies a store's file while nothing is written to it.
func layoutOf(t testing.TB, path string) *layout {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	l, err := readLayout(f, info.Size())
	must(t, err)
	return l
}

// checkedByBolt has bbolt look for what is wrong with a file.
func checkedByBolt(t testing.TB, path string) (found error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	must(t, err)
	defer db.Close()
	must(t, db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			found = err
		}
		return nil
	}))
	return found
}

// Whatever bbolt makes of its pages in healthy use, the walk finds in order:
// through growth, overflow, lists of free pages, merges and an empty log.
func TestAHealthyFileIsAlwaysInOrder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, boltName)
	s := open(t, dir)
	r := rand.New(rand.NewPCG(4, 5))
	first, last := uint64(1), uint64(0)
	for round := range 150 {
		switch {
		case last < first || r.IntN(3) > 0:
			logs := records(last+1, last+1+uint64(r.IntN(120)), 1)
			if r.IntN(4) == 0 {
				logs[0].Data = make([]byte, r.IntN(20_000))
			}
			must(t, s.StoreLogs(logs))
			last += uint64(len(logs))
		case r.IntN(8) == 0: // all of it
			snapshot(t, s, last, 1, "state")
			must(t, s.DeleteRange(first, last))
			first = last + 1
		case r.IntN(2) == 0: // from the end
			from := first + r.Uint64N(last-first+1)
			must(t, s.DeleteRange(from, last))
			last = from - 1
			if last < first {
				first, last = 1, 0
				if n := s.snapshots.latest().index; n > 0 {
					first, last = n+1, n
				}
			}
		default: // from the beginning
			snapshot(t, s, last, 1, "state")
			to := first + r.Uint64N(last-first+1)
			must(t, s.DeleteRange(first, to))
			first = to + 1
		}
		l := layoutOf(t, path)
		if last < first && l.last == 0 {
			continue
		}
		if l.first != first || l.last != last {
			t.Fatalf("round %d: got records %d..%d, want %d..%d", round, l.first, l.last, first, last)
		}
	}
	must(t, s.Close())
	if err := checkedByBolt(t, path); err != nil {
		t.Errorf("bbolt: %v", err)
	}
}

// A file that only another program could have made.
func TestForeignFilesAreRefused(t *testing.T) {
	for name, fill := range map[string]func(*bbolt.Tx) error{
		"another bucket": func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("routes"))
			return err
		},
		"a bucket in a bucket": func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("logs"))
			if err == nil {
				_, err = b.CreateBucket([]byte("12345678"))
			}
			if err == nil {
				_, err = tx.CreateBucket([]byte("conf"))
			}
			return err
		},
		"records of no index": func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("logs"))
			if err == nil {
				err = b.Put([]byte("one"), []byte("record"))
			}
			if err == nil {
				_, err = tx.CreateBucket([]byte("conf"))
			}
			return err
		},
	} {
		dir := t.TempDir()
		db, err := bbolt.Open(filepath.Join(dir, boltName), 0o600, nil)
		must(t, err)
		must(t, db.Update(fill))
		must(t, db.Close())
		t.Log(name)
		refused(t, dir, "is damaged")
	}
}

// FuzzTheWalk: no file makes the walk panic or read for ever, and what it
// lets pass bbolt can read.
func FuzzTheWalk(f *testing.F) {
	for _, logs := range []uint64{0, 3, 40} {
		f.Add(small(f, logs))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		l, err := readLayout(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, boltName), file, 0o600))
		ledger, err := openLedger(filepath.Join(dir, boltName), bbolt.Options{}, func(*layout) error { return nil })
		if err != nil {
			t.Fatalf("bbolt refuses what the walk lets pass: %v", err)
		}
		defer ledger.close()
		for index := l.first; index != 0 && index <= l.last; index++ {
			if _, err := ledger.get(index); err != nil && !IsDamage(err) {
				t.Fatalf("record %d: %v", index, err)
			}
		}
		if d := ledger.broken.Load(); d != nil {
			t.Fatalf("bbolt breaks on what the walk lets pass: %v", d)
		}
	})
}

// small is a raft.db with some records, cut to the pages that it uses, of
// which there are few: a fuzzer gets no further in long ones.
func small(t testing.TB, logs uint64) []byte {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	for _, log := range records(1, logs, 1) {
		log.Data = log.Data[:40]
		must(t, s.StoreLog(log))
	}
	must(t, s.SetUint64(keyCurrentTerm, 1))
	must(t, s.Close())
	f, err := os.Open(filepath.Join(dir, boltName))
	must(t, err)
	defer f.Close()
	m, _, err := newestMeta(f)
	must(t, err)
	b, err := io.ReadAll(io.LimitReader(f, int64(m.pages*m.pageSize)))
	must(t, err)
	return b
}
