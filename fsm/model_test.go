package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"
)

// model is the table again, as plain maps that are changed in place and with
// no bounds: what the persistent one must be indistinguishable from.
type model struct {
	site    string
	version uint64
	routes  map[[3]string]Route // by id, site, peer
	configs map[string]PeerConfig
	held    map[string]Held
	back    map[string]bool
	told    []Change
	done    map[string]modelRequest
	guard
}

type modelRequest struct {
	at int64
	Outcome
}

func newModel() *model {
	return &model{routes: map[[3]string]Route{}, configs: map[string]PeerConfig{}, held: map[string]Held{}, back: map[string]bool{}, done: map[string]modelRequest{}, guard: newGuard()}
}

func (m *model) apply(c Command) Outcome {
	const window = int64(OutcomeWindow / time.Millisecond)
	if before, ok := m.done[c.RequestID]; ok && c.RequestID != "" && c.At-before.at < window && before.at-c.At < window {
		return before.Outcome
	}
	was := m.version
	entry := m.describe(c.Op)
	o := m.op(c, c.Op)
	if o.Code == "" {
		o.Changed = m.version != was
	}
	if o.Changed && entry.Action != "" && m.level >= 2 {
		entry.Index, entry.At, entry.By = m.version, c.At, c.By
		m.audit = append(m.audit, entry)
	}
	o.Index = m.version
	if c.RequestID != "" {
		m.done[c.RequestID] = modelRequest{c.At, o}
	}
	return o
}

func (m *model) op(c Command, op Op) Outcome {
	if f, ok := op.(Found); ok {
		if m.site != "" {
			return Outcome{Code: Conflict}
		}
		m.site, m.epoch, m.id, m.level = f.Site, f.Epoch, f.ID, max(f.Level, 1)
		m.version++
		return Outcome{}
	}
	now := c.At
	switch op := op.(type) {
	case Put:
		return m.put(now, op)
	case Delete:
		key := [3]string{NormalID(op.ID), m.site, ""}
		if _, ok := m.routes[key]; !ok {
			return Outcome{Code: NotFound}
		}
		m.remove(key)
	case OpenPeer:
		return m.openPeer(op)
	case BindPeer:
		return m.bindPeer(op)
	case Learn:
		return m.learn(now, op)
	case MarkStale:
		if h, ok := m.held[op.Peer]; ok {
			m.markAll(now, op.Peer, true)
			h.Complete = false
			if h.StaleSince == 0 && len(m.of(op.Peer)) > 0 {
				h.StaleSince = now
			}
			m.held[op.Peer] = h
		}
	case Withdraw:
		if h, ok := m.held[op.Peer]; ok && op.Stale {
			m.sweep(op.Peer)
			h.StaleSince = 0
			m.hold(op.Peer, h)
		} else if !op.Stale {
			m.withdraw(op.Peer)
		}
	case PutPeer:
		return m.putPeer(op)
	case DeletePeer:
		c, ok := m.configs[op.ID]
		if !ok {
			c, ok = m.configured(op.ID)
		}
		if !ok {
			return Outcome{Code: NotFound}
		}
		delete(m.configs, c.ID)
		if _, other := m.configured(c.SpeaksFor()); !other {
			m.withdraw(c.SpeaksFor())
		}
		m.version++
	case HoldBack:
		if m.back[op.ID] != op.Held {
			m.back[op.ID] = op.Held
			m.version++
		}
	default:
		return Outcome{Code: m.guarded(c)}
	}
	return Outcome{}
}

func (m *model) put(now int64, p Put) Outcome {
	v, err := p.Service.Validate()
	if err != nil {
		return Outcome{Code: Invalid}
	}
	old, exists := m.routes[[3]string{v.ID(), m.site, ""}]
	switch {
	case exists && old.Service.Equal(v):
	case exists && p.Mode == Create:
		return Outcome{Code: Conflict}
	case !exists && p.Mode == Update:
		return Outcome{Code: NotFound}
	default:
		m.set(now, Route{Service: v, Site: m.site, Path: []string{m.site}})
	}
	return Outcome{}
}

func (m *model) set(now int64, r Route) {
	key := [3]string{r.Service.ID(), r.Site, r.Peer}
	m.version++
	r.CreatedAt, r.CreatedIndex = now, m.version
	if old, ok := m.routes[key]; ok {
		r.CreatedAt, r.CreatedIndex = old.CreatedAt, old.CreatedIndex
	}
	r.ModifiedAt, r.ModifiedIndex = now, m.version
	m.routes[key] = r
	m.told = append(m.told, Change{Index: m.version, Route: &r})
}

func (m *model) remove(key [3]string) {
	if r, ok := m.routes[key]; ok {
		delete(m.routes, key)
		m.version++
		m.told = append(m.told, Change{Index: m.version, Route: &r, Deleted: true})
	}
}

