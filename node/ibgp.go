package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

var errPeerGone = errors.New("the peer's connection ended")

// connectionFromIBGPPeer is for the leaders of other sites and for collectors,
// who may dial any node of this one.
func (n *Node) connectionFromIBGPPeer(from caller, end func(error)) transport.Method {
	return func(ctx context.Context, c *transport.Call) (any, error) {
		var secret string
		if err := c.Decode(0, &secret); err != nil {
			return nil, err
		}
		if err := n.patience(from); err != nil {
			return nil, err
		}
		s := &ibgpScope{n: n, end: end}
		err := s.admit(ctx, secret)
		if err != nil {
			n.failed(from, "refused a peer", err)
			return nil, err
		}
		return s.target(), nil
	}
}

// admit says for whom a secret stands: the token of a site for that site, that
// of a configured peer for it, and this site's own for any. It looks at all
// secrets, whichever matches.
func (s *ibgpScope) admit(ctx context.Context, secret string) error {
	n := s.n
	if trust.IsToken(secret) {
		return s.admitToken(ctx, secret)
	}
	some := n.cfg.PeeringSecret != ""
	own := some && sameSecret(secret, n.cfg.PeeringSecret)
	for c := range n.machine.Table().Peers() {
		some = some || c.Secret != ""
		if c.Secret != "" && sameSecret(secret, c.Secret) {
			s.shown.Peers = append(s.shown.Peers, c.ID)
		}
	}
	switch {
	case own:
		s.shown = peering.Admission{}
		return nil
	case len(s.shown.Peers) > 0:
		return nil
	case !n.ready.Load():
		return failure(unavailable, "this node has just started and does not know the site's peers yet: dial again, or another node")
	case !some:
		return failure(unauthenticated, "peering is off at this site: make a token for the other site with `catalyst token create --role peer --site NAME`, or set --peering-secret (CATALYST_PEERING_SECRET) on its nodes")
	default:
		return failure(unauthenticated, "the peering secret is not valid at this site: give the other site's --peering-secret with `catalyst peer add --secret`")
	}
}

func (s *ibgpScope) admitToken(ctx context.Context, text string) error {
	c, err := s.n.tokenShown(ctx, text)
	if err == nil && c.who.Role != pipeline.Peer {
		err = failure(unauthenticated, "the token %s has the role %s: another site shows one of the role peer, which `catalyst token create --role peer --site NAME` makes", c.token, c.who.Role)
	}
	s.credential, s.shown.Site = c, c.who.Site
	return err
}

// sameSecret compares in constant time, whatever the lengths.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// ibgpScope is what a peer that has shown its secret may use: one session,
// which is here, or at the leader and carried there. The connection beneath
// lives as long as the session.
type ibgpScope struct {
	n          *Node
	credential credential // where it is a token
	shown      peering.Admission
	end        func(error) // ends the connection; nil where there is none, as in a batch

	session *peering.Session            // at this node
	methods map[string]transport.Method // of session
	leader  *transport.Stub             // or carried there
}

func (s *ibgpScope) target() *transport.Target {
	return transport.NewTarget(map[string]transport.Method{
		"open":      s.open,
		"update":    s.pass("update"),
		"compare":   s.pass("compare"),
		"keepAlive": s.pass("keepAlive"),
		"close":     s.pass("close"),
		"lost":      s.lost,
	})
}

// pass is a method of the session, wherever that is.
func (s *ibgpScope) pass(method string) transport.Method {
	return func(ctx context.Context, c *transport.Call) (any, error) {
		if err := s.n.holds(s.credential); err != nil {
			if s.end != nil {
				s.end(err)
			}
			return nil, err
		}
		switch {
		case s.session != nil:
			return s.methods[method](ctx, c)
		case s.leader != nil:
			return s.leader.Call(method, c.Arg(0)), nil
		}
		return nil, failure(unavailable, "there is no session yet: call open first")
	}
}

// lost is a follower's word that the peer's connection has ended.
func (s *ibgpScope) lost(_ context.Context, c *transport.Call) (any, error) {
	if s.session != nil {
		s.session.Lost(errPeerGone)
	}
	return nil, nil
}

// open begins the session at the leader. While there is none it waits up to
// LeaderWait, as an action does.
func (s *ibgpScope) open(ctx context.Context, c *transport.Call) (any, error) {
	if s.end == nil {
		return nil, typeError("open needs a WebSocket: the sender of an HTTP batch cannot be called back")
	}
	if s.session != nil || s.leader != nil {
		return nil, typeError("open was called before: get another scope with connectionFromIBGPPeer")
	}
	if _, err := callbackOf(c.Arg(0)); err != nil {
		return nil, err
	}
	var hello *peering.Info
	if err := c.Decode(1, &hello); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(s.n.cfg.LeaderWait)
	for {
		info, err := s.openOnce(c, hello)
		if err == nil {
			return info, nil
		}
		if !repeatable(err, "") || time.Now().After(deadline) || ctx.Err() != nil {
			return nil, edge(s.n.withLeader(err))
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
		}
	}
}

func (s *ibgpScope) openOnce(c *transport.Call, hello *peering.Info) (peering.Info, error) {
	if t := s.n.leadership.current.Load(); t != nil {
		return s.openHere(c, t.speaker, hello)
	}
	scope, err := s.n.leaderScope(c)
	if err != nil {
		return peering.Info{}, err
	}
	return s.openThere(c, scope, hello)
}

func (s *ibgpScope) openHere(c *transport.Call, speaker *peering.Speaker, hello *peering.Info) (peering.Info, error) {
	callback, err := callbackOf(c.Arg(0))
	if err != nil {
		return peering.Info{}, err
	}
	kept := callback.keep()
	x, info, err := speaker.Accept(&farEnd{to: kept, end: s.end, release: kept.release}, hello, s.shown)
	if err != nil {
		kept.release()
		return info, acceptFailure(err)
	}
	s.session, s.methods = x, sessionMethods(x)
	context.AfterFunc(c, func() { x.Lost(errPeerGone) })
	return info, nil
}

func acceptFailure(err error) error {
	refused, ok := peering.IsRefused(err)
	switch {
	case !ok:
		return failure(leaderChanged, "%v: open the session again", err)
	case refused.Kind == peering.NotAllowed:
		return failure(unauthenticated, "%s", refused.Message)
	case refused.Kind == peering.Crowded:
		return failure(overloaded, "%s", refused.Message)
	default:
		f := failure(unavailable, "%s", refused.Message)
		if refused.Kind == peering.Connected {
			f.Props["connected"] = refused.Site
		}
		return f
	}
}

// asRefused reads what acceptFailure wrote, as far as it matters to who dials.
func asRefused(err error) error {
	var e *transport.Error
	if !errors.As(err, &e) {
		return err
	}
	if site, ok := e.Props["connected"].(string); ok {
		return &peering.Refused{Kind: peering.Connected, Message: e.Message, Site: site}
	}
	return err
}
