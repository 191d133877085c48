package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// mark is how far this node is known to have come: raft.db and the snapshots
// must be at least there. It lies in a file of its own, so that a raft.db
// that went back (an older copy, a damaged newest transaction, a write that
// the disk lost) is told from one that is whole.
//
// A mark is written after what it marks, and lowered before a legitimate
// retreat. A crash between the two leaves a mark that is too low, which is
// harmless; never one that is too high.
type mark struct {
	txid        uint64 // of raft.db's newest transaction
	index, term uint64 // of the last log record
	snapshot    uint64 // index of the newest snapshot
	votes       uint32 // digest of the stable values
	sequence    uint64 // of the mark itself
}

// The file has two slots, each in a block of its own, written in turns and in
// place: a torn write leaves the other slot, and a full disk does not matter.
const (
	highName   = "high"
	highMagic  = 0xCA7A1757
	slotSize   = 4096
	markLength = 4 + 5*8 + 4 + 4 // magic, five numbers, votes, checksum
)

var errNoMark = errors.New("neither of its two marks is valid")

func (m mark) encode() []byte {
	b := make([]byte, 0, markLength)
	b = binary.BigEndian.AppendUint32(b, highMagic)
	for _, n := range []uint64{m.sequence, m.txid, m.index, m.term, m.snapshot} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, m.votes)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeMark(b []byte) (m mark, ok bool) {
	if len(b) < markLength {
		return mark{}, false
	}
	b, sum := b[:markLength-4], binary.BigEndian.Uint32(b[markLength-4:])
	if binary.BigEndian.Uint32(b) != highMagic || crc32.Checksum(b, castagnoli) != sum {
		return mark{}, false
	}
	for i, n := range []*uint64{&m.sequence, &m.txid, &m.index, &m.term, &m.snapshot} {
		*n = binary.BigEndian.Uint64(b[4+8*i:])
	}
	m.votes = binary.BigEndian.Uint32(b[44:])
	return m, true
}

// decodeMarks returns the newer of the valid marks in a file.
func decodeMarks(file []byte) (newest mark, ok bool) {
	for at := 0; at < 2*slotSize && at < len(file); at += slotSize {
		if m, valid := decodeMark(file[at:]); valid && (!ok || m.sequence > newest.sequence) {
			newest, ok = m, true
		}
	}
	return newest, ok
}

// readHigh reads the mark of a directory. There is none (os.ErrNotExist)
// before the first Open.
func readHigh(dir string) (mark, error) {
	path := filepath.Join(dir, highName)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return mark{}, err
	}
	if err != nil {
		return mark{}, damaged(path, "cannot be read", err)
	}
	m, ok := decodeMarks(b)
	if !ok {
		return mark{}, damaged(path, "is damaged", errNoMark)
	}
	return m, nil
}

// createHigh makes the file whole or not at all.
func createHigh(dir string, m mark) error {
	path := filepath.Join(dir, highName)
	b := make([]byte, 2*slotSize)
	copy(b, m.encode())
	copy(b[slotSize:], m.encode())
	if err := writeSynced(path+".tmp", b); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := errors.Join(os.Rename(path+".tmp", path), syncDir(dir)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// high is the open file.
type high struct {
	f    *os.File
	last mark // what was written last
}

// openHigh opens the file to go on from the mark that was read from it. A new
// directory gets one.
func openHigh(dir string, last mark) (*high, error) {
	path := filepath.Join(dir, highName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := createHigh(dir, last); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &high{f: f, last: last}, nil
}

// write puts a mark on the disk, in the place of the last but one.
func (h *high) write(m mark) error {
	m.sequence = h.last.sequence + 1
	if _, err := h.f.WriteAt(m.encode(), int64(m.sequence%2)*slotSize); err != nil {
		return fmt.Errorf("write %s: %w", h.f.Name(), err)
	}
	if err := h.f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", h.f.Name(), err)
	}
	h.last = m
	return nil
}

// current says that a mark tells no more than the last one does.
func (h *high) current(m mark) bool {
	m.sequence = h.last.sequence
	return m == h.last
}

// writeSynced creates a file with its contents on the disk.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
