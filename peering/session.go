package peering

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// Session is one conversation with a peer, or with a collector. Its exported
// methods are what the far end calls; they may block until the session is open.
type Session struct {
	speaker  *Speaker
	config   fsm.PeerConfig // the configured peer that it is with, if there is one
	dialled  bool
	endpoint string // dialled
	remote   Remote

	ctx    context.Context // ends with the session; the cause says why
	cancel context.CancelCauseFunc
	since  time.Time

	opened    chan struct{} // closed when what follows is set and the table expects the peer's dump
	peer      string        // the site that speaks at the far end; of a collector a name of ours
	collector bool
	hello     Info
	hold      time.Duration
	export    export

	established atomic.Bool               // the far end has answered or called
	heard       atomic.Int64              // when, in ns since the epoch
	roundTrip   atomic.Int64              // ns
	resumed     atomic.Bool               // it went on where an earlier session ended
	whole       atomic.Bool               // the far end has told everything
	told        atomic.Pointer[fsm.Table] // what the peer was told of, whole
	routesOut   atomic.Int64              // of told
	unanswered  chan pending              // updates sent, in order
	intake      intake
	calls       calls
	neighbour   *neighbour // nil of a collector
	replaced    *Session   // whose place it took
}

func (s *Speaker) newSession(ctx context.Context) *Session {
	x := &Session{speaker: s, opened: make(chan struct{}), unanswered: make(chan pending, sendWindow), since: time.Now(), calls: calls{idle: make(chan struct{})}}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	x.hear()
	return x
}

// greet takes in how the far end introduced itself.
func (x *Session) greet(hello Info) (err error) {
	self := x.speaker.cfg.Self
	if err := hello.mayPeer(self); err != nil {
		return err
	}
	x.hello, x.peer = hello, hello.Site
	x.export = export{to: hello.Site, learned: x.speaker.cfg.Reflect}
	x.hold, err = hello.hold(self)
	return err
}

// run holds the conversation until it ends, and says why it did.
func (x *Session) run() error {
	x.fail(x.converse())
	cause := context.Cause(x.ctx)
	var said *goodbye
	switch {
	case errors.Is(cause, errRemoved):
		x.sayGoodbye()
	case errors.As(cause, &said):
		<-time.After(farewell)
	}
	x.remote.End(cause)
	x.calls.end()
	x.speaker.leave(x, cause)
	return cause
}

// farewell is the time for the answer to the far end's close to leave, before
// the connection ends.
const farewell = 100 * time.Millisecond

// sayGoodbye lets the far end withdraw what it was told. The connection must
// not end before that has arrived.
func (x *Session) sayGoodbye() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, _ = x.remote.Close("the peer was removed at site " + x.speaker.cfg.Self.Site)(ctx)
}

func (x *Session) converse() error {
	if err := x.open(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, part := range []func() error{x.listen, x.keepAlive, x.takeAnswers, x.tell, x.giveUpStale} {
		wg.Go(func() {
			if err := part(); err != nil {
				x.fail(err)
			}
		})
	}
	<-x.ctx.Done()
	return nil
}

// fail ends the session; the first cause counts.
func (x *Session) fail(cause error) { x.cancel(cause) }

// Lost tells the session that its connection has ended.
func (x *Session) Lost(cause error) { x.fail(cause) }

// open makes the table expect the peer's dump.
func (x *Session) open() error {
	if x.replaced != nil {
		x.replaced.calls.end()
		x.replaced = nil
	}
	if !x.collector { // which as a rule says nothing
		if err := x.openPeer(); err != nil {
			return err
		}
	}
	x.intake.begin(x.speaker.cfg.Site.Table(), x.peer)
	close(x.opened)
	if x.dialled { // the answer to open was the sign
		x.confirm()
	}
	return nil
}

func (x *Session) openPeer() error {
	select {
	case x.neighbour.commits <- struct{}{}:
		defer func() { <-x.neighbour.commits }()
	case <-x.ctx.Done():
		return context.Cause(x.ctx)
	}
	if x.config.ID != "" && x.config.Site != x.peer {
		if err := x.commit(x.ctx, fsm.BindPeer{ID: x.config.ID, Peer: x.peer}); err != nil {
			return err
		}
	}
	return x.commit(x.ctx, fsm.OpenPeer{Peer: x.peer, Epoch: x.hello.Epoch, Term: x.hello.Term})
}

// commit is for commands that must not be refused.
func (x *Session) commit(ctx context.Context, op fsm.Op) error {
	_, err := x.settle(ctx, op)
	return err
}

func (x *Session) settle(ctx context.Context, op fsm.Op) (fsm.Outcome, error) {
	outcome, err := x.speaker.cfg.Site.Commit(ctx, x.peer, op)
	if err == nil && outcome.Code != "" {
		err = errors.New(outcome.Message)
	}
	return outcome, err
}

// awaitOpen lets the far end's calls wait until they can be taken, and refuses
// those that come too late.
func (x *Session) awaitOpen(ctx context.Context) error {
	select {
	case <-x.opened:
	case <-x.ctx.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := x.over(); err != nil {
		return err
	}
	x.confirm()
	return nil
}

func (x *Session) over() error {
	if x.ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("the session is over: %w", context.Cause(x.ctx))
}

// KeepAlive is the far end's keepAlive. It touches a timer and nothing else.
func (x *Session) KeepAlive() error {
	x.hear()
	return x.over()
}

// Close is the far end's close: it will not be back, and what it announced is
// withdrawn.
func (x *Session) Close(ctx context.Context, reason string) error {
	if x.awaitOpen(ctx) != nil || !x.calls.enter() {
		return nil // over already
	}
	defer x.calls.leave()
	defer x.fail(&goodbye{reason})
	return x.commit(context.WithoutCancel(ctx), fsm.Withdraw{Peer: x.peer}) // the far end need not wait for it
}
