package peering

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// Info is PeerInfo of the contract: how the sides of a session introduce
// themselves.
type Info struct {
	Site     string    `json:"site"`
	AS       uint32    `json:"as"`
	Node     string    `json:"node"`
	Endpoint string    `json:"endpoint,omitempty"`
	Domains  []string  `json:"domains"`
	Term     uint64    `json:"term,omitempty"`     // of the site's leader
	Epoch    string    `json:"epoch,omitempty"`    // of the site; orders by creation time
	HoldTime float64   `json:"holdTime,omitempty"` // seconds; the lower one of both holds
	Resume   *Position `json:"resume,omitempty"`   // what the sender holds of the other side's table
}

// Position is a version of a site's table in one of the site's lives.
type Position struct {
	Epoch   string `json:"epoch"`
	Version uint64 `json:"version"`
}

// order compares two leaders of one site; positive when i is the younger.
func (i Info) order(o Info) int {
	return cmp.Or(strings.Compare(i.Epoch, o.Epoch), cmp.Compare(i.Term, o.Term))
}

// hold is the hold time that both sides agree to, or why there is none.
func (i Info) hold(self Info) (time.Duration, error) {
	theirs := time.Duration(i.HoldTime * float64(time.Second))
	ours := time.Duration(self.HoldTime * float64(time.Second))
	if i.HoldTime == 0 {
		return ours, nil
	}
	if theirs < MinHoldTime || i.HoldTime > 3600 {
		return 0, &Refused{Kind: NotAllowed, Message: fmt.Sprintf("holdTime is %v s: use 3 to 3600", i.HoldTime)}
	}
	return min(ours, theirs), nil
}

// mayPeer says why a site cannot be a peer of this one.
func (i Info) mayPeer(self Info) error {
	switch {
	case !fsm.IsName(i.Site):
		return &Refused{Kind: NotAllowed, Message: fmt.Sprintf("site is %.80q: name the site that speaks, with letters, digits, \".\", \"_\" and \"-\"", i.Site)}
	case i.Site == self.Site:
		return &Refused{Kind: NotAllowed, Message: fmt.Sprintf("site %s cannot peer with itself: give each site a name of its own with --site (CATALYST_SITE)", self.Site)}
	case i.AS != self.AS:
		return &Refused{Kind: NotAllowed, Message: fmt.Sprintf("site %s is in autonomous system %d, site %s in %d: iBGP peers share one; set --as (CATALYST_AS) to the same number", i.Site, i.AS, self.Site, self.AS)}
	}
	if i.Node != "" && !fsm.IsName(i.Node) {
		return &Refused{Kind: NotAllowed, Message: fmt.Sprintf("node is %.80q: use letters, digits, \".\", \"_\" and \"-\"", i.Node)}
	}
	if len(i.Domains) > maxDomains || slices.ContainsFunc(i.Domains, func(d string) bool { return !fsm.IsName(d) }) {
		return &Refused{Kind: NotAllowed, Message: fmt.Sprintf("domains: give at most %d host names", maxDomains)}
	}
	return nil
}

const maxDomains = 64

// introduction is what this side says of itself to a site.
func (s *Speaker) introduction(site string) Info {
	self := s.cfg.Self
	if held := s.cfg.Site.Table().Held(site); site != "" && held.Epoch != "" && held.Version > 0 {
		self.Resume = &Position{held.Epoch, held.Version}
	}
	return self
}
