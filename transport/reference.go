package transport

// reference reads ["import" | "pipeline", id, path?, arguments?].
func (d *decoder) reference(promise bool) (any, error) {
	node, path, in, err := d.located()
	if err != nil {
		return nil, err
	}
	return d.refer(d.start(node, path, in), promise), nil
}

// located reads the rest of a reference: in is nil when it is not a call.
func (d *decoder) located() (node any, path []any, in *payload, err error) {
	id, err := d.nextInteger()
	if err != nil {
		return nil, nil, nil, err
	}
	if node, err = d.scope.lookup(id); err != nil || !d.accept(',') {
		return node, nil, nil, err
	}
	if path, err = d.path(); err != nil || !d.accept(',') {
		return node, path, nil, err
	}
	if in, err = d.arguments(); err != nil {
		return nil, nil, nil, err
	}
	in.size = len(d.data)
	return node, path, in, nil
}

// start calls or reads what lies at path in node.
func (d *decoder) start(node any, path []any, in *payload) ref {
	switch n := node.(type) {
	case kept:
		return d.session.at(n, path, in)
	case ref:
		b, here := n.(*binding)
		switch {
		case in == nil && len(path) == 0:
			n.retain()
			return n
		case here && in != nil:
			return b.callIn(d.turn, path, in)
		}
		return n.call(path, in)
	}
	panic("a scope knows refs and kept values")
}

// refer puts r, which it takes over, into the payload as a promise or a stub.
// What is already known and plain stands for itself.
func (d *decoder) refer(r ref, promise bool) any {
	if !promise {
		s := &Stub{ref: r}
		s.lent.Store(true)
		d.out.stubs = append(d.out.stubs, s)
		return s
	}
	if a, ok := r.(*answer); ok {
		if v, err, known := a.outcome(); known && err == nil && isScalar(v) {
			a.release()
			return v
		}
	}
	return &Promise{ref: r}
}

// path reads the elements of a property path.
func (d *decoder) path() ([]any, error) {
	if err := d.expect('['); err != nil {
		return nil, err
	}
	if d.accept(']') {
		return nil, nil
	}
	if path, ok := d.name(); ok {
		return path, nil
	}
	path := make([]any, 0, 2)
	for {
		var step any
		var err error
		switch c := d.peek(); {
		case c == '"':
			step, err = d.key()
		case c == '-' || c-'0' < 10:
			step, err = d.number()
		default:
			err = d.malformed("a property's name or number")
		}
		if err != nil {
			return nil, err
		}
		path = append(path, step)
		if d.accept(']') {
			return path, nil
		}
		if err := d.next(); err != nil {
			return nil, err
		}
	}
}

// name reads the path of one plain name, which is what calls have, without
// making it anew each time. Otherwise it reads nothing.
func (d *decoder) name() (path []any, ok bool) {
	start := d.pos
	if d.peek() == '"' {
		raw, plain, err := d.raw()
		if err == nil && plain && d.accept(']') {
			return d.keys.get(raw).path, true
		}
	}
	d.pos = start
	return nil, false
}

// introduction reads ["export" | "promise", id].
func (d *decoder) introduction(promise bool) (any, error) {
	id, err := d.nextInteger()
	if err != nil {
		return nil, err
	}
	if promise {
		r, err := d.scope.importPromise(id)
		if err != nil {
			return nil, err
		}
		return &Promise{ref: r}, nil
	}
	r, err := d.scope.importStub(id)
	if err != nil {
		return nil, err
	}
	return d.refer(r, false), nil
}
