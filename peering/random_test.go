package peering

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// Whatever happens to links and leaders: nothing that stays registered is ever
// missing anywhere, and at rest every site holds just what the others
// originate, without the help of a check.
func TestWhateverHappensTheSitesAgreeInTheEnd(t *testing.T) {
	seeds := uint64(14)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		inWorld(t, seed, func(w *world) {
			r := rand.New(rand.NewPCG(seed, 11))
			f := newFabric(w, r)
			for range 40 {
				f.happens()
				w.later(time.Duration(r.Int64N(int64(4 * time.Second))))
				f.keepsAnchors()
			}
			f.calms()
			w.later(2 * time.Minute)
			f.agrees()
			if w.Failed() {
				w.Fatalf("seed %d, %s; it came to:\n%s", seed, f.shape, f.story)
			}
		})
	}
}

// fabric is some sites that are peered, and what happens to them.
type fabric struct {
	*world
	r       *rand.Rand
	shape   string
	sites   []*site
	pairs   [][2]*site
	anchors map[string]bool // what was seen of what stays: site and service
	loses   bool            // as a peer was removed, what stays may be missing

	operated bool // peers are removed, and added again
	ends     []disruption
	story    string
}

// disruption is what will be over.
type disruption struct {
	at   time.Duration
	over func()
}

// newFabric is a mesh of sites that tell their own routes, or any connected
// graph of reflectors.
func newFabric(w *world, r *rand.Rand) *fabric {
	f := &fabric{world: w, r: r, anchors: map[string]bool{}, operated: r.IntN(2) == 0}
	w.latency = jitter(time.Duration(1+r.Int64N(100)) * time.Millisecond)
	w.takes = time.Duration(r.IntN(20)) * time.Millisecond
	var adapt []func(*Config)
	line := r.IntN(2) == 0
	f.shape = "a mesh"
	if line {
		f.shape, adapt = "reflectors in a line", append(adapt, reflects)
		if r.IntN(2) == 0 {
			f.shape = "reflectors in a ring"
		}
	}
	names := []string{"a", "b", "c", "d"}[:2+r.IntN(3)]
	for _, name := range names {
		s := w.site(name, adapt...)
		s.adds("anchor-" + name)
		for i, other := range f.sites {
			if last := i == len(f.sites)-1; !line || last || i == 0 && len(names)-1 == len(f.sites) && f.shape == "reflectors in a ring" {
				f.joins(s, other)
			}
		}
		f.sites = append(f.sites, s)
	}
	w.later(40 * time.Second)
	return f
}

// joins lets either dial, or both.
func (f *fabric) joins(a, b *site) {
	f.pairs = append(f.pairs, [2]*site{a, b})
	how := f.r.IntN(3)
	if how != 0 {
		f.configures(a, b)
	}
	if how != 1 {
		f.configures(b, a)
	}
}

// configures gives the peer the name of its site, or another one.
func (f *fabric) configures(at, peer *site) {
	id := peer.name
	if f.r.IntN(3) == 0 {
		id = "to-" + id
	}
	at.configures(fsm.PeerConfig{ID: id, Endpoints: []string{door(peer.name)}})
}

func (f *fabric) notes(format string, args ...any) {
	f.story += fmt.Sprintf("%8.3f %s\n", f.since().Seconds(), fmt.Sprintf(format, args...))
}

