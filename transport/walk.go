package transport

import (
	"cmp"
	"math"
	"math/big"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// kept is a value and the ref that keeps alive what the value refers to; nil
// when that is nothing.
type kept struct {
	value any
	by    ref
}

// at calls, or reads when in is nil, what lies at path inside a value.
// References on the way take over with the rest of the path.
func (s *Session) at(k kept, path []any, in *payload) ref {
	value, err := opened(k.value)
	if err != nil {
		in.release()
		return s.rejected(err)
	}
	k.value = noNil(value)
	for i, step := range path {
		if r, done := s.through(k, path[i:], in); done {
			return r
		}
		next, err := property(k.value, step)
		if err != nil {
			in.release()
			return s.rejected(err)
		}
		k.value = next
	}
	if r, done := s.through(k, nil, in); done {
		return r
	}
	if in != nil {
		in.release()
		return s.rejected(typeErrorf("%s is not a function", cmp.Or(pathName(path), "the value")))
	}
	return s.share(k)
}

// through hands over to the value if that is a reference.
func (s *Session) through(k kept, rest []any, in *payload) (r ref, done bool) {
	switch v := k.value.(type) {
	case *Promise:
		return v.ref.call(slices.Concat(v.path, rest), in), true
	case *Stub:
		if len(rest) == 0 && in == nil {
			return s.share(k), true
		}
		return v.ref.call(rest, in), true
	case *Target:
		if len(rest) == 0 && in == nil {
			return s.share(k), true
		}
		b := s.bind(v)
		defer b.release()
		return b.call(rest, in), true
	}
	return nil, false
}

// share makes a part of a value an outcome of its own, which keeps the whole
// if it refers to something.
func (s *Session) share(k kept) ref {
	if k.by == nil || !refers(k.value) {
		return s.answered(k.value, nil)
	}
	k.by.retain()
	return s.answered(k.value, []releaser{holder{k.by}})
}

// adopt takes over what a handler's result refers to: its stubs and promises
// are the session's from now on.
func (s *Session) adopt(v any) (held []releaser) {
	references(v, func(r any) {
		switch r := r.(type) {
		case *Target:
			held = append(held, holder{s.bind(r)})
		case *Stub:
			r.lent.Store(false)
			held = append(held, r)
		case *Promise:
			if len(r.path) > 0 {
				r.ref, r.path = r.ref.call(r.path, nil), nil
			}
			held = append(held, r)
		case *Readable:
			r.lent.Store(false)
			held = append(held, r)
		case *Writable:
			if r.stub == nil {
				held = append(held, holder{s.bind(r.target)})
				break
			}
			r.stub.lent.Store(false)
			held = append(held, r.stub)
		case *sealed:
			held = append(held, r)
		}
	})
	return held
}

// holder releases a ref.
type holder struct{ ref ref }

func (h holder) Release() { h.ref.release() }

// handles passes what p owns on.
func (p *payload) handles() (held []releaser) {
	for _, s := range p.stubs {
		s.lent.Store(false)
		held = append(held, s)
	}
	for _, r := range p.reads {
		r.lent.Store(false)
		held = append(held, r)
	}
	if p.sealed != nil {
		held = append(held, p.sealed)
	}
	for _, w := range p.waits {
		held = append(held, w.promise)
	}
	p.stubs, p.reads, p.sealed, p.waits = nil, nil, nil, nil
	return held
}

// property reads one step of a path, as the reference does: what has no
// properties yields undefined, and undefined itself fails.
func property(v, step any) (any, error) {
	item, err := propertyOf(v, step)
	return noNil(item), err
}

// noNil makes nil of a nil pointer, as it would arrive.
func noNil(v any) any {
	switch v.(type) {
	case nil, bool, string, float64, map[string]any, []any, Undefined:
		return v
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return nil
	}
	return v
}

func propertyOf(v, step any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if name, ok := step.(string); ok {
			if item, ok := v[name]; ok {
				return item, nil
			}
		}
		return Undefined{}, nil
	case []any:
		if i, ok := index(step, len(v)); ok {
			return v[i], nil
		}
		return Undefined{}, nil
	case Undefined:
		return nil, typeErrorf("cannot read %v of undefined", pathName([]any{step}))
	case nil, bool, string, float64, int, time.Time, []byte, *big.Int, error, Bytes,
		Blob, URL, http.Header, *Request, *Response, *Readable, *Writable:
		return Undefined{}, nil
	case int64:
		return Undefined{}, nil
	}
	return reflectedProperty(reflect.ValueOf(v), step), nil
}

// index reads a step as one of n elements. JavaScript sends a number for it
// when the application wrote one, and a string from stub[1].
func index(step any, n int) (int, bool) {
	f, ok := step.(float64)
	if text, named := step.(string); named {
		i, err := strconv.Atoi(text)
		f, ok = float64(i), err == nil && strconv.Itoa(i) == text
	}
	return int(f), ok && f >= 0 && f < float64(n) && f == math.Trunc(f)
}

func reflectedProperty(v reflect.Value, step any) any {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	item := reflect.Value{}
	switch name, named := step.(string); v.Kind() {
	case reflect.Struct:
		if named {
			item, _ = shapeOf(v.Type()).get(v, name)
		}
	case reflect.Map:
		if named && v.Type().Key().Kind() == reflect.String {
			item = v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key()))
		}
	case reflect.Slice, reflect.Array:
		if i, ok := index(step, v.Len()); ok {
			item = v.Index(i)
		}
	}
	if !item.IsValid() {
		return Undefined{}
	}
	return item.Interface()
}
