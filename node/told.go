package node

import (
	"context"
	"errors"

	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// told is the newest of what a gateway has said of its services over a session.
// It says so with its answer to a list, and by a callback from then on.
type told struct {
	revision uint64 // by which the gateway orders what it says
	news     *pipeline.Told
	changed  chan struct{} // news.Changed
}

// gatewayReport is what Catalyst's own gateway adds to its answer, and calls back
// with. Others add nothing.
type gatewayReport struct {
	Services []struct {
		Name string `json:"name"`
		pipeline.ServiceReport
	} `json:"services"`
	Revision uint64 `json:"revision"`
}

// Told is what the gateway said last, if it is one that does.
func (g *gatewaySession) Told() *pipeline.Told {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.told == nil {
		return nil
	}
	return g.told.news
}

// heed takes in what came with the answer to a list, and asks to be told more.
func (g *gatewaySession) heed(s *transport.Session, answer any) {
	if fields, _ := answer.(map[string]any); fields["services"] == nil || fields["revision"] == nil {
		return // a gateway that does not tell
	}
	if first, err := g.hear(s, answer); first && err == nil {
		g.wg.Go(func() { g.watch(s) })
	}
}

// watch asks to be called back. A gateway that cannot is not asked again.
func (g *gatewaySession) watch(s *transport.Session) {
	now, err := s.Main().Call("watchStatus", transport.NewFunc(transport.Proc1(func(_ context.Context, status any) error {
		_, err := g.hear(s, status)
		return err
	}))).Await(g.life)
	if err == nil {
		_, err = g.hear(s, now)
	}
	if err != nil && g.life.Err() == nil {
		g.n.log.Debug("the gateway does not tell how its services stand", "gateway", g.n.cfg.GatewayEndpoint, "err", err)
	}
}

var errOtherSession = errors.New("this session has been replaced by another")

// hear takes in a report, unless a newer one has come before it; first says
// that it is the first of its session.
func (g *gatewaySession) hear(s *transport.Session, said any) (first bool, err error) {
	var r gatewayReport
	if err := transport.Decode(said, &r); err != nil {
		return false, err
	}
	next := &told{revision: r.Revision, changed: make(chan struct{})}
	next.news = &pipeline.Told{Services: make(map[string]pipeline.ServiceReport, len(r.Services)), Changed: next.changed}
	for _, of := range r.Services {
		next.news.Services[of.Name] = of.ServiceReport
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.told
	switch {
	case g.session != s:
		return false, errOtherSession
	case last == nil:
		g.told = next
		return true, nil
	case r.Revision <= last.revision:
		return false, nil
	}
	g.told = next
	close(last.changed)
	return false, nil
}
