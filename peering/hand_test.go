package peering

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// hand is a peer that a test plays: it says what the test wants, and keeps
// what it is told.
type hand struct {
	w   *world
	end *end

	mu     sync.Mutex
	told   map[string][]string // paths by id@site
	ended  int                 // dumps
	quiet  bool                // it does not answer keepalives
	stalls bool                // nor updates
	answer Answer              // to updates
	gone   error               // why the session ended
	closed string              // what it was closed with
}

// plays lets a hand open a session at a site; as a collector without a hello.
func (w *world) plays(at string, hello *Info) (*hand, Info, error) {
	name := "collector"
	if hello != nil {
		name = hello.Site
	}
	h := &hand{w: w, told: map[string][]string{}, answer: Answer{Success: true}}
	h.end = w.link(name, at).ends[0]
	h.end.callee = h
	info, err := ask[Info](h.end, "open", opening{w.at(at).secret, hello})(w.ctx)
	return h, info, err
}

// meets is plays for what must work.
func (w *world) meets(at string, hello *Info) *hand {
	w.Helper()
	h, _, err := w.plays(at, hello)
	if err != nil {
		w.Fatalf("open: %v", err)
	}
	return h
}

// stranger is how a hand introduces itself as a site.
func stranger(site string, adapt ...func(*Info)) *Info {
	info := &Info{Site: site, AS: 64512, Node: site + "1", Domains: []string{}, Epoch: "epoch-" + site, Term: 1}
	for _, f := range adapt {
		f(info)
	}
	return info
}

func inTerm(n uint64) func(*Info) { return func(i *Info) { i.Term = n } }

func holding(epoch string, version uint64) func(*Info) {
	return func(i *Info) { i.Resume = &Position{epoch, version} }
}

// says sends items as they are, and waits for the answer.
func (h *hand) says(items ...any) (Answer, error) {
	ctx, cancel := context.WithTimeout(h.w.ctx, time.Minute)
	defer cancel()
	return ask[Answer](h.end, "update", items)(ctx)
}

// tells is says for what is in order.
func (h *hand) tells(updates ...Update) {
	h.w.Helper()
	items := make([]any, len(updates))
	for i, u := range updates {
		items[i] = wire(u)
	}
	if a, err := h.says(items...); err != nil || a != (Answer{Success: true}) {
		h.w.Errorf("update: %+v, %v", a, err)
	}
}

// announces is an add of a service that a site has, over a path of sites.
func announces(name string, version uint64, path ...string) Update {
	site := path[len(path)-1]
	return Update{Type: add, Version: version, Route: &Announcement{ID: name + ":http", Service: service(name, site), Site: site, Path: path}}
}

func withdraws(name string, version uint64, site string) Update {
	return Update{Type: remove, ID: name + ":http", Site: site, Version: version}
}

func ends(version uint64) Update { return Update{Type: endOfRIB, Version: version} }

func (h *hand) Update(ctx context.Context, updates any) (Answer, error) {
	items, err := readUpdates(updates)
	if err != nil {
		h.w.Errorf("a hand was sent: %v", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range items {
		key := i.key.ID + "@" + i.key.Site
		switch {
		case i.malformed:
			h.w.Errorf("a hand was sent a malformed item: %+v", i)
		case i.kind == add:
			h.told[key] = i.path
		case i.kind == remove:
			delete(h.told, key)
		default:
			h.ended++
		}
	}
	if h.stalls {
		h.mu.Unlock()
		concurrent(ctx)
		<-ctx.Done()
		h.mu.Lock()
	}
	return h.answer, nil
}

func (h *hand) Compare(context.Context, Digest) (Comparison, error) {
	return Comparison{}, ErrNoCompare
}

func (h *hand) KeepAlive() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.quiet {
		return errors.New("quiet")
	}
	return nil
}

func (h *hand) Close(_ context.Context, reason string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = reason
	return nil
}

func (h *hand) set(f func(*hand)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
}

func (h *hand) Lost(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = cause
}

// over is why the session ended; empty while it stands.
func (h *hand) over() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone == nil {
		return ""
	}
	return h.gone.Error()
}

// closes says goodbye. The answer may be lost, as the session ends with it.
func (h *hand) closes(reason string) {
	_, _ = ask[struct{}](h.end, "close", reason)(h.w.ctx)
	h.w.later(0)
}

// hangsUp ends the connection without a goodbye.
func (h *hand) hangsUp() { h.end.link.snap() }

// knows compares what the hand was told.
func (h *hand) knows(want ...string) {
	h.w.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	got := []string{}
	for _, key := range slices.Sorted(maps.Keys(h.told)) {
		got = append(got, fmt.Sprintf("%s %v", strings.Replace(key, ":http@", "@", 1), h.told[key]))
	}
	if !slices.Equal(got, want) {
		h.w.Errorf("%v: the peer was told\n\t%q, want\n\t%q", h.w.since(), got, want)
	}
}

// nobody is a far end that never says anything.
type nobody struct{}

func unheard[T any](ctx context.Context) (v T, err error) {
	<-ctx.Done()
	return v, context.Cause(ctx)
}

func (nobody) Update([]Update) Await[Answer]    { return unheard[Answer] }
func (nobody) KeepAlive() Await[struct{}]       { return unheard[struct{}] }
func (nobody) Compare(Digest) Await[Comparison] { return unheard[Comparison] }
func (nobody) Close(string) Await[struct{}]     { return unheard[struct{}] }
func (nobody) End(error)                        {}

// contrary is a hand that never holds what it is told.
type contrary struct {
	*hand
	asked []time.Duration
}

func (c *contrary) Compare(context.Context, Digest) (Comparison, error) {
	c.asked = append(c.asked, c.w.since())
	return Comparison{}, nil
}

// ready is a far end that takes everything at once.
type ready struct{ heard chan<- struct{} }

func now[T any](v T) Await[T] { return func(context.Context) (T, error) { return v, nil } }

func (r ready) Update([]Update) Await[Answer] {
	r.heard <- struct{}{}
	return now(Answer{Success: true})
}
func (ready) KeepAlive() Await[struct{}]       { return now(struct{}{}) }
func (ready) Compare(Digest) Await[Comparison] { return now(Comparison{Same: true}) }
func (ready) Close(string) Await[struct{}]     { return now(struct{}{}) }
func (ready) End(error)                        {}

// growing is a site without a log.
type growing struct {
	mu   sync.Mutex
	t    *fsm.Table
	wake chan struct{}
}

func (g *growing) Table() *fsm.Table {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.t
}

func (g *growing) Await(ctx context.Context, newerThan uint64) (*fsm.Table, error) {
	for {
		g.mu.Lock()
		t, wake := g.t, g.wake
		g.mu.Unlock()
		if t.Version() > newerThan {
			return t, nil
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (g *growing) Commit(_ context.Context, _ string, op fsm.Op) (fsm.Outcome, error) {
	return g.apply(op), nil
}

func (g *growing) apply(op fsm.Op) fsm.Outcome {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, outcomes := g.t.Apply([]fsm.Command{{Op: op}})
	g.t = t
	close(g.wake)
	g.wake = make(chan struct{})
	return outcomes[0]
}
