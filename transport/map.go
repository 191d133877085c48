package transport

import (
	"reflect"
	"sync/atomic"
)

// mapping is the function of a remap: instructions in the notation of the
// protocol, evaluated for each element. In them 0 is the element, positive ids
// are the results of earlier instructions, negative ones the captures.
type mapping struct {
	captures     []*Stub
	instructions [][]byte
	budget       *atomic.Int64 // steps that the message may still take
	size         int           // bytes of the message it came in
}

func (m *mapping) release() {
	for _, c := range m.captures {
		c.Release()
	}
}

// remap reads ["remap", id, path, captures, instructions].
func (d *decoder) remap() (any, error) {
	id, err := d.nextInteger()
	if err != nil {
		return nil, err
	}
	node, err := d.scope.lookup(id)
	if err != nil {
		return nil, err
	}
	if err := d.next(); err != nil {
		return nil, err
	}
	path, err := d.path()
	if err != nil {
		return nil, err
	}
	m, err := d.mapping()
	if err != nil {
		return nil, err
	}
	if k, ok := node.(kept); ok {
		return d.refer(d.session.remapAt(k, path, m), true), nil
	}
	return d.refer(node.(ref).remap(path, m), true), nil
}

func (d *decoder) mapping() (*mapping, error) {
	m := &mapping{budget: d.budget(), size: len(d.data)}
	err := d.captures(m)
	if err == nil {
		err = d.instructions(m)
	}
	if err != nil {
		m.release()
		return nil, err
	}
	return m, nil
}

// budget is shared by all maps of a message.
func (d *decoder) budget() *atomic.Int64 {
	if l, ok := d.scope.(*lap); ok {
		return l.mapping.budget
	}
	b := new(atomic.Int64)
	b.Store(int64(d.session.limits.MapCalls))
	return b
}

func (d *decoder) captures(m *mapping) error {
	return d.bareArray(func() error {
		if err := d.expect('['); err != nil {
			return err
		}
		kind, err := d.key()
		if err != nil {
			return err
		}
		id, err := d.nextInteger()
		if err != nil {
			return err
		}
		s, err := d.capture(kind, id)
		if err != nil {
			return err
		}
		m.captures = append(m.captures, s)
		return d.expect(']')
	})
}

func (d *decoder) capture(kind string, id int64) (*Stub, error) {
	switch kind {
	case "import":
		node, err := d.scope.lookup(id)
		if err != nil {
			return nil, err
		}
		return &Stub{ref: d.start(node, nil, nil)}, nil
	case "export":
		r, err := d.scope.importStub(id)
		return &Stub{ref: r}, err
	}
	return nil, violation("a map captures imports and exports, not %.64q", kind)
}

func (d *decoder) instructions(m *mapping) error {
	err := d.bareArray(func() error {
		raw, err := d.skip(d.depth)
		m.instructions = append(m.instructions, append([]byte(nil), raw...))
		return err
	})
	if err == nil && len(m.instructions) == 0 {
		return violation("a map without instructions")
	}
	return err
}

// bareArray reads the next element of an expression, an array that is not
// wrapped.
func (d *decoder) bareArray(item func() error) error {
	if err := d.next(); err != nil {
		return err
	}
	return d.list(item)
}

// list reads an array that is not wrapped.
func (d *decoder) list(item func() error) error {
	if err := d.expect('['); err != nil {
		return err
	}
	if d.accept(']') {
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if d.accept(']') {
			return nil
		}
		if err := d.next(); err != nil {
			return err
		}
	}
}

