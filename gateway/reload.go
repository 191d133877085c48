package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fence orders the leaders from which lists come: by epoch, then term, then
// index. An epoch orders by its time of creation.
type Fence struct {
	Epoch string `json:"epoch"`
	Term  uint64 `json:"term"`
	Index uint64 `json:"index"`
}

func (f Fence) compare(o Fence) int {
	return cmp.Or(strings.Compare(f.Epoch, o.Epoch), cmp.Compare(f.Term, o.Term), cmp.Compare(f.Index, o.Index))
}

// ErrFenced is that a list is older than one that was accepted.
var ErrFenced = errors.New("a newer list was accepted")

// behind says why a list with the fence f is refused. Another epoch is another
// site, or the same one before a backup was restored.
func (f Fence) behind(newest Fence) error {
	if f.Epoch != newest.Epoch {
		return fmt.Errorf("%w, of a site that was founded or restored later (epoch %.64s, this list's is %.64s); if that site is gone, start the gateway without its state file",
			ErrFenced, newest.Epoch, f.Epoch)
	}
	return fmt.Errorf("the list of term %d, index %d is refused: %w, of term %d, index %d", f.Term, f.Index, ErrFenced, newest.Term, newest.Index)
}

const (
	// gather is how long a new schema waits for services that came at the same
	// time: a list of many is merged once, and those of them that clash get
	// their names by age.
	gather = 250 * time.Millisecond
	// gatherFirst is gather while there is nothing that the wait holds up.
	gatherFirst = time.Second
)

// Update replaces the list of services, which is complete and newest first: of
// two new services that clash, the later in the list keeps its names. Only
// services that are new or changed are asked what they are. Update waits until
// all that it knows is served, but no longer than Limits.Patience for those
// that do not answer; they come when they do. The error is that the list was
// refused, and then nothing has changed. ctx ends the wait only. Run must be
// running.
func (g *Gateway) Update(ctx context.Context, list []Service, fence *Fence) (Status, error) {
	fresh, err := g.accept(list, fence)
	if err != nil {
		return Status{}, err
	}
	g.nudge()
	g.await(ctx, fresh)
	return g.Status(), nil
}

// accept makes the list the gateway's, and returns the members that it brought.
func (g *Gateway) accept(list []Service, fence *Fence) ([]*member, error) {
	list, err := g.admit(list)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if fence != nil {
		if g.fence != nil && fence.compare(*g.fence) < 0 {
			return nil, fence.behind(*g.fence)
		}
		f := *fence
		g.fence = &f
	}
	fresh, changed := g.replace(list)
	if changed {
		g.dirty, g.gatherUntil = true, time.Now().Add(g.gathering())
		g.fresh = append(g.fresh, fresh...)
	}
	g.unsaved = true
	g.announce()
	return fresh, nil
}

func (g *Gateway) gathering() time.Duration {
	if len(g.schema.Load().sources) == 0 {
		return gatherFirst
	}
	return gather
}

// admit checks the list and gives each service a name of its own.
func (g *Gateway) admit(list []Service) ([]Service, error) {
	if len(list) > g.cfg.Limits.Services {
		return nil, fmt.Errorf("services: there are %d, and %d are taken at most", len(list), g.cfg.Limits.Services)
	}
	names := map[string]bool{}
	var admitted []Service
	for i, s := range slices.Backward(list) {
		if s.Name == "" || s.URL == "" {
			return nil, fmt.Errorf("services.%d: want a name and a url", i)
		}
		if len(s.Name) > 253 || len(s.URL) > 4096 || len(s.Token) > 16384 {
			return nil, fmt.Errorf("services.%d: a name has at most 253 bytes, a url 4096 and a token 16384", i)
		}
		name := s.Name
		for n := 2; names[s.Name]; n++ {
			s.Name = fmt.Sprintf("%s-%d", name, n)
		}
		names[s.Name] = true
		admitted = append(admitted, s)
	}
	return admitted, nil
}

