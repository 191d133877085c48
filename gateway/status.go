package gateway

// Status is how the gateway stands.
type Status struct {
	Services []ServiceStatus `json:"services"` // oldest first
	Fence    *Fence          `json:"fence,omitempty"`
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
	g.mu.Lock()
	defer g.mu.Unlock()
	status := Status{Services: []ServiceStatus{}, Fence: g.fence}
	schema := g.schema.Load()
	for _, m := range g.members {
		one := ServiceStatus{Name: m.service.Name, State: m.state(), Since: m.since.UnixMilli()}
		if m.fault != nil {
			one.Error = m.fault.Error()
		}
		if s := schema.services[m.service]; s != nil {
			one.Types = s.typeCount()
			one.Queries, one.Mutations, one.Events = s.fields[0], s.fields[1], s.fields[2]
			one.Warnings = s.warnings
		}
		for _, list := range []*[]string{&one.Queries, &one.Mutations, &one.Events, &one.Warnings} {
			if *list == nil {
				*list = []string{}
			}
		}
		status.Services = append(status.Services, one)
	}
	return status
}
