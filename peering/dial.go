package peering

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// State is where this side is with a peer (RFC 4271 §8.2.2). It is for
// display: the line that is reached is the state.
type State string

const (
	Idle        State = "idle"        // waits before it dials again, or for the peer to
	Connect     State = "connect"     // dials
	OpenSent    State = "opensent"    // waits for the answer to open
	OpenConfirm State = "openconfirm" // has accepted an open, and heard nothing since
	Established State = "established"
)

// dialling is the care for one configured peer. Speaker.mu guards what is
// below config.
type dialling struct {
	speaker *Speaker
	config  fsm.PeerConfig
	cancel  context.CancelCauseFunc

	state    State
	since    time.Time
	endpoint string // tried last
	fault    fault
	logged   map[string]string // the last fault of each endpoint that a line in the log tells of
}

// configure dials the peers that the table has, and no others.
func (s *Speaker) configure(ctx context.Context, t *fsm.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]fsm.PeerConfig{}
	for c := range t.Peers() {
		wanted[c.ID] = c
	}
	for id, d := range s.dialling {
		c, is := wanted[id]
		switch {
		case !is:
			s.resetLocked(d, errRemoved)
		case c.CreatedIndex != d.config.CreatedIndex: // removed, and added again
			s.resetLocked(d, errRemoved)
		case !slices.Equal(c.Endpoints, d.config.Endpoints) || c.Secret != d.config.Secret || c.MaxRoutes != d.config.MaxRoutes:
			s.resetLocked(d, errChanged)
		}
	}
	s.dismissLocked()
	for id, c := range wanted {
		if s.dialling[id] == nil {
			d := &dialling{speaker: s, config: c, state: Idle, since: time.Now(), logged: map[string]string{}}
			ctx, cancel := context.WithCancelCause(ctx)
			d.cancel = cancel
			s.dialling[id] = d
			s.wg.Go(func() { d.run(ctx) })
		}
	}
}

// resetLocked ends the session with a peer that is not configured any more, or
// not as it was. The next one begins with what holds now: what a limit refused
// comes then.
func (s *Speaker) resetLocked(d *dialling, cause error) {
	delete(s.dialling, d.config.ID)
	for _, n := range s.neighbours {
		if x := n.session; x != nil && x.config.ID == d.config.ID {
			x.fail(cause)
		}
	}
	d.cancel(cause)
}

// dismissLocked ends, for good, the sessions whose peers' routes the table has
// dropped: with a peer goes what it announced, also where the session began
// before it was configured.
func (s *Speaker) dismissLocked() {
	for site, n := range s.neighbours {
		// In this order: a table from before the whole would look the same.
		if x := n.session; x != nil && x.whole.Load() && !s.cfg.Site.Table().Held(site).Complete {
			x.fail(errRemoved)
		}
	}
}

// run dials whenever there is no session with the peer.
func (d *dialling) run(ctx context.Context) {
	pause := backoff{}
	for ctx.Err() == nil {
		if d.awaitNoSession(ctx) {
			pause = backoff{}
		}
		switch stood := d.round(ctx); {
		case stood >= steady:
			continue // it may be back at once
		case stood > 0:
			pause = backoff{} // it answers; only not in a tight loop
		}
		d.enter(Idle, "")
		select {
		case <-time.After(pause.next()):
		case <-ctx.Done():
		}
	}
}

// steady is how long a session has stood after which the next one is tried at
// once.
const steady = 5 * time.Second

// awaitNoSession waits while the peer has a session that it dialled itself,
// and tells whether it had one.
func (d *dialling) awaitNoSession(ctx context.Context) (had bool) {
	s := d.speaker
	s.mu.Lock()
	var n *neighbour
	if c, ok := s.cfg.Site.Table().Peer(d.config.ID); ok {
		n = s.neighbours[c.SpeaksFor()]
	}
	had = n != nil && n.session != nil
	s.mu.Unlock()
	if had {
		s.await(ctx, n, false, 0)
	}
	return had
}

