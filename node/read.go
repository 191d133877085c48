package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/transport"
)

// query is the contract's Query, with a cursor for long lists.
type query struct {
	Consistency string `json:"consistency"`
	MinIndex    uint64 `json:"minIndex"`
	Name        string `json:"name"`
	Protocol    string `json:"protocol"`
	Site        string `json:"site"`
	Limit       int    `json:"limit"` // routes to return at most; 0 is all, if they are few enough
	After       string `json:"after"` // an id: only what sorts behind it
}

const (
	// minIndexWait is how long a read waits for its minIndex to arrive here.
	minIndexWait = 5 * time.Second
)

// table returns a table that satisfies a query's consistency.
func (n *Node) table(ctx context.Context, q query) (*fsm.Table, error) {
	min := q.MinIndex
	switch q.Consistency {
	case "stale":
	case "", "linearizable":
		transport.Concurrent(ctx)
		v, err := n.confirmed(ctx)
		if err != nil {
			return nil, err
		}
		min = max(min, v)
	default:
		return nil, typeError(`consistency is %q: use "linearizable" or "stale"`, q.Consistency)
	}
	t := n.machine.Table()
	if t.Version() >= min {
		return t, nil
	}
	transport.Concurrent(ctx)
	wait, cancel := context.WithTimeout(ctx, minIndexWait)
	defer cancel()
	t, err := n.machine.Await(wait, min-1)
	if err != nil {
		return nil, failure(unavailable, "index %d has not reached this node within %s: it is at %d; ask another node or try again", min, minIndexWait, n.machine.Table().Version())
	}
	return t, nil
}

// confirmed returns a version that shows every write acknowledged before the
// call. It waits up to LeaderWait for a leader.
func (n *Node) confirmed(ctx context.Context) (uint64, error) {
	deadline := time.Now().Add(n.cfg.LeaderWait)
	for {
		v, err := n.confirmations.next(ctx)
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return v, n.withLeader(err)
		}
		select {
		case <-time.After(leaderPoll):
		case <-ctx.Done():
		}
	}
}

// confirmOnce asks the leader once. A leader's own table shows all that it
// and its predecessors acknowledged (an answer waits for the table, a term for
// its barrier), so its version, taken before a quorum confirms that nobody has
// succeeded it, is a read index.
func (n *Node) confirmOnce(ctx context.Context) (uint64, error) {
	if t := n.leadership.current.Load(); t != nil {
		v := n.machine.Table().Version()
		if err := n.raft.VerifyLeader().Error(); err != nil {
			return 0, failure(leaderChanged, "the leader changed during the read: try again")
		}
		return v, nil
	}
	leader, err := n.leaderScope(ctx)
	if err != nil {
		return 0, err
	}
	v, err := transport.Await[uint64](ctx, leader.Call("readIndex"))
	if errors.Is(err, transport.ErrBroken) {
		return 0, failure(leaderChanged, "the leader was lost during the read: try again")
	}
	return v, err
}

// confirmations shares a leader's confirmation among the reads that wait for
// one: those that come while one is under way share the next.
type confirmations struct {
	confirm func(context.Context) (uint64, error)
	life    context.Context
	wg      sync.WaitGroup

	mu      sync.Mutex
	running bool
	waiting *confirmation
}

type confirmation struct {
	done    chan struct{}
	version uint64
	err     error
}

func (c *confirmations) next(ctx context.Context) (uint64, error) {
	c.mu.Lock()
	if c.waiting == nil {
		c.waiting = &confirmation{done: make(chan struct{})}
	}
	mine := c.waiting
	if !c.running {
		c.running = true
		c.wg.Go(c.work)
	}
	c.mu.Unlock()
	select {
	case <-mine.done:
		return mine.version, mine.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// work confirms until nobody waits.
func (c *confirmations) work() {
	for {
		c.mu.Lock()
		now := c.waiting
		c.waiting = nil
		c.running = now != nil
		c.mu.Unlock()
		if now == nil {
			return
		}
		ctx, cancel := context.WithTimeout(c.life, raftTransportTimeout)
		now.version, now.err = c.confirm(ctx)
		cancel()
		close(now.done)
	}
}
