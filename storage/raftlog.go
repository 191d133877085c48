package storage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// What follows is what Raft asks of a Store: its log, then its votes.

// FirstIndex implements raft.LogStore.
func (s *Store) FirstIndex() (index uint64, err error) {
	err = s.ledger.guarded("read the first index", func() (err error) {
		index, err = s.ledger.bolt.FirstIndex()
		return err
	})
	return index, err
}

// LastIndex implements raft.LogStore.
func (s *Store) LastIndex() (index uint64, err error) {
	err = s.ledger.guarded("read the last index", func() (err error) {
		index, err = s.ledger.bolt.LastIndex()
		return err
	})
	return index, err
}

// GetLog implements raft.LogStore. A record that is not what was stored is a
// *Damage.
func (s *Store) GetLog(index uint64, log *raft.Log) error {
	held, err := s.ledger.get(index)
	if err == nil {
		*log = held
	}
	return err
}

// IsMonotonic asks Raft to delete the whole log when a snapshot overtakes it,
// instead of leaving a gap that could not be told from lost records.
func (s *Store) IsMonotonic() bool { return true }

// StoreLog implements raft.LogStore.
func (s *Store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. Each record follows the one before.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	sealed := make([]raft.Log, len(logs))
	pointers := make([]*raft.Log, len(logs))
	for i, log := range logs {
		if err := s.follows(log.Index, i, logs[0].Index); err != nil {
			return err
		}
		sealed[i] = sealLog(log)
		pointers[i] = &sealed[i]
	}
	err := s.ledger.write("store records", func() error { return s.ledger.bolt.StoreLogs(pointers) })
	if err != nil {
		return err
	}
	end := logs[len(logs)-1]
	s.last = position{end.Index, end.Term}
	return nil
}

// follows says whether the i-th record of a batch belongs at the end of the
// log. A log that is empty may begin where the newest snapshot ends, or
// before.
func (s *Store) follows(index uint64, i int, first uint64) error {
	snapshot := s.snapshots.latest().index
	switch {
	case i > 0 && index != first+uint64(i):
	case s.last.index == 0 && first > snapshot+1:
	case s.last.index != 0 && first != s.last.index+1:
	default:
		return nil
	}
	return fmt.Errorf("%s: store record %d after record %d and snapshot %d", s.ledger.path, index, s.last.index, snapshot)
}

// DeleteRange implements raft.LogStore: Raft deletes records that a snapshot
// holds at the beginning of the log, and at its end those that a new leader
// overrules.
func (s *Store) DeleteRange(from, to uint64) error {
	s.marking.Lock()
	defer s.marking.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	last := s.last
	if to >= last.index && from <= last.index {
		var err error
		if last, err = s.retreat(from); err != nil {
			return err
		}
	}
	err := s.ledger.write("delete records", func() error { return s.ledger.bolt.DeleteRange(from, to) })
	if err == nil {
		s.last = last
	}
	return err
}

// retreat lowers the mark to where the log will end when it is cut off at
// from, before that is done.
func (s *Store) retreat(from uint64) (position, error) {
	var last position
	log, err := s.ledger.get(from - 1)
	switch {
	case err == nil:
		last = position{log.Index, log.Term}
	case !errors.Is(err, raft.ErrLogNotFound): // else nothing is left
		return last, err
	}
	m, err := s.reachedLocked()
	if err != nil {
		return last, err
	}
	m.index, m.term = last.index, last.term
	return last, s.high.write(m)
}

// Set implements raft.StableStore. What was set is marked before it returns:
// a vote must not be given twice.
func (s *Store) Set(key, value []byte) error {
	if err := s.set(key, sealValue(key, value)); err != nil {
		return err
	}
	return s.mark()
}

func (s *Store) set(key, sealed []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.ledger.write("store "+string(key), func() error { return s.ledger.bolt.Set(key, sealed) })
	if err == nil {
		s.values[string(key)] = sealed
	}
	return err
}

// Get implements raft.StableStore. What was never set is an error of the text
// "not found", by which Raft knows it.
func (s *Store) Get(key []byte) ([]byte, error) { return s.ledger.value(key) }

// SetUint64 implements raft.StableStore.
func (s *Store) SetUint64(key []byte, n uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, n))
}

// GetUint64 implements raft.StableStore.
func (s *Store) GetUint64(key []byte) (uint64, error) { return s.ledger.number(key) }
