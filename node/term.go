package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/peering"
)

// term is one stretch of this node's leadership. What only a leader does runs
// under its context and is joined before the next term begins.
type term struct {
	number   uint64
	proposer *proposer
	speaker  *peering.Speaker
}

// leadership turns Raft's notifications into terms. Only it reads notify, and
// it always does: Raft blocks on that channel.
type leadership struct {
	n       *Node
	current atomic.Pointer[term] // nil unless this node leads and has done its barrier
	aside   chan aside
}

// aside is work that must not meet the duties of a leader.
type aside struct {
	work func() error
	done chan<- error
}

// standAside ends the duties, does the work with nothing on its way to the log,
// and begins them anew in the same term.
func (l *leadership) standAside(ctx context.Context, work func() error) error {
	done := make(chan error, 1)
	select {
	case l.aside <- aside{work, done}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return <-done
}

func (l *leadership) run(ctx context.Context, notify <-chan bool) {
	end, leads := func() {}, false
	defer func() { end() }()
	for {
		select {
		case leads = <-notify:
			end() // a second true is a new term whose end in between was not reported
			end = func() {}
			if leads {
				end = l.begin(ctx)
			}
		case a := <-l.aside:
			if !leads {
				a.done <- failure(leaderChanged, "%s does not lead (any more): nothing was done; send it again", l.n.cfg.ID)
				continue
			}
			end()
			a.done <- a.work()
			end = l.begin(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// begin starts a term and returns what ends and joins it.
func (l *leadership) begin(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := l.lead(ctx); err != nil && ctx.Err() == nil {
			l.n.log.Warn("cannot lead; stepping down", "site", l.n.site(), "node", l.n.cfg.ID, "err", err)
			l.n.raft.LeadershipTransfer()
		}
	})
	return func() {
		cancel(errLeadershipLost)
		wg.Wait()
	}
}

const (
	barrierTimeout = 10 * time.Second
	foundTimeout   = 10 * time.Second
)

// lead does a leader's duties until the term ends.
func (l *leadership) lead(ctx context.Context) error {
	n := l.n
	number := n.raft.CurrentTerm()
	log := n.log.With("site", n.site(), "node", n.cfg.ID, "term", number)
	// Everything committed in earlier terms is in the table from here on.
	if err := n.raft.Barrier(barrierTimeout).Error(); err != nil {
		return fmt.Errorf("barrier: %w", err)
	}
	t := &term{number: number, proposer: newProposer(n.raft, n.machine, &n.counts)}

	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { t.proposer.run(ctx) })
	if err := n.found(ctx, t.proposer); err != nil {
		return err
	}
	if err := n.renewSite(ctx, t.proposer); err != nil {
		return err
	}

	dialer := &peerDialer{n: n, life: ctx}
	t.speaker = n.newSpeaker(t, dialer)

	if n.gateway != nil {
		n.gateway.Begin()
	}
	l.current.Store(t)
	defer l.current.Store(nil)
	log.Info("leading", "index", n.machine.Table().Version())
	defer log.Info("no longer leading")
	wg.Go(func() { n.followMembers(ctx, t.proposer) })
	wg.Go(func() {
		defer dialer.wg.Wait()
		t.speaker.Run(ctx)
	})
	if n.gateway != nil {
		wg.Go(func() { n.followGateway(ctx, number) })
	}
	wg.Go(func() { n.watchDisk(ctx) })
	<-ctx.Done()
	return nil
}

// found gives a new site its name and epoch, as the first command of its log.
func (n *Node) found(ctx context.Context, p *proposer) error {
	if n.machine.Table().Epoch() != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, foundTimeout)
	defer cancel()
	begin := fsm.Found{Site: n.site(), AS: n.cfg.AS, Epoch: newEpoch(time.Now()), ID: n.who().SiteID, Level: n.level()}
	if f := n.founding.Load(); f != nil {
		begin.AS = f.as
	}
	if begin.ID == "" {
		begin.ID = newSiteID()
	}
	out, _, err := p.Propose(ctx, fsm.Command{By: "node " + n.cfg.ID, Op: begin})
	if err != nil {
		return fmt.Errorf("found site %s: %w", begin.Site, err)
	}
	if out.Code != "" {
		return fmt.Errorf("found site %s: %s", begin.Site, out.Message)
	}
	n.log.Info("founded", "site", n.site(), "epoch", n.machine.Table().Epoch())
	return nil
}
