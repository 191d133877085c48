package node

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
)

// followGateway keeps the gateway in step with the table while this node leads.
func (n *Node) followGateway(ctx context.Context, term uint64) {
	g := &gatewaySession{n: n, life: ctx, epoch: n.machine.Table().Epoch(), term: term}
	defer g.wg.Wait()
	if err := n.gateway.Run(ctx, n.machine, g); err != nil && ctx.Err() == nil {
		n.log.Error("following the gateway ended", "err", err)
	}
}

// gatewaySession is the Cap'n Web session to the GraphQL gateway, opened when
// there is something to send and kept, so that its end shows a restart. It is
// one term's.
type gatewaySession struct {
	n     *Node
	life  context.Context
	epoch string // of the site, as long as the term lasts
	term  uint64
	wg    sync.WaitGroup

	mu      sync.Mutex
	session *transport.Session // nil, or the latest
	told    *told              // over it; nil while the gateway tells nothing
}

// fence orders lists, for a gateway that takes none from a deposed leader.
type fence struct {
	Epoch string `json:"epoch"`
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"` // of the table that the list shows
}

// UpdateConfig sends the gateway the complete list of services.
func (g *gatewaySession) UpdateConfig(ctx context.Context, version uint64, services []pipeline.GatewayService) error {
	s, err := g.open(ctx)
	if err != nil {
		return err
	}
	said, err := s.Main().Call("updateConfig", map[string]any{
		"services": services, "fence": fence{g.epoch, g.term, version},
	}).Await(ctx)
	var thrown *transport.Error
	switch {
	case errors.As(err, &thrown) && !errors.Is(err, transport.ErrBroken):
		// The gateway answered, by throwing: it does not want this list.
		return &pipeline.Rejected{Message: thrown.Message}
	case err != nil:
		return err
	}
	var answer struct {
		Success bool   `json:"success"`
		Error   string `json:"error"`
		Code    string `json:"code"`
	}
	switch err := transport.Decode(said, &answer); {
	case err != nil:
		return &pipeline.Rejected{Message: "its answer is not one: " + err.Error()}
	case answer.Code == "fenced":
		return &pipeline.Fenced{Message: answer.Error}
	case !answer.Success:
		return &pipeline.Rejected{Message: answer.Error}
	}
	g.heed(s, said)
	return nil
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
	conn, err := g.n.cfg.dialGateway(ctx)
	if err != nil {
		return nil, err
	}
	s := transport.NewSession(conn, transport.Config{Limits: g.n.limits()})
	g.wg.Go(func() { _ = s.Run(g.life) })
	g.session, g.told = s, nil
	return s, nil
}

func (c *Config) dialGateway(ctx context.Context) (transport.Conn, error) {
	if c.GatewayToken == "" {
		return c.Dial(ctx, c.GatewayEndpoint, nil)
	}
	return c.DialGateway(ctx, c.GatewayEndpoint, http.Header{"Authorization": {"Bearer " + c.GatewayToken}})
}

// gatewayStatus is what this node, as leader, knows of the gateway; without one
// it is how the gateway in its own process stands.
func (n *Node) gatewayStatus() *pipeline.GatewayStatus {
	if n.gateway == nil {
		return n.embeddedStatus()
	}
	s := n.gateway.Status()
	return &s
}

// askGateway gets the gateway's state from the leader, or none in good time.
func (n *Node) askGateway(ctx context.Context) *pipeline.GatewayStatus {
	if n.gateway == nil {
		return n.embeddedStatus()
	}
	status, _ := askLeader(ctx, n, "gateway", func(*term) *pipeline.GatewayStatus { return n.gatewayStatus() })
	return status
}
