package node

import (
	"context"
	"errors"
	"sync"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// followGateway keeps the gateway in step with the table while this node leads.
func (n *Node) followGateway(ctx context.Context) {
	g := &gatewaySession{n: n, life: ctx}
	defer g.wg.Wait()
	if err := n.gateway.Run(ctx, n.machine, g); err != nil && ctx.Err() == nil {
		n.log.Error("following the gateway ended", "err", err)
	}
}

// gatewaySession is the Cap'n Web session to the GraphQL gateway, opened when
// there is something to send and kept, so that its end shows a restart.
type gatewaySession struct {
	n    *Node
	life context.Context
	wg   sync.WaitGroup

	mu      sync.Mutex
	session *transport.Session // nil, or the latest
}

// UpdateConfig sends the gateway the complete list of services.
func (g *gatewaySession) UpdateConfig(ctx context.Context, services []pipeline.GatewayService) error {
	s, err := g.open(ctx)
	if err != nil {
		return err
	}
	answer, err := transport.Await[struct {
		Success bool   `json:"success"`
		Error   string `json:"error"`
	}](ctx, s.Main().Call("updateConfig", map[string]any{"services": services}))
	var thrown *transport.Error
	switch {
	case err == nil && answer.Success:
		return nil
	case err == nil:
		return &pipeline.Rejected{Message: answer.Error}
	case errors.As(err, &thrown) && !errors.Is(err, transport.ErrBroken):
		// The gateway answered, by throwing: it does not want this list.
		return &pipeline.Rejected{Message: thrown.Message}
	default:
		return err
	}
}

// Broken is closed when the session of the last push has ended: the gateway
// may have restarted and forgotten what it accepted.
func (g *gatewaySession) Broken() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session == nil {
		return nil
	}
	return g.session.Done()
}

func (g *gatewaySession) open(ctx context.Context) (*transport.Session, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.session != nil && g.session.Err() == nil {
		return g.session, nil
	}
	conn, err := g.n.cfg.Dial(ctx, g.n.cfg.GatewayEndpoint, nil)
	if err != nil {
		return nil, err
	}
	s := transport.NewSession(conn, transport.Config{Limits: g.n.limits()})
	g.wg.Go(func() { _ = s.Run(g.life) })
	g.session = s
	return s, nil
}

// gatewayStatus is what this node, as leader, knows of the gateway.
func (n *Node) gatewayStatus() *pipeline.GatewayStatus {
	if n.gateway == nil {
		return nil
	}
	s := n.gateway.Status()
	return &s
}

// gatewayView is the leader's knowledge of the gateway as an answer needs it.
type gatewayView struct{ status *pipeline.GatewayStatus }

// askGateway gets the gateway's state from the leader, or none in good time.
func (n *Node) askGateway(ctx context.Context) gatewayView {
	if n.gateway == nil {
		return gatewayView{}
	}
	status, _ := askLeader(ctx, n, "gateway", func(*term) *pipeline.GatewayStatus { return n.gatewayStatus() })
	return gatewayView{status}
}

// of is the gateway's state as regards one route.
func (v gatewayView) of(r *fsm.Route) string {
	if v.status == nil || !r.Service.Protocol.GraphQL() {
		return ""
	}
	for _, q := range v.status.Quarantined {
		if q.ID == r.ID() {
			return "rejected"
		}
	}
	if v.status.State == "rejected" {
		return "applied" // the others are quarantined; this one ships
	}
	return v.status.State
}