// of are the keys of a peer's routes in the order the table goes through them.
func (m *model) of(peer string) [][3]string {
	var keys [][3]string
	for key := range m.routes {
		if key[2] == peer {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b [3]string) int {
		return cmp.Or(cmp.Compare(a[1], b[1]), cmp.Compare(a[0], b[0]))
	})
	return keys
}

func (m *model) markAll(now int64, peer string, stale bool) {
	for _, key := range m.of(peer) {
		if r := m.routes[key]; r.Stale != stale {
			r.Stale = stale
			m.set(now, r)
		}
	}
}

func (m *model) sweep(peer string) {
	for _, key := range m.of(peer) {
		if m.routes[key].Stale {
			m.remove(key)
		}
	}
}

func (m *model) withdraw(peer string) {
	for _, key := range m.of(peer) {
		m.remove(key)
	}
	h := m.held[peer]
	delete(m.held, peer)
	if _, ok := m.configured(peer); ok {
		m.held[peer] = Held{Epoch: h.Epoch, Term: h.Term}
	}
}

func (m *model) configured(site string) (PeerConfig, bool) {
	for _, c := range m.configs {
		if c.Site == site {
			return c, true
		}
	}
	if c, ok := m.configs[site]; ok && c.Site == "" {
		return c, true
	}
	return PeerConfig{}, false
}

// hear is the fence.
func (m *model) hear(site, epoch string, term uint64) (Held, Code) {
	h := m.held[site]
	switch {
	case site == m.site:
		return h, Invalid
	case epoch == "":
		return h, ""
	case epoch < h.Epoch || epoch == h.Epoch && term < h.Term:
		return h, Conflict
	case epoch != h.Epoch:
		h.Version, h.Complete = 0, false
	}
	h.Epoch, h.Term = epoch, term
	return h, ""
}

func (m *model) openPeer(o OpenPeer) Outcome {
	h, code := m.hear(o.Peer, o.Epoch, o.Term)
	if code != "" {
		return Outcome{Code: code}
	}
	h.Complete, h.Collector = false, o.Collector
	m.hold(o.Peer, h)
	return Outcome{}
}

func (m *model) bindPeer(b BindPeer) Outcome {
	c, ok := m.configs[b.ID]
	other, taken := m.configured(b.Peer)
	switch {
	case !ok:
		return Outcome{Code: NotFound}
	case c.Site == b.Peer:
	case b.Peer == m.site:
		return Outcome{Code: Invalid}
	case c.Site != "", taken && other.ID != b.ID:
		return Outcome{Code: Conflict}
	}
	c.Site = b.Peer
	m.configs[b.ID] = c
	return Outcome{}
}

func (m *model) hold(peer string, h Held) {
	delete(m.held, peer)
	if _, ok := m.configs[peer]; ok || h != (Held{}) || len(m.of(peer)) > 0 {
		m.held[peer] = h
	}
}

func (m *model) putPeer(p PutPeer) Outcome {
	old, exists := m.configs[p.Peer.ID]
	switch {
	case p.Peer.Validate() != nil || p.Peer.ID == m.site:
		return Outcome{Code: Invalid}
	case exists && old.equal(p.Peer):
		return Outcome{}
	case exists && p.Mode == Create:
		return Outcome{Code: Conflict}
	case !exists && p.Mode == Update:
		return Outcome{Code: NotFound}
	}
	own := p.Peer
	if exists && slices.Equal(old.Endpoints, own.Endpoints) {
		own.Site = old.Site
	}
	m.configs[p.Peer.ID] = own
	if _, known := m.held[p.Peer.ID]; !known {
		m.held[p.Peer.ID] = Held{}
	}
	m.version++
	return Outcome{}
}

func (m *model) learn(now int64, l Learn) (o Outcome) {
	h, code := m.hear(l.Peer, l.Epoch, l.Term)
	if code != "" {
		return Outcome{Code: code}
	}
	for _, k := range l.Remove {
		m.remove([3]string{NormalID(k.ID), k.Site, l.Peer})
	}
	for _, a := range l.Add {
		m.add(now, l.Peer, a, &o)
	}
	if l.EndOfRIB {
		h.Complete, h.StaleSince = true, 0
		if !l.Resumed {
			m.sweep(l.Peer)
		}
		m.markAll(now, l.Peer, false)
	}
	if h.Complete {
		h.Version = max(h.Version, l.Version)
	}
	m.hold(l.Peer, h)
	return o
}

func (m *model) add(now int64, peer string, a LearnedRoute, o *Outcome) {
	v, err := a.Service.Validate()
	id := NormalID(cmp.Or(a.ID, v.ID()))
	key := [3]string{id, a.Site, peer}
	switch {
	case err != nil || id != v.ID() || len(a.Path) == 0 || a.Path[len(a.Path)-1] != a.Site:
		o.Malformed++
		m.remove(key)
	case slices.Contains(a.Path, m.site):
		m.remove(key)
	default:
		r := Route{Service: v, Site: a.Site, Peer: peer, Path: a.Path, PeerVersion: a.Version}
		old, exists := m.routes[key]
		config, _ := m.configured(peer)
		if limit := config.MaxRoutes; !exists && limit > 0 && len(m.of(peer)) >= limit {
			o.Refused++
		} else if !exists || !old.sameAs(&r) {
			m.set(now, r)
		}
	}
}

