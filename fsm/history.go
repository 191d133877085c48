package fsm

import "iter"

// MaxChanges is how many of the latest changes a table remembers. Whoever has
// fallen further behind starts over from the whole table.
const MaxChanges = 1 << 16

// Change is one committed change of a route. For a delete Route is what was
// removed, as it last was.
type Change struct {
	Index   uint64 // the table version that the change made
	Route   *Route
	Deleted bool
}

// change is a Change in the history; its number is its index. A change of
// something else than a route has none.
type change struct {
	record  record
	deleted bool
}

// Changes yields every route change after version since, each once and in
// order: a route that changed twice comes twice. It answers false when the
// table no longer knows what came after since, or is itself older than since.
func (t *Table) Changes(since uint64) (iter.Seq[Change], bool) {
	if since > t.version || since+1 < t.oldest() {
		return nil, false
	}
	return t.changes(since, func(record) bool { return true }), true
}

// LocalChanges is Changes of this site's own routes alone. It passes by the
// others at little cost.
func (t *Table) LocalChanges(since uint64) (iter.Seq[Change], bool) {
	if _, known := t.Changes(since); !known {
		return nil, false
	}
	return t.changes(since, record.local), true
}

func (t *Table) changes(since uint64, wanted func(record) bool) iter.Seq[Change] {
	history := t.history
	return func(yield func(Change) bool) {
		for index, c := range history.from(since + 1) {
			if c.record != "" && wanted(c.record) && !yield(Change{Index: index, Route: t.route(c.record), Deleted: c.deleted}) {
				return
			}
		}
	}
}

// oldest is the first change that the table still knows.
func (t *Table) oldest() uint64 {
	if t.history.next == 0 { // nothing has happened yet; versions begin at 1
		return 1
	}
	return t.history.first
}

// note counts a change and keeps it; of something else than a route, without
// a record.
func (e *edit) note(r record, deleted bool) {
	if e.history.next == 0 {
		e.history = startingAt[change](1)
	}
	e.history.append(change{record: r, deleted: deleted})
	if e.history.len() > e.bounds().changes {
		e.history.drop()
	}
	e.version++
}
