package pipeline

import (
	"cmp"
	"slices"
)

// Teller is a Gateway that says how it stands with each service on its list.
// Told is asked after each accepted list, and again when Changed of what it
// returned is closed. It is nil as long as the gateway tells nothing, as most
// do not.
type Teller interface {
	Gateway
	Told() *Told
}

// Told is what a gateway said last, on the connection of the list that it
// accepted last. It is replaced, not changed.
type Told struct {
	Services map[string]ServiceReport // by the names of the list
	Changed  <-chan struct{}
}

// ServiceReport is what a gateway says of one service. Names are those that
// clients see.
type ServiceReport struct {
	State         string   `json:"state"` // one of the four below
	Error         string   `json:"error"` // why it is not ReportServing
	Queries       []string `json:"queries"`
	Mutations     []string `json:"mutations"`
	Subscriptions []string `json:"subscriptions"`
	Warnings      []string `json:"warnings"` // names that it does not have as it wanted
}

// How a gateway stands with a service.
const (
	ReportServing = "serving"
	ReportStale   = "stale"   // served as it was: it does not say now what it is
	ReportPending = "pending" // not heard yet
	ReportDown    = "down"    // it never said what it is, and is not served
)

// notListed is what follows where a gateway leaves a service out.
var notListed = ServiceReport{Error: "the gateway does not have it any more: does another site tell the same gateway its services?"}

const (
	maxReported = 1000 // services in a status, and names in a list
	maxWarnings = 100  // of one service
	maxWord     = 512  // bytes of a gateway's words
)

// bounded is the report with what any gateway might say cut to what is kept.
func (r ServiceReport) bounded() ServiceReport {
	r.State, r.Error = clip(r.State, maxWord), clip(r.Error, maxWord)
	r.Warnings = clipped(r.Warnings, maxWarnings)
	for _, names := range []*[]string{&r.Queries, &r.Mutations, &r.Subscriptions} {
		*names = clipped(*names, maxReported)
	}
	return r
}

func clipped(words []string, n int) []string {
	words = words[:min(n, len(words))]
	if !slices.ContainsFunc(words, func(w string) bool { return len(w) > maxWord }) {
		return words
	}
	words = slices.Clone(words)
	for i, w := range words {
		words[i] = clip(w, maxWord)
	}
	return words
}

// waits says why clients do not get the service as it is now; empty when they
// do, as far as is known.
func (r ServiceReport) waits() string {
	switch r.State {
	case ReportServing:
		return ""
	case ReportPending:
		return cmp.Or(r.Error, "the gateway is asking it what it is")
	case ReportStale:
		return cmp.Or(r.Error, "it has not yet said again what it is") + "; it is served as it was"
	}
	return cmp.Or(r.Error, "the gateway does not serve it yet")
}

// data is what an action is answered. Of a gateway that does not tell, the zero
// report, the list is taken to be served.
func (r ServiceReport) data() GatewayData {
	d := GatewayData{
		State: GatewayApplied, Queries: r.Queries, Mutations: r.Mutations, Subscriptions: r.Subscriptions, Warnings: r.Warnings,
	}
	if r.State == "" && r.Error == "" {
		return d
	}
	if d.Error = r.waits(); d.Error != "" {
		d.State = GatewayPending
	}
	return d
}

// GatewayStatus is Status.gateway of the contract. Its lists are by id, and end
// where there is too much to say.
type GatewayStatus struct {
	Endpoint    string        `json:"endpoint"`
	State       string        `json:"state"`
	Error       string        `json:"error,omitempty"`    // why nothing gets through
	Services    int           `json:"services"`           // on the list that the gateway last accepted
	LastPush    int64         `json:"lastPush,omitempty"` // when it accepted that; ms since the epoch
	Quarantined []Quarantined `json:"quarantined"`
	Waiting     []Waiting     `json:"waiting"`
	Warnings    []Warning     `json:"warnings"`
	Truncated   bool          `json:"truncated,omitempty"` // there are more in trouble than Quarantined and Waiting show
}

// Quarantined is a service that the gateway refuses.
type Quarantined struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

// Waiting is a service that the gateway has accepted, but does not serve, or
// not as it is now.
type Waiting struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

// Warning is about a service that does not have a name as it wanted.
type Warning struct {
	ID      string `json:"id"`
	Warning string `json:"warning"`
}

// newGatewayStatus has empty lists, which are not null to programs.
func newGatewayStatus(endpoint, state string) *GatewayStatus {
	return &GatewayStatus{Endpoint: endpoint, State: state, Quarantined: []Quarantined{}, Waiting: []Waiting{}, Warnings: []Warning{}}
}

// note takes in what a gateway says of a service.
func (s *GatewayStatus) note(id string, r ServiceReport) {
	if why := r.waits(); why != "" {
		s.Waiting = append(s.Waiting, Waiting{id, why})
	}
	for _, w := range r.Warnings {
		s.Warnings = append(s.Warnings, Warning{id, w})
	}
}

// arrange puts the lists in order and bounds them.
func (s *GatewayStatus) arrange() {
	slices.SortFunc(s.Quarantined, func(a, b Quarantined) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Waiting, func(a, b Waiting) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(s.Warnings, func(a, b Warning) int { return cmp.Compare(a.ID, b.ID) })
	s.Truncated = len(s.Quarantined) > maxReported || len(s.Waiting) > maxReported
	s.Quarantined = s.Quarantined[:min(maxReported, len(s.Quarantined))]
	s.Waiting = s.Waiting[:min(maxReported, len(s.Waiting))]
	s.Warnings = s.Warnings[:min(maxReported, len(s.Warnings))]
}

// Of is how far the gateway is with one route; empty when that is not known.
func (s *GatewayStatus) Of(id string) string {
	about := func(of string) int { return cmp.Compare(of, id) }
	if _, found := slices.BinarySearchFunc(s.Quarantined, id, func(q Quarantined, _ string) int { return about(q.ID) }); found {
		return GatewayRejected
	}
	if _, found := slices.BinarySearchFunc(s.Waiting, id, func(w Waiting, _ string) int { return about(w.ID) }); found {
		return GatewayPending
	}
	switch {
	case s.Truncated:
		return ""
	case s.State == GatewayRejected:
		return GatewayApplied // that is said because of others
	}
	return s.State
}

// Status is a snapshot; it takes no lock. On a node that does not lead it says
// pending and nothing else: ask the leader.
func (g *GatewayIntegrationPlugin) Status() GatewayStatus {
	if s := g.status.Load(); s != nil {
		return *s
	}
	return *newGatewayStatus(g.cfg.Endpoint, GatewayPending)
}
