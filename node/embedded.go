package node

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/catalyst/orchestrator/pipeline"
)

// GatewayService is a GraphQL service as a gateway is to know it.
type GatewayService = pipeline.GatewayService

// ServiceReport is what a gateway says of one service.
type ServiceReport = pipeline.ServiceReport

// EmbeddedGateway is a gateway in this process. Its methods may be called side
// by side.
type EmbeddedGateway interface {
	// Update replaces the list of services, the newest first.
	Update(context.Context, []GatewayService) error
	// Reports is how it stands with each of them now, by name.
	Reports() map[string]ServiceReport
}

// embedded is how far the gateway in this process is.
type embedded struct {
	gateway  EmbeddedGateway
	endpoint string
	log      *slog.Logger
	told     atomic.Pointer[lastTold] // nil before the first time
}

// lastTold is the list that it was told last.
type lastTold struct {
	pipeline.Listing
	at  time.Time
	err error // why it did not take it
}

// embeddedPause is how long changes gather before they are told as one list.
const embeddedPause = 20 * time.Millisecond

// FollowServices tells a gateway in this process the services of this node's
// own table, and again whenever they change. It needs no leader. endpoint is
// what the node's status calls the gateway; it shows in a node without another.
// FollowServices returns when ctx ends, and may be called once.
func (n *Node) FollowServices(ctx context.Context, endpoint string, g EmbeddedGateway) {
	e := &embedded{gateway: g, endpoint: endpoint, log: n.log}
	n.embedded.Store(e)
	for {
		t := n.machine.Table()
		// Until this node has caught up after its start, the gateway knows better
		// from its last run.
		if n.ready.Load() {
			e.tell(ctx, pipeline.ListingOf(t))
		}
		if e.told.Load() != nil {
			if _, err := n.machine.Await(ctx, t.Version()); err != nil {
				return
			}
		}
		select {
		case <-time.After(embeddedPause):
		case <-ctx.Done():
			return
		}
	}
}

// tell tells the gateway a list that it does not have.
func (e *embedded) tell(ctx context.Context, l pipeline.Listing) {
	if last := e.told.Load(); last != nil && last.err == nil && slices.Equal(l.Services, last.Services) {
		return
	}
	err := e.gateway.Update(ctx, l.Services)
	if err != nil && ctx.Err() == nil {
		e.log.Error("the gateway in this process does not take the list of services", "gateway", e.endpoint, "err", err)
	}
	e.told.Store(&lastTold{l, time.Now(), err})
}

// embeddedStatus is how the gateway in this process stands; nil without one.
func (n *Node) embeddedStatus() *pipeline.GatewayStatus {
	e := n.embedded.Load()
	if e == nil {
		return nil
	}
	last := e.told.Load()
	if last == nil {
		last = &lastTold{}
	}
	status := last.Status(e.endpoint, &pipeline.Told{Services: e.gateway.Reports()})
	switch {
	case last.at.IsZero():
		status.State, status.Error = pipeline.GatewayPending, "this node has not caught up with its site yet; the gateway serves what it had"
	case last.err != nil:
		status.State, status.Error = pipeline.GatewayPending, "the gateway does not take the list: "+last.err.Error()
	}
	if !last.at.IsZero() {
		status.LastPush = last.at.UnixMilli()
	}
	return &status
}
