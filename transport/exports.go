package transport

import "bytes"

// export is an entry of the export table: what the peer can refer to.
type export struct {
	ref   ref
	count int  // how often the peer was told of it; release gives that back
	asked bool // the peer wants the outcome
	once  bool // goes when the outcome was sent
}

// wireTable is the referrer of messages to the peer. It undoes what a message
// that is not sent would have exported.
type wireTable struct {
	session  *Session
	exports  []int64
	promises []int64 // those of exports whose outcome the peer expects
	held     []*imported
	pipings  []piping
}

func (t *wireTable) stub(e *encoder, r ref) error {
	if i, ok := r.(*imported); ok && i.session == t.session && t.session.hold(i) {
		t.held = append(t.held, i)
		e.raw(`["import",`)
		e.integer(i.id)
		e.raw("]")
		return nil
	}
	r.retain()
	return t.export(e, `["export",`, r)
}

func (t *wireTable) promise(e *encoder, r ref, path []any) error {
	if i, ok := r.(*imported); ok && i.session == t.session && t.session.hold(i) {
		t.held = append(t.held, i)
		e.raw(`["pipeline",`)
		e.integer(i.id)
		if len(path) > 0 {
			e.raw(",")
			if err := e.path(path); err != nil {
				return err
			}
		}
		e.raw("]")
		return nil
	}
	if len(path) > 0 {
		r = r.call(path, nil)
	} else {
		r.retain()
	}
	if v, ok := knownHere(r); ok && len(e.buf) < inlineBytes {
		defer r.release()
		return e.value(v)
	}
	if err := t.export(e, `["promise",`, r); err != nil {
		return err
	}
	t.promises = append(t.promises, t.exports[len(t.exports)-1])
	return nil
}

// inlineBytes bounds the messages that outcomes are written into: one outcome
// may stand in many places.
const inlineBytes = 1 << 20

// knownHere gives the value of a promise that was kept on this side already,
// which then needs no message of its own.
func knownHere(r ref) (any, bool) {
	a, ok := r.(*answer)
	if !ok {
		return nil, false
	}
	v, err, known := a.outcome()
	return v, known && err == nil
}

func (t *wireTable) target(e *encoder, target *Target) error {
	return t.export(e, `["export",`, t.session.bind(target))
}

func (t *wireTable) item(*encoder, *Item) error { return errStrayItem }

// export gives r, which it takes over, an id of its own. Ids are not used
// again for the same thing: the reference counts one introduction for each id.
func (t *wireTable) export(e *encoder, kind string, r ref) error {
	id, err := t.session.export(r)
	if err != nil {
		r.release()
		return err
	}
	t.exports = append(t.exports, id)
	e.raw(kind)
	e.integer(id)
	e.raw("]")
	return nil
}

func (s *Session) export(r ref) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, s.err
	}
	if len(s.exports) >= s.limits.Exports {
		return 0, overloaded("the peer holds %d objects, results and functions of this session: no more can be sent", len(s.exports))
	}
	id := s.nextExport
	s.nextExport--
	s.exports[id] = &export{ref: r, count: 1}
	return id, nil
}

func (t *wireTable) writable(e *encoder, w *Writable) error {
	if w.target != nil {
		return t.export(e, `["writable",`, t.session.bind(w.target))
	}
	if w.stub.released.Load() {
		return errReleased
	}
	w.stub.ref.retain()
	return t.export(e, `["writable",`, w.stub.ref)
}

func (t *wireTable) readable(e *encoder, r *Readable) error {
	if err := r.pass(); err != nil {
		return err
	}
	to, err := t.session.openPipe()
	if err != nil {
		r.unpass()
		return err
	}
	t.pipings = append(t.pipings, piping{r, to})
	e.raw(`["readable",`)
	e.integer(to.id)
	e.raw("]")
	return nil
}

func (t *wireTable) blob(e *encoder, b Blob) error {
	e.raw(`["blob",`)
	e.text(b.Type)
	e.raw(",")
	if err := t.readable(e, ReadableFrom(bytes.NewReader(b.Data))); err != nil {
		return err
	}
	e.raw("]")
	return nil
}

func (t *wireTable) mark() mark { return mark{len(t.exports), len(t.pipings)} }

func (t *wireTable) undo(to mark) {
	for _, p := range t.pipings[to.pipings:] {
		p.drop()
	}
	t.pipings = t.pipings[:to.pipings]
	mark := to.exports
	for _, id := range t.exports[mark:] {
		t.session.mu.Lock()
		x := t.session.exports[id]
		delete(t.session.exports, id)
		t.session.mu.Unlock()
		if x != nil {
			x.ref.release()
		}
	}
	t.exports = t.exports[:mark]
	for len(t.promises) > 0 && (mark == 0 || t.promises[len(t.promises)-1] < t.exports[mark-1]) {
		t.promises = t.promises[:len(t.promises)-1]
	}
}

// unholdLocked ends the holds of a message that is sent, or is not.
func (t *wireTable) unholdLocked() {
	for _, i := range t.held {
		t.session.unholdLocked(i)
	}
	clear(t.held)
	t.held = t.held[:0]
}

// send queues m under commit, which may refuse, and sees to what m exported.
func (s *Session) send(m *message, commit func() error) error {
	s.mu.Lock()
	err := s.err
	if err == nil {
		err = commit()
	}
	if err != nil {
		s.mu.Unlock()
		s.discard(m)
		return err
	}
	promises := m.promises
	pipings := m.pipings
	m.exports, m.promises, m.pipings = m.exports[:0], nil, nil
	s.sendLocked(m)
	m.unholdLocked() // after m, which a release must not overtake
	for _, p := range pipings {
		s.startLocked(p)
	}
	s.mu.Unlock()
	for _, p := range pipings {
		s.handThrough(p)
	}
	for _, id := range promises {
		_ = s.answerWhenKnown(id) // an id just made is known, or the session ended
	}
	return nil
}

// discard drops a message and takes back what it would have exported.
func (s *Session) discard(m *message) {
	s.mu.Lock()
	m.unholdLocked()
	s.mu.Unlock()
	m.undo(mark{})
	m.free()
}

// A session is the scope of the messages that it receives.

func (s *Session) lookup(id int64) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.exports[id]; x != nil {
		return x.ref, nil
	}
	return nil, s.unknown(id)
}

func (s *Session) importStub(id int64) (ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.imported(id, false)
}

func (s *Session) importPromise(id int64) (ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.imported(id, true)
}

func (s *Session) imported(id int64, promise bool) (ref, error) {
	if s.ended {
		return nil, s.err
	}
	i, err := s.importLocked(id, promise)
	if err != nil {
		return nil, err
	}
	return i, nil
}
