package redial

import (
	"cmp"
	"errors"
	"slices"

	"github.com/catalyst/orchestrator/transport"
)

// Handle stands for an object of the peer, in whatever session there is.
// Whoever opened it releases it.
type Handle struct {
	*object
	idempotent bool
}

// object is how something of the peer's is obtained, and what that gave in the
// present session.
type object struct {
	client *Client
	id     int64
	from   []*object // that it is obtained by; none for the main object
	open   func(*link) *transport.Promise
	notify func(error) // may be nil
	unhold func()      // of the targets among the arguments

	// guarded by Client.mu
	released bool // by its owner
	refs     int  // of its owner and of what is obtained by it; at 0 it is forgotten
	link     *link
	promise  *transport.Promise // in link
	value    any                // that promise was resolved to
}

// Open returns a Handle for what this call returns, which each session obtains
// by making the call again. It never waits. Targets among the arguments are
// passed to each session, and are not released between them. Handles of the
// same Client may be arguments. When the peer refuses, calls on the Handle get
// its error, until the next session.
func (h *Handle) Open(method string, args ...any) *Handle {
	from := append([]*object{h.object}, h.client.objectsIn(args)...)
	return h.opened(&object{
		from:   from,
		open:   func(l *link) *transport.Promise { return h.in(l).Call(method, l.arguments(args)...) },
		unhold: transport.Hold(args...),
	})
}

// Get returns a Handle for a property of the object, or one of that and so on.
func (h *Handle) Get(path ...any) *Handle {
	return h.opened(&object{
		from: []*object{h.object},
		open: func(l *link) *transport.Promise { return h.in(l).Get(path...) },
	})
}

// Subscribe is Open for what must know of gaps, or says something else to each
// session. open makes the call, or calls, on the object and returns a promise
// of its own for what they give; it must not block.
//
// notify gets nil when the peer has answered, the peer's error when it
// refused, and, when a session ended, an error that matches
// transport.ErrBroken: what happens from then to the next nil may be missed.
// By then, methods that the peer called in the ended session have returned,
// and the next session has not begun. notify runs one at a time and must not
// block; one may be under way while the Handle is released.
func (h *Handle) Subscribe(notify func(error), open func(*transport.Promise) *transport.Promise) *Handle {
	return h.opened(&object{
		from:   []*object{h.object},
		open:   func(l *link) *transport.Promise { return open(h.in(l)) },
		notify: notify,
	})
}

// Idempotent returns the same Handle for calls that may happen more than once:
// those whose outcome is unknown are repeated in the next session.
func (h *Handle) Idempotent() *Handle { return &Handle{object: h.object, idempotent: true} }

// Release gives the object up, for all copies of the Handle: what was opened
// on it stays. It is idempotent, and nothing for the main object.
func (h *Handle) Release() {
	c := h.client
	c.mu.Lock()
	again := h.released || h.object == c.main
	if !again {
		h.released = true
	}
	c.mu.Unlock()
	if !again {
		h.drop()
	}
}

var errNested = errors.New("a Handle can be an argument, not part of one")

// MarshalText fails: a Handle inside another value does not reach the peer.
func (h *Handle) MarshalText() ([]byte, error) { return nil, errNested }

// opened adds o to what each session opens, beginning with the present one.
func (h *Handle) opened(o *object) *Handle {
	c := h.client
	o.client, o.refs = c, 1
	c.mu.Lock()
	for _, f := range o.from {
		o.released = o.released || f.released
	}
	if o.released {
		c.mu.Unlock()
		if o.unhold != nil {
			o.unhold()
		}
		return &Handle{object: o, idempotent: h.idempotent}
	}
	for _, f := range o.from {
		f.refs++
	}
	c.nextID++
	o.id = c.nextID
	c.objects[o.id] = o
	l := c.link
	c.mu.Unlock()
	if l != nil {
		o.openIn(l)
	}
	return &Handle{object: o, idempotent: h.idempotent}
}

// openIn obtains o in a session, once all that it is obtained by is there.
func (o *object) openIn(l *link) {
	if o.forgotten() {
		return
	}
	p := o.open(l).Pull()
	c := o.client
	c.mu.Lock()
	stale := l.ended || o.refs == 0
	if !stale {
		o.link, o.promise = l, p
		l.waits.Go(func() { o.await(l, p) })
	}
	c.mu.Unlock()
	if stale {
		p.Release()
	}
}

func (o *object) forgotten() bool {
	o.client.mu.Lock()
	defer o.client.mu.Unlock()
	return o.refs == 0
}

// await learns what the peer says to an opening.
func (o *object) await(l *link, p *transport.Promise) {
	value, err := p.Await(l.ctx)
	c := o.client
	c.mu.Lock()
	current := o.promise == p
	if current {
		o.value = value
	}
	c.mu.Unlock()
	switch {
	case !current:
		transport.ReleaseAll(value)
	case err != nil && l.session.Err() != nil: // lose tells
	case o.notify != nil:
		o.notify(err)
	}
}

// drop gives up a reference; with the last, o is forgotten here and released
// at the peer.
func (o *object) drop() {
	c := o.client
	c.mu.Lock()
	o.refs--
	last := o.refs == 0
	if last {
		delete(c.objects, o.id)
	}
	c.mu.Unlock()
	if !last {
		return
	}
	o.leave()
	if o.unhold != nil {
		o.unhold()
	}
	for _, f := range o.from {
		f.drop()
	}
}

// leave releases what o was in a session.
func (o *object) leave() {
	c := o.client
	c.mu.Lock()
	p, value := o.promise, o.value
	o.link, o.promise, o.value = nil, nil, nil
	c.mu.Unlock()
	if p != nil {
		p.Release()
		transport.ReleaseAll(value)
	}
}

// in is what o is in l: a released promise when o was released or l ended.
func (o *object) in(l *link) *transport.Promise {
	c := o.client
	c.mu.Lock()
	defer c.mu.Unlock()
	p := l.session.Main().Get()
	switch {
	case o == c.main:
	case o.link == l:
		return o.promise
	default:
		p.Release()
	}
	return p
}

// replay opens in l, in their order, all objects that there are, also those
// that are added meanwhile. Then l can be used.
func (c *Client) replay(l *link) {
	for last := int64(0); ; {
		todo := c.youngerThan(last, l)
		if len(todo) == 0 {
			return
		}
		for _, o := range todo {
			o.openIn(l)
			last = o.id
		}
	}
}

// youngerThan returns the objects added after that with id last, in order. If
// there are none, l becomes the present link.
func (c *Client) youngerThan(last int64, l *link) []*object {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*object
	for id, o := range c.objects {
		if id > last {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		c.link = l
		c.signalLocked()
	}
	slices.SortFunc(list, byAge)
	return list
}

func byAge(a, b *object) int { return cmp.Compare(a.id, b.id) }

// lose takes leave of a session that ended.
func (c *Client) lose(l *link) {
	c.mu.Lock()
	c.link, l.ended = nil, true
	c.signalLocked()
	c.mu.Unlock()
	l.waits.Wait()
	for _, o := range c.openedIn(l) {
		o.leave()
		if o.notify != nil {
			o.notify(l.session.Err())
		}
	}
}

func (c *Client) openedIn(l *link) []*object {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []*object
	for _, o := range c.objects {
		if o.link == l {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, byAge)
	return list
}
