package transport

import (
	"encoding"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"reflect"
	"slices"
	"time"
)

// Decode puts a received value into what dst points to. It is strict: a value
// of another type, a number that does not fit, or null for what cannot be nil
// is an *Error with Name TypeError that names the path, as in
// `data.endpoint: want a string, got a number`. Structs are filled by their
// json tags; keys without a field are ignored, fields without a key and those
// with undefined stay as they are. Any *Stub goes into a *Stub or an any. A
// Go value that never crossed a wire is taken as if it had.
func Decode(v any, dst any) error {
	d := reflect.ValueOf(dst)
	if d.Kind() != reflect.Pointer || d.IsNil() {
		return fmt.Errorf("decode into %T: want a pointer", dst)
	}
	if err := unpack(v, d.Elem()); err != nil {
		return err.finished()
	}
	return nil
}

// misfit is why a value does not go where it should, and where in it.
type misfit struct {
	path   []any // backwards
	reason string
}

func misfitf(format string, args ...any) *misfit {
	return &misfit{reason: fmt.Sprintf(format, args...)}
}

func mismatch(t reflect.Type, v any) *misfit {
	return misfitf("want %s, got %s", wanted(t), kindOf(v))
}

// under is the misfit as seen from one step further out.
func (m *misfit) under(step any) *misfit {
	m.path = append(m.path, step)
	return m
}

func (m *misfit) finished() error {
	if len(m.path) == 0 {
		return typeErrorf("%s", m.reason)
	}
	slices.Reverse(m.path)
	return typeErrorf("%s: %s", pathName(m.path), m.reason)
}

var (
	timeType    = reflect.TypeFor[time.Time]()
	bigIntType  = reflect.TypeFor[big.Int]()
	bytesType   = reflect.TypeFor[Bytes]()
	errorType   = reflect.TypeFor[error]()
	unmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func unpack(v any, d reflect.Value) *misfit {
	if text, ok := v.(string); ok && d.Kind() == reflect.String {
		d.SetString(text)
		return nil
	}
	if text, ok := v.(URL); ok && d.Kind() == reflect.String {
		d.SetString(string(text))
		return nil
	}
	if _, skip := v.(Undefined); skip && d.Kind() != reflect.Interface {
		return nil
	}
	if r := reflect.ValueOf(v); r.IsValid() && r.Type().AssignableTo(d.Type()) {
		d.Set(r)
		return nil
	}
	if v == nil {
		return unpackNull(d)
	}
	switch d.Type() {
	case timeType:
		return mismatch(timeType, v)
	case bigIntType:
		n, ok := v.(*big.Int)
		if !ok {
			return mismatch(bigIntType, v)
		}
		d.Addr().Interface().(*big.Int).Set(n)
		return nil
	case bytesType:
		data, ok := v.([]byte)
		if !ok {
			return mismatch(bytesType, v)
		}
		d.Set(reflect.ValueOf(Bytes{Kind: "Uint8Array", Data: data}))
		return nil
	}
	if text, ok := v.(string); ok && d.CanAddr() && reflect.PointerTo(d.Type()).Implements(unmarshaler) {
		if err := d.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			return misfitf("%v", err)
		}
		return nil
	}
	return unpackKind(v, d)
}

func unpackNull(d reflect.Value) *misfit {
	switch d.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		d.SetZero()
		return nil
	}
	return mismatch(d.Type(), nil)
}

// wanted names a Go type as its sender would.
func wanted(t reflect.Type) string {
	switch t {
	case timeType:
		return "a date"
	case bigIntType:
		return "a bigint"
	case bytesType:
		return "bytes"
	case errorType, reflect.TypeFor[*Error]():
		return "an error"
	case reflect.TypeFor[*Stub]():
		return "a stub or function"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "an array"
	case reflect.Pointer:
		return wanted(t.Elem())
	}
	return "a number"
}

func unpackKind(v any, d reflect.Value) *misfit {
	switch d.Kind() {
	case reflect.Pointer:
		return unpackPointer(v, d)
	case reflect.Struct:
		return unpackFields(v, d)
	case reflect.Map:
		return unpackMap(v, d)
	case reflect.Slice:
		return unpackSlice(v, d)
	case reflect.String, reflect.Bool:
		if r := reflect.ValueOf(v); r.Kind() == d.Kind() {
			d.Set(r.Convert(d.Type()))
			return nil
		}
		return mismatch(d.Type(), v)
	case reflect.Interface:
		return mismatch(d.Type(), v)
	}
	return unpackNumber(v, d)
}

