package peering

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
)

// parting is how two sites are apart.
type parting int

const (
	together  parting = iota
	refused           // who dials is told so at once
	swallowed         // who dials hears nothing
)

// callee is a *Session, or a peer that a test plays by hand.
type callee interface {
	Update(context.Context, any) (Answer, error)
	Compare(context.Context, Digest) (Comparison, error)
	KeepAlive() error
	Close(context.Context, string) error
	Lost(error)
}

// link is a connection: two ends, at each of which arrives in order what the
// other one sends.
type link struct {
	w    *world
	ends [2]*end // that of who dialled first

	mu     sync.Mutex
	silent bool // what is sent is lost, and nobody is told
}

type end struct {
	*link
	site   string // where it is
	far    *end
	ctx    context.Context
	cancel context.CancelCauseFunc
	inbox  *queue[parcel]
	calls  *queue[parcel] // that arrived

	mu      sync.Mutex
	callee  callee
	sent    time.Time // when what was sent last arrives
	waiting map[int]chan reply
	next    int
	mute    string // a method that is carried out here and never answered
}

// parcel is a call, an answer or the end of the link.
type parcel struct {
	arrives time.Time
	method  string // of a call
	id      int    // of a call and its answer
	arg     any
	reply   *reply
	over    error
}

type reply struct {
	data []byte
	err  error
}

func (w *world) link(from, to string) *link {
	l := &link{w: w}
	for i, site := range []string{from, to} {
		e := &end{link: l, site: site, inbox: newQueue[parcel](), calls: newQueue[parcel](), waiting: map[int]chan reply{}}
		e.ctx, e.cancel = context.WithCancelCause(w.ctx)
		l.ends[i] = e
	}
	l.ends[0].far, l.ends[1].far = l.ends[1], l.ends[0]
	for _, e := range l.ends {
		w.wg.Go(e.read)
		w.wg.Go(e.serve)
	}
	w.mu.Lock()
	w.links = append(w.links, l)
	w.mu.Unlock()
	return l
}

func (e *end) send(p parcel) {
	if e.ctx.Err() != nil {
		return
	}
	e.w.mu.Lock()
	p.arrives = time.Now()
	if e.w.latency != nil {
		p.arrives = p.arrives.Add(e.w.latency(e.w.rand))
	}
	e.w.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.arrives.Before(e.sent) {
		p.arrives = e.sent
	}
	e.sent = p.arrives
	e.far.inbox.put(p)
}

// read takes what arrives. Calls wait for one another, answers do not.
func (e *end) read() {
	for {
		p, ok := e.inbox.take(e.ctx)
		if !ok || !sleep(e.ctx, time.Until(p.arrives)) {
			return
		}
		e.link.mu.Lock()
		silent := e.silent
		e.link.mu.Unlock()
		switch {
		case silent:
		case p.over != nil:
			e.lost(p.over)
		case p.reply != nil:
			e.mu.Lock()
			if waits := e.waiting[p.id]; waits != nil {
				waits <- *p.reply
				delete(e.waiting, p.id)
			}
			e.mu.Unlock()
		default:
			e.calls.put(p)
		}
	}
}

// serve carries out calls one after the other; while one waits for its commit
// the next may begin.
func (e *end) serve() {
	for {
		p, ok := e.calls.take(e.ctx)
		if !ok {
			return
		}
		next := make(chan struct{})
		release := sync.OnceFunc(func() { close(next) })
		e.w.wg.Go(func() {
			defer release()
			e.answer(p, e.carryOut(context.WithValue(e.ctx, concurrently{}, release), p))
		})
		<-next
	}
}

type concurrently struct{}

// concurrent lets the calls behind that of ctx begin.
func concurrent(ctx context.Context) {
	if release, ok := ctx.Value(concurrently{}).(func()); ok {
		release()
	}
}

func (e *end) answer(p parcel, r reply) {
	e.mu.Lock()
	mute := e.mute == p.method
	e.mu.Unlock()
	if !mute {
		e.w.hears(e.site, 0, saysAnswer(p.method, r))
		e.send(parcel{id: p.id, reply: &r})
	}
}

// mutes keeps back the answers to a method from now on.
func (e *end) mutes(method string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mute = method
}

func (e *end) carryOut(ctx context.Context, p parcel) (r reply) {
	v, err := e.invoke(ctx, p)
	if err != nil {
		return reply{err: err}
	}
	r.data, r.err = json.Marshal(v)
	return r
}

