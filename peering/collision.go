package peering

import (
	"fmt"

	"github.com/catalyst/orchestrator/fsm"
)

// joinLocked makes a session the one that stands with its peer, or says which
// is in its way: that of a younger leader of the peer's site, or, when both
// sides have dialled, the one that the higher site dialled (RFC 4271 §6.8).
func (s *Speaker) joinLocked(x *Session) error {
	if held := s.cfg.Site.Table().Held(x.peer); held.Fences(x.hello.Epoch, x.hello.Term) {
		return deposed(x, held.Epoch, held.Term)
	}
	if s.neighbours[x.peer] == nil && len(s.neighbours) >= fsm.MaxPeers {
		return &Refused{Kind: Crowded, Message: fmt.Sprintf("site %s has %d peers, the most it may: remove one first", s.cfg.Self.Site, fsm.MaxPeers)}
	}
	n := s.neighbourLocked(x.peer)
	x.neighbour = n
	if old := n.session; old != nil {
		if !old.yieldsTo(x) {
			if x.hello.order(old.hello) < 0 {
				return deposed(x, old.hello.Epoch, old.hello.Term)
			}
			return &Refused{Kind: Connected, Site: s.cfg.Self.Site, Message: fmt.Sprintf("site %s has a session with site %s already, dialled by %s", s.cfg.Self.Site, x.peer, old.dialledBy())}
		}
		old.fail(errReplaced)
		x.replaced = old
		n.lostLocked(old)
	}
	s.setLocked(n, x)
	return nil
}

func deposed(x *Session, epoch string, term uint64) error {
	return &Refused{Kind: Deposed, Message: fmt.Sprintf("site %s: node %s leads in term %d of epoch %s, which is over: term %d of epoch %s has been seen",
		x.peer, x.hello.Node, x.hello.Term, x.hello.Epoch, term, epoch)}
}

func (x *Session) yieldsTo(next *Session) bool {
	if order := next.hello.order(x.hello); order != 0 {
		return order > 0
	}
	if next.dialled == x.dialled {
		return true // whoever dialled did so again: the older connection is dead
	}
	return next.dialledBy() > x.dialledBy()
}

func (x *Session) dialledBy() string {
	if x.dialled {
		return x.speaker.cfg.Self.Site
	}
	return x.peer
}
