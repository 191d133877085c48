package gateway

import (
	"bytes"
	"context"
	"math/rand/v2"
	"time"
)

// States of a service in a Status.
const (
	Pending = "pending" // it was not heard yet
	Serving = "serving" // it is served as it last said that it is
	Stale   = "stale"   // it is served as it was; it does not say now what it is
	Down    = "down"    // it never said what it is, and is not served
)

// member is an entry of the list. Another URL or token is another member. Its
// fields but service are guarded by Gateway.mu.
type member struct {
	service  *service
	is       *description // last known; nil when it never was
	was      *naming      // what its names are in the published schema; nil when it is not in one
	fault    error        // of the last time that it was asked; nil when it answered
	heard    bool         // it was asked at least once, and has answered or not
	probing  bool
	failures int
	asked    time.Time // when it was asked last
	due      time.Time // when to ask again
	since    time.Time // of its state
}

func (m *member) state() string {
	switch {
	case !m.heard && m.is == nil:
		return Pending
	case m.is == nil:
		return Down
	case m.fault != nil || !m.heard:
		return Stale
	}
	return Serving
}

// probe asks a member what it is, and takes in what it says.
func (g *Gateway) probe(ctx context.Context, m *member, known *description) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Limits.Probe)
	defer cancel()
	text, err := m.service.introspect(ctx)
	is := known
	if err == nil && (known == nil || !bytes.Equal(known.text, text)) {
		if is, err = describe(text, g.cfg.Limits.Types); err != nil {
			err = m.service.faultf("cannot be served: %s", err)
		}
	}
	g.hear(m, is, err)
	g.nudge()
}

// hear takes in the outcome of a probe.
func (g *Gateway) hear(m *member, is *description, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, first := m.state(), !m.heard
	m.probing, m.heard, m.fault = false, true, err
	if err != nil {
		m.failures++
		m.due = time.Now().Add(backoff(m.failures))
	} else {
		m.failures = 0
		m.due = g.nextRefresh()
		g.dirty = g.dirty || m.is != is
		m.is = is
	}
	if m.state() != before || first {
		m.since = time.Now()
		g.log.Info("the state of a service has changed", "service", m.service.Name, "state", m.state(), "fault", m.fault)
	}
	g.announce()
}

// reconsider has a service asked again soon, whatever its turn.
func (g *Gateway) reconsider(s *service) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		if soon := m.asked.Add(firstRetry); m.service == s && !m.probing && soon.Before(m.due) {
			m.due = soon
			g.nudge()
		}
	}
}

// never is later than anything.
const never = 1 << 62

func (g *Gateway) nextRefresh() time.Time {
	if g.cfg.Limits.Refresh < 0 {
		return time.Now().Add(never)
	}
	return time.Now().Add(jittered(g.cfg.Limits.Refresh))
}

const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// backoff is how long to wait after so many failures.
func backoff(failures int) time.Duration {
	return jittered(min(firstRetry<<min(failures-1, 10), lastRetry))
}

// jittered keeps services that failed together from being asked together.
func jittered(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/4)
}
