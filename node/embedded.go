package node

import (
	"context"
	"slices"
	"time"

	"github.com/catalyst/orchestrator/pipeline"
)

// GatewayService is a GraphQL service as a gateway is to know it.
type GatewayService = pipeline.GatewayService

// embeddedPause is how long changes gather before they are told as one list.
const embeddedPause = 20 * time.Millisecond

// FollowServices tells a gateway in this process the services of this node's
// own table, the newest first, and again whenever they change. It needs no
// leader. It returns when ctx ends.
func (n *Node) FollowServices(ctx context.Context, tell func(context.Context, []GatewayService)) {
	var told []GatewayService // nil before the first time
	for {
		t := n.machine.Table()
		// Until this node has caught up after its start, the gateway knows better
		// from its last run.
		if list := pipeline.Services(t); n.ready.Load() && (told == nil || !slices.Equal(list, told)) {
			tell(ctx, list)
			told = list
		}
		if told != nil {
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
