package storage

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Raft's file store keeps a snapshot as a directory of meta.json and
// state.bin, and has a checksum of the latter in the former. A third file
// here, seal, is a checksum of the former. Only a whole directory gets its
// final name.
const (
	snapshotDir = "snapshots"
	metaName    = "meta.json"
	stateName   = "state.bin"
	sealName    = "seal"
	unfinished  = ".tmp"
)

// snapshotMeta is what meta.json holds.
type snapshotMeta struct {
	raft.SnapshotMeta
	CRC []byte // CRC-64 (ECMA) of state.bin
}

func (m *snapshotMeta) position() position { return position{m.Index, m.Term} }

// seal is of what the file means, not of how it is written.
func (m *snapshotMeta) seal() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return seal(crc32.Checksum(b, castagnoli), nil), nil
}

// snapshotName is the name of a snapshot's directory taken apart. It tells
// the newest snapshot even when nothing in the directory can be read.
type snapshotName struct {
	id                 string
	term, index, stamp uint64
}

func parseSnapshotName(id string) (n snapshotName, ok bool) {
	n.id = id
	_, err := fmt.Sscanf(id, "%d-%d-%d", &n.term, &n.index, &n.stamp)
	return n, err == nil && id == fmt.Sprintf("%d-%d-%d", n.term, n.index, n.stamp)
}

func (n snapshotName) compare(o snapshotName) int {
	return cmp.Or(cmp.Compare(n.term, o.term), cmp.Compare(n.index, o.index), cmp.Compare(n.stamp, o.stamp))
}

