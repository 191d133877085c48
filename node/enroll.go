package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// enrolment is what a node shows to be given a certificate.
type enrolment struct {
	Token    string   `json:"token"`
	ID       string   `json:"id"`
	Instance string   `json:"instance"`
	Request  []byte   `json:"request"` // of a certificate, PKCS #10
	Hosts    []string `json:"hosts"`   // names and addresses that its clients use
	Site     string   `json:"site"`    // that it means to join; empty for whichever it is
	Level    int      `json:"level"`
	Version  string   `json:"version"`
}

// welcome is all that a node needs to find its site and to be believed there.
type welcome struct {
	Site        string      `json:"site"`
	SiteID      string      `json:"siteId"`
	Certificate []byte      `json:"certificate"`
	Authority   []byte      `json:"authority"`
	Keys        gossip.Keys `json:"keys"`
	Gossip      []string    `json:"gossip"`
}

// enroll gives a certificate to who shows a join token. Any node takes it; the
// leader decides.
func (n *Node) enroll(ctx context.Context, from caller, c *transport.Call) (any, error) {
	var e enrolment
	if err := c.Decode(0, &e); err != nil {
		return nil, err
	}
	if err := n.patience(from); err != nil {
		return nil, err
	}
	transport.Concurrent(ctx)
	w, err := n.enrollAnywhere(ctx, e)
	if err != nil && codeOf(err) == unauthenticated {
		n.failed(from, "refused to enroll a node", err)
	}
	return w, edge(err)
}

func (n *Node) enrollAnywhere(ctx context.Context, e enrolment) (any, error) {
	if t := n.leadership.current.Load(); t != nil {
		return n.admitNode(ctx, t, e)
	}
	leader, err := n.leaderScope(ctx)
	if err != nil {
		return nil, err
	}
	return transport.Await[welcome](ctx, leader.Call("enroll", e))
}

func (n *Node) enrollAtLeader(ctx context.Context, c *transport.Call) (any, error) {
	var e enrolment
	if err := c.Decode(0, &e); err != nil {
		return nil, err
	}
	t := n.leadership.current.Load()
	if t == nil {
		return nil, failure(leaderChanged, "%s does not lead (any more)", n.cfg.ID)
	}
	transport.Concurrent(ctx)
	w, err := n.admitNode(ctx, t, e)
	return w, edge(err)
}

// admitNode decides as the leader. Whatever can be refused is refused before a
// use of the token is taken.
func (n *Node) admitNode(ctx context.Context, t *term, e enrolment) (*welcome, error) {
	table := n.machine.Table()
	token, err := trust.ParseToken(e.Token)
	switch {
	case err != nil:
		return nil, failure(unauthenticated, "the join token cannot be read: %v", err)
	case token.Kind != trust.JoinToken:
		return nil, failure(unauthenticated, "this is a client token: `catalyst token create --role join` makes one that takes a node in")
	}
	known, ok := table.Token(token.ID)
	if !ok || known.Role != fsm.RoleJoin || !token.Matches(known.Hash) {
		return nil, failure(unauthenticated, "the join token %s is not valid at site %s: it was revoked, or is another site's; `catalyst token create --role join` makes a new one", token.ID, n.site())
	}
	certificate, _ := table.Authority()
	if why := n.unwelcome(table, e, certificate); why != "" {
		return nil, failure(forbidden, "%s", why)
	}
	sum := sha256.Sum256(e.Request)
	out, _, err := t.proposer.Propose(ctx, fsm.Command{
		RequestID: "enroll-" + hex.EncodeToString(sum[:16]), By: "token " + token.ID,
		Op: fsm.UseToken{ID: token.ID, For: e.ID},
	})
	if err != nil {
		return nil, err
	}
	if out.Code != "" {
		return nil, failure(unauthenticated, "%s", out.Message)
	}
	issued, err := n.issue(e.ID, e.Request, e.Hosts)
	if err != nil {
		return nil, failure(forbidden, "the request for a certificate: %v", err)
	}
	n.log.Info("a node is enrolled", "site", n.site(), "node", e.ID, "version", e.Version)
	gossip, _ := n.members.Addresses()
	return &welcome{
		Site: n.site(), SiteID: table.ID(), Certificate: issued, Authority: certificate,
		Keys: n.gossipKeys(), Gossip: append(gossip, n.addresses.Gossip),
	}, nil
}

