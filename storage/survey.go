package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// Report is what a stopped node's Raft directory holds. Damage is what is
// wrong with it; the rest is what could be read in spite of that.
type Report struct {
	Dir         string
	First, Last uint64 // indexes of the log's records; 0: it is empty
	LastTerm    uint64 // of the last record

	// What the node voted, and the newest term that it knew.
	CurrentTerm uint64
	VoteTerm    uint64
	VotedFor    string

	Snapshots []raft.SnapshotMeta // newest first

	// The newest configuration in log or snapshot, committed or not.
	Configuration      raft.Configuration
	ConfigurationIndex uint64

	Damage []*Damage
}

// The keys of Raft's stable values.
var (
	keyCurrentTerm = []byte("CurrentTerm")
	keyVoteTerm    = []byte("LastVoteTerm")
	keyVotedFor    = []byte("LastVoteCand")
)

// Survey looks at the Raft directory of a stopped node, and changes nothing
// there. It fails when there is none, or the node is running.
func Survey(dir string) (Report, error) {
	r := Report{Dir: dir}
	if _, err := os.Stat(dir); err != nil {
		return r, err
	}
	newest, err := r.surveySnapshots()
	if err != nil {
		return r, err
	}
	var m mark
	l, err := r.open(func(found *layout) (err error) {
		r.First, r.Last = found.first, found.last
		m, err = verifyMark(dir, found, newest)
		return r.note(err)
	})
	if err := r.note(err); err != nil || l == nil {
		return r, err
	}
	return r, errors.Join(r.note(r.surveyLog(l)), r.note(l.verifyTerm(m)), l.close())
}

// Entries calls yield with each record of the log, oldest first, until it
// returns false. It fails at the first one that is damaged.
func (r Report) Entries(yield func(*raft.Log) bool) error {
	l, err := r.open(func(*layout) error { return nil })
	if err != nil {
		return err
	}
	return errors.Join(l.scrub(yield), l.close())
}

// open opens the log for reading.
func (r Report) open(accept func(*layout) error) (*ledger, error) {
	path := filepath.Join(r.Dir, boltName)
	info, err := os.Stat(path)
	if err != nil || info.Size() == 0 { // bbolt would try to fill it
		return nil, damaged(path, "is missing", err)
	}
	return openLedger(path, bbolt.Options{ReadOnly: true}, accept)
}

// note takes in damage. Other errors are the caller's.
func (r *Report) note(err error) error {
	var d *Damage
	if !errors.As(err, &d) {
		return err
	}
	r.Damage = append(r.Damage, d)
	return nil
}

func (r *Report) surveySnapshots() (newest position, err error) {
	names, err := snapshotNames(r.Dir)
	if err != nil {
		return newest, err
	}
	for i, n := range names {
		if i == 0 {
			newest = position{n.index, n.term}
		}
		path := filepath.Join(r.Dir, snapshotDir, n.id)
		m, err := readSnapshot(path)
		if err != nil {
			r.Damage = append(r.Damage, damaged(path, "is damaged", err))
			continue
		}
		r.Snapshots = append(r.Snapshots, m.SnapshotMeta)
		if i == 0 {
			r.Configuration, r.ConfigurationIndex = m.Configuration, m.ConfigurationIndex
		}
	}
	return newest, nil
}

func (r *Report) surveyLog(l *ledger) error {
	var err error
	if r.CurrentTerm, err = set(l.number(keyCurrentTerm)); err != nil {
		return err
	}
	if r.VoteTerm, err = set(l.number(keyVoteTerm)); err != nil {
		return err
	}
	candidate, err := set(l.value(keyVotedFor))
	if err != nil {
		return err
	}
	r.VotedFor = string(candidate)
	var undecodable error
	err = l.scrub(func(log *raft.Log) bool {
		r.LastTerm = log.Term
		if log.Type == raft.LogConfiguration && log.Index > r.ConfigurationIndex {
			undecodable = r.configured(log)
		}
		return undecodable == nil
	})
	return errors.Join(err, undecodable)
}

// set is a stable value, zero when it was never set.
func set[V any](v V, err error) (V, error) {
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		err = nil
	}
	return v, err
}

// configured reads a configuration. Raft panics on one that it cannot decode.
func (r *Report) configured(log *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("record %d: configuration: %v", log.Index, p)
		}
	}()
	r.Configuration, r.ConfigurationIndex = raft.DecodeConfiguration(log.Data), log.Index
	return nil
}
