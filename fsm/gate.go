package fsm

import "fmt"

// Level is the newest feature level that this build knows: what an entry of
// the log may hold grows with it. A site is at the level of its table, and is
// raised once every node of it has a build that knows the next.
//
//	1  routes, peers, members held back
//	2  authority, gossip keys, tokens, incarnations, audit, renewal
const Level = 2

// MaxLevel is the highest level that a log may name.
const MaxLevel = 1 << 16

// Raise lets the site use what a level brings. There is no way back: older
// builds could not read the log from here on.
type Raise struct{ Level int }

// Level is the feature level of the site: 0 before it is founded, 1 for a log
// that says nothing of levels.
func (t *Table) Level() int { return t.level }

// needs is the level from which on an operation may stand in the log. Below
// it, older nodes of the site know no such operation and refuse it, and a
// newer one must hold the same table as they do.
func needs(op Op) int {
	switch op.(type) {
	case Note, SetAuthority, SetGossipKeys, PutToken, RevokeToken, UseToken, Admit, Expel, Renew:
		return 2
	}
	return 1
}

func levelFault(level int) string {
	if level < 1 || level > MaxLevel {
		return fmt.Sprintf("level: is %d; give 1 to %d", level, MaxLevel)
	}
	return ""
}

func (r Raise) apply(e *edit) Outcome {
	if fault := levelFault(r.Level); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	switch {
	case r.Level == e.level:
		return e.done(e.site, false)
	case r.Level < e.level:
		return e.refuse(Conflict, e.site, fmt.Sprintf("level: the site is at %d already, and never goes back to %d; give a higher one", e.level, r.Level))
	}
	e.level = r.Level
	e.amend("site/raise", e.site, fmt.Sprintf("level %d", e.level))
	return e.done(e.site, true)
}

func (r Raise) encode(b []byte) []byte { return appendUint(b, 1, uint64(r.Level)) }

func decodeRaise(s *scanner) (r Raise) {
	for s.next() {
		if s.field == 1 {
			r.Level = int(int64(s.uint()))
		}
	}
	return r
}
