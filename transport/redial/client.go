// Package redial keeps a client connected to a peer: it dials, runs a session
// of package transport, and dials again when that ended.
//
// A Handle stands for an object of the peer in whatever session there is. It
// remembers how the object was obtained, and each new session obtains it
// again: main object first, parents before children, without waiting for
// answers, and before any call is made. Objects are opened whether or not they
// are called, so that a subscription goes on by itself; Subscribe tells its
// owner of each gap.
//
// Call and Do wait for a session, and never leave a doubt that they could
// dispel. Their error is one of these:
//
//   - the peer's own answer, a *transport.Error, is passed on and not repeated;
//   - transport.ErrUnsent matches: nothing left this process. A call whose
//     session ended before it was sent is repeated in the next session, so that
//     this is the error only when ctx or the Client ended first;
//   - ErrUnknownOutcome matches: the call was sent, and then the session or ctx
//     ended. It may have happened, and not more than once. Calls on a Handle
//     marked Idempotent are repeated when the session ended, until ctx ends,
//     and may happen more often;
//   - the answer came and is not of the type that was asked for.
//
// Client.Run owns every goroutine and joins them before it returns.
package redial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// Config is what a Client is made with; zero fields take their defaults.
type Config struct {
	Session transport.Config
	// DialTimeout bounds an attempt to connect. Default 10 s.
	DialTimeout time.Duration
	// Before an attempt, Run waits for a time chosen at random between zero and
	// a ceiling, so that clients do not come all at once. The ceiling is
	// MinWait, doubles with each attempt up to MaxWait, and is MinWait again
	// after a session that lasted longer than it. Defaults 100 ms and 10 s.
	MinWait, MaxWait time.Duration
	// OnChange gets each new state, one after the other. It must not block.
	OnChange func(State)
	// Log gets connections made, lost and refused. nil discards.
	Log *slog.Logger
}

// Validate says what cannot be meant.
func (c Config) Validate() error {
	if c.DialTimeout < 0 || c.MinWait < 0 || c.MaxWait < 0 {
		return errors.New("redial: times must not be negative")
	}
	if d := c.withDefaults(); d.MinWait > d.MaxWait {
		return fmt.Errorf("redial: MinWait is %v, more than MaxWait, %v", d.MinWait, d.MaxWait)
	}
	return c.Session.Validate()
}

func (c Config) withDefaults() Config {
	c.DialTimeout = cmp.Or(c.DialTimeout, 10*time.Second)
	c.MinWait = cmp.Or(c.MinWait, 100*time.Millisecond)
	c.MaxWait = cmp.Or(c.MaxWait, 10*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// State is what an operator wants to know.
type State struct {
	Connected bool
	Since     time.Time // when the session began, or ended; zero before the first
	Attempts  int       // that failed since then
	Err       error     // of the latest attempt or session; nil while connected
}

// Client is connected to a peer as often as it can be, while Run runs. Its
// methods, and those of its Handles, may be used by any goroutine.
type Client struct {
	dial func(context.Context) (transport.Conn, error)
	cfg  Config
	main *object

	mu      sync.Mutex
	link    *link             // nil while there is none in which all is opened
	changed chan struct{}     // closed when link changes, or Run ends
	objects map[int64]*object // that are opened in each session, by age
	nextID  int64
	state   State
	ran     bool
	stopped bool
}

// link is one session. What is opened in it is awaited by goroutines of waits.
type link struct {
	session *transport.Session
	ctx     context.Context // ends after the session
	waits   sync.WaitGroup
	ended   bool // nothing may be added to waits; guarded by Client.mu
}

// New returns a Client that connects by dial, which must heed its context.
// Nothing happens until Run, but calls may wait and objects be opened.
func New(dial func(context.Context) (transport.Conn, error), cfg Config) *Client {
	c := &Client{dial: dial, cfg: cfg, changed: make(chan struct{}), objects: map[int64]*object{}}
	c.main = &object{client: c, refs: 1}
	return c
}

// Main stands for the peer's main object. It needs no release.
func (c *Client) Main() *Handle { return &Handle{object: c.main} }

// State is the present one.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Run connects, again and again, until ctx ends; then it returns nil. It is
// called once. Calls that wait when it returns, or are made later, are unsent.
// It connects again when the methods that the peer called have returned: they
// must heed their context, also in calls of this Client.
func (c *Client) Run(ctx context.Context) error {
	if err := c.start(); err != nil {
		return err
	}
	defer c.stop()
	for ceiling := c.cfg.MinWait; ; ceiling = min(2*ceiling, c.cfg.MaxWait) {
		lasted, err := c.attempt(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if lasted > ceiling {
			ceiling = c.cfg.MinWait
		}
		wait := rand.N(ceiling + 1)
		c.cfg.Log.Warn("not connected", "err", err, "attempts", c.State().Attempts, "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Client) start() error {
	if err := c.cfg.Validate(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ran {
		return errors.New("run client: it ran before")
	}
	c.ran = true
	c.cfg = c.cfg.withDefaults()
	return nil
}

func (c *Client) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.signalLocked()
}

func (c *Client) signalLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// attempt makes one attempt to connect and runs the session, if there is one,
// to its end.
func (c *Client) attempt(ctx context.Context) (lasted time.Duration, err error) {
	dialing, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	conn, err := c.dial(dialing)
	cancel()
	if err != nil {
		c.change(func(s *State) {
			s.Attempts++
			s.Err = err
		})
		return 0, err
	}
	began := time.Now()
	err = c.converse(ctx, conn)
	c.change(func(s *State) { *s = State{Since: time.Now(), Err: err} })
	return time.Since(began), err
}

// converse runs a session. What is opened in it is the first that it sends.
func (c *Client) converse(ctx context.Context, conn transport.Conn) error {
	living, cancel := context.WithCancel(context.Background())
	defer cancel()
	l := &link{session: transport.NewSession(conn, c.cfg.Session), ctx: living}
	c.replay(l)
	c.cfg.Log.Info("connected", "attempts", c.State().Attempts)
	c.change(func(s *State) { *s = State{Connected: true, Since: time.Now()} })
	_ = l.session.Run(ctx) // Err says more
	cancel()
	c.lose(l)
	return l.session.Err()
}

func (c *Client) change(f func(*State)) {
	c.mu.Lock()
	f(&c.state)
	state := c.state
	c.mu.Unlock()
	if c.cfg.OnChange != nil {
		c.cfg.OnChange(state)
	}
}