// unwelcome says why a node that shows a good token is not taken in.
func (n *Node) unwelcome(t *fsm.Table, e enrolment, authority []byte) string {
	instance, admitted := t.Instance(e.ID)
	_, member := electorate{servers: n.configuration()}.find(e.ID)
	switch {
	case authority == nil:
		return "this site has no certificate authority of its own: start the node with certificates of yours (--tls-ca, --tls-cert, --tls-key) and --join"
	case !nodeName.MatchString(e.ID):
		return fmt.Sprintf("the node id %q cannot be used: see --id", e.ID)
	case e.Site != "" && e.Site != n.site():
		return fmt.Sprintf("the node is meant for site %q, this is site %q: start it with --site %s, or without", e.Site, n.site(), n.site())
	case member && admitted && instance != e.Instance, member && !admitted:
		return fmt.Sprintf("the site has a member %s already: give this node another --id; or, if it is that machine and its data is lost, take the member out first: catalyst member remove %s", e.ID, e.ID)
	case e.Level < t.Level():
		return fmt.Sprintf("the node's version %s is too old: the site is at level %d, the node knows %d; install a newer one", e.Version, t.Level(), e.Level)
	}
	return ""
}

// seekEnrolment is the joining node's half: it asks any node of the site, and
// believes it by the fingerprint that its token carries.
func (n *Node) seekEnrolment(ctx context.Context, address string, token trust.Token) (*welcome, []byte, error) {
	key, request, err := trust.NewRequest(n.cfg.ID)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTime)
	defer cancel()
	conn, err := n.cfg.Dial(ctx, "wss://"+address+"/rpc", trust.Pinned(token.Pin))
	if err != nil {
		return nil, nil, err
	}
	s := transport.NewSession(conn, transport.Config{Limits: n.limits()})
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	n.wg.Go(func() { defer close(ended); _ = s.Run(life) })
	defer func() { end(); <-ended }()
	w, err := transport.Await[welcome](ctx, s.Main().Call("enroll", enrolment{
		Token: token.Text(), ID: n.cfg.ID, Instance: n.who().Instance, Request: request, Hosts: n.hosts(),
		Site: n.cfg.Site, Level: n.level(), Version: n.cfg.Version,
	}))
	return &w, key, err
}

// enrolTime bounds one round for a certificate.
const enrolTime = 15 * time.Second

// hosts are the names and addresses by which clients may come to this node.
func (n *Node) hosts() []string {
	hosts := slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, n.cfg.Hosts, n.who().Hosts)
	for _, address := range []string{n.addresses.RPC, n.cfg.RPCAddr} {
		if host, _, err := net.SplitHostPort(address); err == nil && !unspecified(host) {
			hosts = append(hosts, host)
		}
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// enter makes this node one of a secured site: from here on it speaks TLS, and
// its gossip is encrypted.
func (n *Node) enter(site, siteID string, c *trust.Credentials, keys gossip.Keys) error {
	if err := c.Check(time.Now()); err != nil {
		return err
	}
	if err := n.ground.keepCredentials(c); err != nil {
		return err
	}
	if err := n.useKeys(keys); err != nil {
		return err
	}
	if err := n.self.alter(func(i *identity) { i.Site, i.SiteID, i.Secured = site, siteID, true }); err != nil {
		return err
	}
	if err := n.keeper.Set(c); err != nil {
		return err
	}
	n.members.Announce(func(m *gossip.About) { m.Site, m.SiteID = site, siteID })
	return nil
}
