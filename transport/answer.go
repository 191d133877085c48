package transport

import "sync/atomic"

// answer is an outcome that is decided on this side: the result of a call to
// a target here, or of reading a property of such a result. Calls on it wait
// for it, in their order.
type answer struct {
	cell
	session  *Session
	refs     atomic.Int32
	weight   atomic.Int64 // what it is charged to its session
	ops      []func()     // calls that wait; guarded by cell.mu
	flushing bool         // the outcome is there and ops are on their way
}

func (s *Session) newAnswer() *answer {
	a := &answer{session: s}
	a.refs.Store(1)
	return a
}

// answered is an answer that has its value, whose references held keeps.
func (s *Session) answered(value any, held []releaser) *answer {
	a := s.newAnswer()
	a.set, a.value, a.held = true, value, held
	return a
}

func (s *Session) rejected(err error) *answer {
	a := s.newAnswer()
	a.set, a.err = true, err
	return a
}

// resolve sets the outcome and lets the waiting calls go first: whoever
// learns of the outcome makes later calls.
func (a *answer) resolve(value any, held []releaser, err error) {
	a.mu.Lock()
	if a.set || a.flushing {
		a.mu.Unlock()
		return
	}
	a.flushing = true
	a.value, a.err = value, err
	for len(a.ops) > 0 {
		ops := a.ops
		a.ops = nil
		a.mu.Unlock()
		for _, op := range ops {
			op()
		}
		a.mu.Lock()
	}
	a.set, a.held = true, held
	a.mu.Unlock()
	a.announce()
	if a.refs.Load() == 0 {
		a.empty()
	}
}

// follow makes a's outcome that of r, which it takes over.
func (a *answer) follow(r ref) {
	p := &Promise{ref: r}
	a.resolve(p, []releaser{p}, nil)
}

// await runs op with the value once it is there, or at once; later calls of
// await run later.
func (a *answer) await(op func()) {
	a.mu.Lock()
	if !a.set {
		a.ops = append(a.ops, op)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	op()
}

func (a *answer) call(path []any, in *payload) ref {
	if _, _, ok := a.outcome(); ok {
		return a.callNow(path, in)
	}
	if in != nil {
		owned, err := in.own(a.session)
		if err != nil {
			return a.session.rejected(err)
		}
		in = owned
	}
	size := in.bytes()
	if err := a.session.enter(size); err != nil {
		in.release()
		return a.session.rejected(err)
	}
	result := a.session.newAnswer()
	a.retain()
	a.await(func() {
		defer a.release()
		a.session.leave(size)
		result.follow(a.callNow(path, in))
	})
	return result
}

func (a *answer) callNow(path []any, in *payload) ref {
	if a.err != nil {
		in.release()
		return a.session.rejected(a.err)
	}
	return a.session.at(kept{a.value, a}, path, in)
}

func (a *answer) remap(path []any, m *mapping) ref {
	if _, _, ok := a.outcome(); ok {
		return a.remapNow(path, m)
	}
	if err := a.session.enter(m.size); err != nil {
		m.release()
		return a.session.rejected(err)
	}
	result := a.session.newAnswer()
	a.retain()
	a.await(func() {
		defer a.release()
		a.session.leave(m.size)
		result.follow(a.remapNow(path, m))
	})
	return result
}

func (a *answer) remapNow(path []any, m *mapping) ref {
	if a.err != nil {
		m.release()
		return a.session.rejected(a.err)
	}
	return a.session.remapAt(kept{a.value, a}, path, m)
}

func (a *answer) ask()    {}
func (a *answer) retain() { a.refs.Add(1) }

func (a *answer) release() {
	if a.refs.Add(-1) > 0 {
		return
	}
	if _, _, ok := a.outcome(); ok {
		a.empty()
	}
}

// parts is what the value refers to.
func (a *answer) parts() []releaser {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// empty lets go of the value.
func (a *answer) empty() {
	a.cell.empty()
	a.session.discharge(a)
}

func (a *answer) broken(f func(error)) {
	a.whenSettled(func() {
		if a.err != nil {
			f(a.err)
			return
		}
		switch v := a.value.(type) {
		case *Stub:
			v.ref.broken(f)
		case *Promise:
			v.ref.broken(f)
		}
	})
}
