package fsm

import (
	"cmp"
	"strings"
	"time"
)

// OutcomeWindow is how long a request id is remembered, by the leaders'
// clocks; MaxOutcomes how many are, the oldest going first; MaxRequestID how
// long one may be, in bytes.
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

// memory holds the outcomes of recent requests: by id to find one again, and
// in order of arrival to forget the oldest.
type memory struct {
	byID  tree[remembered]
	queue sequence[*request]
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

func byRequestID(id string) (uint64, probe[remembered]) {
	hash := fnv1a(id)
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

// expired tells whether a request is outside the window around now. A stamp
// from the far future counts as expired too: it came from a leader whose clock
// was wrong, and must not fill the memory for good.
func (r *request) expired(now int64) bool {
	const window = int64(OutcomeWindow / time.Millisecond)
	return now-r.at >= window || r.at-now >= window
}

// Outcome returns how the command with this request id came out, as long as
// it is remembered.
func (t *Table) Outcome(requestID string) (Outcome, bool) {
	_, at := byRequestID(requestID)
	r, ok := t.memory.byID.get(at)
	if !ok {
		return Outcome{}, false
	}
	return r.request.outcome, true
}

// recall finds the outcome of an earlier command with this id.
func (m *memory) recall(id string, now int64) (Outcome, bool) {
	if m.byID.len == 0 {
		return Outcome{}, false
	}
	_, at := byRequestID(id)
	r, ok := m.byID.get(at)
	if !ok || r.request.expired(now) {
		return Outcome{}, false
	}
	return r.request.outcome, true
}

func (m *memory) remember(own *owner, r *request, most int) {
	hash, at := byRequestID(r.id)
	m.byID.put(own, remembered{hash, r}, at)
	m.queue.append(r)
	for m.queue.len() > most {
		m.forget(own)
	}
}

// prune forgets what has expired, a few a command: enough to shrink, and no
// command ever pays for a backlog.
func (m *memory) prune(own *owner, now int64) {
	for range 4 {
		if m.queue.len() == 0 || !m.queue.at(m.queue.first).expired(now) {
			return
		}
		m.forget(own)
	}
}

// forget drops the oldest request. The id may have been used again since:
// then the newer one stays.
func (m *memory) forget(own *owner) {
	oldest := m.queue.at(m.queue.first)
	_, at := byRequestID(oldest.id)
	if r, ok := m.byID.get(at); ok && r.request == oldest {
		m.byID.remove(own, at)
	}
	m.queue.drop()
}