// replace makes members of a list, oldest first. Those that were there keep
// their places.
func (g *Gateway) replace(list []Service) (fresh []*member, changed bool) {
	now, others := successors(g.members, list)
	var next []*member
	for _, m := range g.members {
		s, kept := now[m]
		switch {
		case !kept:
			changed = true
		case s == m.service.Service:
			next = append(next, m)
		default:
			// What it was under another name, or at another place, is what it is until
			// it says otherwise.
			fresh = append(fresh, &member{service: g.newService(s), is: m.is, was: m.was, since: time.Now()})
			next = append(next, fresh[len(fresh)-1])
		}
	}
	for _, s := range others {
		fresh = append(fresh, &member{service: g.newService(s), since: time.Now()})
		next = append(next, fresh[len(fresh)-1])
	}
	g.members = next
	return fresh, changed || len(fresh) > 0
}

// successors says what each member is in a list: itself, the same place under
// another name, or the same name at another place. Others are new, in the order
// of the list. That a name is free again, or was taken meanwhile, must not make
// one service pass for another.
func successors(members []*member, list []Service) (now map[*member]Service, others []Service) {
	now = make(map[*member]Service, len(members))
	others = slices.Clone(list)
	for _, identity := range []func(Service) [2]string{
		func(s Service) [2]string { return [2]string{s.Name, s.URL} },
		func(s Service) [2]string { return [2]string{1: s.URL} },
		func(s Service) [2]string { return [2]string{s.Name} },
	} {
		vacant := make(map[[2]string]*member, len(members))
		for _, m := range slices.Backward(members) { // the oldest of several is found
			if _, settled := now[m]; !settled {
				vacant[identity(m.service.Service)] = m
			}
		}
		others = slices.DeleteFunc(others, func(s Service) bool {
			m := vacant[identity(s)]
			if m == nil {
				return false
			}
			now[m] = s
			delete(vacant, identity(s))
			return true
		})
	}
	return now, others
}

// await waits until what is known is published and these services were heard.
func (g *Gateway) await(ctx context.Context, fresh []*member) {
	timer := time.NewTimer(g.cfg.Limits.Patience)
	defer timer.Stop()
	for {
		g.mu.Lock()
		done, changed := !g.dirty && allHeard(fresh), g.changed
		g.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func allHeard(members []*member) bool {
	return !slices.ContainsFunc(members, func(m *member) bool { return !m.heard })
}

// announce wakes who waits for a change. It is called with mu held.
func (g *Gateway) announce() {
	close(g.changed)
	g.changed = make(chan struct{})
	g.revision++
}

// nudge wakes Run.
func (g *Gateway) nudge() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// follow asks the services that are due and publishes what has changed, until
// ctx ends.
func (g *Gateway) follow(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		next := g.turn(ctx, &wg)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-g.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// turn does what is due, and says when to come back.
func (g *Gateway) turn(ctx context.Context, wg *sync.WaitGroup) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	next := now.Add(time.Hour)
	for _, m := range g.members {
		switch {
		case m.probing:
		case m.due.After(now):
			next = earlier(next, m.due)
		default:
			m.probing, m.asked = true, now
			known := m.is
			wg.Go(func() { g.probe(ctx, m, known) })
		}
	}
	if g.dirty {
		if allHeard(g.fresh) || !now.Before(g.gatherUntil) {
			g.publish()
		} else {
			next = earlier(next, g.gatherUntil)
		}
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// retire ends what is kept open for services that the next schema has not. What
// is under way goes on.
func (s *Schema) retire(next *Schema) {
	for of := range s.services {
		if next.services[of] == nil && of.lines != nil {
			of.lines.Close()
		}
	}
}

// publish makes the schema of what is known. It is called with mu held.
func (g *Gateway) publish() {
	var parts []part
	for _, m := range g.members {
		if m.is != nil {
			parts = append(parts, part{m.service, m.is, m.was})
		}
	}
	s := merge(parts, g.schemaConfig())
	for _, m := range g.members {
		m.was = nil
		if source := s.services[m.service]; source != nil {
			m.was = source.names
		}
	}
	if before := g.schema.Swap(s); before != nil {
		before.retire(s)
	}
	g.dirty, g.unsaved, g.fresh = false, true, nil
	g.announce()
}
