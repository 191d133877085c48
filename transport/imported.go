package transport

import "context"

// imported is an entry of the import table: something of the peer's, or the
// outcome of a call to it. Once a promise is resolved it stands for its value
// and has left the table.
type imported struct {
	cell
	session *Session
	id      int64
	promise bool // has an outcome
	// streamed says that the outcome comes unasked, once: the peer knows of no id.
	streamed bool

	// guarded by session.mu
	refs     int  // stubs, promises and results here that stand on it
	holds    int  // messages in the making that mention it
	remote   int  // how often the peer introduced it; given back by release
	used     bool // something was pipelined on it
	asked    bool // the peer knows that the outcome is wanted
	leaving  bool // goes when no message in the making mentions it
	gone     bool // no longer in the table
	onBroken []breakHook

	delivered bool // the value is the application's; guarded by cell.mu
}

func (i *imported) call(path []any, in *payload) ref {
	if r, ok := i.callValue(path, in); ok {
		return r
	}
	return i.session.sendCall(i, path, in)
}

func (i *imported) callValue(path []any, in *payload) (ref, bool) {
	value, err, ok := i.outcome()
	switch {
	case !ok:
		return nil, false
	case err != nil:
		in.release()
		return i.session.rejected(err), true
	}
	return i.session.at(kept{value, i}, path, in), true
}

func (i *imported) remap(path []any, m *mapping) ref {
	value, err, ok := i.outcome()
	switch {
	case !ok:
		return i.session.sendMap(i, path, m)
	case err != nil:
		m.release()
		return i.session.rejected(err)
	}
	return i.session.remapAt(kept{value, i}, path, m)
}

func (i *imported) retain() {
	i.session.mu.Lock()
	defer i.session.mu.Unlock()
	i.refs++
}

func (i *imported) release() {
	s := i.session
	s.mu.Lock()
	i.refs--
	last := i.refs == 0 && i.id != 0
	if last {
		s.dropLocked(i)
	}
	s.mu.Unlock()
	if last && i.promise && !i.settle(nil, nil, errDropped) {
		i.disown()
	}
}

// disown releases what the value refers to, unless the application has it.
func (i *imported) disown() {
	i.mu.Lock()
	delivered := i.delivered
	i.mu.Unlock()
	if !delivered {
		i.empty()
	}
}

// deliver marks the value as the application's.
func (i *imported) deliver() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.delivered = true
}

