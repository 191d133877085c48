package node

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// steady is Raft's transport, and does not let it try in vain. Raft waits longer
// after each attempt to replicate that failed, up to 10 s, so a node that was
// away for a minute would wait that long when it is back. Here an attempt waits
// for the first heartbeat that gets through: those go on several times a second.
type steady struct {
	raftTransport
	raft atomic.Pointer[raft.Raft] // nil until there is one

	mu   sync.Mutex
	lost map[raft.ServerID]chan struct{} // to whom an attempt failed; closed when a heartbeat got through
}

// raftTransport is all that Raft looks for in a transport.
type raftTransport interface {
	raft.Transport
	raft.WithPreVote
	raft.WithClose
}

const steadyInterval = 100 * time.Millisecond

var errUnreachable = errors.New("no heartbeat gets through")

func (t *steady) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, answer *raft.AppendEntriesResponse) error {
	heartbeat := len(args.Entries) == 0 && args.PrevLogEntry == 0 && args.LeaderCommitIndex == 0
	if !heartbeat {
		if err := t.await(id); err != nil {
			return err
		}
	}
	err := t.raftTransport.AppendEntries(id, target, args, answer)
	switch {
	case err == nil:
		t.gotThrough(id)
	case !heartbeat: // one lost heartbeat is nothing
		t.failed(id)
	}
	return err
}

func (t *steady) gotThrough(id raft.ServerID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if through := t.lost[id]; through != nil {
		close(through)
		delete(t.lost, id)
	}
}

func (t *steady) failed(id raft.ServerID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost[id] == nil {
		if t.lost == nil {
			t.lost = map[raft.ServerID]chan struct{}{}
		}
		t.lost[id] = make(chan struct{})
	}
}

// await waits as long as this node leads the same members. An attempt that
// outlives a removal must not meet those to a successor of the same id.
func (t *steady) await(id raft.ServerID) error {
	t.mu.Lock()
	through := t.lost[id]
	t.mu.Unlock()
	if through == nil {
		return nil
	}
	members, leads := t.leads()
	tick := time.NewTicker(steadyInterval)
	defer tick.Stop()
	for leads {
		select {
		case <-through:
			if now, leads := t.leads(); leads && now == members {
				return nil
			}
			return errUnreachable
		case <-tick.C:
			var now uint64
			now, leads = t.leads()
			leads = leads && now == members
		}
	}
	return errUnreachable
}

// leads returns the index of the configuration, and whether this node leads.
func (t *steady) leads() (members uint64, leads bool) {
	r := t.raft.Load()
	if r == nil || r.State() != raft.Leader {
		return 0, false
	}
	return r.GetConfiguration().Index(), true
}
