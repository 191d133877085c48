package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/transport"
)

var errPeerGone = errors.New("the peer's connection ended")

// connectionFromIBGPPeer is for the leaders of other sites and for collectors,
// who may dial any node of this one.
func (n *Node) connectionFromIBGPPeer(end func(error)) transport.Method {
	return func(_ context.Context, c *transport.Call) (any, error) {
		var secret string
		if err := c.Decode(0, &secret); err != nil {
			return nil, err
		}
		allowed, err := n.admit(secret)
		if err != nil {
			return nil, err
		}
		s := &ibgpScope{n: n, allowed: allowed, end: end}
		return s.target(), nil
	}
}

// admit says for which configured peers a secret stands; for none in
// particular when it is this site's own. It looks at all secrets, whichever
// matches.
func (n *Node) admit(secret string) (allowed []string, err error) {
	some := n.cfg.PeeringSecret != ""
	own := some && sameSecret(secret, n.cfg.PeeringSecret)
	for c := range n.machine.Table().Peers() {
		some = some || c.Secret != ""
		if c.Secret != "" && sameSecret(secret, c.Secret) {
			allowed = append(allowed, c.ID)
		}
	}
	switch {
	case own:
		return nil, nil
	case len(allowed) > 0:
		return allowed, nil
	case !some:
		return nil, failure(unauthenticated, "peering is off at this site: set --peering-secret (CATALYST_PEERING_SECRET) on its nodes")
	default:
		return nil, failure(unauthenticated, "the peering secret is not valid at this site: give the other site's --peering-secret with `catalyst peer add --secret`")
	}
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
	n       *Node
	allowed []string
	end     func(error) // ends the connection; nil where there is none, as in a batch

	opened  bool
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
	if s.opened {
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
			s.opened = true
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
	x, info, err := speaker.Accept(&farEnd{to: kept, end: s.end, release: kept.release}, hello, s.allowed)
	if err != nil {
		kept.release()
		return info, acceptFailure(err)
	}
	s.session, s.methods = x, sessionMethods(x)
	context.AfterFunc(c, func() { x.Lost(errPeerGone) })
	return info, nil
}

// openThere has the leader hold the session. Should this node lose that leader,
// or hear of another, the peer must open another session; should the peer go,
// the leader hears of it.
func (s *ibgpScope) openThere(c *transport.Call, leader *transport.Promise, hello *peering.Info) (peering.Info, error) {
	_, carrier := s.n.raft.LeaderWithID()
	end := transport.NewFunc(transport.Proc1(func(_ context.Context, reason string) error {
		s.end(errors.New(reason))
		return nil
	}))
	scope := leader.Call("peer", s.allowed, end)
	opened := scope.Call("open", c.Arg(0), hello).Pull()
	there, err := transport.Await[*transport.Stub](c, scope)
	if err != nil {
		opened.Release()
		return peering.Info{}, linkFailure(err)
	}
	info, err := transport.Await[peering.Info](c, opened)
	if err != nil {
		there.Release()
		return info, linkFailure(err)
	}
	s.leader = there
	there.OnBroken(func(error) { s.end(errors.New("this node has lost its leader: open another session")) })
	s.n.wg.Go(func() {
		if s.n.awaitOtherLeader(c, carrier) {
			s.end(errors.New("the leader of this site has changed: open another session"))
		}
		<-c.Done()
		there.Call("lost").Release()
		there.Release()
	})
	return info, nil
}

const leaderWatch = 200 * time.Millisecond

// awaitOtherLeader waits until this node knows of another leader than id; false
// when ctx ended first. A leader that is frozen keeps its connections.
func (n *Node) awaitOtherLeader(ctx context.Context, id raft.ServerID) bool {
	tick := time.NewTicker(leaderWatch)
	defer tick.Stop()
	for {
		if _, now := n.raft.LeaderWithID(); now != "" && now != id {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// linkFailure is about a leader that was lost on the way; nothing has happened.
func linkFailure(err error) error {
	if errors.Is(err, transport.ErrBroken) {
		return failure(leaderChanged, "the leader was lost while the session was being opened: open it again")
	}
	return err
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
		return failure(unavailable, "%s", refused.Message)
	}
}

// peerAtLeader is a follower's way to a scope here. The end of the session
// reaches the peer's connection, at the follower, through its second argument.
func (n *Node) peerAtLeader(_ context.Context, c *transport.Call) (any, error) {
	var allowed []string
	if err := c.Decode(0, &allowed); err != nil {
		return nil, err
	}
	stub, err := c.Stub(1)
	if err != nil {
		return nil, err
	}
	if n.leadership.current.Load() == nil {
		return nil, failure(leaderChanged, "%s does not lead (any more)", n.cfg.ID)
	}
	carrier := stub.Dup()
	s := &ibgpScope{n: n, allowed: allowed, end: func(reason error) { carrier.Call("", reason.Error()).Release() }}
	return s.target().OnRelease(carrier.Release), nil
}

// callback is what a peer wants to be told through: an object, or, from
// programs that do not make one, a record of functions.
type callback struct {
	object    *transport.Stub
	functions map[string]*transport.Stub
}

func callbackOf(v any) (callback, error) {
	switch v := v.(type) {
	case *transport.Stub:
		return callback{object: v}, nil
	case map[string]any:
		functions := map[string]*transport.Stub{}
		for name, f := range v {
			if stub, ok := f.(*transport.Stub); ok {
				functions[name] = stub
			}
		}
		if functions["update"] != nil {
			return callback{functions: functions}, nil
		}
	}
	return callback{}, typeError("open wants a callback as its first argument: an object with a method update, passed by reference")
}

// keep returns the callback as it may be kept beyond the call that brought it.
func (b callback) keep() callback {
	if b.object != nil {
		return callback{object: b.object.Dup()}
	}
	kept := callback{functions: map[string]*transport.Stub{}}
	for name, f := range b.functions {
		kept.functions[name] = f.Dup()
	}
	return kept
}

func (b callback) release() {
	if b.object != nil {
		b.object.Release()
	}
	for _, f := range b.functions {
		f.Release()
	}
}

// Call calls a method of the object, or the function of that name. A record
// without it answers as an object without the method would.
func (b callback) Call(method string, args ...any) *transport.Promise {
	if b.object != nil {
		return b.object.Call(method, args...)
	}
	if f := b.functions[method]; f != nil {
		return f.Call("", args...)
	}
	return b.functions["update"].Call(method, args...)
}
