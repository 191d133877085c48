package node

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/peering"
	"github.com/catalyst/orchestrator/transport"
)

// openThere has the leader hold the session. Should this node lose that leader,
// or hear of another, the peer must open another session; should the peer go,
// the leader hears of it.
func (s *ibgpScope) openThere(c *transport.Call, leader *transport.Promise, hello *peering.Info) (peering.Info, error) {
	_, carrier := s.n.raft.LeaderWithID()
	end := transport.NewFunc(transport.Proc1(func(_ context.Context, reason string) error {
		s.end(errors.New(reason))
		return nil
	}))
	scope := leader.Call("peer", s.shown, end)
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

// peerAtLeader is a follower's way to a scope here. The end of the session
// reaches the peer's connection, at the follower, through its second argument.
func (n *Node) peerAtLeader(_ context.Context, c *transport.Call) (any, error) {
	var shown peering.Admission
	if err := c.Decode(0, &shown); err != nil {
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
	s := &ibgpScope{n: n, shown: shown, end: func(reason error) { carrier.Call("", reason.Error()).Release() }}
	return s.target().OnRelease(carrier.Release), nil
}
