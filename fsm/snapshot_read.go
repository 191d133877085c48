package fsm

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// ReadSnapshot builds the table that WriteSnapshot wrote. The error says what
// is wrong with the data: not a snapshot, of another format, corrupted, or
// truncated, and where.
func ReadSnapshot(r io.Reader) (*Table, error) {
	t, _, err := readState(r)
	return t, err
}

func readState(r io.Reader) (*Table, uint64, error) {
	s := &snapshotReader{r: bufio.NewReaderSize(r, frameFull)}
	t, err := s.read()
	if err != nil {
		return nil, 0, fmt.Errorf("read snapshot: %w", err)
	}
	return t, s.header.applied, nil
}

// snapshotReader takes one frame after the other and hands their records to a
// loader.
type snapshotReader struct {
	r      *bufio.Reader
	offset int64 // of the next byte
	sum    uint32
	frame  []byte
	loader
}

func (s *snapshotReader) read() (*Table, error) {
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	for !s.ended {
		start := s.offset
		if err := s.nextFrame(); err != nil {
			return nil, fmt.Errorf("frame at byte %d: %w", start, err)
		}
		if err := s.load(s.frame); err != nil {
			return nil, fmt.Errorf("frame at byte %d: %w", start, err)
		}
	}
	if _, err := s.r.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("corrupted: more follows its end at byte %d", s.offset)
	}
	return s.table()
}

func (s *snapshotReader) checkFormat() error {
	var lead [len(snapshotMagic) + 1]byte
	if err := s.fill(lead[:]); err != nil {
		return err
	}
	if magic := string(lead[:len(snapshotMagic)]); magic != snapshotMagic {
		return fmt.Errorf("this is no Catalyst snapshot: it begins with %q, not %q", magic, snapshotMagic)
	}
	if format := lead[len(snapshotMagic)]; format != snapshotFormat {
		return fmt.Errorf("it has format %d, this build reads %d; use the build that wrote it, or a newer one", format, snapshotFormat)
	}
	return nil
}

func (s *snapshotReader) nextFrame() error {
	var head [frameHead]byte
	if err := s.fill(head[:]); err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(head[:])
	if size > frameMost {
		return fmt.Errorf("corrupted: a length of %d, the most is %d", size, frameMost)
	}
	if int(size) > cap(s.frame) {
		s.frame = make([]byte, size)
	}
	s.frame = s.frame[:size]
	if err := s.fill(s.frame); err != nil {
		return err
	}
	s.sum = crc32.Update(s.sum, castagnoli, s.frame)
	if want := binary.LittleEndian.Uint32(head[4:]); s.sum != want {
		return fmt.Errorf("corrupted: the checksum is %08x, not %08x", s.sum, want)
	}
	return nil
}

// fill reads all of b, and says of an early end how far the routes had come.
func (s *snapshotReader) fill(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.offset += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("truncated: it ends at byte %d, with %d of %d routes read",
			s.offset, len(s.local)+len(s.learned), s.header.local+s.header.learned)
	}
	return err
}

func decodeHeader(s *scanner) (h header) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			h.site = inner.text()
		case 2:
			h.as = uint32(inner.uint())
		case 3:
			h.epoch = inner.text()
		case 4:
			h.version = inner.uint()
		case 5:
			h.oldest = inner.uint()
		case 6:
			h.peersVersion = inner.uint()
		case 7:
			h.peers = inner.uint()
		case 8:
			h.local = inner.uint()
		case 9:
			h.learned = inner.uint()
		case 10:
			h.old = inner.uint()
		case 11:
			h.oldSince = int64(inner.uint())
		case 12:
			h.young = inner.uint()
		case 13:
			h.youngSince = int64(inner.uint())
		case 14:
			h.applied = inner.uint()
		case 15:
			h.heldBack = append(h.heldBack, strings.Clone(inner.text()))
		case 16:
			h.id = strings.Clone(inner.text())
		case 17:
			h.level = int(int64(inner.uint()))
		case 18:
			h.authority = readAuthority(&inner)
		case 19:
			h.gossipKeys = append(h.gossipKeys, strings.Clone(inner.text()))
		case 20:
			h.gossipKeysVersion = inner.uint()
		case 21:
			h.tokensVersion = inner.uint()
		case 22:
			h.tokens = inner.uint()
		case 23:
			h.members = inner.uint()
		case 24:
			h.audit = inner.uint()
		case 26:
			h.former = append(h.former, strings.Clone(inner.text()))
		case 25:
			h.expelled = append(h.expelled, strings.Clone(inner.text()))
		}
	}
	s.absorb(&inner)
	return h
}

