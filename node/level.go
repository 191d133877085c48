package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
)

// What needs which feature level of the log. A site is at the level that all
// its members know; until then the newer ones do without.
const (
	levelMembership = 2 // incarnations of members, tokens, keys, audit
)

// level is the newest that this node knows.
func (n *Node) level() int { return cmp.Or(n.cfg.Level, fsm.Level) }

// allows says whether the site is at a level.
func (n *Node) allows(level int) bool { return n.machine.Table().Level() >= level }

// needs refuses what the site's level does not allow yet, and says who holds
// it back.
func (n *Node) needs(level int, what string) *pipeline.Result {
	if n.allows(level) {
		return nil
	}
	_, behind := n.lowestLevel(electorate{servers: n.configuration()})
	r := pipeline.Refuse(fsm.Conflict, "%s needs the site's feature level %d, and it is at %d: held back by %s, older or away; upgrade there, and the level rises by itself",
		what, level, n.machine.Table().Level(), cmp.Or(strings.Join(behind, ", "), n.cfg.ID))
	return &r
}

// raiseLevel brings the site to the level that all members know, once none of
// them is missing: one that is away may be of an older version.
func (n *Node) raiseLevel(ctx context.Context, log *proposer, c electorate) (bool, error) {
	lowest, _ := n.lowestLevel(c)
	if lowest <= n.machine.Table().Level() {
		return false, nil
	}
	n.log.Info("all members know a newer level; its features are on from now", "site", n.site(), "level", lowest)
	return true, n.commit(ctx, log, fsm.Raise{Level: lowest})
}

// lowestLevel is the newest level that every member knows, and the members
// that do not know as new a one as this node.
func (n *Node) lowestLevel(c electorate) (lowest int, behind []string) {
	lowest = n.level()
	for _, s := range c.servers {
		if string(s.ID) == n.cfg.ID {
			continue
		}
		if level := n.members.Of(string(s.ID)).Level; level < n.level() {
			lowest, behind = min(lowest, level), append(behind, string(s.ID))
		}
	}
	slices.Sort(behind)
	return lowest, behind
}

// heedLevel ends a node of an older build than its site needs by now: it would
// skip what it cannot read in the log, and its table would not be the others'.
func (n *Node) heedLevel(ctx context.Context) {
	for {
		t := n.machine.Table()
		if t.Level() > n.level() {
			n.stop(fmt.Errorf("this version knows feature level %d, and site %s is at %d: it cannot read all of the log. "+
				"Start the version that the other nodes run (catalyst members shows it) with the same data directory", n.level(), n.site(), t.Level()))
			return
		}
		if _, err := n.machine.Await(ctx, t.Version()); err != nil {
			return
		}
	}
}
