package peering

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// world is a few sites in one bubble, with a network between them.
type world struct {
	*testing.T
	ctx   context.Context
	wg    sync.WaitGroup // of what the network runs
	began time.Time

	mu      sync.Mutex
	rand    *rand.Rand
	latency func(*rand.Rand) time.Duration // of a message one way; nil is none
	takes   time.Duration                  // for a commit, at sites to come
	sites   map[string]*site
	doors   map[string]string // endpoints, and the site that answers there
	parted  map[string]parting
	links   []*link
	dials   []dialled
	lines   []line
	largest int // bytes of an update
}

// dialled is one try of a site to reach an endpoint.
type dialled struct {
	at       time.Duration
	from     string
	endpoint string
}

func inBubble(t *testing.T, f func(*world)) {
	t.Helper()
	inWorld(t, 1, f)
}

// inSlowMotion lets what follows from one another happen at different times,
// so that conversations always read the same: a message takes 10 ms, a commit 1.
func inSlowMotion(t *testing.T, f func(*world)) {
	t.Helper()
	inBubble(t, func(w *world) {
		w.latency = func(*rand.Rand) time.Duration { return 10 * time.Millisecond }
		w.takes = time.Millisecond
		f(w)
	})
}

// jitter is a latency between nothing and a most.
func jitter(most time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(most))) }
}

func inWorld(t *testing.T, seed uint64, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		w := &world{
			T: t, ctx: ctx, began: time.Now(), rand: rand.New(rand.NewPCG(seed, 7)),
			sites: map[string]*site{}, doors: map[string]string{}, parted: map[string]parting{},
		}
		defer w.wg.Wait()
		defer cancel()
		defer func() {
			for _, s := range w.sites {
				s.stop()
			}
		}()
		f(w)
	})
}

// later lets time pass.
func (w *world) later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) since() time.Duration { return time.Since(w.began) }

// chance is for whatever is drawn while other goroutines draw too.
func (w *world) chance(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rand.IntN(n)
}

// site is a site whose log is its memory.
type site struct {
	w      *world
	name   string
	secret string
	adapt  func(*Config)

	mu      sync.Mutex
	table   *fsm.Table
	wake    chan struct{} // closed when table is replaced
	tail    chan struct{} // closed when all commands so far were applied
	commits []fsm.Op      // of sessions
	fails   error         // what a commit comes to, in place of being carried out
	takes   time.Duration // for a commit
	gate    chan struct{} // commits wait for its end; nil is none

	term   uint64
	tenure *tenure // nil while nobody leads
}

// site founds one and lets it have a leader.
func (w *world) site(name string, adapt ...func(*Config)) *site {
	s := &site{w: w, name: name, table: new(fsm.Table), wake: make(chan struct{}), tail: make(chan struct{}), takes: w.takes}
	close(s.tail)
	s.adapt = func(c *Config) {
		for _, f := range adapt {
			f(c)
		}
	}
	s.does(fsm.Found{Site: name, AS: 64512, Epoch: "epoch-" + name})
	w.mu.Lock()
	w.sites[name], w.doors[door(name)] = s, name
	w.mu.Unlock()
	s.lead()
	return s
}

// at returns the site of a name.
func (w *world) at(name string) *site {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sites[name]
}

func door(site string) string { return "ws://" + site + "/rpc" }

func reflects(c *Config) { c.Reflect = true }

func holdTime(seconds float64) func(*Config) { return func(c *Config) { c.Self.HoldTime = seconds } }

// tenure is one term of a site's leader: the Site of one Speaker.
type tenure struct {
	*site
	ctx     context.Context
	speaker *Speaker
	end     func()
}

