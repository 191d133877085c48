package transport

// payload is a list of values on its way to whoever shall have it, with the
// references that came in it. Whoever holds a payload owns those and releases
// them with it.
type payload struct {
	args  []any
	stubs []*Stub // owned
	waits []place // promises among args, owned
	reads []*Readable
	// sealed stands for args in a proxy, until own.
	sealed *sealed
	size   int // bytes of the message it came in, or that it would take
	spent  int // bytes of outcomes copied into it

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
	for _, r := range p.reads {
		if r.lent.Load() {
			r.Release()
		}
	}
	p.reads = nil
	if p.sealed != nil {
		p.sealed.Release()
		p.sealed = nil
	}
	p.stopWaiting()
}

// first is the first value, if there is one. It is for payloads that were
// evaluated.
func (p *payload) first() any {
	if p.sealed != nil || len(p.args) == 0 {
		return Undefined{}
	}
	return p.args[0]
}

// write writes the values as a call's arguments.
func (p *payload) write(e *encoder) error {
	if p.sealed != nil {
		return p.sealed.writeArguments(e)
	}
	return e.elements(p.args)
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
	switch {
	case p.sealed != nil:
		return p.unsealed()
	case !p.borrowed:
		return p, nil
	}
	return s.copied(p.args)
}

// unsealed evaluates a sealed payload, which it takes over.
func (p *payload) unsealed() (*payload, error) {
	v := p.sealed
	p.sealed = nil
	q, err := v.arguments()
	if err == nil {
		q.size = p.size
	}
	return q, err
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
	table.undo(mark{})
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
	kept    []any // streams and blobs, which are the same on both sides
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

func (t *looseTable) writable(e *encoder, w *Writable) error {
	if w.stub == nil {
		return t.keep(e, w)
	}
	if w.stub.released.Load() {
		return errReleased
	}
	w.stub.ref.retain()
	t.add(e, `["writable",`, w.stub.ref)
	return nil
}

func (t *looseTable) readable(e *encoder, r *Readable) error { return t.keep(e, r) }
func (t *looseTable) blob(e *encoder, b Blob) error          { return t.keep(e, b) }

func (t *looseTable) keep(e *encoder, v any) error {
	e.raw(`["readable",`)
	e.integer(int64(len(t.kept)))
	e.raw("]")
	t.kept = append(t.kept, v)
	return nil
}

// importStream gives back what was kept.
func (t *looseTable) importStream(id int64) (any, error) { return t.kept[id], nil }

func (t *looseTable) mark() mark { return mark{exports: len(t.refs)} }

func (t *looseTable) undo(to mark) {
	for _, r := range t.refs[to.exports:] {
		r.release()
	}
	t.refs = t.refs[:to.exports]
}

func (t *looseTable) lookup(int64) (any, error) { return nil, violation("a copy imports nothing") }

func (t *looseTable) importStub(id int64) (ref, error) {
	r := t.refs[id]
	r.retain()
	return r, nil
}

func (t *looseTable) importPromise(id int64) (ref, error) { return t.importStub(id) }
