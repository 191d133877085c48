package fsm

import (
	"cmp"
	"iter"
	"strings"
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
	ID      string // of the route or peer that the command names
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

type request struct {
	id      string
	at      int64 // ms, stamped by the leader
	outcome Outcome
}

// remembered carries the hash beside the pointer so that a search compares
// numbers and touches one request only.
type remembered struct {
	hash    uint64
	request *request
}

func byRequestID(id string) (hash uint64, at probe[remembered]) {
	hash = fnv1a(id)
	return hash, func(r remembered) int {
		if c := cmp.Compare(r.hash, hash); c != 0 {
			return c
		}
		return strings.Compare(r.request.id, id)
	}
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
	r := t.memory.find(requestID)
	if r == nil {
		return Outcome{}, false
	}
	return r.outcome, true
}

func (m *memory) find(id string) *request {
	_, at := byRequestID(id)
	if r, ok := m.young.requests.get(at); ok {
		return r.request
	}
	r, _ := m.old.requests.get(at)
	return r.request
}

// recall finds the outcome of an earlier command with this id.
func (m *memory) recall(id string, now int64) (Outcome, bool) {
	r := m.find(id)
	if r == nil || over(r.at, now) {
		return Outcome{}, false
	}
	return r.outcome, true
}

func (m *memory) remember(own *owner, r *request, most int) {
	if m.young.requests.len >= most/2 || over(m.young.since, r.at) {
		*m = memory{old: m.young, young: generation{since: r.at}}
	}
	hash, at := byRequestID(r.id)
	m.young.requests.put(own, remembered{hash, r}, at)
}

func (m *memory) len() int { return m.young.requests.len + m.old.requests.len }

// all yields the old generation, then the young one.
func (m *memory) all() iter.Seq[*request] {
	return func(yield func(*request) bool) {
		for _, g := range []generation{m.old, m.young} {
			for r := range g.requests.all() {
				if !yield(r.request) {
					return
				}
			}
		}
	}
}