// lead begins the next term.
func (s *site) lead() *tenure {
	s.stop()
	s.term++
	ctx, cancel := context.WithCancel(context.Background())
	t := &tenure{site: s, ctx: ctx}
	cfg := Config{
		Self: Info{
			Site: s.name, AS: 64512, Node: fmt.Sprintf("%s%d", s.name, s.term), Endpoint: door(s.name), Domains: []string{},
			Term: s.term, Epoch: s.Table().Epoch(),
		},
		Secret: s.secret, Site: t, Dialer: dialer{s.w, s.name}, Log: slog.New(slog.DiscardHandler),
	}
	s.adapt(&cfg)
	t.speaker = New(cfg)
	var wg sync.WaitGroup
	wg.Go(func() { t.speaker.Run(ctx) })
	t.end = func() {
		cancel()
		wg.Wait()
	}
	s.mu.Lock()
	s.tenure = t
	s.mu.Unlock()
	synctest.Wait()
	return t
}

// stop ends the term; the site is without a leader from then on.
func (s *site) stop() {
	s.mu.Lock()
	t := s.tenure
	s.tenure = nil
	s.mu.Unlock()
	if t != nil {
		t.end()
	}
}

func (s *site) speaker() *Speaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tenure == nil {
		return nil
	}
	return s.tenure.speaker
}

func (s *site) Table() *fsm.Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table
}

func (s *site) Await(ctx context.Context, newerThan uint64) (*fsm.Table, error) {
	for {
		s.mu.Lock()
		t, wake := s.table, s.wake
		s.mu.Unlock()
		if t.Version() > newerThan {
			return t, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Commit keeps commands in the order of the calls, and like the log it does
// not mind whether the caller still waits.
func (t *tenure) Commit(ctx context.Context, peer string, op fsm.Op) (fsm.Outcome, error) {
	if spoken := peerOf(op); spoken != peer {
		t.w.Errorf("%s: %T of %q in the name of %q", t.name, op, spoken, peer)
	}
	t.mu.Lock()
	if err := cmp.Or(t.fails, t.over()); err != nil {
		t.mu.Unlock()
		return fsm.Outcome{}, err
	}
	before, applied, gate := t.tail, make(chan struct{}), t.gate
	t.tail = applied
	t.commits = append(t.commits, op)
	takes := t.takes
	t.mu.Unlock()
	defer close(applied)

	concurrent(ctx)
	time.Sleep(takes)
	<-before
	if gate != nil {
		select {
		case <-gate:
		case <-t.ctx.Done():
			return fsm.Outcome{}, t.over()
		}
	}
	return t.commit(op), nil
}

func (t *tenure) over() error {
	if t.ctx.Err() != nil {
		return errors.New("leadership lost")
	}
	return nil
}

func peerOf(op fsm.Op) string {
	switch op := op.(type) {
	case fsm.OpenPeer:
		return op.Peer
	case fsm.BindPeer:
		return op.Peer
	case fsm.Learn:
		return op.Peer
	case fsm.MarkStale:
		return op.Peer
	case fsm.Withdraw:
		return op.Peer
	}
	return "?"
}

// commit carries out an operation as it comes out of the log.
func (s *site) commit(op fsm.Op) fsm.Outcome {
	commands, err := fsm.DecodeBatch(fsm.EncodeBatch(nil, []fsm.Command{{Op: op}}))
	if err != nil {
		s.w.Errorf("%s: %v", s.name, err)
		return fsm.Outcome{Code: fsm.Internal, Message: err.Error()}
	}
	return s.apply(commands[0].Op)
}

// apply carries out operations at once, and returns what came of the last.
func (s *site) apply(ops ...fsm.Op) fsm.Outcome {
	commands := make([]fsm.Command, len(ops))
	for i, op := range ops {
		commands[i] = fsm.Command{At: time.Now().UnixMilli(), Op: op}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	table, outcomes := s.table.Apply(commands)
	s.table = table
	close(s.wake)
	s.wake = make(chan struct{})
	return outcomes[len(outcomes)-1]
}

// does is apply for what must work.
func (s *site) does(ops ...fsm.Op) {
	s.w.Helper()
	if o := s.apply(ops...); o.Code != "" {
		s.w.Fatalf("%s: %#v: %s", s.name, ops[len(ops)-1], o.Message)
	}
}

// counts returns how many commands sessions have committed.
func (s *site) counts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.commits)
}

func (s *site) set(f func(*site)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}
