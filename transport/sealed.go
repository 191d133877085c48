package transport

import (
	"bytes"
	"sync"
)

// sealed is a value on its way through a proxy: the bytes of the expressions
// as they came, checked but not evaluated, so that it leaves as it arrived, to
// the order of keys. Only what it refers to was taken in.
type sealed struct {
	data []byte // with references as table numbers them

	mu        sync.Mutex
	table     *looseTable // nil once released
	evaluated *payload    // once somebody here looked into it
}

// proxied says whether what comes is a message's, and to be handed on as it is.
func (d *decoder) proxied() bool {
	_, copying := d.scope.(*looseTable)
	return d.session.proxy && !copying && !d.evaluating
}

// outcome reads a value; in a proxy that is sealed, unless it is a reference
// or so plain that nothing can be lost.
func (d *decoder) outcome() (any, error) {
	if !d.proxied() {
		return d.value()
	}
	switch c := d.peek(); c {
	case '"', '{':
		return d.sealedValue()
	case '[':
		for _, name := range []string{"import", "pipeline", "remap", "export", "promise"} {
			if bytes.HasPrefix(d.data[d.pos:], []byte(`["`+name+`"`)) {
				return d.value()
			}
		}
		return d.sealedValue()
	}
	return d.value()
}

func (d *decoder) sealedValue() (any, error) {
	v, err := d.seal(false)
	if err != nil {
		return nil, err
	}
	d.out.sealed = v
	return v, nil
}

// seal reads a value, or the bare array of a call's arguments.
func (d *decoder) seal(bare bool) (*sealed, error) {
	v := &sealed{table: &looseTable{session: d.session}}
	e := &encoder{table: v.table, depth: d.session.limits.Depth + 2}
	err := d.copying(func() error {
		if bare {
			return d.copyArray(e)
		}
		return d.copyValue(e)
	})
	if err != nil {
		v.Release()
		return nil, err
	}
	v.data = e.buf
	return v, nil
}

// copying runs f, which copies what comes next. The references that it reads
// are let go of: the writer has its own.
func (d *decoder) copying(f func() error) error {
	outer, taken := d.out, &payload{}
	d.out = taken
	err := f()
	d.out = outer
	taken.reads = nil // the writer has them
	taken.release()
	return err
}

// Release lets go of what the value refers to.
func (v *sealed) Release() {
	v.mu.Lock()
	table, evaluated := v.table, v.evaluated
	v.table, v.evaluated = nil, nil
	v.mu.Unlock()
	evaluated.release()
	if table == nil {
		return
	}
	table.undo(mark{})
	for _, kept := range table.kept {
		if r, ok := kept.(*Readable); ok {
			r.Release()
		}
	}
}

// read reads the value again.
func (v *sealed) read(f func(d *decoder) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.table == nil {
		return errReleased
	}
	s := v.table.session
	d := &decoder{scanner: scanner{data: v.data}, session: s, scope: v.table, depth: s.limits.Depth + 2}
	return f(d)
}

// writeTo writes the value as an expression.
func (v *sealed) writeTo(e *encoder) error {
	return v.read(func(d *decoder) error { return d.copying(func() error { return d.copyValue(e) }) })
}

// writeArguments writes the value, which is a call's arguments.
func (v *sealed) writeArguments(e *encoder) error {
	return v.read(func(d *decoder) error { return d.copying(func() error { return d.copyArray(e) }) })
}

// arguments evaluates the value, which is a call's arguments, and owns nothing
// any more.
func (v *sealed) arguments() (p *payload, err error) {
	err = v.read(func(d *decoder) error {
		p, err = d.arguments()
		if err == nil {
			v.table.kept = nil // p's
		}
		return err
	})
	v.Release()
	return p, err
}

// open evaluates the value for someone on this side.
func (v *sealed) open() (value any, err error) {
	err = v.read(func(d *decoder) error {
		if v.evaluated == nil {
			if v.evaluated, err = d.single(); err != nil {
				return err
			}
		}
		value = v.evaluated.args[0]
		return nil
	})
	return value, err
}

