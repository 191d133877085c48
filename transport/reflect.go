package transport

import (
	"encoding"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// field is one field of a struct as its json tag names it.
type field struct {
	name      string
	quoted    string // `"name":`
	index     []int
	omitEmpty bool
	omitZero  bool
}

// shape is what this package needs to know of a struct type.
type shape struct {
	fields []field
	byName map[string]int
}

var shapes sync.Map // reflect.Type to *shape: a cache, the same for every session

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{byName: map[string]int{}}
	s.collect(t, nil)
	cached, _ := shapes.LoadOrStore(t, s)
	return cached.(*shape)
}

// collect adds t's fields; those of embedded structs count as t's own, and an
// outer field hides an inner one of the same name.
func (s *shape) collect(t reflect.Type, at []int) {
	var embedded []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			embedded = append(embedded, f)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		s.add(field{
			name:      name,
			index:     append(slices.Clone(at), i),
			omitEmpty: strings.Contains(options, "omitempty"),
			omitZero:  strings.Contains(options, "omitzero"),
		})
	}
	for _, f := range embedded {
		s.collect(f.Type, append(slices.Clone(at), f.Index...))
	}
}

func (s *shape) add(f field) {
	if _, hidden := s.byName[f.name]; hidden {
		return
	}
	e := encoder{}
	e.text(f.name)
	f.quoted = string(e.buf) + ":"
	s.byName[f.name] = len(s.fields)
	s.fields = append(s.fields, f)
}

func (s *shape) get(v reflect.Value, name string) (reflect.Value, bool) {
	i, ok := s.byName[name]
	if !ok {
		return reflect.Value{}, false
	}
	return s.fields[i].of(v), true
}

func (f *field) of(v reflect.Value) reflect.Value {
	if len(f.index) == 1 {
		return v.Field(f.index[0])
	}
	return v.FieldByIndex(f.index)
}

func (f *field) omitted(v reflect.Value) bool {
	if f.omitZero && v.IsZero() {
		return true
	}
	if !f.omitEmpty {
		return false
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// reflected appends what value has no case for.
func (e *encoder) reflected(v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		if !v.Type().Implements(textMarshaler) {
			e.text(v.String())
			return nil
		}
	case reflect.Bool:
		e.boolean(v.Bool())
		return nil
	case reflect.Float32, reflect.Float64:
		e.number(v.Float())
		return nil
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			e.raw("null")
			return nil
		}
	}
	if v.Type().Implements(textMarshaler) && v.CanInterface() {
		if _, known := v.Interface().(time.Time); !known {
			if _, known := v.Interface().(*big.Int); !known {
				return e.marshaler(v.Interface().(encoding.TextMarshaler))
			}
		}
	}
	switch {
	case v.CanInt():
		e.integer(v.Int())
		return nil
	case v.CanUint():
		return e.value(v.Uint())
	}
	return e.composite(v)
}

func (e *encoder) composite(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Struct:
		return e.fields(v)
	case reflect.Pointer, reflect.Interface:
		return e.element(v.Elem())
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			e.bytes(v.Bytes(), "")
			return nil
		}
		return e.slice(v)
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			return e.dictionary(v)
		}
	}
	return typeErrorf("a value of type %s cannot be sent", v.Type())
}

// element appends a part of a larger value. The kinds that value knows as Go
// types go there; the others need not be boxed.
func (e *encoder) element(v reflect.Value) error {
	switch v.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return e.reflected(v)
	case reflect.Interface:
		if v.IsNil() {
			e.raw("null")
			return nil
		}
	case reflect.Pointer:
		if v.IsNil() {
			e.raw("null")
			return nil
		}
	}
	return e.value(v.Interface())
}

func (e *encoder) fields(v reflect.Value) error {
	e.raw("{")
	separator := ""
	s := shapeOf(v.Type())
	for i := range s.fields {
		f := &s.fields[i]
		fv := f.of(v)
		if f.omitted(fv) {
			continue
		}
		e.raw(separator)
		e.raw(f.quoted)
		if err := e.element(fv); err != nil {
			return err
		}
		separator = ","
	}
	e.raw("}")
	return nil
}

// slice sends a nil slice as an empty array: readers can always iterate.
func (e *encoder) slice(v reflect.Value) error {
	e.raw("[[")
	for i := range v.Len() {
		if i > 0 {
			e.raw(",")
		}
		if err := e.element(v.Index(i)); err != nil {
			return err
		}
	}
	e.raw("]]")
	return nil
}

// dictionary sends a nil map as an empty object.
func (e *encoder) dictionary(v reflect.Value) error {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	e.raw("{")
	for i, k := range keys {
		if i > 0 {
			e.raw(",")
		}
		e.text(k.String())
		e.raw(":")
		if err := e.element(v.MapIndex(k)); err != nil {
			return err
		}
	}
	e.raw("}")
	return nil
}
