package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/transport"
)

// Bounds of group commit. Commands gather while maxEntries entries are on
// their way to the disks, and then share one.
const (
	maxEntries     = 4       // log entries in flight
	maxBatch       = 1024    // commands in an entry
	maxBatchBytes  = 1 << 20 // of one entry, about
	maxWaiting     = 16384   // commands not yet in an entry; beyond, callers get overloaded
	enqueueTimeout = 5 * time.Second
)

// proposer puts commands into the log, many to an entry. One serves one term.
type proposer struct {
	raft    *raft.Raft
	machine *fsm.Machine
	counts  *counts
	queue   chan *proposal
	slots   chan struct{} // one for each entry in flight
	closed  chan struct{} // the term has ended; the queue is no longer read
}

// proposal is a command and the place for what became of it.
type proposal struct {
	command fsm.Command
	outcome fsm.Outcome
	err     error
	done    chan struct{}
}

func newProposer(r *raft.Raft, m *fsm.Machine, c *counts) *proposer {
	return &proposer{
		raft: r, machine: m, counts: c,
		queue:  make(chan *proposal, maxWaiting),
		slots:  make(chan struct{}, maxEntries),
		closed: make(chan struct{}),
	}
}

// Propose commits a command and returns its outcome with a table that shows
// it. An error says whether the command may have been applied (proposalFailure).
// Commands of one caller are committed in the order of its calls to Propose;
// a Cap'n Web call runs beside later ones from here on.
func (p *proposer) Propose(ctx context.Context, c fsm.Command) (fsm.Outcome, *fsm.Table, error) {
	w := &proposal{command: c, done: make(chan struct{})}
	select {
	case <-p.closed:
		return fsm.Outcome{}, nil, proposalFailure(raft.ErrNotLeader)
	default:
	}
	select {
	case p.queue <- w:
	default:
		p.counts.overloaded.Add(1)
		return fsm.Outcome{}, nil, failure(overloaded, "%d actions wait for the log already: this one was not applied; send it again later", maxWaiting)
	}
	transport.Concurrent(ctx)
	select {
	case <-w.done:
	case <-p.closed:
		// run answers all that it took from the queue before it closes; what
		// is still in the queue was never proposed.
		select {
		case <-w.done:
		default:
			return fsm.Outcome{}, nil, proposalFailure(raft.ErrNotLeader)
		}
	case <-ctx.Done():
		return fsm.Outcome{}, nil, proposalFailure(ctx.Err())
	}
	return w.outcome, p.machine.Table(), w.err
}

// run forms entries until the term ends, and waits for those in flight.
func (p *proposer) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer close(p.closed)
	defer wg.Wait()
	for {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		batch := p.gather(ctx)
		if batch == nil {
			return
		}
		entry := encodeBatch(batch)
		future := p.raft.ApplyLog(raft.Log{Data: entry}, enqueueTimeout)
		wg.Go(func() {
			p.settle(batch, future)
			<-p.slots
			p.hasten(batch)
		})
	}
}

// hasten shows the followers at once what a peer has announced. Raft tells them
// that an entry is committed with the next one, or else after its commit
// timeout; where nothing follows, a barrier is the next one. What clients
// register comes in rows more often, and is not worth a second entry each.
func (p *proposer) hasten(batch []*proposal) {
	const waiting = 1 // the slot that run holds while it gathers
	if len(p.slots) > waiting || len(p.queue) > 0 {
		return
	}
	_, learned := batch[len(batch)-1].command.Op.(fsm.Learn)
	if learned && len(p.raft.GetConfiguration().Configuration().Servers) > 1 {
		p.raft.Barrier(0)
	}
}

// gather waits for a command and takes what has queued up behind it.
func (p *proposer) gather(ctx context.Context) []*proposal {
	var batch []*proposal
	select {
	case w := <-p.queue:
		batch = append(batch, w)
	case <-ctx.Done():
		return nil
	}
	now := time.Now().UnixMilli()
	batch[0].command.At = now
	for bytes := batch[0].command.Size(); len(batch) < maxBatch && bytes < maxBatchBytes; {
		select {
		case w := <-p.queue:
			w.command.At = now
			bytes += w.command.Size()
			batch = append(batch, w)
		default:
			return batch
		}
	}
	return batch
}

func encodeBatch(batch []*proposal) []byte {
	commands := make([]fsm.Command, len(batch))
	bytes := 0
	for i, w := range batch {
		commands[i] = w.command
		bytes += w.command.Size()
	}
	return fsm.EncodeBatch(make([]byte, 0, bytes), commands)
}

// settle waits for an entry and tells each of its commands what became of it.
func (p *proposer) settle(batch []*proposal, future raft.ApplyFuture) {
	err := future.Error()
	var outcomes []fsm.Outcome
	if err == nil {
		switch r := future.Response().(type) {
		case []fsm.Outcome:
			outcomes = r
		case error:
			err = r
		}
		if err == nil && len(outcomes) != len(batch) {
			err = errors.New("the log entry had another number of outcomes than commands")
		}
	}
	p.counts.entries.Add(1)
	p.counts.commands.Add(uint64(len(batch)))
	for i, w := range batch {
		if err != nil {
			w.err = proposalFailure(err)
		} else {
			w.outcome = outcomes[i]
		}
		close(w.done)
	}
}
