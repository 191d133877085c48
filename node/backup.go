package node

import (
	"bufio"
	"context"
	"io"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// SnapshotInfo is what a snapshot of a site's table holds.
type SnapshotInfo struct {
	Site    string `json:"site"`
	ID      string `json:"id"`
	Epoch   string `json:"epoch"`
	Level   int    `json:"level"`
	Version uint64 `json:"version"`
	Routes  struct {
		Local   int `json:"local"`
		Learned int `json:"learned"`
	} `json:"routes"`
	Peers  int `json:"peers"`
	Tokens int `json:"tokens"`
}

// InspectSnapshot reads a whole snapshot and checks it. The error says what is
// wrong with it and where.
func InspectSnapshot(r io.Reader) (SnapshotInfo, error) {
	t, err := fsm.ReadSnapshot(r)
	if err != nil {
		return SnapshotInfo{}, err
	}
	return infoOf(t), nil
}

func infoOf(t *fsm.Table) SnapshotInfo {
	i := SnapshotInfo{Site: t.Site(), ID: t.ID(), Epoch: t.Epoch(), Level: t.Level(), Version: t.Version(), Peers: t.NumPeers(), Tokens: t.NumTokens()}
	i.Routes.Local, i.Routes.Learned = t.NumLocal(), t.NumLearned()
	return i
}

// snapshot streams the table as it is once everything acknowledged before the
// call is in it.
func (s *cliScope) snapshot(ctx context.Context, _ *transport.Call) (any, error) {
	t, err := s.n.table(ctx, query{})
	if err != nil {
		return nil, edge(err)
	}
	s.n.log.Info("a snapshot is read", "site", s.n.site(), "node", s.n.cfg.ID, "index", t.Version(), "by", s.who.Name)
	return s.n.streamed(t), nil
}

// streamed is a table as a stream of bytes. A table never changes: the reader
// may take its time.
func (n *Node) streamed(t *fsm.Table) *transport.Readable {
	r, w := io.Pipe()
	n.wg.Go(func() {
		b := bufio.NewWriterSize(w, 64<<10)
		err := fsm.WriteSnapshot(b, t)
		if err == nil {
			err = b.Flush()
		}
		w.CloseWithError(err) // nil is the good end
	})
	return transport.ReadableFrom(r)
}

const (
	restoreTime = 5 * time.Minute
	maxBackup   = 4 << 30 // bytes
)

// restore replaces the site's routes and peers by those of a backup.
func (s *cliScope) restore(ctx context.Context, c *transport.Call) (any, error) {
	stream, ok := c.Arg(0).(*transport.Readable)
	if !ok {
		return nil, typeError("restore wants a ReadableStream of a snapshot's bytes")
	}
	transport.Concurrent(ctx)
	ctx, cancel := context.WithTimeout(ctx, restoreTime)
	defer cancel()
	if s.n.leadership.current.Load() != nil {
		result, err := s.n.restoreHere(ctx, s.who, stream)
		return result, edge(err)
	}
	leader, err := s.n.leaderScope(ctx)
	if err != nil {
		return nil, edge(err)
	}
	result, err := leader.Call("restore", s.who, stream).Await(ctx)
	return result, edge(err)
}

func (n *Node) restoreAtLeader(ctx context.Context, c *transport.Call) (any, error) {
	var who pipeline.Identity
	if err := c.Decode(0, &who); err != nil {
		return nil, err
	}
	stream, ok := c.Arg(1).(*transport.Readable)
	if !ok {
		return nil, typeError("restore wants a ReadableStream")
	}
	transport.Concurrent(ctx)
	result, err := n.restoreHere(ctx, who, stream)
	return result, edge(err)
}

// restoreHere decides as the leader. The backup is read in full into a table of
// its own first: nothing happens before it is known to be whole.
func (n *Node) restoreHere(ctx context.Context, who pipeline.Identity, stream io.Reader) (any, error) {
	backup, err := fsm.ReadSnapshot(io.LimitReader(stream, maxBackup))
	if err != nil {
		return pipeline.Refuse(fsm.Invalid, "snapshot: %v; nothing was restored", err), nil
	}
	var restored *fsm.Table
	var refusal *pipeline.Result
	err = n.leadership.standAside(ctx, func() (err error) {
		now := time.Now()
		restored, err = n.machine.Table().Restored(backup, newEpoch(now), now.UnixMilli(), who.Name)
		if err != nil {
			r := pipeline.Refuse(fsm.Conflict, "snapshot: %v", err)
			refusal = &r
			return nil
		}
		return n.replaceTable(restored)
	})
	if err != nil && !n.isRestored(ctx, restored) {
		return nil, err
	}
	if refusal != nil {
		return *refusal, nil
	}
	n.log.Warn("the site is restored from a backup", "site", n.site(), "index", restored.Version(), "by", who.Name,
		"routes", restored.NumLocal(), "epoch", restored.Epoch())
	return pipeline.Result{Success: true, Index: restored.Version(), Data: map[string]any{
		"id": restored.Site(), "version": restored.Version(), "routes": restored.NumLocal(), "peers": restored.NumPeers(), "epoch": restored.Epoch(),
	}}, nil
}

// isRestored looks whether a restore took effect although its leader was lost on
// the way: on a busy machine Raft may elect one anew, often the same.
func (n *Node) isRestored(ctx context.Context, restored *fsm.Table) bool {
	if restored == nil {
		return false
	}
	t, err := n.table(ctx, query{})
	return err == nil && t.Epoch() == restored.Epoch()
}

// replaceTable makes a table a snapshot that every node takes over. Raft wants
// to know its size before.
func (n *Node) replaceTable(t *fsm.Table) error {
	var size counter
	if err := fsm.WriteSnapshot(&size, t); err != nil {
		return err
	}
	r, w := io.Pipe()
	written := make(chan struct{})
	n.wg.Go(func() {
		defer close(written)
		w.CloseWithError(fsm.WriteSnapshot(w, t))
	})
	err := n.raft.Restore(&raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: int64(size)}, r, restoreTime)
	_ = r.Close()
	<-written
	if err != nil {
		return failure(unknownOutcome, "the leader was lost while it restored the backup (%v): catalyst status shows whether the epoch is a new one; if it is not, send it again", err)
	}
	return nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