// snapshotNames lists a directory's snapshots, newest first. There are none
// in a directory that is not there.
func snapshotNames(dir string) ([]snapshotName, error) {
	entries, err := os.ReadDir(filepath.Join(dir, snapshotDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []snapshotName
	for _, e := range entries {
		if n, ok := parseSnapshotName(e.Name()); ok && e.IsDir() {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(a, b snapshotName) int { return b.compare(a) })
	return names, nil
}

// readMetaFile returns a snapshot's meta.json, verified by its seal.
func readMetaFile(path string) (*snapshotMeta, error) {
	m, err := decodeMetaFile(filepath.Join(path, metaName))
	if err != nil {
		return nil, err
	}
	held, err := os.ReadFile(filepath.Join(path, sealName))
	if err != nil {
		return nil, err
	}
	want, err := m.seal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(held, want) || m.ID != filepath.Base(path) {
		return nil, fmt.Errorf("%s: %w", metaName, errChecksum)
	}
	return m, nil
}

func decodeMetaFile(path string) (*snapshotMeta, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &snapshotMeta{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", metaName, err)
	}
	return m, nil
}

// readSnapshot verifies a snapshot to its last byte.
func readSnapshot(path string) (*snapshotMeta, error) {
	m, err := readMetaFile(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(path, stateName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := newStateSum()
	size, err := io.Copy(sum, f)
	if err != nil {
		return nil, err
	}
	if size != m.Size || !bytes.Equal(sum.Sum(nil), m.CRC) {
		return nil, fmt.Errorf("%s: %w", stateName, errChecksum)
	}
	return m, nil
}

func newStateSum() hash.Hash64 { return crc64.New(crc64.MakeTable(crc64.ECMA)) }

// snapshots is Raft's file store with seals. It offers Raft only the newest
// snapshot: the log behind it is gone, so that an older one is no substitute.
type snapshots struct {
	path     string // of the directory of all
	files    *raft.FileSnapshotStore
	made     func() // told of a new one
	failures atomic.Uint64

	mu     sync.Mutex
	newest position
}

// openSnapshots verifies the snapshots that are kept, and clears away what a
// crash left of others.
func openSnapshots(dir string, keep int, log io.Writer) (*snapshots, error) {
	files, err := raft.NewFileSnapshotStore(dir, keep, log)
	if err != nil {
		return nil, fmt.Errorf("open snapshots in %s: %w", dir, err)
	}
	s := &snapshots{path: filepath.Join(dir, snapshotDir), files: files, made: func() {}}
	names, err := snapshotNames(dir)
	if err != nil {
		return nil, err
	}
	for i, n := range names {
		m, err := readSnapshot(filepath.Join(s.path, n.id))
		switch {
		case err == nil && i == 0:
			s.newest = m.position()
		case err == nil:
		case i >= keep: // its deletion had begun
			err = os.RemoveAll(filepath.Join(s.path, n.id))
		default:
			err = damaged(filepath.Join(s.path, n.id), "is damaged", err)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, s.removeUnfinished()
}

func (s *snapshots) removeUnfinished() error {
	paths, err := filepath.Glob(filepath.Join(s.path, "*"+unfinished))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func (s *snapshots) latest() position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// List implements raft.SnapshotStore.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	names, err := snapshotNames(filepath.Dir(s.path))
	if err != nil || len(names) == 0 {
		return nil, err
	}
	m, err := readMetaFile(filepath.Join(s.path, names[0].id))
	if err != nil {
		return nil, s.bad(names[0].id, err)
	}
	return []*raft.SnapshotMeta{&m.SnapshotMeta}, nil
}

// Open implements raft.SnapshotStore.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if _, err := readMetaFile(filepath.Join(s.path, id)); err != nil {
		return nil, nil, s.bad(id, err)
	}
	m, state, err := s.files.Open(id) // verifies the state
	if err != nil {
		return nil, nil, s.bad(id, err)
	}
	return m, state, nil
}

// bad is about a snapshot that cannot be read, unless there is none of the
// name.
func (s *snapshots) bad(id string, err error) error {
	path := filepath.Join(s.path, id)
	if _, gone := os.Stat(path); gone != nil {
		return gone
	}
	s.failures.Add(1)
	return damaged(path, "is damaged", err)
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	inner, err := s.files.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &sink{SnapshotSink: inner, snapshots: s, sum: newStateSum()}, nil
}

// sink seals a snapshot before Raft's store gives it its name.
type sink struct {
	raft.SnapshotSink
	snapshots *snapshots
	size      int64
	sum       hash.Hash64
	ended     bool
}

func (k *sink) Write(p []byte) (int, error) {
	n, err := k.SnapshotSink.Write(p)
	k.size += int64(n)
	_, _ = k.sum.Write(p[:n])
	return n, err
}

func (k *sink) Cancel() error {
	k.ended = true
	return k.SnapshotSink.Cancel()
}

func (k *sink) Close() error {
	if k.ended {
		return nil
	}
	k.ended = true
	path := filepath.Join(k.snapshots.path, k.ID())
	if err := k.seal(path + unfinished); err != nil {
		return errors.Join(fmt.Errorf("seal snapshot %s: %w", k.ID(), err), k.SnapshotSink.Cancel())
	}
	if err := k.SnapshotSink.Close(); err != nil {
		return err
	}
	// Now the seal speaks of a file that was not there yet.
	m, err := readMetaFile(path)
	if err != nil {
		return k.snapshots.bad(k.ID(), err)
	}
	k.snapshots.add(m.position())
	return nil
}

// seal takes the meta.json that the store wrote at the beginning, which lacks
// two things.
func (k *sink) seal(path string) error {
	m, err := decodeMetaFile(filepath.Join(path, metaName))
	if err != nil {
		return err
	}
	m.Size, m.CRC = k.size, k.sum.Sum(nil)
	b, err := m.seal()
	if err != nil {
		return err
	}
	return errors.Join(writeSynced(filepath.Join(path, sealName), b), syncDir(path))
}

func (s *snapshots) add(p position) {
	s.mu.Lock()
	if p.term > s.newest.term || p.term == s.newest.term && p.index > s.newest.index {
		s.newest = p
	}
	s.mu.Unlock()
	s.made()
}
