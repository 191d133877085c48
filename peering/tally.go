package peering

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Tally counts what sessions with one peer came to in this term.
type Tally struct {
	Resumes   int `json:"resumes"`   // sessions that went on where an earlier one ended
	Malformed int `json:"malformed"` // items that were taken as withdrawals
	Refused   int `json:"refused"`   // routes over a bound
	Healed    int `json:"healed"`    // times that one side did not hold what the other had told, and got it again
}

// Counts are totals over all peers and terms of a node.
type Counts struct {
	UpdatesIn, UpdatesOut               atomic.Uint64 // items
	Resumes, Malformed, Refused, Healed atomic.Uint64
	Transitions                         atomic.Uint64 // sessions that came to stand, or ended
}

// tally lets f count something with a session's neighbour.
func (s *Speaker) tally(x *Session, f func(*neighbour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.neighbours[x.peer]; n != nil {
		f(n)
	}
}

// complaints is how often the log repeats what is wrong with one peer: a dump
// over a limit is wrong in every update.
const complaints = time.Minute

// complain shows what is wrong without ending the session.
func (s *Speaker) complain(x *Session, text string) {
	now := time.Now()
	s.tally(x, func(n *neighbour) {
		n.fault = fault{text, now}
		if now.Sub(n.complained) >= complaints {
			n.complained = now
			s.cfg.Log.Warn("peer", "peer", x.peer, "err", text)
		}
	})
}

func (s *Speaker) resumes(x *Session) {
	if x.resumed.Swap(true) {
		return
	}
	s.cfg.Counts.Resumes.Add(1)
	s.tally(x, func(n *neighbour) { n.Resumes++ })
}

func (s *Speaker) heals(x *Session) {
	s.cfg.Counts.Healed.Add(1)
	s.cfg.Log.Warn("one side did not hold what the other had told; it is told again", "peer", x.peer)
	s.tally(x, func(n *neighbour) { n.Healed++ })
}

// took notes what was taken in of an update.
func (s *Speaker) took(x *Session, items int, a Answer) {
	s.cfg.Counts.UpdatesIn.Add(uint64(items))
	if a.Malformed+a.Refused == 0 {
		return
	}
	s.cfg.Counts.Malformed.Add(uint64(a.Malformed))
	s.cfg.Counts.Refused.Add(uint64(a.Refused))
	text := a.Error
	if a.Malformed > 0 {
		text = fmt.Sprintf("%d malformed items of an update were taken as withdrawals", a.Malformed)
	}
	s.tally(x, func(n *neighbour) { n.Malformed += a.Malformed; n.Refused += a.Refused })
	s.complain(x, text)
}
