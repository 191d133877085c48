package storage

import (
	"bytes"
	"hash/fnv"
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

// edited applies edits to a file: two bytes of offset and one of value each.
// The meta pages get their checksums again, so that a fuzzer comes past them.
func edited(file, edits []byte) []byte {
	file = bytes.Clone(file)
	for ; len(edits) >= 3; edits = edits[3:] {
		file[(int(edits[0])<<8|int(edits[1]))%len(file)] = edits[2]
	}
	for _, at := range []int{0, minPageSize} {
		m := file[at+pageHeader:][:metaLength]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:metaLength-8])
		native.PutUint64(m[metaLength-8:], sum.Sum64())
	}
	return file
}

// FuzzTheWalk: no file makes the walk panic or read for ever, and what it
// lets pass bbolt can read.
func FuzzTheWalk(f *testing.F) {
	files := [][]byte{small(f, 0), small(f, 3), small(f, 30)}
	for which, file := range files {
		m, _, err := newestMeta(bytes.NewReader(file))
		must(f, err)
		newest := m.txid % 2 * m.pageSize
		f.Add(byte(which), []byte{})
		for _, at := range []uint64{newest + 32, newest + 48, newest + 56, newest + 64, m.root * m.pageSize, m.root*m.pageSize + 10, m.freelist*m.pageSize + 10} {
			f.Add(byte(which), []byte{byte(at >> 8), byte(at), 2})
		}
	}
	f.Fuzz(func(t *testing.T, which byte, edits []byte) {
		file := edited(files[int(which)%len(files)], edits)
		l, err := readLayout(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), boltName)
		must(t, os.WriteFile(path, file, 0o600))
		// The check wants a sound header of a torn meta page too; use does not.
		if err := checkedByBolt(t, path); err != nil && !l.torn {
			t.Fatalf("bbolt's own check finds what the walk lets pass: %v", err)
		}
		ledger, err := openLedger(path, bbolt.Options{}, func(*layout) error { return nil })
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

// small is a raft.db with some records, of few and short pages: a fuzzer gets
// no further in long files.
func small(t testing.TB, logs uint64) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), boltName)
	l, err := openLedger(path, bbolt.Options{PageSize: minPageSize}, func(*layout) error { return nil })
	must(t, err)
	for _, log := range records(1, logs, 1) {
		log.Data = log.Data[:40]
		sealed := sealLog(log)
		must(t, l.bolt.StoreLog(&sealed))
	}
	must(t, l.bolt.Set(keyCurrentTerm, sealValue(keyCurrentTerm, []byte{1})))
	m, _, err := newestMeta(l.f)
	must(t, err)
	b := make([]byte, m.pages*m.pageSize)
	_, err = l.f.ReadAt(b, 0)
	must(t, err)
	must(t, l.close())
	return b
}
