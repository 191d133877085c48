package pipeline

import (
	"slices"

	"github.com/catalyst/orchestrator/fsm"
)

// Services is the list for a gateway as a table has it, the newest first,
// whatever any gateway makes of it.
func Services(t *fsm.Table) []GatewayService {
	var c catalog
	c.refresh(t)
	list := make([]GatewayService, 0, len(c.order))
	for _, s := range slices.Backward(c.order) {
		list = append(list, s.wire)
	}
	return list
}
