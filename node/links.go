package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// links are this node's sessions to other nodes: dialled when first needed,
// kept while they live, one to an address.
type links struct {
	dial   func(ctx context.Context, address string) (transport.Conn, error)
	limits transport.Limits
	token  string // where nodes have no certificates

	life context.Context // ends all sessions; set by run
	wg   sync.WaitGroup

	mu        sync.Mutex
	closed    bool // no session begins any more
	byAddress map[string]*link
}

// link is a session to one address, or the attempt to open it.
type link struct {
	ready   chan struct{}      // closed when scope or err is set
	scope   *transport.Promise // pipelined on: no call waits for it
	err     error
	refused atomic.Bool     // the far end does not take this node for one of its site
	done    <-chan struct{} // closed when the session has ended
}

// run owns every session; it returns when all have ended.
func (l *links) run(ctx context.Context) {
	<-ctx.Done()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
}

// to returns the NodeScope of the node at an RPC address. The dial outlives
// the caller's ctx: others may be waiting for it.
func (l *links) to(ctx context.Context, address string) (*transport.Promise, error) {
	if address == "" {
		return nil, failure(noLeader, "the other node's RPC address is not known yet")
	}
	k := l.open(address)
	select {
	case <-k.ready:
		return k.scope, k.err
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", address, context.Cause(ctx))
	}
}

// open returns the live link to an address or starts one.
func (l *links) open(address string) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, ok := l.byAddress[address]; ok && !k.over() {
		return k
	}
	k := &link{ready: make(chan struct{})}
	if l.closed {
		k.err = errShutdown
		close(k.ready)
		return k
	}
	l.byAddress[address] = k
	l.wg.Go(func() { l.serve(k, address) })
	return k
}

// over says whether a link has failed or ended, so that the next needs a dial.
func (k *link) over() bool {
	select {
	case <-k.ready:
	default:
		return false
	}
	if k.err != nil || k.refused.Load() {
		return true
	}
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

func (l *links) serve(k *link, address string) {
	ctx, cancel := context.WithTimeout(l.life, raftTransportTimeout)
	conn, err := l.dial(ctx, address)
	cancel()
	if err != nil {
		k.err = fmt.Errorf("dial %s: %w", address, err)
		close(k.ready)
		return
	}
	s := transport.NewSession(conn, transport.Config{Limits: l.limits})
	k.done = s.Done()
	k.scope = s.Main().Call("connectionFromNode", l.token)
	close(k.ready)
	life, end := context.WithCancel(l.life)
	defer end()
	l.wg.Go(func() { k.heed(life, end) })
	_ = s.Run(life) // why it ended reaches every call in flight
}

// heed ends a session in which this node was refused, once that was said to
// all who called: the far end may not have heard yet that it is a member.
func (k *link) heed(life context.Context, end func()) {
	if _, err := k.scope.Await(life); err == nil || life.Err() != nil {
		return
	}
	k.refused.Store(true)
	select {
	case <-time.After(farewell):
	case <-life.Done():
	}
	end()
}

// dialNode opens a connection to a node of this site.
func (n *Node) dialNode(ctx context.Context, address string) (transport.Conn, error) {
	if !n.secured() {
		return n.cfg.Dial(ctx, "ws://"+address+"/rpc", nil)
	}
	return n.cfg.Dial(ctx, "wss://"+address+"/rpc", n.keeper.DialNode(""))
}
