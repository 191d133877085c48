package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// newSpeaker makes what carries the sessions with other sites in one term.
func (n *Node) newSpeaker(t *term, dialer *peerDialer) *peering.Speaker {
	return peering.New(peering.Config{
		Self: peering.Info{
			Site: n.site(), AS: n.machine.Table().AS(), Node: n.cfg.ID, Domains: append([]string{}, n.cfg.Domains...),
			Endpoint: cmp.Or(n.cfg.PeeringEndpoint, n.url()),
			Term:     t.number, Epoch: n.machine.Table().Epoch(),
		},
		Secret:  n.cfg.PeeringSecret,
		Reflect: n.cfg.RouteReflector,
		Site:    &peerSite{n, t.proposer},
		Dialer:  dialer,
		Counts:  &n.peerCounts,
		Log:     n.log.With("site", n.site(), "node", n.cfg.ID),
	})
}

// peerSite is this site as its sessions see it: what they bring goes through
// the pipeline.
type peerSite struct {
	n        *Node
	proposer *proposer
}

func (s *peerSite) Table() *fsm.Table { return s.n.machine.Table() }

func (s *peerSite) Await(ctx context.Context, newerThan uint64) (*fsm.Table, error) {
	return s.n.machine.Await(ctx, newerThan)
}

func (s *peerSite) Commit(ctx context.Context, peer string, op fsm.Op) (fsm.Outcome, error) {
	action, ok := pipeline.PeerAction(op)
	if !ok {
		return fsm.Outcome{}, fmt.Errorf("%T is no command of a peer's session", op)
	}
	r, err := s.n.pipeline.Apply(ctx, &pipeline.Context{
		Action: action, Proposer: s.proposer, Log: s.n.log,
		Identity: pipeline.Identity{Name: "peer " + peer, Role: pipeline.Peer, Site: peer},
	})
	d, _ := r.Data.(pipeline.UpdateData)
	return fsm.Outcome{Code: r.Code, Message: cmp.Or(r.Error, d.Note), ID: d.ID, Index: r.Index, Malformed: d.Malformed, Refused: d.Refused}, err
}

// peerDialer opens sessions to other sites. It lives as long as a term.
type peerDialer struct {
	n    *Node
	life context.Context
	wg   sync.WaitGroup
}

// Dial sends all that begins a session at once: it takes one round trip.
func (d *peerDialer) Dial(ctx context.Context, endpoint, secret string, near *peering.Session, self peering.Info) (peering.Remote, peering.Await[peering.Info], error) {
	authority, err := d.n.authorityOf(endpoint, secret)
	if err != nil {
		return nil, nil, err
	}
	conn, err := d.n.cfg.Dial(ctx, endpoint, authority)
	if err != nil {
		return nil, nil, err
	}
	s := transport.NewSession(conn, transport.Config{Limits: d.n.limits(), Log: d.n.log})
	d.wg.Go(func() {
		_ = s.Run(d.life)
		near.Lost(lostBy(s.Err()))
	})
	scope := s.Main().Call("connectionFromIBGPPeer", secret)
	opened := scope.Call("open", nearEnd(near), self).Pull()
	answer := func(ctx context.Context) (peering.Info, error) {
		info, err := transport.Await[peering.Info](ctx, opened)
		return info, asRefused(err)
	}
	return &farEnd{to: scope, end: s.Abort}, answer, nil
}

// authorityOf is whom to believe at another site's endpoint: who is known by the
// fingerprint in the token that its operator gave; else, with certificates of
// an operator's own, their authority; else the system's.
func (n *Node) authorityOf(endpoint, secret string) (*tls.Config, error) {
	token, err := trust.ParseToken(secret)
	pinned := err == nil && !token.Pin.IsZero()
	switch {
	case pinned && strings.HasPrefix(endpoint, "ws:"):
		return nil, fmt.Errorf("the endpoint %s is not encrypted, and the token is that of a site with TLS: give the peer's endpoint as wss://", endpoint)
	case pinned:
		return trust.Pinned(token.Pin), nil
	case n.cfg.TLSCA != "" && strings.HasPrefix(endpoint, "wss:"):
		authorities, err := os.ReadFile(n.cfg.TLSCA)
		if err != nil {
			return nil, err
		}
		return trust.WithRoots(authorities)
	}
	return nil, nil
}

