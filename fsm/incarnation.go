package fsm

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// MaxMembers is how many members the site knows by their incarnation, and
// MaxExpelled how many of those that were expelled, the newest.
const (
	MaxMembers  = 1024
	MaxExpelled = 256
)

// Admit notes as which incarnation a node is a member: what its data directory
// was named when it was made. Another one under the same id has other data, and
// must not pass for the first: a voter that forgot what it voted for can undo
// what was acknowledged.
type Admit struct{ ID, Instance string }

// Expel ends a member's incarnation: its id may be taken anew, by another one.
type Expel struct{ ID string }

// incarnation is one admitted member.
type incarnation struct{ id, instance string }

func (i incarnation) key() string { return i.id }

// Instance is the incarnation that a member was admitted as.
func (t *Table) Instance(id string) (string, bool) {
	i, ok := t.members.get(id)
	return i.instance, ok
}

// Expelled tells whether an incarnation was a member and is none any more. Of
// more than MaxExpelled the older ones are forgotten.
func (t *Table) Expelled(instance string) bool { return slices.Contains(t.expelled, instance) }

// Instances yields the admitted members by id, each with its incarnation.
func (t *Table) Instances() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range t.members.all() {
			if !yield(i.id, i.instance) {
				return
			}
		}
	}
}

func (a Admit) apply(e *edit) Outcome {
	if fault := nameFault("id", a.ID); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	if fault := wordFault("instance", a.Instance); fault != "" {
		return e.refuse(Invalid, a.ID, fault)
	}
	known, exists := e.members.get(a.ID)
	switch {
	case exists && known.instance == a.Instance:
		return e.done(known.id, false)
	case exists:
		return e.refuse(Conflict, known.id, fmt.Sprintf("node %[1]s is known as another incarnation (its data was lost, or it is another machine): `catalyst member remove %[1]s`, then join it anew", known.id))
	case e.members.len >= MaxMembers:
		return e.refuse(TooLarge, a.ID, fmt.Sprintf("the site knows %d members, the most it may; remove one first", MaxMembers))
	}
	own := incarnation{strings.Clone(a.ID), strings.Clone(a.Instance)}
	e.members.put(e.own, own)
	if at := slices.Index(e.expelled, own.instance); at >= 0 {
		e.expelled = slices.Delete(slices.Clone(e.expelled), at, at+1) // older tables share it
	}
	e.amend("member/admit", own.id, own.instance)
	return e.done(own.id, true)
}

func (x Expel) apply(e *edit) Outcome {
	if fault := nameFault("id", x.ID); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	known, exists := e.members.get(x.ID)
	if !exists {
		return e.done(strings.Clone(x.ID), false)
	}
	e.expel(known)
	e.amend("member/expel", known.id, "")
	return e.done(known.id, true)
}

func (e *edit) expel(i incarnation) {
	e.members.remove(e.own, i.id)
	kept := e.expelled[max(0, len(e.expelled)+1-MaxExpelled):]
	e.expelled = append(slices.Clip(slices.Clone(kept)), i.instance) // older tables share it
}

func (i incarnation) encode(b []byte) []byte {
	return appendText(appendText(b, 1, i.id), 2, i.instance)
}

func decodeIncarnation(s *scanner) (i incarnation) {
	for s.next() {
		switch s.field {
		case 1:
			i.id = s.text()
		case 2:
			i.instance = s.text()
		}
	}
	return i
}

func (a Admit) encode(b []byte) []byte { return incarnation{a.ID, a.Instance}.encode(b) }

func decodeAdmit(s *scanner) Admit {
	i := decodeIncarnation(s)
	return Admit{ID: i.id, Instance: i.instance}
}

func (x Expel) encode(b []byte) []byte { return appendText(b, 1, x.ID) }
