package pipeline

import (
	"cmp"
	"slices"
)

// hunt finds, among services that are not on the accepted list, those that the
// gateway refuses. It asks for few pushes: a refused group is halved until one
// service stands alone, about log2 n pushes for each offender among n, and
// what was not looked at meanwhile is then tried as a whole.
type hunt struct {
	untried []*service // never refused, as far as is known; oldest first
	refused []group    // the last is looked into first
}

// group is services that were refused together, on top of the good list.
type group struct {
	members []*service
	reason  string
	base    int  // which good list that was
	hung    bool // there was no refusal: the gateway gave no answer in time
	split   int  // how many of the oldest to try next; 0 means half
}

// probe is services to push with the good list, next.
type probe struct {
	hunt    *hunt // nil: the good list alone
	members []*service
	part    part
}

// part is where a probe's members come from.
type part int

const (
	allUntried part = iota
	wholeGroup
	halfGroup
)

// waiting tells whether anything is to be pushed.
func (h *hunt) waiting() bool { return len(h.untried) > 0 || len(h.refused) > 0 }

// searching tells whether something was refused and the offender is not found.
func (h *hunt) searching() bool { return len(h.refused) > 0 }

// add puts services among the untried.
func (h *hunt) add(services ...*service) {
	h.untried = append(h.untried, services...)
	slices.SortFunc(h.untried, older)
}

// tidy drops what has left the table or has been replaced there. What is left
// of a group need not be bad any more.
func (h *hunt) tidy() {
	gone := func(s *service) bool { return s.gone }
	h.untried = slices.DeleteFunc(h.untried, gone)
	for i, g := range h.refused {
		if slices.ContainsFunc(g.members, gone) {
			h.refused[i].members = slices.DeleteFunc(g.members, gone)
			h.refused[i].base, h.refused[i].split = unknownBase, 0
		}
	}
	h.refused = slices.DeleteFunc(h.refused, func(g group) bool { return len(g.members) == 0 })
}

// unknownBase is no good list's number: the group has to be tried again.
const unknownBase = -1

// next says what to push on top of the good list. While that is empty, what is
// untried goes first, so that the gateway serves much of it soon.
func (h *hunt) next(base goodList) probe {
	if len(h.refused) == 0 || base.size == 0 && len(h.untried) > 0 {
		return probe{h, h.untried, allUntried}
	}
	top := h.refused[len(h.refused)-1]
	if top.base != base.number || len(top.members) == 1 {
		return probe{h, top.members, wholeGroup}
	}
	return probe{h, top.members[:cmp.Or(top.split, (len(top.members)+1)/2)], halfGroup}
}

// accept takes note that a probe was accepted, which made the good list's
// number now of what was before.
func (h *hunt) accept(p probe, before, now int) {
	switch p.part {
	case allUntried:
		h.untried = nil
	case wholeGroup:
		h.pop()
	case halfGroup:
		top := h.pop()
		if top.base == before {
			top.base = now // the rest, with the half just accepted, is what was refused
		}
		top.members, top.split = top.members[len(p.members):], 0
		h.refused = append(h.refused, top)
	}
}

// refuse takes note that a probe was refused, on top of the good list base.
func (h *hunt) refuse(p probe, reason string, base int, hung bool) {
	switch p.part {
	case allUntried:
		h.untried = nil
	case wholeGroup:
		h.pop()
	case halfGroup:
		top := h.pop()
		h.add(top.members[len(p.members):]...)
	}
	h.refused = append(h.refused, group{members: slices.Clone(p.members), reason: reason, base: base, hung: hung})
}

// splitBehind has s tried with its elders alone next, if it is in the group
// that was refused last and is not the youngest there.
func (h *hunt) splitBehind(s *service) {
	if len(h.refused) == 0 {
		return
	}
	top := &h.refused[len(h.refused)-1]
	if i := slices.Index(top.members, s) + 1; i < len(top.members) {
		top.split = i
	}
}

// reopen makes untried what a probe is part of, all but s.
func (h *hunt) reopen(p probe, s *service) {
	if p.part != allUntried {
		h.add(h.pop().members...)
	}
	h.drop(s)
}

// drop takes a service out of the hunt.
func (h *hunt) drop(s *service) {
	h.untried = slices.DeleteFunc(h.untried, func(o *service) bool { return o == s })
}

// forgive makes untried again what only went without an answer.
func (h *hunt) forgive() {
	for i := len(h.refused) - 1; i >= 0; i-- {
		if g := h.refused[i]; g.hung {
			h.add(g.members...)
			h.refused = slices.Delete(h.refused, i, i+1)
		}
	}
}

// found takes off the one service that is proven to be an offender: refused
// alone, on top of the good list base.
func (h *hunt) found(base int) (*service, string, bool) {
	if len(h.refused) == 0 {
		return nil, "", false
	}
	top := h.refused[len(h.refused)-1]
	if len(top.members) != 1 || top.base != base {
		return nil, "", false
	}
	h.pop()
	return top.members[0], top.reason, true
}

// all empties the hunt and returns what was in it.
func (h *hunt) all() []*service {
	members := h.untried
	for _, g := range h.refused {
		members = append(members, g.members...)
	}
	h.untried, h.refused = nil, nil
	return members
}

func (h *hunt) pop() group {
	top := h.refused[len(h.refused)-1]
	h.refused = h.refused[:len(h.refused)-1]
	return top
}
