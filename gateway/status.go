package gateway

import "slices"

// Status is how the gateway stands.
type Status struct {
	Services []ServiceStatus `json:"services"` // oldest first
	Fence    *Fence          `json:"fence,omitempty"`
	Revision uint64          `json:"revision"` // grows with every change, until the gateway is started again
}

// ServiceStatus is how it stands with one service.
type ServiceStatus struct {
	Name      string   `json:"name"`
	State     string   `json:"state"` // Pending, Serving, Stale or Down
	Since     int64    `json:"since"` // of the state; ms since the epoch
	Types     int      `json:"types"`
	Queries   []string `json:"queries"`   // root fields, as clients see them
	Mutations []string `json:"mutations"` // likewise
	Events    []string `json:"subscriptions"`
	Warnings  []string `json:"warnings"`        // names that it does not have as it wanted
	Error     string   `json:"error,omitempty"` // why it is not Serving
}

// Status is a snapshot.
func (g *Gateway) Status() Status {
	status, _ := g.standing()
	return status
}

// standing is Status, and what closes when it may be another.
func (g *Gateway) standing() (Status, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	status := Status{Services: []ServiceStatus{}, Fence: g.fence, Revision: g.revision}
	schema := g.schema.Load()
	for _, m := range g.members {
		status.Services = append(status.Services, m.status(schema))
	}
	return status, g.changed
}

// status is called with Gateway.mu held.
func (m *member) status(schema *Schema) ServiceStatus {
	s := ServiceStatus{Name: m.service.Name, State: m.state(), Since: m.since.UnixMilli()}
	if m.fault != nil {
		s.Error = m.fault.Error()
	}
	if source := schema.services[m.service]; source != nil {
		s.Types = source.typeCount()
		s.Queries, s.Mutations, s.Events = source.fields[0], source.fields[1], source.fields[2]
		s.Warnings = source.warnings
	}
	for _, list := range s.lists() {
		if *list == nil {
			*list = []string{}
		}
	}
	return s
}

// lists are the lists of s, what matters most first.
func (s *ServiceStatus) lists() [4]*[]string {
	return [...]*[]string{&s.Warnings, &s.Queries, &s.Mutations, &s.Events}
}

// tellable is how many bytes of names and warnings a status takes along to a
// peer: a message has a bound, and a thousand large services must not reach it.
const tellable = 1 << 20

// told is a status as a peer is told it: lists end where it would be too long,
// and no service is left out.
func (s Status) told() Status {
	s.Services = slices.Clone(s.Services)
	left := tellable
	for kind := range (&ServiceStatus{}).lists() {
		for i := range s.Services {
			list := s.Services[i].lists()[kind]
			n := 0
			for n < len(*list) && left >= len((*list)[n]) {
				left -= len((*list)[n]) + len(`"",`)
				n++
			}
			*list = (*list)[:n:n]
		}
	}
	return s
}
