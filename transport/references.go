package transport

import (
	"math/big"
	"reflect"
	"sync"
	"time"
)

// refers says whether there is a reference in v.
func refers(v any) (found bool) {
	references(v, func(any) { found = true })
	return found
}

// references calls f for each *Target, *Stub and *Promise in v. It gives up on
// what nests too deep to be sent, such as a value that contains itself.
func references(v any, f func(any)) { _ = walkReferences(v, f, maxWalk) }

// maxWalk is deeper than anything that can be sent.
const maxWalk = 1000

func walkReferences(v any, f func(any), depth int) (ok bool) {
	switch v := v.(type) {
	case nil, bool, string, float64, int, Undefined, time.Time, []byte:
		return true
	case *Target:
		if v != nil {
			f(v)
		}
		return true
	case *Stub:
		if v != nil {
			f(v)
		}
		return true
	case *Promise:
		if v != nil {
			f(v)
		}
		return true
	case *Readable:
		if v != nil {
			f(v)
		}
		return true
	case *Writable:
		if v != nil {
			f(v)
		}
		return true
	case *sealed:
		f(v)
		return true
	case []any:
		for _, item := range v {
			if depth == 0 || !walkReferences(item, f, depth-1) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, item := range v {
			if depth == 0 || !walkReferences(item, f, depth-1) {
				return false
			}
		}
		return true
	case *Error:
		return v == nil || walkReferences(v.Props, f, depth)
	}
	return !mayRefer(reflect.TypeOf(v)) || reflectedReferences(reflect.ValueOf(v), f, depth)
}

func reflectedReferences(v reflect.Value, f func(any), depth int) (ok bool) {
	if !mayRefer(v.Type()) {
		return true
	}
	if depth == 0 {
		return false
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		switch {
		case v.IsNil():
		case v.Kind() == reflect.Interface || isReference(v.Type()):
			return walkReferences(v.Interface(), f, depth-1)
		default:
			return reflectedReferences(v.Elem(), f, depth-1)
		}
	case reflect.Struct:
		for _, field := range shapeOf(v.Type()).fields {
			if !reflectedReferences(field.of(v), f, depth-1) {
				return false
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if !reflectedReferences(v.Index(i), f, depth-1) {
				return false
			}
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if !reflectedReferences(it.Value(), f, depth-1) {
				return false
			}
		}
	}
	return true
}

// isReference says whether walkReferences has a case for the pointer type t.
func isReference(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[*Target](), reflect.TypeFor[*Stub](), reflect.TypeFor[*Promise](), reflect.TypeFor[*Error](),
		reflect.TypeFor[*Readable](), reflect.TypeFor[*Writable]():
		return true
	}
	return false
}

var referring sync.Map // reflect.Type to bool: a cache, the same for every session

// mayRefer says whether a value of type t can hold a reference.
func mayRefer(t reflect.Type) bool {
	if known, ok := referring.Load(t); ok {
		return known.(bool)
	}
	may := canRefer(t, map[reflect.Type]bool{})
	referring.Store(t, may)
	return may
}

func canRefer(t reflect.Type, seen map[reflect.Type]bool) bool {
	switch {
	case isReference(t):
		return true
	case t == timeType, t == reflect.TypeFor[*big.Int]():
		return false
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return canRefer(t.Elem(), seen)
	case reflect.Struct:
		for _, field := range shapeOf(t).fields {
			if canRefer(t.FieldByIndex(field.index).Type, seen) {
				return true
			}
		}
	}
	return false
}
