package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// object is what a client sent where an object belongs. It is read strictly:
// a value of the wrong kind is refused with its path, never converted.
type object struct {
	path   string // "" for the action itself, "data" for its data
	fields map[string]any
}

// objectAt takes a map as it came from the wire, or a Go struct by its JSON
// keys.
func objectAt(path string, v any) (object, error) {
	if fields, ok := v.(map[string]any); ok {
		return object{path, fields}, nil
	}
	where := path
	if where == "" {
		where = "action"
	}
	if absent(v) {
		return object{}, invalid("%s: is missing; send an object", where)
	}
	if fields, ok := byKeys(v); ok {
		return object{path, fields}, nil
	}
	return object{}, invalid("%s: is %s; send an object", where, kind(v))
}

// byKeys reads a struct, a pointer to one, or a typed map.
func byKeys(v any) (map[string]any, bool) {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		return nil, false
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, false
	}
	var fields map[string]any
	return fields, json.Unmarshal(encoded, &fields) == nil && fields != nil
}

func (o object) at(key string) string {
	if o.path == "" {
		return key
	}
	return o.path + "." + key
}

// text is a string that must be there; wanted says what to send.
func (o object) text(key, wanted string) (string, error) {
	if absent(o.fields[key]) {
		return "", invalid("%s: is missing; %s", o.at(key), wanted)
	}
	return o.optionalText(key)
}

// optionalText is a string, or empty where there is none.
func (o object) optionalText(key string) (string, error) {
	v := o.fields[key]
	if s, ok := v.(string); ok {
		return s, nil
	}
	if absent(v) {
		return "", nil
	}
	return "", invalid("%s: is %s; send a string", o.at(key), kind(v))
}

// count is a whole number from 0 up, or 0 where there is none.
func (o object) count(key string) (uint64, error) {
	v := o.fields[key]
	if absent(v) {
		return 0, nil
	}
	n, ok := v.(float64)
	if !ok && kind(v) == aNumber {
		n, ok = reflect.ValueOf(v).Convert(reflect.TypeFor[float64]()).Interface().(float64)
	}
	switch {
	case !ok:
		return 0, invalid("%s: is %s; send a number", o.at(key), kind(v))
	case n != math.Trunc(n) || n < 0 || n > maxCount:
		return 0, invalid("%s: is %v; send a whole number from 0 up", o.at(key), n)
	}
	return uint64(n), nil
}

// maxCount is the largest whole number that a JavaScript number holds exactly.
const maxCount = 1<<53 - 1

// list is a list, or nil where there is none.
func (o object) list(key string) ([]any, error) {
	v := o.fields[key]
	if l, ok := v.([]any); ok || absent(v) {
		return l, nil
	}
	return nil, invalid("%s: is %s; send a list", o.at(key), kind(v))
}

// texts is a list of strings, or nil where there is none.
func (o object) texts(key string) ([]string, error) {
	if s, ok := o.fields[key].([]string); ok {
		return s, nil
	}
	items, err := o.list(key)
	if err != nil || items == nil {
		return nil, err
	}
	texts := make([]string, len(items))
	for i, v := range items {
		s, ok := v.(string)
		if !ok {
			return nil, invalid("%s.%d: is %s; send a string", o.at(key), i, kind(v))
		}
		texts[i] = s
	}
	return texts, nil
}

// textMap is an object whose values are strings, or nil where there is none.
func (o object) textMap(key string) (map[string]string, error) {
	if absent(o.fields[key]) {
		return nil, nil
	}
	inner, err := objectAt(o.at(key), o.fields[key])
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(inner.fields))
	for k, v := range inner.fields {
		s, ok := v.(string)
		if !ok {
			return nil, invalid("%s.%s: is %s; send a string", o.at(key), clip(k, 80), kind(v))
		}
		texts[k] = s
	}
	return texts, nil
}

// absent is what a client means by leaving a field out: nothing, null, or
// undefined, which the transport hands on as a value of an empty struct type.
func absent(v any) bool {
	if v == nil {
		return true
	}
	t := reflect.TypeOf(v)
	return t.Kind() == reflect.Struct && t.NumField() == 0
}

const aNumber = "a number"

// kind names a value the way its sender would.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case time.Time:
		return "a date"
	case []byte:
		return "bytes"
	case error:
		return "an error"
	}
	switch t := reflect.TypeOf(v); t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map:
		return "an object"
	default:
		if reflect.TypeFor[float64]().ConvertibleTo(t) {
			return aNumber
		}
		return "something else"
	}
}

// quote shows a client's text in a message, the start of it if it is long.
func quote(s string) string { return fmt.Sprintf("%q", clip(s, 80)) }

// clip cuts a text to at most n bytes, and marks the cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
