package node

import (
	"errors"

	"github.com/hashicorp/raft"
)

// seam is Raft's log where it adjoins a snapshot: it knows the term of the entry
// that the snapshot ends with. A follower of Raft's (hashicorp/raft 1.8.0) looks
// for that entry in its log alone once the log goes on behind the snapshot. A
// leader that did not hear the answer to its first append would be refused the
// second time, and send the same snapshot again: a monotonic log loses then what
// it had acknowledged, and with another the two go on like that without a pause.
type seam struct {
	raft.LogStore
	snapshots raft.SnapshotStore
}

// IsMonotonic is what the log beneath says.
func (s *seam) IsMonotonic() bool {
	m, ok := s.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// GetLog also gets the entry before the first, without what was in it. Nobody
// takes that for the entry itself: who sends it must have the one before.
func (s *seam) GetLog(index uint64, entry *raft.Log) error {
	err := s.LogStore.GetLog(index, entry)
	if !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	first, e := s.LogStore.FirstIndex()
	if e != nil || index < 2 || index+1 != first {
		return err
	}
	all, e := s.snapshots.List()
	if e != nil {
		return err
	}
	for _, meta := range all {
		if meta.Index == index {
			*entry = raft.Log{Index: index, Term: meta.Term, Type: raft.LogNoop}
			return nil
		}
	}
	return err
}
