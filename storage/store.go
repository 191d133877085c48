// Package storage keeps Raft's log, votes and snapshots on a disk that may
// lie. Everything is verified before Raft sees it: a damaged, lost or older
// file is a *Damage, never a wrong record and never a crash. It knows nothing
// of what the records mean.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

const boltName = "raft.db"

// Options may be left zero.
type Options struct {
	Snapshots   int           // how many to keep; 2
	Log         io.Writer     // lines of Raft's snapshot store; discarded
	LockTimeout time.Duration // how long another process may hold the directory; 2 s
	MarkEvery   time.Duration // how far the mark may lag behind the log; 1 s
	maxSize     int           // of raft.db in bytes, a full disk in tests
}

func (o Options) withDefaults() Options {
	if o.Snapshots == 0 {
		o.Snapshots = 2
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 2 * time.Second
	}
	if o.MarkEvery == 0 {
		o.MarkEvery = time.Second
	}
	return o
}

// Store is one node's Raft directory: a raft.LogStore, a raft.StableStore and
// by way of Snapshots a raft.SnapshotStore.
type Store struct {
	dir       string
	ledger    *ledger
	snapshots *snapshots

	// marking is held while a mark is made and written. It is taken before
	// writing, and never while a record waits.
	marking sync.Mutex
	high    *high

	// writing is held through every write to raft.db.
	writing sync.Mutex
	last    position          // the last record; zero when there is none
	values  map[string][]byte // stable values, sealed

	end    context.CancelFunc // of keepMark
	keeper sync.WaitGroup
}

// position is a place in the log.
type position struct{ index, term uint64 }

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
	_ raft.StableStore       = (*Store)(nil)
)

// Open opens a Raft directory, or makes a new one, and reads all of it. What
// is not as this node left it is a *Damage.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := expectLog(dir); err != nil {
		return nil, err
	}
	s := &Store{dir: dir}
	bolt := bbolt.Options{Timeout: o.LockTimeout, MaxSize: o.maxSize}
	var m mark
	var err error
	s.ledger, err = openLedger(filepath.Join(dir, boltName), bolt, func(found *layout) error {
		// From here on no other process writes.
		if s.snapshots, err = openSnapshots(dir, o.Snapshots, o.Log); err != nil {
			return err
		}
		m, err = verifyMark(dir, found, s.snapshots.newest)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.snapshots.made = s.snapshotMade
	if err := s.start(m, o.MarkEvery); err != nil {
		return nil, errors.Join(err, s.ledger.close())
	}
	return s, nil
}

// expectLog refuses to make a new log where there was one.
func expectLog(dir string) error {
	file := filepath.Join(dir, boltName)
	_, err := os.Stat(file)
	_, marked := os.Stat(filepath.Join(dir, highName))
	if errors.Is(err, os.ErrNotExist) && marked == nil {
		return damaged(file, "is missing", nil)
	}
	return nil
}

// verifyMark compares what is there with what was known to be there. There is
// no mark in a directory in which nothing was ever written.
func verifyMark(dir string, found *layout, newest position) (mark, error) {
	file, snapshotFiles := filepath.Join(dir, boltName), filepath.Join(dir, snapshotDir)
	m, err := readHigh(dir)
	if errors.Is(err, os.ErrNotExist) && found.fresh() && newest.index == 0 {
		return mark{}, nil
	}
	if errors.Is(err, os.ErrNotExist) {
		return m, damaged(filepath.Join(dir, highName), "is missing beside a log that is not empty", errors.New("it was deleted, or an older version of catalyst wrote the log"))
	}
	reached := max(found.last, newest.index)
	switch {
	case err != nil:
		return m, err
	case newest.index < m.snapshot:
		return m, damaged(snapshotFiles, fmt.Sprintf("has lost the snapshot of record %d", m.snapshot), nil)
	case reached < m.index:
		return m, lost(file, reached+1, m.index)
	case found.txid < m.txid:
		return m, damaged(file, fmt.Sprintf("is older than it was: it is at transaction %d and was at %d, so that votes may be lost", found.txid, m.txid), nil)
	case found.txid == m.txid && digest(found.values) != m.votes:
		return m, damaged(file, "has lost a vote or a term", nil)
	case found.first > newest.index+1:
		return m, damaged(snapshotFiles, fmt.Sprintf("has no snapshot of record %d, and the log begins after it", found.first-1), nil)
	}
	return m, nil
}

// start reads every record, and begins to keep the mark.
func (s *Store) start(m mark, every time.Duration) error {
	s.values = maps.Clone(s.ledger.found.values)
	if s.values == nil {
		s.values = map[string][]byte{}
	}
	err := s.ledger.scrub(func(log *raft.Log) bool {
		s.last = position{log.Index, log.Term}
		return true
	})
	if err != nil {
		return err
	}
	if err := s.ledger.verifyTerm(m); err != nil {
		return err
	}
	if s.high, err = openHigh(s.dir, m); err != nil {
		return err
	}
	if err := errors.Join(s.forgetOvertaken(), s.mark()); err != nil {
		return errors.Join(err, s.high.f.Close())
	}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.keeper.Go(func() { s.keepMark(ctx, every) }) // Close joins it
	return nil
}

// forgetOvertaken deletes a log that ends before the newest snapshot. Raft
// does so itself when it takes over a leader's snapshot, and may have died on
// the way.
func (s *Store) forgetOvertaken() error {
	if s.last.index == 0 || s.last.index >= s.snapshots.newest.index {
		return nil
	}
	return s.DeleteRange(s.ledger.found.first, s.last.index)
}

// Snapshots is where Raft keeps its snapshots.
func (s *Store) Snapshots() raft.SnapshotStore { return s.snapshots }

// Stats are bbolt's.
func (s *Store) Stats() bbolt.Stats { return s.ledger.bolt.Stats() }

// ChecksumFailures counts the records, values and snapshots that were read
// and were not what had been written.
func (s *Store) ChecksumFailures() uint64 {
	return s.ledger.failures.Load() + s.snapshots.failures.Load()
}

// Close writes the mark and closes the files. It waits for reads and writes
// that are under way.
func (s *Store) Close() error {
	s.end()
	s.keeper.Wait()
	err := s.writeMark()
	if err == nil {
		err = s.writeMark() // in both slots
	}
	return errors.Join(err, s.high.f.Close(), s.ledger.close())
}

// keepMark lets the mark follow the log, so that no record waits for it.
func (s *Store) keepMark(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			// Until it can be written the old mark holds, which only sees
			// less. Close and the next vote say what is wrong.
			_ = s.mark()
		}
	}
}

// mark writes how far this node has come, unless that is written already.
func (s *Store) mark() error {
	s.marking.Lock()
	defer s.marking.Unlock()
	m, err := s.reached()
	if err != nil || s.high.current(m) {
		return err
	}
	return s.high.write(m)
}

func (s *Store) writeMark() error {
	s.marking.Lock()
	defer s.marking.Unlock()
	m, err := s.reached()
	if err != nil {
		return err
	}
	return s.high.write(m)
}

// reached is a mark of what is on the disk now.
func (s *Store) reached() (mark, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.reachedLocked()
}

func (s *Store) reachedLocked() (mark, error) {
	txid, err := s.ledger.txid()
	if err != nil {
		return mark{}, err
	}
	return mark{txid: txid, index: s.last.index, term: s.last.term, snapshot: s.snapshots.latest().index, votes: digest(s.values)}, nil
}

// snapshotMade marks a new snapshot. That it is not marked yet is no reason
// for it to fail.
func (s *Store) snapshotMade() { _ = s.mark() }
