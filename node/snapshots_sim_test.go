package node

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// shelf keeps a simulated machine's snapshots as a disk would: one is there when
// it is whole, and the newest is the one that goes furthest. Raft's own store in
// memory takes what was begun last for the newest, whole or not.
type shelf struct {
	mu    sync.Mutex
	whole []*snapshotOnShelf // the newest first
}

const shelved = 2

type snapshotOnShelf struct {
	shelf *shelf
	meta  raft.SnapshotMeta
	bytes.Buffer
}

func (s *shelf) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	id := fmt.Sprintf("%d-%d", term, index)
	return &snapshotOnShelf{shelf: s, meta: raft.SnapshotMeta{Version: version, ID: id, Index: index, Term: term, Configuration: c, ConfigurationIndex: at}}, nil
}

func (s *shelf) List() (all []*raft.SnapshotMeta, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.whole {
		meta := one.meta
		all = append(all, &meta)
	}
	return all, nil
}

func (s *shelf) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.whole {
		if one.meta.ID == id {
			meta := one.meta
			return &meta, io.NopCloser(bytes.NewReader(one.Bytes())), nil
		}
	}
	return nil, nil, fmt.Errorf("there is no snapshot %s", id)
}

func (s *snapshotOnShelf) ID() string    { return s.meta.ID }
func (s *snapshotOnShelf) Cancel() error { return nil }

func (s *snapshotOnShelf) Close() error {
	s.shelf.mu.Lock()
	defer s.shelf.mu.Unlock()
	s.meta.Size = int64(s.Len())
	all := slices.DeleteFunc(s.shelf.whole, func(o *snapshotOnShelf) bool { return o.meta.ID == s.meta.ID })
	all = append(all, s)
	slices.SortFunc(all, func(a, b *snapshotOnShelf) int {
		return cmp.Or(cmp.Compare(b.meta.Term, a.meta.Term), cmp.Compare(b.meta.Index, a.meta.Index))
	})
	s.shelf.whole = all[:min(len(all), shelved)]
	return nil
}