func TestTheTableIsWhatAMapWouldBe(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c, m, table := randomChoices(seed, 12_000), newModel(), new(Table)
			founding := []Command{{Op: c.founding()}}
			for batch := founding; c.more(); batch = c.batch() {
				var outcomes []Outcome
				table, outcomes = table.Apply(batch)
				for i, command := range batch {
					want, got := m.apply(command), outcomes[i]
					got.ID, got.Message = "", ""
					if got != want {
						t.Fatalf("%#v:\ngot  %+v\nwant %+v", command, got, want)
					}
				}
				m.compare(t, table)
			}
			m.compareChanges(t, table)
			m.compareAudit(t, table)
		})
	}
}

// compare holds all that a table shows against the model.
func (m *model) compare(t *testing.T, table *Table) {
	t.Helper()
	if table.Version() != m.version {
		t.Fatalf("version %d, want %d", table.Version(), m.version)
	}
	byID, local := map[string][]Route{}, 0
	for key, r := range m.routes {
		byID[key[0]] = append(byID[key[0]], r)
		if key[2] == "" {
			local++
		}
	}
	var want []Route
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		slices.SortFunc(byID[id], func(a, b Route) int { return better(&a, &b) })
		want = append(want, byID[id]...)
		if best := table.Best(id); !alike(best, &byID[id][0]) {
			t.Fatalf("best of %s is %+v, want %+v", id, best, byID[id][0])
		}
	}
	equalRoutes(t, slices.Collect(table.All()), want)
	if table.NumLocal() != local || table.NumLocal()+table.NumLearned() != len(want) {
		t.Fatalf("counts %d and %d, want %d and %d", table.NumLocal(), table.NumLearned(), local, len(want)-local)
	}
	for _, peer := range []string{"london", "rome", "oslo"} {
		m.comparePeer(t, table, peer)
	}
	m.compareGuard(t, table)
}

func (m *model) comparePeer(t *testing.T, table *Table, peer string) {
	t.Helper()
	var want []Route
	held := m.held[peer]
	for _, key := range m.of(peer) {
		want = append(want, m.routes[key])
		held.Routes++
		if m.routes[key].Stale {
			held.Stale++
		}
	}
	equalRoutes(t, slices.Collect(table.Learned(peer)), want)
	if got := table.Held(peer); got != held {
		t.Fatalf("held from %s: %+v, want %+v", peer, got, held)
	}
	config, ok := table.Peer(peer)
	if wanted, is := m.configs[peer]; ok != is || ok && (!config.equal(wanted) || config.Site != wanted.Site) {
		t.Fatalf("peer %s: %+v, %t, want %+v, %t", peer, config, ok, wanted, is)
	}
}

func (m *model) compareChanges(t *testing.T, table *Table) {
	t.Helper()
	since := m.version / 3
	changes, ok := table.Changes(since)
	if !ok {
		t.Fatalf("changes since %d are not known", since)
	}
	got := slices.Collect(changes)
	want := slices.DeleteFunc(slices.Clone(m.told), func(c Change) bool { return c.Index <= since })
	if len(got) != len(want) {
		t.Fatalf("%d changes, want %d", len(got), len(want))
	}
	for i, c := range got {
		if c.Index != want[i].Index || c.Deleted != want[i].Deleted || !alike(c.Route, want[i].Route) {
			t.Fatalf("change %d: got %+v, want %+v", i, c, want[i])
		}
	}
}

func equalRoutes(t *testing.T, got []*Route, want []Route) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d routes, want %d", len(got), len(want))
	}
	for i, r := range got {
		if !alike(r, &want[i]) {
			t.Fatalf("route %d:\ngot  %+v\nwant %+v", i, *r, want[i])
		}
	}
}

func alike(a, b *Route) bool {
	return a != nil && a.ID() == b.ID() && a.sameAs(b) && a.Site == b.Site && a.Peer == b.Peer &&
		a.CreatedAt == b.CreatedAt && a.ModifiedAt == b.ModifiedAt && a.PeerVersion == b.PeerVersion &&
		a.CreatedIndex == b.CreatedIndex && a.ModifiedIndex == b.ModifiedIndex
}

// sameAs tells whether two routes look alike to everyone outside; the times,
// indices and the peer's version aside.
func (r *Route) sameAs(o *Route) bool {
	return r.Stale == o.Stale && r.Service.Equal(o.Service) && slices.Equal(r.Path, o.Path)
}