// happens is one random thing.
func (f *fabric) happens() {
	now := f.since()
	for i := 0; i < len(f.ends); {
		if f.ends[i].at > now {
			i++
			continue
		}
		f.ends[i].over()
		f.ends = append(f.ends[:i], f.ends[i+1:]...)
	}
	s := f.sites[f.r.IntN(len(f.sites))]
	p := f.pairs[f.r.IntN(len(f.pairs))]
	a, b := p[0].name, p[1].name
	lasts := time.Duration(f.r.Int64N(int64(12 * time.Second)))
	switch n := f.r.IntN(21); {
	case n < 11:
		f.registers(s)
	case n < 13:
		f.notes("%s and %s lose their link", a, b)
		f.snaps(a, b)
	case n < 14:
		f.notes("the link of %s and %s falls silent", a, b)
		f.cuts(a, b)
	case n < 16:
		how := refused + parting(f.r.IntN(2))
		f.notes("%s and %s are apart (%d) for %v", a, b, how, lasts)
		f.parts(a, b, how)
		f.until(lasts, func() { f.parts(a, b, together) })
	case n < 18:
		f.notes("%s has another leader", s.name)
		s.lead()
	case n < 19:
		f.notes("%s has no leader for %v", s.name, lasts)
		s.stop()
		f.until(lasts, func() { s.lead() })
	case n < 20:
		c, ok := p[0].Table().Configured(b)
		if !ok || !f.operated {
			return
		}
		f.notes("%s removes %s, and adds it again", a, b)
		f.later(time.Millisecond) // whoever follows the table sees each step
		p[0].does(fsm.DeletePeer{ID: c.ID})
		w := time.Duration(f.r.IntN(3)) * time.Second
		f.until(w, func() {
			f.later(time.Millisecond)
			f.configures(p[0], p[1])
		})
		f.loses = true
	default:
		f.notes("%s cannot commit for %v", s.name, lasts)
		s.set(func(s *site) { s.fails = errors.New("no quorum") })
		f.until(lasts, func() { s.set(func(s *site) { s.fails = nil }) })
	}
}

func (f *fabric) until(d time.Duration, over func()) {
	f.ends = append(f.ends, disruption{f.since() + d, over})
}

func (f *fabric) registers(s *site) {
	var ops []fsm.Op
	for range 1 + f.r.IntN(5) {
		name := fmt.Sprint("s", f.r.IntN(8))
		if f.r.IntN(3) == 0 {
			ops = append(ops, fsm.Delete{ID: name + ":http"})
			continue
		}
		v := service(name, s.name)
		v.Region = fmt.Sprint(f.r.IntN(3))
		ops = append(ops, fsm.Put{Mode: fsm.Upsert, Service: v})
	}
	f.notes("%s: %d changes", s.name, len(ops))
	for _, op := range ops {
		s.apply(op)
	}
}

// keepsAnchors wants that what stays registered stays where it was seen.
func (f *fabric) keepsAnchors() {
	if f.loses {
		return
	}
	for _, s := range f.sites {
		for _, origin := range f.sites {
			name := "anchor-" + origin.name
			key := s.name + " " + name
			if s.Table().BestFrom(name+":http", origin.name) != nil {
				f.anchors[key] = true
			} else if f.anchors[key] {
				f.Errorf("%v: %s lost %s", f.since(), s.name, name)
				f.anchors[key] = false
			}
		}
	}
}

// calms ends all disruptions.
func (f *fabric) calms() {
	for _, d := range f.ends {
		d.over()
	}
	f.ends = nil
	f.notes("calm")
}

// peerOf is what a site knows of another, whatever it calls it.
func (s *site) peerOf(site string) Peer {
	if c, ok := s.Table().Configured(site); ok {
		return s.peer(c.ID)
	}
	return s.peer(site)
}

func (f *fabric) agrees() {
	for _, p := range f.pairs {
		for i, s := range p {
			if peer := s.peerOf(p[1-i].name); peer.State != Established || peer.Healed != 0 || peer.Malformed+peer.Refused != 0 {
				f.Errorf("%s sees %+v", s.name, peer)
			}
			if held, now := s.Table().Held(p[1-i].name), p[1-i].Table().Version(); !held.Complete || held.Version > now {
				f.Errorf("%s holds %+v of %s, which is at %d", s.name, held, p[1-i].name, now)
			}
		}
		if n := len(f.between(p[0].name, p[1].name)); n != 1 {
			f.Errorf("%d links between %s and %s", n, p[0].name, p[1].name)
		}
	}
	for _, at := range f.sites {
		for _, from := range f.sites {
			if from != at {
				f.equal(from, at)
			}
		}
	}
}
