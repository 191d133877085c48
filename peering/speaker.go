package peering

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// Speaker carries the sessions of one term. New starts nothing.
type Speaker struct {
	cfg Config
	wg  sync.WaitGroup

	mu         sync.Mutex
	ctx        context.Context       // of Run; nil outside it
	neighbours map[string]*neighbour // by site
	dialling   map[string]*dialling  // by the id of the configured peer
	collectors map[*Session]struct{}
}

// neighbour is what a Speaker knows of another site. Speaker.mu guards it.
type neighbour struct {
	site    string
	session *Session      // the one that stands; nil while there is none
	changed chan struct{} // closed when session changes, and replaced
	fault   fault
	since   time.Time // of what session is
	Tally
}

// fault is what went wrong last.
type fault struct {
	text string
	at   time.Time
}

// Tally counts what sessions with one peer came to in this term.
type Tally struct {
	Resumes   int `json:"resumes"`   // sessions that went on where an earlier one ended
	Malformed int `json:"malformed"` // items that were taken as withdrawals
	Refused   int `json:"refused"`   // routes over a bound
	Healed    int `json:"healed"`    // times that one side did not hold what the other had told, and got it again
}

// Counts are totals over all peers and terms of a node.
type Counts struct {
	UpdatesIn, UpdatesOut               atomic.Uint64 // items
	Resumes, Malformed, Refused, Healed atomic.Uint64
	Transitions                         atomic.Uint64 // sessions that came to stand, or ended
}

func New(cfg Config) *Speaker {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Counts == nil {
		cfg.Counts = new(Counts)
	}
	if cfg.Self.HoldTime == 0 {
		cfg.Self.HoldTime = DefaultHoldTime.Seconds()
	}
	return &Speaker{
		cfg: cfg, neighbours: map[string]*neighbour{}, dialling: map[string]*dialling{}, collectors: map[*Session]struct{}{},
	}
}

// Run speaks until ctx ends, and joins every session.
func (s *Speaker) Run(ctx context.Context) {
	ctx, end := context.WithCancelCause(ctx)
	s.mu.Lock()
	s.ctx = ctx
	for site, held := range s.cfg.Site.Table().Holding() {
		s.neighbourLocked(site, held.Collector)
	}
	s.mu.Unlock()
	defer s.wg.Wait()
	defer func() {
		s.mu.Lock() // no session begins after this
		defer s.mu.Unlock()
		end(ErrNotSpeaking)
	}()
	for {
		t := s.cfg.Site.Table()
		s.configure(ctx, t)
		if !s.awaitPeers(ctx, t) {
			return
		}
	}
}

// awaitPeers waits for a table with other peers; false when ctx ended.
func (s *Speaker) awaitPeers(ctx context.Context, t *fsm.Table) bool {
	for peers := t.PeersVersion(); t.PeersVersion() == peers; {
		var err error
		if t, err = s.cfg.Site.Await(ctx, t.Version()); err != nil {
			return false
		}
	}
	return true
}

// neighbourLocked returns what is known of a site. Someone keeps an eye on it
// from the first time on.
func (s *Speaker) neighbourLocked(site string, collector bool) *neighbour {
	n := s.neighbours[site]
	if n == nil {
		n = &neighbour{site: site, changed: make(chan struct{}), since: time.Now()}
		s.neighbours[site] = n
		s.wg.Go(func() { s.keep(s.ctx, n, collector) })
	}
	return n
}

// Accept takes a peer's open: the far end is its callback, and hello is nil for
// a collector. Only lists the configured peers whose secret was shown; with
// none the site's own was, which every peer may know. The session has begun
// when Accept returns; what the peer is told comes by itself. An error is
// ErrNotSpeaking or a *Refused.
func (s *Speaker) Accept(remote Remote, hello *Info, allowed []string) (*Session, Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil {
		return nil, Info{}, ErrNotSpeaking
	}
	x := s.newSession(s.ctx)
	x.remote = remote
	if err := s.admitLocked(x, hello, allowed); err != nil {
		x.cancel(err)
		return nil, Info{}, err
	}
	s.wg.Go(func() { _ = x.run() })
	return x, s.introduction(x.peer), nil
}

func (s *Speaker) admitLocked(x *Session, hello *Info, allowed []string) error {
	if hello == nil {
		return s.admitCollectorLocked(x)
	}
	if err := x.greet(*hello); err != nil {
		return err
	}
	c, configured := s.cfg.Site.Table().Configured(x.peer)
	if len(allowed) > 0 && !(configured && slices.Contains(allowed, c.ID)) {
		if c, configured = s.unbound(allowed); !configured {
			return &Refused{NotAllowed, fmt.Sprintf("site %s shows the secret of another peer: give each peer its own, or let it show this site's --peering-secret", x.peer)}
		}
	}
	if configured {
		x.config = c
	}
	return s.joinLocked(x)
}

// unbound finds among configured peers one that stands for no site yet.
func (s *Speaker) unbound(ids []string) (fsm.PeerConfig, bool) {
	for _, id := range ids {
		if c, ok := s.cfg.Site.Table().Peer(id); ok && c.Site == "" {
			return c, true
		}
	}
	return fsm.PeerConfig{}, false
}

func (s *Speaker) admitCollectorLocked(x *Session) error {
	if len(s.collectors) >= MaxCollectors {
		return &Refused{Crowded, fmt.Sprintf("site %s serves %d collectors, the most it may: come again later", s.cfg.Self.Site, MaxCollectors)}
	}
	x.collector, x.peer = true, "collector-"+rand.Text()[:8]
	x.export = export{learned: true}
	x.hold = time.Duration(s.cfg.Self.HoldTime * float64(time.Second))
	s.collectors[x] = struct{}{}
	return nil
}

