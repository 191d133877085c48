package transport

import (
	"reflect"
	"time"
)

// lightWeight is a value's size in bytes up to which it is not counted: a
// session's bound on exports bounds these.
const lightWeight = 4 << 10

// weight guesses how many bytes v takes up: it looks into the first elements
// of lists and takes them for all.
func weight(v any) int { return weightTo(v, 6) }

// samples is how many elements of a list stand for all.
const samples = 16

// weightTo spares values as they arrive the reflection.
func weightTo(v any, depth int) int {
	switch v := v.(type) {
	case nil, bool, float64, Undefined, time.Time:
		return 16
	case string:
		return 16 + len(v)
	case []byte:
		return 24 + len(v)
	case []any:
		if depth == 0 {
			return 24
		}
		n, sampled := min(len(v), samples), 0
		for _, item := range v[:n] {
			sampled += 16 + weightTo(item, depth-1)
		}
		return extrapolate(sampled, n, len(v))
	case map[string]any:
		if depth == 0 {
			return 48
		}
		n, sampled := 0, 0
		for key, item := range v {
			sampled += 32 + len(key) + weightTo(item, depth-1)
			if n++; n == samples {
				break
			}
		}
		return 48 + extrapolate(sampled, n, len(v))
	}
	return weigh(reflect.ValueOf(v), depth)
}

func weigh(v reflect.Value, depth int) int {
	size := int(v.Type().Size())
	if depth == 0 {
		return size
	}
	switch v.Kind() {
	case reflect.String:
		size += v.Len()
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			size += weigh(v.Elem(), depth-1)
		}
	case reflect.Struct:
		for _, f := range shapeOf(v.Type()).fields {
			fv := f.of(v)
			size += weigh(fv, depth-1) - int(fv.Type().Size())
		}
	case reflect.Slice, reflect.Array:
		n := min(v.Len(), samples)
		sampled := 0
		for i := range n {
			sampled += weigh(v.Index(i), depth-1)
		}
		size += extrapolate(sampled, n, v.Len())
	case reflect.Map:
		n, sampled := 0, 0
		for it := v.MapRange(); n < samples && it.Next(); n++ {
			sampled += 16 + weigh(it.Key(), depth-1) + weigh(it.Value(), depth-1)
		}
		size += extrapolate(sampled, n, v.Len())
	}
	return size
}

func extrapolate(sampled, n, all int) int {
	if n == 0 {
		return 0
	}
	return int(float64(sampled) / float64(n) * float64(all))
}