// decodeRoute reads a route into its record; without a peer it is one of this
// site's own.
func (l *loader) decodeRoute(s *scanner) record {
	r := Route{Path: l.path[:0]}
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			r.Service = decodeService(&inner)
		case 2:
			r.CreatedAt = int64(inner.uint())
		case 3:
			r.ModifiedAt = int64(inner.uint())
		case 4:
			r.CreatedIndex = inner.uint()
		case 5:
			r.ModifiedIndex = inner.uint()
		case 6:
			r.Site = inner.text()
		case 7:
			r.Peer = inner.text()
		case 8:
			r.Path = append(r.Path, inner.text())
		case 9:
			r.Stale = inner.uint() != 0
		case 10:
			r.PeerVersion = inner.uint()
		}
	}
	s.absorb(&inner)
	for _, part := range [...]string{r.Service.Name, string(r.Service.Protocol), r.Site, r.Peer} {
		if strings.Contains(part, "\x00") { // it would end a part of the key
			s.fail(fmt.Errorf("corrupted: the name %s of a route", quote(part)))
		}
	}
	l.path = r.Path // for its room
	l.packed = r.pack(l.packed[:0])
	return record(l.packed)
}

func decodePeer(s *scanner) *peer {
	p := &peer{}
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			p.id = strings.Clone(inner.text())
		case 2:
			config := decodePeerConfig(&inner).clone()
			p.config = &config
		case 3:
			p.held.Epoch = strings.Clone(inner.text())
		case 4:
			p.held.Term = inner.uint()
		case 5:
			p.held.Version = inner.uint()
		case 6:
			p.held.Complete = inner.uint() != 0
		case 7:
			p.held.StaleSince = int64(inner.uint())
		case 8:
			p.held.Collector = inner.uint() != 0
		}
	}
	s.absorb(&inner)
	return p
}

func decodeRequest(s *scanner) (r request) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			r.id = inner.text()
		case 2:
			r.at = int64(inner.uint())
		case 3:
			r.outcome.Code = Code(inner.text())
		case 4:
			r.outcome.Message = inner.text()
		case 5:
			r.outcome.ID = inner.text()
		case 6:
			r.outcome.Index = inner.uint()
		case 7:
			r.outcome.Changed = inner.uint() != 0
		case 8:
			r.outcome.Malformed = int(inner.uint())
		case 9:
			r.outcome.Refused = int(inner.uint())
		}
	}
	s.absorb(&inner)
	return r
}

func readAuthority(s *scanner) authority {
	inner := s.message()
	a := decodeAuthority(&inner)
	s.absorb(&inner)
	return authority{strings.Clone(a.certificate), strings.Clone(a.key)}
}

func readMember(s *scanner) incarnation {
	inner := s.message()
	i := decodeIncarnation(&inner)
	s.absorb(&inner)
	return incarnation{strings.Clone(i.id), strings.Clone(i.instance)}
}

// readEntry shares the texts that most entries have in common.
func (l *loader) readEntry(s *scanner) (a AuditEntry) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			a.Index = inner.uint()
		case 2:
			a.At = int64(inner.uint())
		case 3:
			a.By = l.shared(inner.text())
		case 4:
			a.Action = l.shared(inner.text())
		case 5:
			a.ID = strings.Clone(inner.text())
		case 6:
			a.Detail = strings.Clone(inner.text())
		}
	}
	s.absorb(&inner)
	return a
}

func (l *loader) shared(text string) string {
	own, known := l.texts[text]
	if !known {
		own = strings.Clone(text)
		l.texts[own] = own
	}
	return own
}
