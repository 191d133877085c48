package fsm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"

	"google.golang.org/protobuf/encoding/protowire"
)

// A snapshot is the magic, a format number, then frames: length, checksum,
// payload. The checksum (CRC-32C) covers all payloads up to and with its own,
// so a frame that is missing, doubled or moved shows like one that is broken.
// A payload is a run of records, each a field in protobuf's wire format; the
// field number tells its kind. The first record is the header, the last the
// end. Equal tables give equal bytes.
const (
	snapshotMagic  = "catalyst"
	snapshotFormat = 1
	frameHead      = 8        // bytes: length and checksum
	frameFull      = 64 << 10 // a frame ends with the record that passes this
	frameMost      = 1 << 20  // no record is near this; a longer frame is garbage
)

const (
	recordHeader  protowire.Number = 1
	recordPeer    protowire.Number = 2
	recordLocal   protowire.Number = 3
	recordLearned protowire.Number = 4
	recordChange  protowire.Number = 5
	recordRequest protowire.Number = 6
	recordEnd     protowire.Number = 7
	recordToken   protowire.Number = 8
	recordMember  protowire.Number = 9
	recordAudit   protowire.Number = 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WriteSnapshot streams the table to w. It needs no memory but one frame, and
// may run for as long as it likes: a table never changes.
func WriteSnapshot(w io.Writer, t *Table) error { return writeState(w, t, 0) }

// writeState adds the Raft index that the table reaches; 0 for none.
func writeState(w io.Writer, t *Table, applied uint64) error {
	s := &snapshotWriter{w: w}
	s.begin()
	s.record(recordHeader, headerOf(t, applied).encode)
	for p := range t.peers.all() {
		s.record(recordPeer, p.encode)
	}
	var route Route // for one after the other
	for r := range t.local.all() {
		t.unpack(r, &route)
		s.record(recordLocal, route.encode)
	}
	for r := range t.learned.all() {
		t.unpack(r, &route)
		s.record(recordLearned, route.encode)
	}
	s.changes(t)
	for r := range t.memory.all() {
		s.record(recordRequest, r.encode)
	}
	for token := range t.tokens.all() {
		s.record(recordToken, token.encode)
	}
	for member := range t.members.all() {
		s.record(recordMember, member.encode)
	}
	for _, entry := range t.trail.from(t.trail.first) {
		s.record(recordAudit, entry.encode)
	}
	s.record(recordEnd, func(b []byte) []byte { return appendUint(b, 1, s.records) })
	s.flush()
	if s.err != nil {
		return fmt.Errorf("write snapshot: %w", s.err)
	}
	return nil
}

// snapshotWriter gathers records into frames. After an error it does nothing.
type snapshotWriter struct {
	w       io.Writer
	frame   []byte
	sum     uint32
	records uint64
	err     error
}

func (s *snapshotWriter) begin() {
	s.frame = make([]byte, frameHead, frameFull+frameFull/4)
	_, s.err = s.w.Write(append([]byte(snapshotMagic), snapshotFormat))
}

func (s *snapshotWriter) record(kind protowire.Number, body func([]byte) []byte) {
	if s.err != nil {
		return
	}
	s.frame = appendMessage(s.frame, kind, body)
	s.records++
	if len(s.frame) >= frameFull {
		s.flush()
	}
}

func (s *snapshotWriter) flush() {
	if s.err != nil || len(s.frame) == frameHead {
		return
	}
	payload := s.frame[frameHead:]
	s.sum = crc32.Update(s.sum, castagnoli, payload)
	binary.LittleEndian.PutUint32(s.frame, uint32(len(payload)))
	binary.LittleEndian.PutUint32(s.frame[4:], s.sum)
	_, s.err = s.w.Write(s.frame)
	s.frame = s.frame[:frameHead]
	runtime.Gosched() // on a busy machine a command waits for one frame, not for a time slice
}

// changes writes of the history only what the routes themselves do not tell:
// a route that stands in the table as a change left it is not written twice.
func (s *snapshotWriter) changes(t *Table) {
	var route Route
	for index, c := range t.history.from(t.history.first) {
		if c.record == "" || !c.deleted && t.holds(c.record) {
			continue
		}
		t.unpack(c.record, &route)
		s.record(recordChange, func(b []byte) []byte {
			b = appendUint(b, 1, index)
			b = appendBool(b, 2, c.deleted)
			return appendMessage(b, 3, route.encode)
		})
	}
}

// holds tells whether the table's route under this key is this very state.
func (t *Table) holds(r record) bool {
	tree := t.local
	if r.head().peer != "" {
		tree = t.learned
	}
	current, ok := tree.get(r.key())
	return ok && current == r
}

// header opens a snapshot. Its counts let a reader say what is missing.
type header struct {
	site                          string
	as                            uint32
	epoch                         string
	version, oldest, peersVersion uint64
	peers, local, learned         uint64
	old, young                    uint64 // requests of each generation
	oldSince, youngSince          int64
	applied                       uint64
	heldBack, expelled, former    []string

	id                               string
	level                            int // 0 for 1: such a snapshot has the bytes that older builds give it
	authority                        authority
	gossipKeys                       []string
	gossipKeysVersion, tokensVersion uint64
	tokens, members, audit           uint64
}

func headerOf(t *Table, applied uint64) header {
	h := header{
		site: t.site, as: t.as, epoch: t.epoch,
		version: t.version, oldest: t.oldest(), peersVersion: t.peersVersion,
		peers: uint64(t.peers.len), local: uint64(t.local.len), learned: uint64(t.learned.len),
		old: uint64(t.memory.old.requests.len), oldSince: t.memory.old.since,
		young: uint64(t.memory.young.requests.len), youngSince: t.memory.young.since,
		applied: applied, heldBack: t.heldBack, expelled: t.expelled, former: t.former,
		id: t.id, authority: t.authority, gossipKeys: t.gossipKeys,
		gossipKeysVersion: t.gossipKeysVersion, tokensVersion: t.tokensVersion,
		tokens: uint64(t.tokens.len), members: uint64(t.members.len), audit: uint64(t.trail.len()),
	}
	if t.level > 1 {
		h.level = t.level
	}
	return h
}

func (h header) encode(b []byte) []byte {
	b = appendText(b, 1, h.site)
	b = appendUint(b, 2, uint64(h.as))
	b = appendText(b, 3, h.epoch)
	b = appendUint(b, 4, h.version)
	b = appendUint(b, 5, h.oldest)
	b = appendUint(b, 6, h.peersVersion)
	b = appendUint(b, 7, h.peers)
	b = appendUint(b, 8, h.local)
	b = appendUint(b, 9, h.learned)
	b = appendUint(b, 10, h.old)
	b = appendUint(b, 11, uint64(h.oldSince))
	b = appendUint(b, 12, h.young)
	b = appendUint(b, 13, uint64(h.youngSince))
	b = appendUint(b, 14, h.applied)
	b = appendTexts(b, 15, h.heldBack)
	b = appendText(b, 16, h.id)
	b = appendUint(b, 17, uint64(h.level))
	if h.authority != (authority{}) {
		b = appendMessage(b, 18, h.authority.encode)
	}
	b = appendTexts(b, 19, h.gossipKeys)
	b = appendUint(b, 20, h.gossipKeysVersion)
	b = appendUint(b, 21, h.tokensVersion)
	b = appendUint(b, 22, h.tokens)
	b = appendUint(b, 23, h.members)
	b = appendUint(b, 24, h.audit)
	b = appendTexts(b, 25, h.expelled)
	return appendTexts(b, 26, h.former)
}

// encode leaves out what an own route has from its table.
func (r *Route) encode(b []byte) []byte {
	b = appendMessage(b, 1, r.Service.encode)
	b = appendUint(b, 2, uint64(r.CreatedAt))
	b = appendUint(b, 3, uint64(r.ModifiedAt))
	b = appendUint(b, 4, r.CreatedIndex)
	b = appendUint(b, 5, r.ModifiedIndex)
	if r.Local() {
		return b
	}
	b = appendText(b, 6, r.Site)
	b = appendText(b, 7, r.Peer)
	b = appendTexts(b, 8, r.Path)
	b = appendBool(b, 9, r.Stale)
	return appendUint(b, 10, r.PeerVersion)
}

// encode leaves out the counts, which the routes tell.
func (p *peer) encode(b []byte) []byte {
	b = appendText(b, 1, p.id)
	if p.config != nil {
		b = appendMessage(b, 2, p.config.encode)
	}
	b = appendText(b, 3, p.held.Epoch)
	b = appendUint(b, 4, p.held.Term)
	b = appendUint(b, 5, p.held.Version)
	b = appendBool(b, 6, p.held.Complete)
	b = appendUint(b, 7, uint64(p.held.StaleSince))
	return appendBool(b, 8, p.held.Collector)
}

func (r request) encode(b []byte) []byte {
	b = appendText(b, 1, r.id)
	b = appendUint(b, 2, uint64(r.at))
	b = appendText(b, 3, string(r.outcome.Code))
	b = appendText(b, 4, r.outcome.Message)
	b = appendText(b, 5, r.outcome.ID)
	b = appendUint(b, 6, r.outcome.Index)
	b = appendBool(b, 7, r.outcome.Changed)
	b = appendUint(b, 8, uint64(r.outcome.Malformed))
	return appendUint(b, 9, uint64(r.outcome.Refused))
}
