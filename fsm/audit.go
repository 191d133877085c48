package fsm

import (
	"cmp"
	"fmt"
	"iter"
	"sort"
	"strings"
	"unicode/utf8"
)

// Bounds of the audit, in bytes unless said otherwise.
const (
	MaxAudit   = 1 << 14 // entries
	MaxAction  = 64
	MaxSubject = 300 // of what was acted upon
	MaxDetail  = 500
)

// AuditEntry is one thing that somebody did and that changed the table: all
// but what peers' sessions bring, which the routes themselves tell. It never
// holds a secret.
type AuditEntry struct {
	Index  uint64 `json:"index"`  // the table version that shows it
	At     int64  `json:"at"`     // ms, stamped by the leader
	By     string `json:"by"`     // the identity it was done for
	Action string `json:"action"` // resource/action, such as dataChannel/create
	ID     string `json:"id"`     // of what it was done to
	Detail string `json:"detail,omitempty"`
}

// Note enters in the audit what the log does not otherwise hold, such as a
// change of the members, which is Raft's.
type Note struct{ Action, ID, Detail string }

// Audit yields the newest MaxAudit entries, the newest first; of those only
// what is older than a version, if one is given. There are none from a time
// when the site was below level 2.
func (t *Table) Audit(before uint64) iter.Seq[AuditEntry] {
	trail := t.trail
	return func(yield func(AuditEntry) bool) {
		end := trail.len()
		if before > 0 {
			end = sort.Search(end, func(i int) bool { return trail.at(trail.first+uint64(i)).Index >= before })
		}
		for i := trail.first + uint64(end); i > trail.first; i-- {
			if !yield(trail.at(i - 1)) {
				return
			}
		}
	}
}

// NumAudit counts the entries.
func (t *Table) NumAudit() int { return t.trail.len() }

// amend counts a change of something else than a route, and enters it in the
// audit.
func (e *edit) amend(action, id, detail string) {
	e.note("", false)
	e.enter(action, id, detail)
}

// enter keeps who did what by the change that was just counted. The texts must
// not be parts of the log entry.
func (e *edit) enter(action, id, detail string) {
	if e.level < 2 { // older nodes of the site keep none
		return
	}
	e.trail.keep(AuditEntry{Index: e.version, At: e.now, By: e.author(), Action: action, ID: id, Detail: detail})
}

// trail is the entries of the audit, the newest MaxAudit of them.
type trail struct{ sequence[AuditEntry] }

func (t *trail) keep(entry AuditEntry) {
	t.append(entry)
	if t.len() > MaxAudit {
		t.drop()
	}
}

func (t *trail) newest() (entry AuditEntry) {
	if t.len() > 0 {
		entry = t.at(t.next - 1)
	}
	return entry
}

// author is who the command is done for, as a text that outlives the log
// entry: that of the entry before, when it is the same, as it mostly is.
func (e *edit) author() string {
	if before := e.trail.newest().By; before == e.by {
		return before
	}
	by := e.by[:min(len(e.by), MaxName)]
	if !utf8.ValidString(by) {
		return strings.ToValidUTF8(by, "")
	}
	return strings.Clone(by)
}

func (n Note) apply(e *edit) Outcome {
	fault := cmp.Or(textFault("action", n.Action, MaxAction), textFault("id", n.ID, MaxSubject), textFault("detail", n.Detail, MaxDetail))
	if n.Action == "" {
		fault = fmt.Sprintf("action: is empty; give 1 to %d bytes, such as member/remove", MaxAction)
	}
	if fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	id := strings.Clone(n.ID)
	e.amend(strings.Clone(n.Action), id, strings.Clone(n.Detail))
	return e.done(id, true)
}

func (n Note) encode(b []byte) []byte {
	return appendText(appendText(appendText(b, 1, n.Action), 2, n.ID), 3, n.Detail)
}

func decodeNote(s *scanner) (n Note) {
	for s.next() {
		switch s.field {
		case 1:
			n.Action = s.text()
		case 2:
			n.ID = s.text()
		case 3:
			n.Detail = s.text()
		}
	}
	return n
}

func (a AuditEntry) encode(b []byte) []byte {
	b = appendUint(b, 1, a.Index)
	b = appendUint(b, 2, uint64(a.At))
	b = appendText(b, 3, a.By)
	b = appendText(b, 4, a.Action)
	b = appendText(b, 5, a.ID)
	return appendText(b, 6, a.Detail)
}
