package fsm

import (
	"encoding/binary"
	"iter"
	"time"
)

// OutcomeWindow is how long a request id is remembered, by the leaders'
// clocks. MaxOutcomes is the most that are; in a rush the older half goes
// early, so the latest MaxOutcomes/2 always are. MaxRequestID is how long one
// may be, in bytes.
const (
	OutcomeWindow = 10 * time.Minute
	MaxOutcomes   = 1 << 20
	MaxRequestID  = 128
)

// Outcome is the answer to one command.
type Outcome struct {
	Code    Code   // empty when done
	Message string // what was wrong; with an empty Code, what was left out
	ID      string // of what the command names
	Index   uint64 // the table version that shows the outcome
	Changed bool   // whether the command changed anything

	Malformed int // of a Learn: items that were taken as withdrawals
	Refused   int // of a Learn: routes over the peer's or the table's bound
}

// memory holds the outcomes of recent requests in two generations. The new one
// becomes the old one when it has covered a window or half the bound, and the
// old one goes as a whole: no request is ever removed by itself, which would
// cost as much as remembering it did.
type memory struct {
	young, old generation
}

type generation struct {
	requests tree[remembered]
	since    int64 // ms, stamped by the leader: when it began
}

// request is a remembered request as a whole.
type request struct {
	id      string
	at      int64 // ms, stamped by the leader
	outcome Outcome
}

// remembered is a request packed, for the same reason as a record. Its key
// begins with a hash, so that ids which differ late are told apart early.
type remembered string

func requestKey(id string) string {
	var room [8 + MaxRequestID]byte
	return string(append(binary.BigEndian.AppendUint64(room[:0], fnv1a(id)), id...))
}

func (r *request) pack() remembered {
	var room [512]byte
	o := &r.outcome
	b := packText(room[:0], requestKey(r.id))
	for _, s := range [...]string{string(o.Code), o.Message, o.ID} {
		b = packText(b, s)
	}
	for _, n := range [...]uint64{uint64(r.at), o.Index, uint64(packBool(o.Changed)), uint64(o.Malformed), uint64(o.Refused)} {
		b = binary.AppendUvarint(b, n)
	}
	return remembered(b)
}

func (p remembered) key() string {
	u := unpacking(p)
	return u.text()
}

func (p remembered) unpack() request {
	u := unpacking(p)
	r := request{id: u.text()[8:]}
	o := &r.outcome
	o.Code, o.Message, o.ID = Code(u.text()), u.text(), u.text()
	r.at, o.Index, o.Changed = int64(u.uint()), u.uint(), u.uint() != 0
	o.Malformed, o.Refused = int(u.uint()), int(u.uint())
	return r
}

func fnv1a(s string) uint64 {
	hash := uint64(14695981039346656037)
	for i := range len(s) {
		hash = (hash ^ uint64(s[i])) * 1099511628211
	}
	return hash
}

// over tells whether a stamp is outside the window around now. One from the
// far future is too: it came from a leader whose clock was wrong, and must not
// be believed for longer than any other.
func over(stamp, now int64) bool {
	const window = int64(OutcomeWindow / time.Millisecond)
	return now-stamp >= window || stamp-now >= window
}

// Outcome returns how the command with this request id came out, as long as
// it is remembered.
func (t *Table) Outcome(requestID string) (Outcome, bool) {
	r, ok := t.memory.find(requestID)
	return r.outcome, ok
}

func (m *memory) find(id string) (request, bool) {
	if m.len() == 0 {
		return request{}, false
	}
	key := requestKey(id)
	for _, g := range [...]*generation{&m.young, &m.old} {
		if r, ok := g.requests.get(key); ok {
			return r.unpack(), true
		}
	}
	return request{}, false
}

// recall finds the outcome of an earlier command with this id.
func (m *memory) recall(id string, now int64) (Outcome, bool) {
	r, ok := m.find(id)
	if !ok || over(r.at, now) {
		return Outcome{}, false
	}
	return r.outcome, true
}

func (m *memory) remember(own *owner, r request, most int) {
	if m.young.requests.len >= most/2 || over(m.young.since, r.at) {
		*m = memory{old: m.young, young: generation{since: r.at}}
	}
	m.young.requests.put(own, r.pack())
}

func (m *memory) len() int { return m.young.requests.len + m.old.requests.len }

// all yields the old generation, then the young one.
func (m *memory) all() iter.Seq[request] {
	return func(yield func(request) bool) {
		for _, g := range [...]generation{m.old, m.young} {
			for r := range g.requests.all() {
				if !yield(r.unpack()) {
					return
				}
			}
		}
	}
}
