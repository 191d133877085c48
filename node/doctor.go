package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/storage"
	"github.com/catalyst/orchestrator/transport"
)

// Check is one thing that a doctor looks at.
type Check struct {
	Name   string `json:"name"`
	State  string `json:"state"` // ok, warn, fail
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"` // what to do, unless it is ok
}

const (
	slowWrite  = 50 * time.Millisecond
	clockDrift = 2 * time.Second
)

func ok(name, format string, args ...any) Check {
	return Check{Name: name, State: "ok", Detail: fmt.Sprintf(format, args...)}
}

func (c Check) warn(remedy string) Check { c.State, c.Remedy = "warn", remedy; return c }
func (c Check) fail(remedy string) Check { c.State, c.Remedy = "fail", remedy; return c }

// diagnose looks at this node and what is around it.
func (s *cliScope) diagnose(ctx context.Context, _ *transport.Call) (any, error) {
	transport.Concurrent(ctx)
	n := s.n
	checks := []Check{n.checkSite(), n.checkSecurity(), n.checkSpace(), n.checkWrites(), n.checkLevel()}
	checks = append(checks, n.checkMembers(ctx)...)
	checks = append(checks, n.checkGateway(ctx), n.checkPeers(ctx))
	return map[string]any{"node": n.cfg.ID, "now": time.Now().UnixMilli(), "checks": checks}, nil
}

func (n *Node) checkSite() Check {
	_, leader := n.raft.LeaderWithID()
	e := electorate{servers: n.configuration()}
	c := ok("site", "%s, led by %s; %d voters, tolerates %d", n.site(), leader, e.voters(), n.strength(e).Tolerates)
	switch {
	case e.voters() == 0:
		c.Detail = "this node is in no site"
		return c.warn("found one with catalyst init, or take it into one with catalyst join")
	case leader == "":
		c.Detail = "there is no leader: " + e.arithmetic("are", n.isAlive)
		return c.fail("start the missing nodes, the site recovers by itself; if they are lost for good, see catalyst recover")
	case e.voters() > 1 && n.strength(e).Tolerates == 0:
		return c.warn("bring back the nodes that are down, or add some: the next failure stops the site")
	}
	return c
}

func (n *Node) checkSecurity() Check {
	switch {
	case !n.secured() && n.exposed:
		c := ok("security", "RPC, Raft and gossip are not encrypted, and other machines can reach them")
		return c.warn("found the site with catalyst init, or give the nodes certificates (--tls-ca, --tls-cert, --tls-key)")
	case !n.secured():
		return ok("security", "not encrypted, on loopback only")
	}
	c := ok("security", "TLS, certificate until %s", moment(n.keeper.Expires().UnixMilli()))
	switch left := time.Until(n.keeper.Expires()); {
	case left <= 0:
		return c.fail("the certificate has expired: is the clock right? With a clock that is right, take the node out (catalyst member remove) and join it anew")
	case time.Now().After(n.keeper.RenewAt().Add(2 * renewInterval)):
		return c.warn("it should have been renewed: the log of this node tells why it was not (no leader?)")
	}
	return c
}

func (n *Node) checkSpace() Check {
	free, total, err := n.ground.space()
	if err != nil || total == 0 {
		return ok("disk space", "unknown").warn("look at it by hand: df " + n.cfg.DataDir)
	}
	c := ok("disk space", "%s of %s free", mebibytes(free), mebibytes(total))
	switch {
	case storage.Low(free, total):
		return c.fail("the node is read-only: make room in " + n.cfg.DataDir + ", it goes on by itself")
	case storage.Low(free/2, total):
		return c.warn("make room in " + n.cfg.DataDir + " before the node becomes read-only")
	}
	return c
}

