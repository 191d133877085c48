package peering

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
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
	site       string
	session    *Session      // the one that stands; nil while there is none
	changed    chan struct{} // closed when session changes, and replaced
	fault      fault
	since      time.Time // of what session is
	complained time.Time // in the log
	lost       time.Time // when the last session ended that had told everything; zero before
	Tally

	// commits holds a token while a session opens in the table, or what was
	// learned is dealt with because there is none: never both.
	commits chan struct{}
}

// fault is what went wrong last.
type fault struct {
	text string
	at   time.Time
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
		if held.Collector {
			s.wg.Go(func() { s.withdraw(ctx, site) })
		} else {
			s.neighbourLocked(site).lost = time.Now()
		}
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
func (s *Speaker) neighbourLocked(site string) *neighbour {
	n := s.neighbours[site]
	if n == nil {
		n = &neighbour{site: site, changed: make(chan struct{}), since: time.Now(), commits: make(chan struct{}, 1)}
		s.neighbours[site] = n
		s.wg.Go(func() { s.keep(s.ctx, n) })
	}
	return n
}

// Accept takes a peer's open: the far end is its callback, and hello is nil for
// a collector. Allowed lists the configured peers whose secret was shown; with
// none the site's own was, which every peer may know. The session has begun
// when Accept returns; what the peer is told comes by itself. An error is
// ErrNotSpeaking or a *Refused.
func (s *Speaker) Accept(remote Remote, hello *Info, shown Admission) (*Session, Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil || s.ctx.Err() != nil {
		return nil, Info{}, ErrNotSpeaking
	}
	x := s.newSession(s.ctx)
	x.remote = remote
	if err := s.admitLocked(x, hello, shown); err != nil {
		x.cancel(err)
		return nil, Info{}, err
	}
	s.wg.Go(func() { _ = x.run() })
	return x, s.introduction(x.peer), nil
}

// Admission is for whom a peer that dials may speak, by the secret that it has
// shown: for one site, for configured peers, or, zero, for any site that no
// token of its own stands for.
type Admission struct {
	Site  string   `json:"site,omitempty"`
	Peers []string `json:"peers,omitempty"`
}

func (s *Speaker) admitLocked(x *Session, hello *Info, shown Admission) error {
	switch {
	case hello == nil && shown.Site != "": // a collector may say anything of anyone
		return &Refused{Kind: NotAllowed, Message: fmt.Sprintf("the token of site %s is for that site's sessions, which name it in open: a collector shows this site's --peering-secret", shown.Site)}
	case hello == nil:
		return s.admitCollectorLocked(x)
	}
	if err := x.greet(*hello); err != nil {
		return err
	}
	if why := s.speaksFor(x.peer, shown); why != "" {
		return &Refused{Kind: NotAllowed, Message: why}
	}
	c, configured := s.cfg.Site.Table().Configured(x.peer)
	if len(shown.Peers) > 0 && !(configured && slices.Contains(shown.Peers, c.ID)) {
		if c, configured = s.unbound(shown.Peers); !configured {
			return &Refused{Kind: NotAllowed, Message: fmt.Sprintf("site %s shows the secret of another peer: give each peer its own, or let it show this site's --peering-secret", x.peer)}
		}
	}
	if configured {
		x.config = c
	}
	return s.joinLocked(x)
}

// speaksFor says why a peer may not speak for a site: its token is another
// site's, or the site has a token, which the common secret does not replace.
func (s *Speaker) speaksFor(site string, shown Admission) string {
	switch {
	case shown.Site == site:
		return ""
	case shown.Site != "":
		return fmt.Sprintf("site %s shows the token of site %s: make a token for it with `catalyst token create --role peer --site %s`", site, shown.Site, site)
	case len(shown.Peers) > 0:
		return ""
	}
	for t := range s.cfg.Site.Table().Tokens() {
		if t.Role == fsm.RolePeer && t.Site == site {
			return fmt.Sprintf("site %s has a token of its own here (%s), and shows the common peering secret: give it that token", site, t.ID)
		}
	}
	return ""
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
		return &Refused{Kind: Crowded, Message: fmt.Sprintf("site %s serves %d collectors, the most it may: come again later", s.cfg.Self.Site, MaxCollectors)}
	}
	x.collector, x.peer = true, "collector-"+rand.Text()[:8]
	x.export = export{to: x.peer, learned: true}
	x.hold = time.Duration(s.cfg.Self.HoldTime * float64(time.Second))
	s.collectors[x] = struct{}{}
	return nil
}

// lostLocked notes when a session ended. One that had not told everything gives
// its peer no new grace.
func (n *neighbour) lostLocked(x *Session) {
	if x.whole.Load() || n.lost.IsZero() {
		n.lost = time.Now()
	}
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
			s.wg.Go(func() { s.withdraw(s.ctx, x.peer) })
		}
		return
	}
	n := s.neighbours[x.peer]
	if n == nil || n.session != x {
		return
	}
	n.fault = fault{cause.Error(), time.Now()}
	n.lostLocked(x)
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
			"term", x.hello.Term, "dialled_by", x.dialledBy(), "hold", x.hold.String())
	}
}