// round tries each endpoint in turn, until one leads to a session and that
// session has ended: it says how long that stood.
func (d *dialling) round(ctx context.Context) (stood time.Duration) {
	for _, endpoint := range d.config.Endpoints {
		var err error
		if stood, err = d.try(ctx, endpoint); stood > 0 || ctx.Err() != nil {
			return stood
		}
		r, refused := IsRefused(err)
		if refused && r.Kind == Connected {
			err = cmp.Or(d.bind(ctx, r.Site), err)
		}
		d.failed(endpoint, err)
		if refused && r.Kind == Connected {
			return 0
		}
	}
	return 0
}

// bind notes for which site the configured peer stands.
func (d *dialling) bind(ctx context.Context, site string) error {
	c, ok := d.speaker.cfg.Site.Table().Peer(d.config.ID)
	if !ok || site == "" || site == c.Site || site == d.speaker.cfg.Self.Site {
		return nil
	}
	outcome, err := d.speaker.cfg.Site.Commit(ctx, site, fsm.BindPeer{ID: d.config.ID, Peer: site})
	if err == nil && outcome.Code != "" {
		err = errors.New(outcome.Message)
	}
	return err
}

// try opens a session at an endpoint and holds it. Stood is zero when there was
// none.
func (d *dialling) try(ctx context.Context, endpoint string) (stood time.Duration, err error) {
	s := d.speaker
	x := s.newSession(ctx)
	x.dialled, x.endpoint, x.config = true, endpoint, d.config
	if c, ok := s.cfg.Site.Table().Peer(d.config.ID); ok {
		x.config = c // which says for which site it stands
	}
	if err := d.open(x); err != nil {
		x.fail(err)
		if x.remote != nil {
			x.remote.End(err)
		}
		return 0, err
	}
	began := time.Now()
	err = x.run()
	return max(time.Since(began), 1), err
}

// open takes a session as far as it stands.
func (d *dialling) open(x *Session) error {
	s := d.speaker
	d.enter(Connect, x.endpoint)
	self := s.introduction(x.config.SpeaksFor())
	secret := cmp.Or(d.config.Secret, s.cfg.Secret)
	ctx, cancel := context.WithTimeoutCause(x.ctx, connectTimeout, fmt.Errorf("no connection within %s", connectTimeout))
	remote, answer, err := s.cfg.Dialer.Dial(ctx, x.endpoint, secret, x, self)
	cancel()
	if err != nil {
		return err
	}
	x.remote = remote
	d.enter(OpenSent, x.endpoint)
	if err := x.tellFirst(); err != nil {
		return err
	}
	ctx, cancel = context.WithTimeoutCause(x.ctx, openTimeout, fmt.Errorf("open was not answered within %s", openTimeout))
	defer cancel()
	hello, err := answer(ctx)
	if err != nil {
		return err
	}
	if err := x.greet(hello); err != nil {
		return err
	}
	if err := d.bind(x.ctx, x.peer); err != nil {
		return err
	}
	x.config.Site = x.peer
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joinLocked(x)
}

func (d *dialling) enter(state State, endpoint string) {
	d.speaker.mu.Lock()
	defer d.speaker.mu.Unlock()
	if d.state != state {
		d.since = time.Now()
		d.speaker.cfg.Log.Debug("peer", "peer", d.config.ID, "state", state, "endpoint", endpoint)
	}
	d.state, d.endpoint = state, endpoint
}

// failed notes why an endpoint led to no session; the same again is not worth
// a line in the log.
func (d *dialling) failed(endpoint string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	text := err.Error()
	if !strings.Contains(text, endpoint) {
		text = endpoint + ": " + text
	}
	s := d.speaker
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.logged[endpoint] != text {
		d.logged[endpoint] = text
		s.cfg.Log.Warn("peer cannot be reached", "peer", d.config.ID, "state", Idle, "endpoint", endpoint, "err", err)
	}
	d.fault = fault{text, time.Now()}
}

// backoff is the time between tries: it doubles, with jitter (RFC 4271 §10).
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, backoffFirst), backoffMost)
	return time.Duration(float64(b.last) * (0.75 + rand.Float64()/4))
}
