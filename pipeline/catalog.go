package pipeline

import (
	"cmp"
	"slices"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// standing is what is known of a service at the gateway.
type standing int

const (
	fresh       standing = iota // not accepted yet, not to be blamed either
	good                        // on a list that the gateway accepted
	quarantined                 // refused; tried again from time to time
)

// service is one GraphQL service as the gateway is to know it. Another
// definition under the same id is another service; the older one is then gone.
type service struct {
	id       string
	name     string
	age      uint64 // index since which the id has been known
	modified uint64
	wire     GatewayService
	standing standing
	gone     bool

	// While it is quarantined.
	verdict  verdict
	attempts int
	retry    time.Time
}

// catalog is what the table wants the gateway to know: each id's best path.
type catalog struct {
	version uint64 // of the table shown
	filled  bool
	byID    map[string]*service
	order   []*service // oldest first
}

// news is what a newer table brought.
type news struct {
	changed  bool
	added    []*service // definitions that were not there before
	lostGood int        // services of the good list that have gone
}

// refresh brings the catalog up to the table.
func (c *catalog) refresh(t *fsm.Table) news {
	if c.filled && t.Version() == c.version {
		return news{}
	}
	var n news
	changes, known := t.Changes(c.version)
	if !known || !c.filled {
		c.refill(t, &n)
	} else {
		for change := range changes {
			if change.Route.Service.Protocol.GraphQL() {
				c.look(t, change.Route.ID(), &n)
			}
		}
	}
	c.version, c.filled = t.Version(), true
	if n.changed {
		c.arrange(&n)
	}
	return n
}

// refill looks at every route, where there is no list of what changed.
func (c *catalog) refill(t *fsm.Table, n *news) {
	if c.byID == nil {
		c.byID = map[string]*service{}
	}
	for id := range c.byID {
		c.look(t, id, n)
	}
	for route := range t.All() {
		if route.Service.Protocol.GraphQL() && c.byID[route.ID()] == nil {
			c.look(t, route.ID(), n)
		}
	}
}

// look compares one id with the table.
func (c *catalog) look(t *fsm.Table, id string, n *news) {
	paths := t.Paths(id)
	was := c.byID[id]
	if len(paths) == 0 {
		if was != nil {
			n.retire(was)
			delete(c.byID, id)
		}
		return
	}
	best, age := paths[0], paths[0].CreatedIndex
	for _, p := range paths[1:] {
		age = min(age, p.CreatedIndex)
	}
	if was != nil && was.wire.URL == best.Service.Endpoint && (was.standing != quarantined || was.modified == best.ModifiedIndex) {
		n.changed = n.changed || was.age != age
		was.age, was.modified = age, best.ModifiedIndex
		return
	}
	if was != nil {
		n.retire(was)
	}
	s := &service{id: id, name: best.Service.Name, age: age, modified: best.ModifiedIndex, wire: GatewayService{URL: best.Service.Endpoint}}
	c.byID[id], n.changed = s, true
	n.added = append(n.added, s)
}

func (n *news) retire(s *service) {
	s.gone, n.changed = true, true
	if s.standing == good {
		n.lostGood++
	}
}

// arrange puts the services in order and gives each a name of its own: the
// oldest of those that share one keeps it, the others go by their id.
func (c *catalog) arrange(n *news) {
	gone := func(s *service) bool { return s.gone }
	n.added = slices.DeleteFunc(n.added, gone)
	c.order = append(slices.DeleteFunc(c.order, gone), n.added...)
	slices.SortFunc(c.order, older)
	taken := make(map[string]bool, len(c.order))
	for i, s := range c.order {
		name := s.name
		if taken[name] {
			name = s.id
		}
		taken[name] = true
		if s.wire.Name == name {
			continue
		}
		if s.wire.Name != "" { // another name is another definition
			n.retire(s)
			s = &service{id: s.id, name: s.name, age: s.age, modified: s.modified, wire: s.wire}
			c.byID[s.id], c.order[i] = s, s
			n.added = append(n.added, s)
		}
		s.wire.Name = name
	}
}

func older(a, b *service) int {
	return cmp.Or(cmp.Compare(a.age, b.age), cmp.Compare(a.id, b.id))
}