// checkWrites writes a few times and takes the median: one may be unlucky.
func (n *Node) checkWrites() Check {
	const tries = 5
	var took []time.Duration
	for range tries {
		begun := time.Now()
		if err := n.ground.touch(); err != nil {
			c := ok("disk writes", "%v", err)
			return c.fail("the data directory must be writable by the user that the node runs as")
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	c := ok("disk writes", "%s to write and sync", took[tries/2].Round(10*time.Microsecond))
	if took[tries/2] > slowWrite {
		return c.warn("each change waits for this on a majority of the nodes: use a faster disk, or raise --raft-timing")
	}
	return c
}

func (n *Node) checkLevel() Check {
	e, err := n.electorate()
	if err != nil || n.machine.Table().Level() == 0 { // in no site, or nothing is applied yet
		return ok("version", "%s, knows level %d", n.cfg.Version, n.level())
	}
	c := ok("version", "%s, the site is at level %d", n.cfg.Version, n.machine.Table().Level())
	if _, behind := n.lowestLevel(e); len(behind) > 0 {
		c.Detail += fmt.Sprintf(", this node knows %d", n.level())
		return c.warn("the newer features are held back by " + strings.Join(behind, ", ") + ": older, or away; upgrade or remove them")
	}
	return c
}

// checkMembers asks every other member for its clock and its ports.
func (n *Node) checkMembers(ctx context.Context) (checks []Check) {
	for _, s := range n.configuration() {
		if string(s.ID) != n.cfg.ID {
			checks = append(checks, n.checkMember(ctx, s))
		}
	}
	return checks
}

func (n *Node) checkMember(ctx context.Context, s raft.Server) Check {
	seen := n.members.Of(string(s.ID))
	c := ok("member "+string(s.ID), "")
	var faults []string
	if !n.isAlive(s.ID) {
		faults = append(faults, "gossip does not hear it")
	}
	ctx, cancel := context.WithTimeout(ctx, progressDeadline)
	defer cancel()
	begun := time.Now()
	p, err := n.progressOf(ctx, seen)
	took := time.Since(begun)
	if err != nil {
		faults = append(faults, "RPC at "+seen.RPC+": "+err.Error())
	}
	at, err := n.raftAddress(s.ID)
	if err == nil {
		err = n.stores.reach(at)
	}
	if err != nil {
		faults = append(faults, "Raft at "+string(at)+": "+err.Error())
	}
	if len(faults) > 0 {
		c.Detail = strings.Join(faults, "; ")
		return c.fail("if the machine is up: is catalyst running there, do firewalls let both ways pass for the RPC, Raft and gossip (TCP and UDP) ports? If it is lost: catalyst member remove " + string(s.ID))
	}
	c.Detail = fmt.Sprintf("answers in %s, at entry %d", took.Round(10*time.Microsecond), p.Applied)
	if drift := time.Since(time.UnixMilli(p.Now)) - took/2; drift.Abs() > clockDrift {
		c.Detail += fmt.Sprintf(", its clock differs by %s", drift.Round(100*time.Millisecond))
		return c.warn("set both clocks by NTP: tokens and certificates go by them")
	}
	return c
}

// reach greets a node as Raft would.
func (g *raftGround) reach(address raft.ServerAddress) error {
	if g.link == nil {
		return nil
	}
	conn, err := g.link.Dial(address, progressDeadline)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (n *Node) checkGateway(ctx context.Context) Check {
	g := n.askGateway(ctx)
	if g == nil {
		return ok("gateway", "off, or not known without the leader")
	}
	c := ok("gateway", "%s: %s, %d services", g.Endpoint, g.State, g.Services)
	if len(g.Quarantined) > 0 {
		c.Detail += fmt.Sprintf(", %d held back", len(g.Quarantined))
	}
	if len(g.Waiting) > 0 {
		c.Detail += fmt.Sprintf(", %d waiting", len(g.Waiting))
	}
	switch {
	case g.Error != "":
		c.Detail += ": " + g.Error
		return c.warn("is the gateway running at " + g.Endpoint + ", and does it heed this site? The leader keeps trying")
	case g.State == "pending":
		return c.warn("the gateway has not answered yet: is it running at " + g.Endpoint + "? The leader keeps trying")
	case len(g.Quarantined) > 0:
		return c.warn("the gateway refuses some services: catalyst status shows why")
	case len(g.Waiting) > 0:
		return c.warn("the gateway cannot serve some services as they are now: catalyst status shows why")
	}
	return c
}

func (n *Node) checkPeers(ctx context.Context) Check {
	var down []string
	all := n.peers(ctx, n.machine.Table()).Peers
	for _, p := range all {
		if p.Configured && p.State != peering.Established {
			down = append(down, p.ID)
		}
	}
	if len(all) == 0 {
		return ok("peers", "none")
	}
	c := ok("peers", "%d, all configured ones established", len(all))
	if len(down) > 0 {
		c.Detail = "no session with " + strings.Join(down, ", ")
		return c.warn("catalyst peer show NAME tells what was tried last")
	}
	return c
}

// Examine looks at the data directory of a node that does not run.
func Examine(dir string) []Check {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return []Check{ok("data directory", "%s: %v", dir, err).fail("name the node's data directory with --data-dir")}
	}
	checks := []Check{ok("data directory", "%s, mode %04o", dir, info.Mode().Perm())}
	if info.Mode().Perm()&0o077 != 0 {
		checks[0] = checks[0].warn("it holds secrets: chmod 700 " + dir)
	}
	free, total, err := storage.Space(dir)
	space := ok("disk space", "%s of %s free", mebibytes(free), mebibytes(total))
	if err == nil && storage.Low(free, total) {
		space = space.fail("make room in " + dir)
	}
	checks = append(checks, space)
	return append(checks, examineIdentity(dir), examineLog(dir), examineCredentials(dir))
}
