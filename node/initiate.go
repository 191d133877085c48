package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// initiation is what `catalyst init` may say.
type initiation struct {
	Site     string   `json:"site"`
	AS       uint32   `json:"as"`
	Hosts    []string `json:"hosts"`
	JoinUses int      `json:"joinUses"`
	JoinTTL  int      `json:"joinTTL"` // seconds
}

const (
	joinUses     = 10
	joinTTL      = 24 * time.Hour
	initDeadline = 20 * time.Second
)

// init founds a secured site with this node, which waits.
func (s *cliScope) init(ctx context.Context, c *transport.Call) (any, error) {
	var i initiation
	if err := c.Decode(0, &i); err != nil {
		return nil, err
	}
	transport.Concurrent(ctx)
	ctx, cancel := context.WithTimeout(ctx, initDeadline)
	defer cancel()
	result, err := s.n.initiate(ctx, i)
	return result, edge(err)
}

func (n *Node) initiate(ctx context.Context, i initiation) (any, error) {
	if refusal := n.cannotInitiate(&i); refusal != nil {
		return *refusal, nil
	}
	defer n.beginning.Unlock()
	siteID, now := newSiteID(), time.Now()
	authority, err := trust.NewAuthority(i.Site, siteID, now)
	if err != nil {
		return pipeline.Refuse(fsm.Invalid, "site: no certificate authority can be made for it: %v", err), nil
	}
	if err := n.enterWith(authority, i, siteID); err != nil {
		return nil, err
	}
	n.founding.Store(&founding{as: i.AS})
	if err := n.bootstrap([]raft.Server{n.server()}); err != nil {
		return nil, err
	}
	return n.seal(ctx, authority, i)
}

// cannotInitiate checks, fills in defaults, and keeps a second one out.
func (n *Node) cannotInitiate(i *initiation) *pipeline.Result {
	refuse := func(code fsm.Code, format string, args ...any) *pipeline.Result {
		r := pipeline.Refuse(code, format, args...)
		return &r
	}
	if i.Site == "" {
		i.Site = n.site()
	}
	if i.AS == 0 {
		i.AS = n.cfg.AS
	}
	if i.JoinUses == 0 {
		i.JoinUses = joinUses
	}
	if i.JoinTTL == 0 {
		i.JoinTTL = int(joinTTL / time.Second)
	}
	switch {
	case n.level() < levelMembership:
		return refuse(fsm.Conflict, "this version of catalyst cannot found a secured site: install a newer one")
	case !nodeName.MatchString(i.Site):
		return refuse(fsm.Invalid, `site: %q cannot be used: give 1 to 64 of letters, digits, ".", "_", "-", starting with a letter or digit`, i.Site)
	case n.cfg.Site != "" && n.cfg.Site != i.Site:
		return refuse(fsm.Conflict, "site: this node was started with --site %s: give the same name, or start it without", n.cfg.Site)
	case i.JoinUses < 1 || i.JoinUses > 1000:
		return refuse(fsm.Invalid, "joinUses: is %d; give 1 to 1000", i.JoinUses)
	case i.JoinTTL < 1 || i.JoinTTL > int(mostTTL/time.Second):
		return refuse(fsm.Invalid, "joinTTL: is %d seconds; give 1 to %d", i.JoinTTL, int(mostTTL/time.Second))
	case n.secured() && n.cfg.TLSCert != "":
		return refuse(fsm.Conflict, "this node uses certificates of your own (--tls-cert): start it with --bootstrap or --bootstrap-expect")
	case !n.beginning.TryLock():
		return refuse(fsm.Conflict, "this node is being taken into a site already: see catalyst status")
	}
	if n.raft.LastIndex() > 0 || n.isMember() || n.secured() {
		n.beginning.Unlock()
		return refuse(fsm.Conflict, "%s belongs to site %q already: to found another, stop it and start it with an empty --data-dir", n.cfg.ID, n.site())
	}
	return nil
}

// enterWith makes this node the first of the site.
func (n *Node) enterWith(authority trust.Authority, i initiation, siteID string) error {
	if err := n.self.alter(func(me *identity) { me.Hosts = i.Hosts }); err != nil {
		return err
	}
	c, err := n.certified(authority, i.Site)
	if err != nil {
		return err
	}
	return n.enter(i.Site, siteID, c, gossip.Keys{Keys: [][]byte{trust.NewGossipKey()}})
}

// seal puts into the log what the site needs beside its name, and answers with
// what the operator needs.
func (n *Node) seal(ctx context.Context, authority trust.Authority, i initiation) (any, error) {
	by := pipeline.Identity{Name: "init", Role: pipeline.Admin}
	t, err := n.awaitTerm(ctx)
	if err != nil {
		return nil, err
	}
	keys, _ := n.recallKeys()
	admin := trust.NewToken(trust.ClientToken, authority.Pin(), time.Time{}, 0)
	expires := time.Now().Add(time.Duration(i.JoinTTL) * time.Second).Truncate(time.Second)
	join := trust.NewToken(trust.JoinToken, authority.Pin(), expires, i.JoinUses)
	adminHash, joinHash := admin.Hash(), join.Hash()
	for _, op := range []fsm.Op{
		fsm.SetAuthority{Certificate: authority.Certificate, Key: authority.Key},
		fsm.SetGossipKeys{Keys: keys.Keys},
		fsm.Admit{ID: n.cfg.ID, Instance: n.who().Instance},
		fsm.PutToken{Token: fsm.Token{ID: admin.ID, Role: fsm.RoleAdmin, Hash: adminHash[:], Description: "of init"}},
		fsm.PutToken{Token: fsm.Token{ID: join.ID, Role: fsm.RoleJoin, Hash: joinHash[:], Description: "of init", ExpiresAt: expires.UnixMilli(), Uses: i.JoinUses}},
	} {
		out, _, err := t.proposer.Propose(ctx, fsm.Command{By: by.Name, Op: op})
		if err == nil && out.Code != "" {
			err = fmt.Errorf("found site %s: %s", i.Site, out.Message)
		}
		if err != nil {
			return nil, err
		}
	}
	return pipeline.Result{Success: true, Index: n.machine.Table().Version(), Data: map[string]any{
		"id": n.cfg.ID, "site": n.site(), "siteId": n.who().SiteID, "fingerprint": authority.Pin().String(),
		"adminToken": admin.Text(), "joinToken": join.Text(), "join": n.joinLine(join), "address": n.addresses.RPC,
		"expiresAt": expires.UnixMilli(), "uses": i.JoinUses, "caFile": n.ground.authorityFile(),
	}}, nil
}

// joinLine is what to type on a further node.
func (n *Node) joinLine(t trust.Token) string {
	return fmt.Sprintf("catalyst join %s --token %s", n.addresses.RPC, t.Text())
}

// awaitTerm waits until this node leads and the site is founded.
func (n *Node) awaitTerm(ctx context.Context) (*term, error) {
	for {
		if t := n.leadership.current.Load(); t != nil {
			return t, nil
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
			return nil, failure(noLeader, "the site was founded, but this node does not lead it within %s: see its log", initDeadline)
		}
	}
}

// founding is what a new site begins with, as far as the configuration of its
// first node does not say so.
type founding struct {
	as uint32
}

// newSiteID is a UUID (RFC 9562, version 4).
func newSiteID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
