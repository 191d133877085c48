package node

import (
	"context"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// caller is the other end of a connection, as far as the network vouches for it.
type caller struct {
	address string // IP
	local   bool   // on this machine
	node    string // the node of this site that its certificate names, or empty
}

// secured says whether this node has a certificate: it speaks TLS from then on.
func (n *Node) secured() bool { return n.keeper.Current() != nil }

// locked says whether this node waits beyond loopback without any credential:
// until a site has taken it in it obeys its own machine alone.
func (n *Node) locked() bool {
	return n.exposed && n.cfg.AdminToken == "" && !n.cfg.Insecure && !n.secured()
}

// credential is what a client has shown. It holds as long as the table says,
// which is asked again with every call.
type credential struct {
	who   pipeline.Identity
	token string // id in the table; empty for the node's own admin token and where none is wanted
}

// authenticate finds out for whom a token stands.
func (n *Node) authenticate(ctx context.Context, from caller, text string) (credential, error) {
	if err := n.patience(from); err != nil {
		return credential{}, err
	}
	c, err := n.recognise(ctx, from, text)
	if err != nil {
		n.failed(from, "refused a client", err)
	}
	return c, err
}

// catchUpWith brings the table up to what the leader has now; false when that
// is not to be had in good time.
func (n *Node) catchUpWith(ctx context.Context) bool {
	transport.Concurrent(ctx)
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	v, err := n.confirmOnce(ctx)
	if err == nil {
		_, err = n.machine.Await(ctx, max(v, 1)-1)
	}
	return err == nil
}

// patience rejects a caller whose credentials were wrong too often.
func (n *Node) patience(from caller) error {
	if wait := n.failures.wait(from.address); wait > 0 {
		return failure(overloaded, "too many wrong tokens came from %s: wait %s, or ask another node", from.address, wait.Round(time.Second))
	}
	return nil
}

// failed notes that a caller showed no good credential. Who could not be
// judged has not failed.
func (n *Node) failed(from caller, what string, err error) {
	if codeOf(err) == unavailable {
		return
	}
	n.failures.note(from.address)
	n.counts.unauthenticated.Add(1)
	n.complain(what, from.address, err)
}

func (n *Node) recognise(ctx context.Context, from caller, text string) (credential, error) {
	admin := credential{who: pipeline.Identity{Name: "admin", Role: pipeline.Admin}}
	switch {
	case n.locked() && !from.local:
		return credential{}, failure(unauthenticated, "this node waits to be taken into a site, and until then obeys only its own machine: run `catalyst init` or `catalyst join` there")
	case n.cfg.AdminToken != "" && sameSecret(text, n.cfg.AdminToken):
		return admin, nil
	case n.cfg.AdminToken == "" && n.open():
		admin.who.Unasked = true
		return admin, nil
	case text == "":
		return credential{}, failure(unauthenticated, "this site wants a token: give it with --token (CATALYST_TOKEN)")
	}
	if !trust.IsToken(text) {
		return credential{}, failure(unauthenticated, "the token is not valid at this site: check --token (CATALYST_TOKEN)")
	}
	return n.tokenShown(ctx, text)
}

// open says whether this is a site without credentials, on loopback or
// knowingly open. A node that has just started remembers whether it was.
func (n *Node) open() bool {
	t := n.machine.Table()
	return !n.secured() && t.NumTokens() == 0 && (!n.who().Guarded || n.ready.Load())
}

// tokenShown finds the site's own record of a token, which may be newer than
// this node's table.
func (n *Node) tokenShown(ctx context.Context, text string) (credential, error) {
	c, err := n.tokenKnown(text)
	switch {
	case err == nil || !n.isNews(text):
		return c, err
	case !n.catchUpWith(ctx):
		return c, failure(unavailable, "this node cannot tell whether the token is valid, as the site has no leader that it reaches: %s", n.quorumNow())
	}
	return n.tokenKnown(text)
}

// isNews says whether a text is a token that the table does not know. That of
// a node which has just started may know none.
func (n *Node) isNews(text string) bool {
	shown, err := trust.ParseToken(text)
	if err != nil || shown.Kind != trust.ClientToken {
		return false
	}
	_, known := n.token(shown.ID)
	return !known
}

// token is the site's record of one. Until this node has caught up with a leader
// after its start, what stands in its own log counts, too: without a quorum an
// operator could not even ask what is wrong.
func (n *Node) token(id string) (fsm.Token, bool) {
	k, known := n.machine.Table().Token(id)
	if known || n.ready.Load() {
		return k, known
	}
	return n.foretold().Token(id)
}

// foretold is the table that this node's log leads to, committed or not, as it
// was at the start.
func (n *Node) foretold() *fsm.Table {
	n.foretelling.Do(func() {
		t, err := replayed(n.stores.snapshots, n.stores.logs)
		if err != nil {
			n.log.Warn("read the log ahead of its leader", "site", n.site(), "node", n.cfg.ID, "err", err)
		}
		n.foretells = t
	})
	return n.foretells
}

func (n *Node) tokenKnown(text string) (credential, error) {
	shown, err := trust.ParseToken(text)
	switch {
	case err != nil:
		return credential{}, failure(unauthenticated, "the token cannot be read: %v", err)
	case shown.Kind == trust.JoinToken:
		return credential{}, failure(unauthenticated, "this is a join token, which takes a node into the site: use it with `catalyst join`, and a client token here")
	}
	k, known := n.token(shown.ID)
	if !known || !shown.Matches(k.Hash) || k.Role == fsm.RoleJoin {
		return credential{}, failure(unauthenticated, "the token %s is not valid at this site: it was revoked, or is another site's; `catalyst token list` shows those there are", shown.ID)
	}
	c := credential{who: identityOf(k), token: k.ID}
	return c, n.holds(c)
}

func identityOf(k fsm.Token) pipeline.Identity {
	who := pipeline.Identity{Name: "token " + k.ID, Site: k.Site}
	if k.Description != "" {
		who.Name += " (" + k.Description + ")"
	}
	switch k.Role {
	case fsm.RoleAdmin:
		who.Role = pipeline.Admin
	case fsm.RoleOperator:
		who.Role = pipeline.Operator
	case fsm.RolePeer:
		who.Role = pipeline.Peer
	}
	return who
}

// holds says whether a credential still stands.
func (n *Node) holds(c credential) error {
	switch {
	case c.who.Unasked && !n.open():
		return failure(unauthenticated, "this site wants a token by now: give it with --token (CATALYST_TOKEN)")
	case c.token == "":
		return nil
	}
	k, known := n.token(c.token)
	switch {
	case !known:
		return failure(unauthenticated, "the token %s has been revoked", c.token)
	case k.ExpiresAt != 0 && k.ExpiresAt <= time.Now().UnixMilli():
		return failure(unauthenticated, "the token %s expired at %s: make another with `catalyst token create`", c.token, moment(k.ExpiresAt))
	}
	return nil
}

func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04 UTC") }

// allow lets a method be called by who has the role, or one that may more.
func (s *cliScope) allow(role pipeline.Role, name string, m transport.Method) transport.Method {
	return func(ctx context.Context, c *transport.Call) (any, error) {
		if err := s.n.holds(s.credential); err != nil {
			return nil, err
		}
		if s.who.Role < role || s.who.Role == pipeline.Peer {
			s.n.counts.forbidden.Add(1)
			return nil, failure(forbidden, "%s needs the role %s; %s has the role %s", name, role, s.who.Name, s.who.Role)
		}
		return m(ctx, c)
	}
}

// fromNode admits another node of this site: by its certificate, or, where
// there are none, by the admin token that all nodes share.
func (n *Node) fromNode(from caller, token string) error {
	switch {
	case n.secured() && from.node != "" && n.wasRemoved(from.node):
		return failure(unauthenticated, "%s is no member of site %s any more", from.node, n.site())
	case n.secured() && from.node != "":
		return nil
	case n.secured():
		return failure(unauthenticated, "only a node of this site may call this, and it shows its certificate")
	case n.locked():
		return failure(unauthenticated, "this node waits to be taken into a site")
	case n.cfg.AdminToken == "" || sameSecret(token, n.cfg.AdminToken):
		return nil
	}
	return failure(unauthenticated, "the token is not this node's: give all nodes of a site the same --admin-token (CATALYST_ADMIN_TOKEN)")
}

// wasRemoved says whether a node is none of the site's, as far as this one
// knows: its certificate outlives its membership.
func (n *Node) wasRemoved(id string) bool {
	e := electorate{servers: n.configuration()}
	_, member := e.find(id)
	_, admitted := n.machine.Table().Instance(id)
	return len(e.servers) > 0 && !member && !admitted
}