func unpackPointer(v any, d reflect.Value) *misfit {
	switch d.Type() {
	case reflect.TypeFor[*Stub](), reflect.TypeFor[*Promise](), reflect.TypeFor[*Target](), reflect.TypeFor[*Error]():
		return mismatch(d.Type(), v)
	}
	fresh := reflect.New(d.Type().Elem())
	if m := unpack(v, fresh.Elem()); m != nil {
		return m
	}
	d.Set(fresh)
	return nil
}

func unpackNumber(v any, d reflect.Value) *misfit {
	f, ok := numeric(v)
	if !ok {
		return mismatch(d.Type(), v)
	}
	whole := f == math.Trunc(f)
	switch {
	case d.CanFloat():
		d.SetFloat(f)
		return nil
	case d.CanInt():
		if whole && f >= -1<<63 && f < 1<<63 && !d.OverflowInt(int64(f)) {
			d.SetInt(int64(f))
			return nil
		}
	case d.CanUint():
		if whole && f >= 0 && f < 1<<64 && !d.OverflowUint(uint64(f)) {
			d.SetUint(uint64(f))
			return nil
		}
	default:
		return misfitf("a Go value of type %s cannot be filled", d.Type())
	}
	return misfitf("want a whole number that fits %s, got %v", d.Kind(), f)
}

func numeric(v any) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), true
	}
	return 0, false
}

func unpackFields(v any, d reflect.Value) *misfit {
	object, ok := v.(map[string]any)
	if !ok {
		return unpackForeign(v, d)
	}
	s := shapeOf(d.Type())
	for i := range s.fields {
		f := &s.fields[i]
		item, ok := object[f.name]
		if !ok {
			continue
		}
		if m := unpack(item, f.of(d)); m != nil {
			return m.under(f.name)
		}
	}
	return nil
}

func unpackMap(v any, d reflect.Value) *misfit {
	object, ok := v.(map[string]any)
	if !ok || d.Type().Key().Kind() != reflect.String {
		return unpackForeign(v, d)
	}
	result := reflect.MakeMapWithSize(d.Type(), len(object))
	e := reflect.New(d.Type().Elem()).Elem()
	for key, item := range object {
		e.SetZero()
		if m := unpack(item, e); m != nil {
			return m.under(key)
		}
		result.SetMapIndex(reflect.ValueOf(key).Convert(d.Type().Key()), e)
	}
	d.Set(result)
	return nil
}

func unpackSlice(v any, d reflect.Value) *misfit {
	bytes := d.Type().Elem().Kind() == reflect.Uint8
	switch v := v.(type) {
	case []byte:
		if bytes {
			d.SetBytes(v)
			return nil
		}
	case Bytes:
		if bytes {
			d.SetBytes(v.Data)
			return nil
		}
	}
	list, ok := v.([]any)
	if !ok || bytes {
		return unpackForeign(v, d)
	}
	s := reflect.MakeSlice(d.Type(), len(list), len(list))
	for i, item := range list {
		if m := unpack(item, s.Index(i)); m != nil {
			return m.under(i)
		}
	}
	d.Set(s)
	return nil
}

// unpackForeign decodes a composite Go value of another type by way of the
// wire.
func unpackForeign(v any, d reflect.Value) *misfit {
	switch v.(type) {
	case bool, float64, string, []any, map[string]any, []byte, Bytes, time.Time, *big.Int, error, *Stub, *Promise, *Target,
		Undefined, *Readable, *Writable, Blob, URL, http.Header, *Request, *Response:
		return mismatch(d.Type(), v)
	}
	plain, err := wireForm(v)
	if err != nil {
		return misfitf("%v", err)
	}
	return unpack(plain, d)
}

// wireForm gives a Go value without references as it would arrive.
func wireForm(v any) (any, error) {
	s := &Session{limits: Limits{}.withDefaults()}
	e := encoder{depth: s.limits.Depth}
	if err := e.value(v); err != nil {
		return nil, err
	}
	d := decoder{scanner: scanner{data: e.buf}, session: s, depth: s.limits.Depth, out: &payload{}}
	return d.value()
}
