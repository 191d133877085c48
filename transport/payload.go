package transport

// payload is a list of values on its way to whoever shall have it, with the
// references that came in it. Whoever holds a payload owns those and releases
// them with it.
type payload struct {
	args  []any
	stubs []*Stub // owned
	waits []place // promises among args, owned
	fault error   // why it can go no further: it holds what is not supported
	size  int     // bytes of the message it came in, or that it would take
	spent int     // bytes of outcomes copied into it

	// borrowed args are the application's own: any Go values, whose stubs and
	// promises stay the application's.
	borrowed bool
}

// place is where in a payload a promise stands, to be replaced by its outcome.
type place struct {
	promise *Promise
	list    []any
	index   int
	object  map[string]any
	key     string
}

func (p place) set(v any) {
	if p.object != nil {
		p.object[p.key] = v
		return
	}
	p.list[p.index] = v
}

// bytes is what p is counted for; a read has no payload.
func (p *payload) bytes() int {
	if p == nil {
		return 0
	}
	return p.size
}

// release lets go of what the payload owns. A stub that moved into a result
// is no longer lent and stays.
func (p *payload) release() {
	if p == nil {
		return
	}
	for _, s := range p.stubs {
		if s.lent.Load() {
			s.Release()
		}
	}
	p.stubs = nil
	p.stopWaiting()
}

// stopWaiting releases the promises of p: their outcomes, if they came, are
// in their places, with references of their own.
func (p *payload) stopWaiting() {
	for _, w := range p.waits {
		w.promise.Release()
	}
	p.waits = nil
}

// own makes a payload of the application's values one that can be kept and
// delivered: values as they would arrive over a wire, references dup'ed.
func (p *payload) own(s *Session) (*payload, error) {
	if !p.borrowed {
		return p, nil
	}
	return s.copied(p.args)
}

// copied gives the values as they would arrive over a wire.
func (s *Session) copied(args []any) (*payload, error) {
	table := &looseTable{session: s}
	e := encoder{table: table, depth: s.limits.Depth}
	err := e.elements(args)
	var p *payload
	if err == nil {
		d := decoder{scanner: scanner{data: e.buf}, session: s, scope: table, depth: s.limits.Depth + 2}
		p, err = d.arguments()
	}
	table.undo(0)
	if err != nil {
		return nil, err
	}
	p.size = len(e.buf)
	return p, nil
}

// looseTable is the referrer and the scope of a copy that never leaves the
// process: references are numbered as they come.
type looseTable struct {
	session *Session
	refs    []ref
}

func (t *looseTable) add(e *encoder, kind string, r ref) {
	e.raw(kind)
	e.integer(int64(len(t.refs)))
	e.raw("]")
	t.refs = append(t.refs, r)
}

func (t *looseTable) stub(e *encoder, r ref) error {
	r.retain()
	t.add(e, `["export",`, r)
	return nil
}

func (t *looseTable) promise(e *encoder, r ref, path []any) error {
	if len(path) > 0 {
		r = r.call(path, nil)
	} else {
		r.retain()
	}
	t.add(e, `["promise",`, r)
	return nil
}

func (t *looseTable) target(e *encoder, target *Target) error {
	t.add(e, `["export",`, t.session.bind(target))
	return nil
}

func (t *looseTable) item(*encoder, *Item) error { return errStrayItem }

func (t *looseTable) mark() int { return len(t.refs) }

func (t *looseTable) undo(mark int) {
	for _, r := range t.refs[mark:] {
		r.release()
	}
	t.refs = t.refs[:mark]
}

func (t *looseTable) lookup(int64) (any, error) { return nil, violation("a copy imports nothing") }

func (t *looseTable) importStub(id int64) (ref, error) {
	r := t.refs[id]
	r.retain()
	return r, nil
}

func (t *looseTable) importPromise(id int64) (ref, error) { return t.importStub(id) }
