package transport

import (
	"slices"
	"sync/atomic"
)

// Item stands for a value inside a Map's function: the element, the result of
// a call made there, or a captured stub. It has no value yet: the function is
// recorded once and runs at the peer.
type Item struct {
	mapper *mapper
	id     int64 // as instructions refer to it
	path   []any
}

var errStrayItem = typeErrorf("an item was used outside the function of its map")

// mapper records the function of one Map.
type mapper struct {
	outer        *mapper
	captures     []*Stub // of the outermost
	inner        []int64 // of a nested one: ids in outer
	instructions [][]byte
	depth        int
	err          error
	closed       bool
}

// Map applies f to each element of an array at the peer, in one message, and
// to any other value itself; null and undefined stay. f is called once, to
// record it, and must not wait for anything. It returns the result for one
// element: the Item, values that contain Items, stubs and promises from
// outside. Inside f, Capture makes those callable.
func (p *Promise) Map(f func(item *Item) any) *Promise {
	if p.released.Load() {
		return failed(errDropped)
	}
	m := &mapper{depth: 256}
	m.record(f)
	mapping := &mapping{captures: m.captures, instructions: m.instructions, budget: new(atomic.Int64)}
	mapping.budget.Store(int64(Limits{}.withDefaults().MapCalls))
	if m.err != nil {
		mapping.release()
		return failed(m.err)
	}
	return &Promise{ref: p.ref.remap(p.path, mapping)}
}

func (m *mapper) record(f func(*Item) any) {
	result := f(&Item{mapper: m})
	m.instruct(func(e *encoder) error { return e.value(result) })
	m.closed = true
}

// instruct adds an instruction and returns the id of its result.
func (m *mapper) instruct(write func(*encoder) error) int64 {
	e := encoder{table: m, depth: m.depth}
	err := write(&e)
	if m.closed {
		err = errStrayItem
	}
	if err != nil && m.err == nil {
		m.err = err
	}
	m.instructions = append(m.instructions, e.buf)
	return int64(len(m.instructions))
}

// Call calls a method of the item; "" calls the item itself.
func (i *Item) Call(method string, args ...any) *Item {
	id := i.mapper.instruct(func(e *encoder) error {
		e.raw(`["pipeline",`)
		e.integer(i.id)
		e.raw(",")
		if err := e.path(methodPath(i.path, method)); err != nil {
			return err
		}
		e.raw(",")
		if err := e.elements(args); err != nil {
			return err
		}
		e.raw("]")
		return nil
	})
	return &Item{mapper: i.mapper, id: id}
}

// Get refers to a property of the item.
func (i *Item) Get(path ...any) *Item {
	return &Item{mapper: i.mapper, id: i.id, path: normalPath(i.path, path)}
}

// Capture makes a stub from outside usable inside the function.
func (i *Item) Capture(s *Stub) *Item {
	id, err := i.mapper.capture(s)
	if err != nil && i.mapper.err == nil {
		i.mapper.err = err
	}
	return &Item{mapper: i.mapper, id: id}
}

// Map maps what the item stands for, inside the function of another map.
// Items of the outer function can be used in f.
func (i *Item) Map(f func(item *Item) any) *Item {
	outer := i.mapper
	m := &mapper{outer: outer, depth: outer.depth}
	m.record(f)
	if m.err != nil && outer.err == nil {
		outer.err = m.err
	}
	id := outer.instruct(func(e *encoder) error {
		e.raw(`["remap",`)
		e.integer(i.id)
		e.raw(",")
		if err := e.path(i.path); err != nil {
			return err
		}
		e.raw(",[")
		for n, id := range m.inner {
			if n > 0 {
				e.raw(",")
			}
			e.raw(`["import",`)
			e.integer(id)
			e.raw("]")
		}
		e.raw("],[")
		for n, instruction := range m.instructions {
			if n > 0 {
				e.raw(",")
			}
			e.buf = append(e.buf, instruction...)
		}
		e.raw("]]")
		return nil
	})
	return &Item{mapper: outer, id: id}
}

// capture gives the id under which this function knows a stub from outside.
func (m *mapper) capture(s *Stub) (int64, error) {
	if m.outer != nil {
		id, err := m.outer.capture(s)
		return m.reach(id), err
	}
	if s.released.Load() {
		return 0, errReleased
	}
	if n := slices.IndexFunc(m.captures, func(c *Stub) bool { return c.ref == s.ref }); n >= 0 {
		return int64(-n - 1), nil
	}
	m.captures = append(m.captures, s.Dup())
	return int64(-len(m.captures)), nil
}

// reach gives the id under which this function knows a value of the outer one.
func (m *mapper) reach(id int64) int64 {
	if n := slices.Index(m.inner, id); n >= 0 {
		return int64(-n - 1)
	}
	m.inner = append(m.inner, id)
	return int64(-len(m.inner))
}

// visible gives the id under which this function knows an item of its own or
// of a function around it.
func (m *mapper) visible(i *Item) (int64, error) {
	switch {
	case i.mapper == m:
		return i.id, nil
	case m.outer == nil:
		return 0, errStrayItem
	}
	id, err := m.outer.visible(i)
	return m.reach(id), err
}

// A mapper is the referrer of its instructions.

func (m *mapper) stub(e *encoder, r ref) error {
	s := &Stub{ref: r}
	id, err := m.capture(s)
	e.raw(`["import",`)
	e.integer(id)
	e.raw("]")
	return err
}

func (m *mapper) promise(e *encoder, r ref, path []any) error {
	s := &Stub{ref: r}
	id, err := m.capture(s)
	if err != nil {
		return err
	}
	return m.pipeline(e, id, path)
}

func (m *mapper) item(e *encoder, i *Item) error {
	id, err := m.visible(i)
	if err != nil {
		return err
	}
	return m.pipeline(e, id, i.path)
}

func (m *mapper) pipeline(e *encoder, id int64, path []any) error {
	e.raw(`["pipeline",`)
	e.integer(id)
	if len(path) > 0 {
		e.raw(",")
		if err := e.path(path); err != nil {
			return err
		}
	}
	e.raw("]")
	return nil
}

func (m *mapper) target(*encoder, *Target) error {
	return typeErrorf("a target cannot be made inside a map's function: make a stub outside and use that")
}

var errStreamInMap = typeErrorf("a stream or blob cannot be made inside a map's function")

func (m *mapper) writable(*encoder, *Writable) error { return errStreamInMap }
func (m *mapper) readable(*encoder, *Readable) error { return errStreamInMap }
func (m *mapper) blob(*encoder, Blob) error          { return errStreamInMap }

func (m *mapper) mark() mark { return mark{} }
func (m *mapper) undo(mark)  {}