// url is where this node's RPC is.
func (n *Node) url() string {
	if n.secured() {
		return "wss://" + n.addresses.RPC + "/rpc"
	}
	return "ws://" + n.addresses.RPC + "/rpc"
}

// lostBy is why a connection ended, without the words that say that it did.
func lostBy(err error) error {
	if broken, ok := err.(interface{ Unwrap() []error }); ok {
		causes := broken.Unwrap()
		return causes[len(causes)-1]
	}
	return err
}

// nearEnd is what the far end calls of a session.
func nearEnd(x *peering.Session) *transport.Target { return transport.NewTarget(sessionMethods(x)) }

func sessionMethods(x *peering.Session) map[string]transport.Method {
	return map[string]transport.Method{
		"update": func(ctx context.Context, c *transport.Call) (any, error) {
			answer, err := x.Update(ctx, c.Arg(0))
			return answer, sessionFailure(err)
		},
		"compare": transport.Method1(func(ctx context.Context, d peering.Digest) (peering.Comparison, error) {
			same, err := x.Compare(ctx, d)
			return same, sessionFailure(err)
		}),
		"keepAlive": transport.Proc0(func(context.Context) error { return sessionFailure(x.KeepAlive()) }),
		"close":     transport.Proc1(func(ctx context.Context, reason string) error { return sessionFailure(x.Close(ctx, reason)) }),
	}
}

// sessionFailure rejects a call to a session: it is over, or is from now on.
func sessionFailure(err error) error {
	var coded *transport.Error
	if err == nil || errors.As(err, &coded) {
		return edge(err)
	}
	return failure(unavailable, "%v; open another session", err)
}

// farEnd is the far end of a session: the scope of the site that was dialled,
// or the callback of one that came.
type farEnd struct {
	to      transport.Caller
	end     func(error)
	release func() // may be nil
}

func (f *farEnd) Update(updates []peering.Update) peering.Await[peering.Answer] {
	p := f.to.Call("update", updates).Pull()
	return func(ctx context.Context) (peering.Answer, error) {
		v, err := awaited(ctx, p)
		answer := peering.Answer{Success: true} // a callback may answer nothing
		if object, ok := v.(map[string]any); ok && err == nil {
			err = transport.Decode(object, &answer)
		}
		return answer, err
	}
}

// KeepAlive takes for an answer that there is no such method: a callback need
// not have it.
func (f *farEnd) KeepAlive() peering.Await[struct{}] {
	p := f.to.Call("keepAlive").Pull()
	return func(ctx context.Context) (struct{}, error) {
		_, err := awaited(ctx, p)
		if isTypeError(err) {
			err = nil
		}
		return struct{}{}, err
	}
}

func (f *farEnd) Compare(d peering.Digest) peering.Await[peering.Comparison] {
	p := f.to.Call("compare", d).Pull()
	return func(ctx context.Context) (peering.Comparison, error) {
		c, err := transport.Await[peering.Comparison](ctx, p)
		if isTypeError(err) {
			err = peering.ErrNoCompare
		}
		return c, err
	}
}

func (f *farEnd) Close(reason string) peering.Await[struct{}] {
	p := f.to.Call("close", reason).Pull()
	return func(ctx context.Context) (struct{}, error) {
		_, err := awaited(ctx, p)
		return struct{}{}, err
	}
}

func (f *farEnd) End(reason error) {
	f.end(reason)
	if f.release != nil {
		f.release()
	}
}

// awaited is Await for what is not awaited twice.
func awaited(ctx context.Context, p *transport.Promise) (any, error) {
	v, err := p.Await(ctx)
	if err != nil {
		p.Release()
	}
	return v, err
}

func isTypeError(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.Name == "TypeError" && !errors.Is(err, transport.ErrBroken)
}
