package transport

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// Method answers one call. What it returns is sent when the caller asks; an
// error rejects the call, and an *Error keeps its properties. Stubs and
// promises in the result are the session's from then on: return a Dup of what
// is kept. ctx ends with the session, not with the caller's patience.
type Method func(ctx context.Context, call *Call) (any, error)

// Target is an object or function that a peer can call. A peer reaches what
// it lists and nothing else. Each session keeps its own order of calls to a
// target; calls from different sessions run side by side.
type Target struct {
	methods  map[string]Method
	function Method
	getters  map[string]Method

	mu       sync.Mutex
	sessions int // that hold it
	released []func()
	done     bool
}

// NewTarget returns an object with these methods. The map is not copied and
// must not change.
func NewTarget(methods map[string]Method) *Target { return &Target{methods: methods} }

// NewFunc returns a function.
func NewFunc(m Method) *Target { return &Target{function: m} }

// Getter adds a property, whose value m returns when it is read. It is called
// as methods are, in their order and without arguments. It returns t, which no
// peer may have yet.
func (t *Target) Getter(name string, m Method) *Target {
	if t.getters == nil {
		t.getters = map[string]Method{}
	}
	t.getters[name] = m
	return t
}

// getter finds the property that a path begins with.
func (t *Target) getter(path []any) Method {
	if len(path) == 0 || t.getters == nil {
		return nil
	}
	name, _ := path[0].(string)
	return t.getters[name]
}

// OnRelease arranges for f to run once, when the last reference that a peer
// had is gone, or its session ended. f must not block. It returns t.
func (t *Target) OnRelease(f func()) *Target {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.released = append(t.released, f)
	return t
}

// Hold counts as a peer's reference to each Target in values, until release is
// called, once: what is passed to one session after the other is then not
// released between them.
func Hold(values ...any) (release func()) {
	var held []*Target
	references(values, func(r any) {
		if t, ok := r.(*Target); ok {
			t.add()
			held = append(held, t)
		}
	})
	return func() {
		for _, t := range held {
			t.drop()
		}
	}
}

func (t *Target) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions++
}

func (t *Target) drop() {
	t.mu.Lock()
	t.sessions--
	var released []func()
	if t.sessions == 0 && !t.done {
		t.done = true
		released = t.released
	}
	t.mu.Unlock()
	for _, f := range released {
		f()
	}
}

// method finds what a path calls.
func (t *Target) method(path []any) (Method, error) {
	switch {
	case len(path) == 0 && t.function != nil:
		return t.function, nil
	case len(path) == 0:
		return nil, typeErrorf("this target is not a function")
	}
	name, _ := path[0].(string)
	m := t.methods[name]
	if m == nil || len(path) > 1 {
		return nil, typeErrorf("no method %q on this target", pathName(path))
	}
	return m, nil
}

func pathName(path []any) string {
	name := ""
	for i, step := range path {
		if i > 0 {
			name += "."
		}
		name += fmt.Sprint(step)
		if len(name) > 100 {
			return name[:100] + "…"
		}
	}
	return name
}

// binding is a target as one session sees it: calls wait here for their turn.
type binding struct {
	session *Session
	target  *Target
	refs    int // guarded by session.mu

	mu    sync.Mutex
	queue []*Call
	busy  bool // someone takes calls from queue
}

// bind returns the session's binding of t, retained.
func (s *Session) bind(t *Target) *binding {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bindings[t]
	if b == nil {
		b = &binding{session: s, target: t}
		s.bindings[t] = b
		t.add()
	}
	b.refs++
	return b
}

func (b *binding) retain() {
	b.session.mu.Lock()
	defer b.session.mu.Unlock()
	b.refs++
}

func (b *binding) release() {
	s := b.session
	s.mu.Lock()
	b.refs--
	last := b.refs == 0
	if last {
		delete(s.bindings, b.target)
	}
	s.mu.Unlock()
	if last {
		b.target.drop()
	}
}

func (b *binding) broken(func(error)) {}

// remap applies m to the object itself; its properties are functions or
// undefined, which are not mapped.
func (b *binding) remap(path []any, m *mapping) ref {
	if g := b.target.getter(path); g != nil {
		value := b.invoke(nil, g, &payload{})
		defer value.release()
		return value.remap(path[1:], m)
	}
	defer m.release()
	if len(path) == 0 {
		return b.session.apply(kept{b.target, b}, m)
	}
	return b.session.answered(Undefined{}, nil)
}

func (b *binding) call(path []any, in *payload) ref { return b.callIn(nil, path, in) }

// callIn is call by whoever has the turn, if that is not nil, and will then
// serve b.
func (b *binding) callIn(t *turn, path []any, in *payload) ref {
	if g := b.target.getter(path); g != nil {
		value := b.invoke(nil, g, &payload{})
		if in == nil && len(path) == 1 {
			return value
		}
		defer value.release()
		return value.call(path[1:], in)
	}
	if in == nil {
		return b.read(path)
	}
	m, err := b.target.method(path)
	if err != nil {
		in.release()
		return b.session.rejected(err)
	}
	return b.invoke(t, m, in)
}

// invoke puts a call of m in line.
func (b *binding) invoke(t *turn, m Method, in *payload) ref {
	in, err := in.own(b.session)
	if err == nil {
		err = b.session.admit(b, in.size)
	}
	if err != nil {
		in.release()
		return b.session.rejected(err)
	}
	c := &Call{binding: b, method: m, in: in, result: b.session.newAnswer()}
	c.result.retain() // the call's own
	b.enqueue(t, c)
	return c.result
}

// read gives a listed method as a function of its own; there are no other
// properties.
func (b *binding) read(path []any) ref {
	if len(path) == 1 {
		if m, err := b.target.method(path); err == nil {
			f := NewFunc(m)
			return b.session.answered(f, []releaser{holder{b.session.bind(f)}})
		}
	}
	return b.session.answered(Undefined{}, nil)
}

func (b *binding) enqueue(t *turn, c *Call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, c)
	if t != nil && !b.busy {
		b.busy = true
		t.add(b)
		return
	}
	b.startLocked()
}

// startLocked sees to it that someone takes the queue's calls. The session is
// not joined yet: a call that it admitted is in the queue.
func (b *binding) startLocked() {
	if !b.busy && len(b.queue) > 0 {
		b.busy = true
		b.session.work.Go(b.drain)
	}
}

// drain runs calls one after the other until none waits, or one of them went
// on beside the next.
func (b *binding) drain() { b.serve(0) }

// serve is drain by the goroutine that has the turn of that number.
func (b *binding) serve(turn int64) {
	for {
		b.mu.Lock()
		if len(b.queue) == 0 {
			b.busy = false
			b.queue = nil
			b.mu.Unlock()
			return
		}
		c := b.queue[0]
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.mu.Unlock()
		c.turn = turn
		c.run()
		if c.conceded {
			return
		}
	}
}

// invoke runs the method; a panic of it stays in its call.
func (c *Call) invoke() (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.binding.session.log.Error("a method panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = &Error{Message: "internal error", Props: map[string]any{"code": "internal"}}
		}
	}()
	return c.method(c, c)
}
