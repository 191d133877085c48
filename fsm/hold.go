package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// MaxHeldBack is how many members can be kept from voting by hand.
const MaxHeldBack = 64

// HoldBack keeps a member of the site from being made a voter, or ends that:
// what an operator demoted stays demoted whoever leads.
type HoldBack struct {
	ID   string
	Held bool
}

// HeldBack tells whether a member is kept from voting.
func (t *Table) HeldBack(id string) bool {
	_, held := slices.BinarySearch(t.heldBack, id)
	return held
}

func (h HoldBack) apply(e *edit) Outcome {
	if fault := nameFault("id", h.ID); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	at, held := slices.BinarySearch(e.heldBack, h.ID)
	id := strings.Clone(h.ID) // not a part of the log entry
	switch {
	case held == h.Held:
		return e.done(id, false)
	case h.Held && len(e.heldBack) >= MaxHeldBack:
		return e.refuse(TooLarge, h.ID, fmt.Sprintf("%d members are held back, the most there may be; remove some first", MaxHeldBack))
	}
	// Older tables share the list: it is replaced, not changed.
	next := slices.Clone(e.heldBack)
	if h.Held {
		e.heldBack = slices.Insert(next, at, id)
		e.amend("member/hold", id, "")
	} else {
		e.heldBack = slices.Delete(next, at, at+1)
		e.amend("member/release", id, "")
	}
	return e.done(id, true)
}

func (h HoldBack) encode(b []byte) []byte {
	b = appendText(b, 1, h.ID)
	return appendBool(b, 2, h.Held)
}

func decodeHoldBack(s *scanner) (h HoldBack) {
	for s.next() {
		switch s.field {
		case 1:
			h.ID = s.text()
		case 2:
			h.Held = s.uint() != 0
		}
	}
	return h
}
