package peering

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// dialer is how a site reaches others.
type dialer struct {
	w    *world
	from string
}

// opening is the argument of open.
type opening struct {
	secret string
	hello  *Info
}

func (d dialer) Dial(ctx context.Context, endpoint, secret string, near *Session, self Info) (Remote, Await[Info], error) {
	w := d.w
	w.mu.Lock()
	w.dials = append(w.dials, dialled{w.since(), d.from, endpoint})
	to, opens := w.doors[endpoint]
	apart := w.parted[pair(d.from, to)]
	takes := time.Duration(0)
	if w.latency != nil {
		takes = w.latency(w.rand)
	}
	w.mu.Unlock()
	if !sleep(ctx, takes) {
		return nil, nil, context.Cause(ctx)
	}
	switch {
	case apart == swallowed:
		<-ctx.Done()
		return nil, nil, context.Cause(ctx)
	case apart == refused || !opens:
		return nil, nil, errors.New("connection refused")
	}
	e := w.link(d.from, to).ends[0]
	e.callee = near
	return e, ask[Info](e, "open", opening{secret, &self}), nil
}

// opens lets a site answer at an endpoint.
func (w *world) opens(endpoint, site string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.doors[endpoint] = site
}

// open is a site's end of a link when it is asked to open a session.
func (e *end) open(o opening) (Info, error) {
	s := e.w.at(e.site)
	allowed, err := s.admits(o.secret)
	if err != nil {
		return Info{}, err
	}
	speaker := s.speaker()
	if speaker == nil {
		return Info{}, fmt.Errorf("site %s has no leader", s.name)
	}
	x, info, err := speaker.Accept(e, hello(o.hello), Admission{Peers: allowed})
	if r, ok := IsRefused(err); ok && r.Kind == Connected {
		return info, &Refused{Kind: Connected, Site: r.Site, Message: r.Message}
	}
	if err != nil {
		return info, errors.New(err.Error()) // what else it is does not cross
	}
	e.mu.Lock()
	e.callee = x
	e.mu.Unlock()
	if e.ctx.Err() != nil {
		x.Lost(context.Cause(e.ctx))
	}
	return info, nil
}

// hello crosses as JSON.
func hello(info *Info) *Info {
	if info == nil {
		return nil
	}
	return read[Info](wire(info))
}

// admits says for which configured peers a secret stands.
func (s *site) admits(secret string) (allowed []string, err error) {
	if secret == s.secret {
		return nil, nil
	}
	for c := range s.Table().Peers() {
		if c.Secret == secret {
			allowed = append(allowed, c.ID)
		}
	}
	if allowed == nil {
		return nil, fmt.Errorf("the peering secret is not valid at site %s", s.name)
	}
	return allowed, nil
}

// dialled lists when a site has dialled, and where, since the last time.
func (w *world) dialled(from string) (dials []dialled) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dials {
		if d.from == from {
			dials = append(dials, d)
		}
	}
	w.dials = nil
	return dials
}