// remapAt applies m, which it takes over, to what lies at path inside a value:
// to each element of an array, to any other value itself, to null and
// undefined not at all.
func (s *Session) remapAt(k kept, path []any, m *mapping) ref {
	value, err := opened(k.value)
	if err != nil {
		m.release()
		return s.rejected(err)
	}
	k.value = value
	for i := 0; ; i++ {
		switch r := k.value.(type) {
		case *Promise:
			return r.ref.remap(append(r.path[:len(r.path):len(r.path)], path[i:]...), m)
		case *Stub:
			return r.ref.remap(path[i:], m)
		case *Target:
			b := s.bind(r)
			defer b.release()
			return b.remap(path[i:], m)
		}
		if i == len(path) {
			break
		}
		next, err := property(k.value, path[i])
		if err != nil {
			m.release()
			return s.rejected(err)
		}
		k.value = next
	}
	defer m.release()
	return s.apply(k, m)
}

func (s *Session) apply(k kept, m *mapping) ref {
	k.value = noNil(k.value)
	switch k.value.(type) {
	case nil, Undefined:
		return s.answered(k.value, nil)
	}
	out := &payload{}
	result, err := s.applyAll(k, m, out)
	if err != nil {
		out.release()
		return s.rejected(err)
	}
	a := s.answered(result, out.handles())
	s.charge(a, result)
	return a
}

// applyAll runs m on k, or on each element of it; out owns what results.
func (s *Session) applyAll(k kept, m *mapping, out *payload) (any, error) {
	n, element, isList := listOf(k.value)
	if !isList {
		return s.applyTo(k, m, out)
	}
	list := make([]any, n)
	for i := range list {
		var err error
		if list[i], err = s.applyTo(kept{element(i), k.by}, m, out); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// listOf gives v's elements if v is an array to JavaScript.
func listOf(v any) (n int, element func(int) any, ok bool) {
	if list, ok := v.([]any); ok {
		return len(list), func(i int) any { return list[i] }, true
	}
	if _, bytes := v.([]byte); bytes {
		return 0, nil, false
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice && r.Kind() != reflect.Array {
		return 0, nil, false
	}
	return r.Len(), func(i int) any { return r.Index(i).Interface() }, true
}

// stepBytes is the length of an instruction that counts as one step.
const stepBytes = 128

// applyTo runs the instructions on one element; out owns the result.
func (s *Session) applyTo(element kept, m *mapping, out *payload) (any, error) {
	l := &lap{mapping: m, values: append(make([]any, 0, len(m.instructions)), element)}
	var intermediate payload
	defer intermediate.release()
	for i, instruction := range m.instructions {
		if m.budget.Add(int64(-1-len(instruction)/stepBytes)) < 0 {
			return nil, overloaded("the maps of one message may take %d steps in all", s.limits.MapCalls)
		}
		d := decoder{scanner: scanner{data: instruction}, session: s, scope: l, depth: s.limits.Depth}
		p, err := d.single()
		if err != nil {
			return nil, typeErrorf("map: %v", err)
		}
		if i == len(m.instructions)-1 {
			out.stubs = append(out.stubs, p.stubs...)
			out.waits = append(out.waits, p.waits...)
			return p.args[0], nil
		}
		step := &Promise{ref: s.answered(p.args[0], p.handles())}
		intermediate.waits = append(intermediate.waits, place{promise: step})
		l.values = append(l.values, step.ref)
	}
	return nil, violation("a map without instructions")
}

// lap is the scope of a map's instructions for one element.
type lap struct {
	mapping *mapping
	values  []any // the element, kept, and then results as refs
}

func (l *lap) lookup(id int64) (any, error) {
	switch {
	case id < 0 && -id <= int64(len(l.mapping.captures)):
		return l.mapping.captures[-id-1].ref, nil
	case id >= 0 && id < int64(len(l.values)):
		return l.values[id], nil
	}
	return nil, violation("no value %d in this map", id)
}

func (l *lap) importStub(int64) (ref, error) {
	return nil, violation("a map cannot introduce objects")
}
func (l *lap) importPromise(int64) (ref, error) { return l.importStub(0) }
func (l *lap) importStream(int64) (any, error) {
	return nil, violation("a map cannot introduce streams")
}
