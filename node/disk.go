package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/gossip"
	"github.com/catalyst/orchestrator/storage"
)

const (
	spaceInterval = time.Second
	pulseInterval = 500 * time.Millisecond
	stallTime     = 2 * time.Second // for a write, after which a leader gives up: its followers wait for it
	handOverAgain = 5 * time.Second
)

// watchSpace keeps a node whose disk fills up from leading, and a leader that
// cannot hand over from taking what it could not keep. It ends by itself when
// there is room again.
func (n *Node) watchSpace(ctx context.Context) {
	var watch storage.Watch
	tick := time.NewTicker(spaceInterval)
	defer tick.Stop()
	var tried time.Time
	for {
		n.lookAtSpace(&watch)
		if n.stores.damaged != nil && n.stores.damaged() > 0 {
			n.stop(fmt.Errorf("files in %s are not as this node wrote them: it must not go on with them; started again it says which, and what to do", n.cfg.DataDir))
			return
		}
		if n.full.Load() != nil && n.leadership.current.Load() != nil && n.someoneHasRoom() && time.Since(tried) > handOverAgain {
			tried = time.Now()
			if err := n.handOver(); err != nil {
				n.log.Warn("the disk is nearly full and leadership was not handed over", "site", n.site(), "node", n.cfg.ID, "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) lookAtSpace(watch *storage.Watch) {
	free, total, err := n.ground.space()
	if err != nil || total == 0 {
		return
	}
	was := n.full.Load() != nil
	switch is := watch.Look(free, total); {
	case is && !was:
		why := fmt.Sprintf("the disk of %s has %s of %s free: make room in %s, it goes on by itself", n.cfg.ID, mebibytes(free), mebibytes(total), n.cfg.DataDir)
		n.full.Store(&why)
		n.log.Error("read-only: the disk is nearly full", "site", n.site(), "node", n.cfg.ID, "free", free, "total", total, "dir", n.cfg.DataDir)
		n.members.Announce(func(m *gossip.About) { m.Full = true })
	case !is && was:
		n.full.Store(nil)
		n.log.Info("there is room on the disk again", "site", n.site(), "node", n.cfg.ID, "free", free)
		n.members.Announce(func(m *gossip.About) { m.Full = false })
	}
}

// someoneHasRoom says whether there is a voter to hand over to.
func (n *Node) someoneHasRoom() bool {
	for _, s := range n.configuration() {
		if s.Suffrage == raft.Voter && string(s.ID) != n.cfg.ID && n.isAlive(s.ID) && !n.members.Of(string(s.ID)).Full {
			return true
		}
	}
	return false
}

func mebibytes(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }

var errStall = errors.New("the disk does not answer")

// watchDisk ends a leader whose disk stalls. Raft's heartbeats run beside its
// log: such a node would stay leader and take nothing.
func (n *Node) watchDisk(ctx context.Context) {
	pulse := make(chan error, 1)
	tick := time.NewTicker(pulseInterval)
	defer tick.Stop()
	for {
		n.wg.Go(func() { pulse <- n.ground.touch() })
		select {
		case err := <-pulse:
			if err != nil {
				n.log.Debug("pulse", "err", err) // a full disk; what hangs is what matters
			}
		case <-time.After(stallTime):
			err := fmt.Errorf("%w: a write to %s took more than %s; as leader this node gives up, so that another can lead", errStall, n.cfg.DataDir, stallTime)
			n.log.Error("giving up", "site", n.site(), "node", n.cfg.ID, "err", err)
			if n.cfg.Abandon != nil {
				n.cfg.Abandon(err)
			}
			n.stop(err)
			return
		case <-ctx.Done():
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