// opened is v itself unless it is sealed.
func opened(v any) (any, error) {
	if s, ok := v.(*sealed); ok {
		return s.open()
	}
	return v, nil
}

// copyValue writes the expression that comes next as it is. References go
// through the tables of both sides.
func (d *decoder) copyValue(e *encoder) error {
	switch d.peek() {
	case '{':
		return d.copyObject(e)
	case '[':
		return d.copyExpression(e)
	}
	return d.copyPlain(e)
}

// copyPlain copies JSON that holds no expression.
func (d *decoder) copyPlain(e *encoder) error {
	raw, err := d.skip(d.depth)
	e.buf = append(e.buf, raw...)
	return err
}

func (d *decoder) copyText(e *encoder) error {
	d.peek()
	start := d.pos
	if _, _, err := d.raw(); err != nil {
		return err
	}
	e.buf = append(e.buf, d.data[start:d.pos]...)
	return nil
}

func (d *decoder) copyObject(e *encoder) error {
	if err := d.deeper(); err != nil {
		return err
	}
	if err := d.expect('{'); err != nil {
		return err
	}
	e.raw("{")
	for first := true; !d.accept('}'); first = false {
		if !first {
			if err := d.next(); err != nil {
				return err
			}
			e.raw(",")
		}
		if err := d.copyText(e); err != nil {
			return err
		}
		if err := d.expect(':'); err != nil {
			return err
		}
		e.raw(":")
		if err := d.copyValue(e); err != nil {
			return err
		}
	}
	e.raw("}")
	d.depth++
	return nil
}

// copyArray copies an array that is not wrapped.
func (d *decoder) copyArray(e *encoder) error {
	e.raw("[")
	first := true
	err := d.list(func() error {
		if !first {
			e.raw(",")
		}
		first = false
		return d.copyValue(e)
	})
	e.raw("]")
	return err
}

func (d *decoder) copyExpression(e *encoder) error {
	if err := d.deeper(); err != nil {
		return err
	}
	start := d.pos
	d.pos++
	if d.peek() == '[' {
		e.raw("[")
		if err := d.copyArray(e); err != nil {
			return err
		}
		e.raw("]")
		d.depth++
		return d.expect(']')
	}
	name, err := d.key()
	if err != nil {
		return err
	}
	switch name {
	case "import", "pipeline", "remap", "export", "promise", "writable", "readable":
		err = d.copyReference(e, name)
	case "error", "request", "response", "blob":
		e.raw(`["`)
		e.raw(name)
		e.raw(`"`)
		err = d.copyParts(e, name)
		e.raw("]")
	default:
		if _, err = d.evaluate(name); err == nil {
			e.buf = append(append(e.buf, d.data[start:d.pos]...), ']')
		}
	}
	if err != nil {
		return err
	}
	d.depth++
	return d.expect(']')
}

// copyReference evaluates a reference and writes what it stands for.
func (d *decoder) copyReference(e *encoder, name string) error {
	v, err := d.evaluate(name)
	if err != nil {
		return err
	}
	err = e.value(v)
	if p, ok := v.(*Promise); ok {
		p.Release()
	}
	return err
}

// copyParts copies what follows the name of an expression that may hold others.
func (d *decoder) copyParts(e *encoder, name string) error {
	for n := 0; d.accept(','); n++ {
		e.raw(",")
		var err error
		switch {
		case name == "error" && n == 3:
			err = d.copyObject(e)
		case name == "response" && n == 0, name == "blob" && n == 1:
			err = d.copyValue(e)
		case name == "request" && n == 1:
			err = d.copyInit(e)
		default:
			err = d.copyPlain(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyInit copies what a request has beside its URL. Only its body is an
// expression.
func (d *decoder) copyInit(e *encoder) error {
	e.raw("{")
	count := 0
	err := d.members(func(name string) error {
		if count++; count > 1 {
			e.raw(",")
		}
		e.text(name)
		e.raw(":")
		if name == "body" {
			return d.copyValue(e)
		}
		return d.copyPlain(e)
	})
	e.raw("}")
	return err
}
