package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Found begins a site; it is the first command of its log and works once.
type Found struct {
	Site  string
	AS    uint32
	Epoch string // minted by the founder; orders by creation time
	ID    string // the site's UUID; empty in older logs
	Level int    // see Level; 0 is 1
}

// Renew begins another life of the site, after a recovery that gave up what a
// majority may have held: it is told apart from the old one by its epoch and
// id, and of its members only those in Keep stay known as they are.
type Renew struct {
	Epoch string // later than the present one
	ID    string // another UUID than the present one
	Keep  []string
}

func (f Found) apply(e *edit) Outcome {
	if e.site != "" {
		return e.refuse(Conflict, e.site, fmt.Sprintf("the site is already founded, as %q", e.site))
	}
	if fault := f.fault(); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	e.site, e.as, e.epoch = strings.Clone(f.Site), f.AS, strings.Clone(f.Epoch)
	e.id, e.level = strings.Clone(f.ID), cmp.Or(f.Level, 1)
	e.path = []string{e.site}
	e.amend("site/found", e.site, "")
	return e.done(e.site, true)
}

func (f Found) fault() string {
	if fault := nameFault("site", f.Site); fault != "" {
		return fault
	}
	if fault := textFault("epoch", f.Epoch, MaxName); fault != "" {
		return fault
	}
	if f.ID != "" {
		if fault := wordFault("id", f.ID); fault != "" {
			return fault
		}
	}
	return levelFault(cmp.Or(f.Level, 1))
}

// MaxFormer is how many of the ids that a site gave up it still knows.
const MaxFormer = 16

// Former tells whether an id is that of an earlier life of this site.
func (t *Table) Former(id string) bool { return id != "" && slices.Contains(t.former, id) }

func (r Renew) apply(e *edit) Outcome {
	fault := cmp.Or(textFault("epoch", r.Epoch, MaxName), wordFault("id", r.ID))
	if fault == "" && len(r.Keep) > MaxMembers {
		fault = fmt.Sprintf("keep: has %d entries; use at most %d", len(r.Keep), MaxMembers)
	}
	switch {
	case fault != "":
		return e.refuse(Invalid, "", fault)
	case r.Epoch <= e.epoch:
		return e.refuse(Conflict, e.site, epochMessage(r.Epoch, e.epoch))
	case r.ID == e.id:
		return e.refuse(Conflict, e.site, fmt.Sprintf("id: %s is the site's present one; mint another", quote(r.ID)))
	}
	kept := e.former[max(0, len(e.former)+1-MaxFormer):]
	e.former = append(slices.Clip(slices.Clone(kept)), e.id) // older tables share it
	e.epoch, e.id = strings.Clone(r.Epoch), strings.Clone(r.ID)
	for _, m := range slices.Collect(e.members.all()) {
		if !slices.Contains(r.Keep, m.id) {
			e.expel(m)
		}
	}
	e.amend("site/renew", e.site, "epoch "+e.epoch)
	return e.done(e.site, true)
}

func epochMessage(epoch, present string) string {
	return fmt.Sprintf("epoch: %s is not later than the present one, %s; mint a new one, and look at the clock of the node that mints", quote(epoch), quote(present))
}

func (f Found) encode(b []byte) []byte {
	b = appendText(b, 1, f.Site)
	b = appendUint(b, 2, uint64(f.AS))
	b = appendText(b, 3, f.Epoch)
	b = appendText(b, 4, f.ID)
	return appendUint(b, 5, uint64(f.Level))
}

func decodeFound(s *scanner) (f Found) {
	for s.next() {
		switch s.field {
		case 1:
			f.Site = s.text()
		case 2:
			f.AS = uint32(s.uint())
		case 3:
			f.Epoch = s.text()
		case 4:
			f.ID = s.text()
		case 5:
			f.Level = int(int64(s.uint()))
		}
	}
	return f
}

func (r Renew) encode(b []byte) []byte {
	b = appendText(b, 1, r.Epoch)
	b = appendText(b, 2, r.ID)
	return appendTexts(b, 3, r.Keep)
}

func decodeRenew(s *scanner) (r Renew) {
	for s.next() {
		switch s.field {
		case 1:
			r.Epoch = s.text()
		case 2:
			r.ID = s.text()
		case 3:
			r.Keep = append(r.Keep, s.text())
		}
	}
	return r
}