// joinLocked makes a session the one that stands with its peer, or says which
// is in its way: that of a younger leader of the peer's site, or, when both
// sides have dialled, the one that the higher site dialled (RFC 4271 §6.8).
func (s *Speaker) joinLocked(x *Session) error {
	if held := s.cfg.Site.Table().Held(x.peer); held.Fences(x.hello.Epoch, x.hello.Term) {
		return deposed(x, held.Epoch, held.Term)
	}
	if s.neighbours[x.peer] == nil && len(s.neighbours) >= fsm.MaxPeers {
		return &Refused{Crowded, fmt.Sprintf("site %s has %d peers, the most it may: remove one first", s.cfg.Self.Site, fsm.MaxPeers)}
	}
	n := s.neighbourLocked(x.peer, false)
	if old := n.session; old != nil {
		if !old.yieldsTo(x) {
			if x.hello.order(old.hello) < 0 {
				return deposed(x, old.hello.Epoch, old.hello.Term)
			}
			return &Refused{Connected, fmt.Sprintf("site %s has a session with site %s already, dialled by %s", s.cfg.Self.Site, x.peer, old.dialledBy())}
		}
		old.fail(errReplaced)
	}
	s.setLocked(n, x)
	return nil
}

func deposed(x *Session, epoch string, term uint64) error {
	return &Refused{Deposed, fmt.Sprintf("site %s: node %s leads in term %d of epoch %s, which is over: term %d of epoch %s has been seen",
		x.peer, x.hello.Node, x.hello.Term, x.hello.Epoch, term, epoch)}
}

func (x *Session) yieldsTo(next *Session) bool {
	if order := next.hello.order(x.hello); order != 0 {
		return order > 0
	}
	if next.dialled == x.dialled {
		return true // whoever dialled did so again: the older connection is dead
	}
	return next.dialledBy() > x.dialledBy()
}

func (x *Session) dialledBy() string {
	if x.dialled {
		return x.speaker.cfg.Self.Site
	}
	return x.peer
}

func (s *Speaker) setLocked(n *neighbour, x *Session) {
	n.session, n.since = x, time.Now()
	close(n.changed)
	n.changed = make(chan struct{})
}

// leave takes a session that has ended out, if it stands still.
func (s *Speaker) leave(x *Session, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x.collector {
		delete(s.collectors, x)
		s.cfg.Log.Debug("a collector has gone", "why", cause)
		if x.intake.spoke {
			s.neighbourLocked(x.peer, true) // withdraws what it announced
		}
		return
	}
	n := s.neighbours[x.peer]
	if n == nil || n.session != x {
		return
	}
	n.fault = fault{cause.Error(), time.Now()}
	s.setLocked(n, nil)
	s.cfg.Counts.Transitions.Add(1)
	s.cfg.Log.Warn("peer session ended", "peer", x.peer, "state", Idle, "held", s.cfg.Site.Table().Held(x.peer).Routes, "why", cause)
}

// confirmed notes that a session stands.
func (s *Speaker) confirmed(x *Session) {
	if x.collector {
		s.cfg.Log.Debug("a collector listens")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.neighbours[x.peer]; n != nil && n.session == x {
		n.since = time.Now()
		s.cfg.Counts.Transitions.Add(1)
		s.cfg.Log.Info("peer session established", "peer", x.peer, "state", Established, "node", x.hello.Node,
			"term", x.hello.Term, "dialled_by", x.dialledBy(), "hold", x.hold)
	}
}

// tally lets f count something with a session's neighbour.
func (s *Speaker) tally(x *Session, f func(*neighbour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.neighbours[x.peer]; n != nil {
		f(n)
	}
}

func (s *Speaker) complain(x *Session, text string) {
	s.cfg.Log.Warn("peer", "peer", x.peer, "err", text)
	s.tally(x, func(n *neighbour) { n.fault = fault{text, time.Now()} })
}

func (s *Speaker) resumes(x *Session) {
	if x.resumed.Swap(true) {
		return
	}
	s.cfg.Counts.Resumes.Add(1)
	s.tally(x, func(n *neighbour) { n.Resumes++ })
}

func (s *Speaker) heals(x *Session) {
	s.cfg.Counts.Healed.Add(1)
	s.cfg.Log.Warn("one side did not hold what the other had told; it is told again", "peer", x.peer)
	s.tally(x, func(n *neighbour) { n.Healed++ })
}

// took notes what was taken in of an update.
func (s *Speaker) took(x *Session, items int, a Answer) {
	s.cfg.Counts.UpdatesIn.Add(uint64(items))
	if a.Malformed+a.Refused == 0 {
		return
	}
	s.cfg.Counts.Malformed.Add(uint64(a.Malformed))
	s.cfg.Counts.Refused.Add(uint64(a.Refused))
	text := a.Error
	if a.Malformed > 0 {
		text = fmt.Sprintf("%d malformed items of an update were taken as withdrawals", a.Malformed)
	}
	s.tally(x, func(n *neighbour) { n.Malformed += a.Malformed; n.Refused += a.Refused })
	s.complain(x, text)
}

// IsRefused finds the *Refused in an error.
func IsRefused(err error) (*Refused, bool) {
	var r *Refused
	ok := errors.As(err, &r)
	return r, ok
}