func (e *end) invoke(ctx context.Context, p parcel) (any, error) {
	if hello, opens := p.arg.(opening); opens {
		return e.open(hello)
	}
	e.mu.Lock()
	to := e.callee
	e.mu.Unlock()
	if to == nil {
		return nil, errors.New("there is no session")
	}
	switch p.method {
	case "update":
		return to.Update(ctx, e.w.measured(p.arg))
	case "compare":
		return to.Compare(ctx, p.arg.(Digest))
	case "keepAlive":
		return struct{}{}, to.KeepAlive()
	default:
		return struct{}{}, to.Close(ctx, p.arg.(string))
	}
}

// wire is a value as it comes out of the transport.
func wire(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return *as[any](data)
}

// measured is wire that keeps the size of the largest message.
func (w *world) measured(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.largest = max(w.largest, len(data))
	return *as[any](data)
}

// lost is how an end hears that the link is over.
func (e *end) lost(cause error) {
	e.cancel(cause)
	e.mu.Lock()
	to := e.callee
	e.mu.Unlock()
	if to != nil {
		to.Lost(cause)
	}
}

// ask sends a call.
func ask[T any](e *end, method string, arg any) Await[T] {
	e.mu.Lock()
	e.next++
	id, answered := e.next, make(chan reply, 1)
	e.waiting[id] = answered
	e.mu.Unlock()
	e.w.hears(e.site, 1, saysCall(method, arg))
	e.send(parcel{method: method, id: id, arg: arg})
	return func(ctx context.Context) (v T, err error) {
		select {
		case r := <-answered:
			if err = r.err; err == nil {
				err = json.Unmarshal(r.data, &v)
			}
			return v, err
		case <-ctx.Done():
			return v, context.Cause(ctx)
		case <-e.ctx.Done():
			return v, context.Cause(e.ctx)
		}
	}
}

// Remote, as the session at this end sees the other one.

func (e *end) Update(updates []Update) Await[Answer] {
	return ask[Answer](e, "update", slices.Clone(updates))
}
func (e *end) KeepAlive() Await[struct{}]          { return ask[struct{}](e, "keepAlive", nil) }
func (e *end) Compare(d Digest) Await[Comparison]  { return ask[Comparison](e, "compare", d) }
func (e *end) Close(reason string) Await[struct{}] { return ask[struct{}](e, "close", reason) }

func (e *end) End(reason error) {
	e.send(parcel{over: errors.New(reason.Error())})
	e.lost(reason)
}

func (l *link) over() bool { return l.ends[0].ctx.Err() != nil || l.ends[1].ctx.Err() != nil }

func (l *link) snap() {
	for _, e := range l.ends {
		e.lost(errors.New("connection reset"))
	}
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = true
}

// between returns the links of two sites that are not over.
func (w *world) between(a, b string) (links []*link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		if pair(l.ends[0].site, l.ends[1].site) == pair(a, b) && !l.over() {
			links = append(links, l)
		}
	}
	return links
}

func pair(a, b string) string { return min(a, b) + " " + max(a, b) }

// snaps breaks every link of two sites, and both sides notice.
func (w *world) snaps(a, b string) {
	for _, l := range w.between(a, b) {
		l.snap()
	}
}

// cuts makes every link of two sites fall silent.
func (w *world) cuts(a, b string) {
	for _, l := range w.between(a, b) {
		l.cut()
	}
}

// parts keeps two sites from reaching one another, until together.
func (w *world) parts(a, b string, how parting) {
	w.mu.Lock()
	w.parted[pair(a, b)] = how
	w.mu.Unlock()
	if how == refused {
		w.snaps(a, b)
	} else if how == swallowed {
		w.cuts(a, b)
	}
}

// bars keeps two sites from connecting, and leaves what links them.
func (w *world) bars(a, b string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parted[pair(a, b)] = refused
}

// queue has no bound: a sender never waits.
type queue[T any] struct {
	mu    sync.Mutex
	items []T
	some  chan struct{}
}

func newQueue[T any]() *queue[T] { return &queue[T]{some: make(chan struct{}, 1)} }

func (q *queue[T]) put(v T) {
	q.mu.Lock()
	q.items = append(q.items, v)
	q.mu.Unlock()
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// take returns false when ctx has ended.
func (q *queue[T]) take(ctx context.Context) (v T, ok bool) {
	for ctx.Err() == nil {
		q.mu.Lock()
		if len(q.items) > 0 {
			v, q.items = q.items[0], q.items[1:]
			q.mu.Unlock()
			return v, true
		}
		q.mu.Unlock()
		select {
		case <-q.some:
		case <-ctx.Done():
		}
	}
	return v, false
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
