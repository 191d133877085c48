package pipeline

import (
	"slices"

	"github.com/catalyst/orchestrator/fsm"
)

// Listing is what a gateway is to serve as a table has it, whatever any gateway
// makes of it.
type Listing struct {
	Services []GatewayService // the newest first

	ids []string // of the routes of Services
}

// ListingOf is the listing of a table.
func ListingOf(t *fsm.Table) Listing {
	var c catalog
	c.refresh(t)
	l := Listing{Services: make([]GatewayService, 0, len(c.order))}
	for _, s := range slices.Backward(c.order) {
		l.Services = append(l.Services, s.wire)
		l.ids = append(l.ids, s.id)
	}
	return l
}

// Status is how a gateway stands that has taken the listing and tells this.
func (l Listing) Status(endpoint string, told *Told) GatewayStatus {
	s := newGatewayStatus(endpoint, GatewayApplied)
	s.Services = len(l.Services)
	for i, service := range l.Services {
		s.note(l.ids[i], told.about(service.Name))
	}
	s.arrange()
	return *s
}