func (i *imported) ask() {
	s := i.session
	if s.oneWay && i.id > 0 {
		i.settle(nil, nil, errOneWay)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !i.promise || i.asked || i.gone || s.ended {
		return
	}
	i.asked = true
	m := newMessage()
	m.raw(`["pull",`)
	m.integer(i.id)
	m.raw("]")
	s.sendLocked(m)
}

func (i *imported) broken(f func(error)) {
	if i.promise {
		i.whenSettled(func() {
			value, err, _ := i.outcome()
			switch v := value.(type) {
			case *Stub:
				v.ref.broken(f)
			case *Promise:
				v.ref.broken(f)
			default:
				if err != nil {
					f(err)
				}
			}
		})
		return
	}
	s := i.session
	s.mu.Lock()
	if !s.ended {
		s.breakOrder++
		i.onBroken = append(i.onBroken, breakHook{s.breakOrder, f})
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	f(s.Err())
}

// hold keeps an entry in the table while a message that mentions it is made.
func (s *Session) hold(i *imported) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.gone || s.ended {
		return false
	}
	i.holds++
	i.used = true
	return true
}

func (s *Session) unholdLocked(i *imported) {
	i.holds--
	if i.leaving {
		s.dropLocked(i)
	}
}

// dropLocked takes i out of the table and tells the peer, once no message in
// the making mentions it.
func (s *Session) dropLocked(i *imported) {
	if i.gone || i.id == 0 {
		return
	}
	if i.leaving = true; i.holds > 0 {
		return
	}
	i.gone = true
	delete(s.imports, i.id)
	if s.ended || i.streamed {
		return
	}
	m := newMessage()
	m.raw(`["release",`)
	m.integer(i.id)
	m.raw(",")
	m.integer(int64(i.remote))
	m.raw("]")
	s.sendLocked(m)
}

// importLocked finds or makes the entry of something the peer introduces.
func (s *Session) importLocked(id int64, promise bool) (*imported, error) {
	if id >= 0 {
		return nil, violation("export id %d: the exporter's ids are negative", id)
	}
	i := s.imports[id]
	switch {
	case i != nil && (promise || i.promise):
		return nil, violation("promise with id %d which is in use", id)
	case i == nil && len(s.imports) >= s.limits.Imports:
		return nil, violation("more than %d objects imported", s.limits.Imports)
	case i == nil:
		i = &imported{session: s, id: id, promise: promise, asked: promise}
		s.imports[id] = i
	}
	i.leaving = false
	i.refs++
	i.remote++
	return i, nil
}

// resolveImport gives an entry its outcome, once the promises in that have
// theirs; until then calls on it keep going to the peer.
func (s *Session) resolveImport(i *imported, p *payload) {
	if promise, follows := p.args[0].(*Promise); follows && !promise.blob {
		s.settleImport(i, p.args[0], p.handles(), nil)
		return
	}
	s.fill(p, 0, func(err error) {
		value, held := p.args[0], p.handles()
		if err == nil {
			s.settleImport(i, value, held, nil)
			return
		}
		for _, h := range held {
			h.Release()
		}
		s.settleImport(i, nil, nil, err)
	})
}

// settleImport gives an entry its outcome and takes it out of the table.
func (s *Session) settleImport(i *imported, value any, held []releaser, err error) {
	if !i.put(value, held, err) {
		for _, h := range held {
			h.Release()
		}
	}
	s.mu.Lock()
	abandoned := i.refs == 0
	s.dropLocked(i)
	s.mu.Unlock()
	i.announce()
	if abandoned {
		i.disown()
	}
}

// fill waits for p's promises from the n-th on and puts their outcomes in
// their places.
func (s *Session) fill(p *payload, n int, done func(error)) {
	if n == len(p.waits) {
		p.stopWaiting()
		done(nil)
		return
	}
	w := p.waits[n]
	w.promise.whenKnown(func(value any, from eventual, err error) {
		if err == nil {
			err = s.substitute(p, w, value, from, s.limits.HeldBytes)
		}
		if err != nil {
			done(err)
			return
		}
		s.fill(p, n+1, done)
	})
}

// gather waits for p's promises and puts their outcomes in their places. It
// is for those who may block, and goes on where an earlier one stopped.
func (s *Session) gather(ctx context.Context, p *payload, limit int) error {
	for _, w := range p.waits {
		w.promise.Pull() // ask for all before waiting for one
	}
	for len(p.waits) > 0 {
		w := p.waits[0]
		value, from, err := w.promise.known(ctx)
		if err == nil {
			err = s.substitute(p, w, value, from, limit)
		}
		if err != nil {
			return err
		}
		p.waits = p.waits[1:]
		w.promise.Release()
	}
	return nil
}

// substitute puts a promise's outcome in its place. What was decided on this
// side arrives as if over a wire; stubs are dup'ed, as p owns what is in it.
// All of it together has at most limit bytes: promises for lists of promises
// for lists would otherwise grow without end.
func (s *Session) substitute(p *payload, w place, value any, from eventual, limit int) error {
	if b, ok := value.(Blob); ok {
		w.set(b) // nobody changes it
		return p.spend(len(b.Data), limit)
	}
	if _, local := from.(*answer); !isScalar(value) && (local || refers(value)) {
		c, err := s.copied([]any{value})
		if err != nil {
			return err
		}
		value = c.args[0]
		p.stubs = append(p.stubs, c.stubs...)
		p.waits = append(p.waits, c.waits...)
		p.reads = append(p.reads, c.reads...)
		if err := p.spend(c.size, limit); err != nil {
			return err
		}
	}
	w.set(value)
	return nil
}

// spend counts bytes that an outcome adds to p.
func (p *payload) spend(bytes, limit int) error {
	if p.spent += bytes; p.spent > limit {
		return tooLarge("with its promises resolved, a value", limit)
	}
	return nil
}

func isScalar(v any) bool {
	switch v.(type) {
	case nil, bool, string, float64, Undefined:
		return true
	}
	return false
}
