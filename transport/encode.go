package transport

import (
	"cmp"
	"encoding"
	"encoding/base64"
	"errors"
	"math"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// encoder appends values as Cap'n Web expressions. A reference among them is
// written by its table, which knows what the reader can refer to.
type encoder struct {
	buf   []byte
	table referrer // nil where references cannot be sent
	depth int      // how much deeper values may nest
}

// referrer writes expressions for what is passed by reference.
type referrer interface {
	stub(e *encoder, r ref) error
	promise(e *encoder, r ref, path []any) error
	target(e *encoder, t *Target) error
	item(e *encoder, i *Item) error
	writable(e *encoder, w *Writable) error
	readable(e *encoder, r *Readable) error
	blob(e *encoder, b Blob) error
	mark() mark
	undo(to mark) // takes back what was referred to since
}

// mark is a moment in the making of a message.
type mark struct{ exports, pipings int }

var errTooDeep = &Error{Name: "TypeError", Message: "the value nests too deep to be sent (does it contain itself?)"}

func (e *encoder) raw(s string)    { e.buf = append(e.buf, s...) }
func (e *encoder) integer(n int64) { e.buf = strconv.AppendInt(e.buf, n, 10) }

// value appends v. The common kinds are written out; the rest goes by reflection.
func (e *encoder) value(v any) error {
	if e.depth <= 0 {
		return errTooDeep
	}
	e.depth--
	defer func() { e.depth++ }()
	switch v := v.(type) {
	case nil:
		e.raw("null")
	case string:
		e.text(v)
	case bool:
		e.boolean(v)
	case float64:
		e.number(v)
	case int:
		e.integer(int64(v))
	case int64:
		e.integer(v)
	case uint64:
		e.buf = strconv.AppendUint(e.buf, v, 10)
	case []any:
		return e.list(v)
	case map[string]any:
		return e.object(v)
	case Undefined:
		e.raw(`["undefined"]`)
	case time.Time:
		e.date(v)
	case []byte:
		e.bytes(v, "")
	case Bytes:
		return e.container(v)
	case *big.Int:
		e.bigInt(v)
	case *Stub, *Promise, *Target, *Item, *Writable, *Readable, Blob:
		return e.reference(v)
	case *sealed:
		return v.writeTo(e)
	case URL, *url.URL, http.Header, *Request, *Response:
		return e.fetch(v)
	case *Error:
		if v == nil {
			e.raw("null")
			return nil
		}
		e.failure(v)
	case error:
		e.failure(v)
	default:
		return e.reflected(reflect.ValueOf(v))
	}
	return nil
}

func (e *encoder) boolean(v bool) { e.buf = strconv.AppendBool(e.buf, v) }

func (e *encoder) number(f float64) {
	switch {
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		e.integer(int64(f))
	case math.IsNaN(f):
		e.raw(`["nan"]`)
	case math.IsInf(f, 1):
		e.raw(`["inf"]`)
	case math.IsInf(f, -1):
		e.raw(`["-inf"]`)
	default:
		e.buf = strconv.AppendFloat(e.buf, f, 'g', -1, 64)
	}
}

func (e *encoder) date(t time.Time) {
	if t.IsZero() {
		e.raw(`["date",null]`)
		return
	}
	e.raw(`["date",`)
	e.integer(t.UnixMilli())
	e.raw("]")
}

func (e *encoder) bigInt(n *big.Int) {
	if n == nil {
		e.raw("null")
		return
	}
	e.raw(`["bigint","`)
	e.buf = n.Append(e.buf, 10)
	e.raw(`"]`)
}

func (e *encoder) bytes(b []byte, kind string) {
	e.raw(`["bytes","`)
	e.buf = base64.RawStdEncoding.AppendEncode(e.buf, b)
	if kind != "" {
		e.raw(`","`)
		e.raw(kind)
	}
	e.raw(`"]`)
}

func (e *encoder) container(b Bytes) error {
	if b.Kind == "" || b.Kind == "Uint8Array" {
		e.bytes(b.Data, "")
		return nil
	}
	if err := b.validate(); err != nil {
		return err
	}
	e.bytes(b.Data, b.Kind)
	return nil
}

// list wraps an array in another, which tells it from an expression.
func (e *encoder) list(list []any) error {
	e.raw("[")
	if err := e.elements(list); err != nil {
		return err
	}
	e.raw("]")
	return nil
}

func (e *encoder) elements(list []any) error {
	e.raw("[")
	for i, v := range list {
		if i > 0 {
			e.raw(",")
		}
		if err := e.value(v); err != nil {
			return err
		}
	}
	e.raw("]")
	return nil
}

// object writes keys in order, so that equal values have equal bytes.
func (e *encoder) object(m map[string]any) error {
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	e.raw("{")
	for i, k := range keys {
		if i > 0 {
			e.raw(",")
		}
		e.text(k)
		e.raw(":")
		if err := e.value(m[k]); err != nil {
			return err
		}
	}
	e.raw("}")
	return nil
}

func (e *encoder) reference(v any) error {
	if e.table == nil {
		return typeErrorf("%s cannot be sent here", kindOf(v))
	}
	switch v := v.(type) {
	case *Stub:
		if v == nil {
			e.raw("null")
			return nil
		}
		if v.released.Load() {
			return errReleased
		}
		return e.table.stub(e, v.ref)
	case *Promise:
		if v == nil {
			e.raw("null")
			return nil
		}
		if v.released.Load() {
			return errDropped
		}
		return e.table.promise(e, v.ref, v.path)
	case *Target:
		if v == nil {
			e.raw("null")
			return nil
		}
		return e.table.target(e, v)
	case *Writable:
		if v == nil {
			e.raw("null")
			return nil
		}
		return e.table.writable(e, v)
	case *Readable:
		if v == nil {
			e.raw("null")
			return nil
		}
		return e.table.readable(e, v)
	case Blob:
		return e.table.blob(e, v)
	default:
		return e.table.item(e, v.(*Item))
	}
}

// failure writes an error: its text, and the class and properties of the first
// *Error that it wraps. A property that cannot be sent is left out: the error
// itself always arrives. The stack stays here.
func (e *encoder) failure(err error) {
	full := &Error{}
	if errors.As(err, &full) && full.raw != nil && err == error(full) {
		e.buf = append(e.buf, full.raw...)
		return
	}
	e.raw(`["error",`)
	e.text(cmp.Or(full.Name, "Error"))
	e.raw(",")
	e.text(err.Error())
	if len(full.Props) > 0 {
		start := len(e.buf)
		e.raw(",null,{")
		if e.properties(full.Props) == 0 {
			e.buf = e.buf[:start]
		} else {
			e.raw("}")
		}
	}
	e.raw("]")
}

func (e *encoder) properties(props map[string]any) (sent int) {
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for k := range props {
			if !yield(k) {
				return
			}
		}
	}) {
		if key == "name" || key == "message" || key == "stack" {
			continue
		}
		start, depth, before := len(e.buf), e.depth, mark{}
		if e.table != nil {
			before = e.table.mark()
		}
		if sent > 0 {
			e.raw(",")
		}
		e.text(key)
		e.raw(":")
		if err := e.value(props[key]); err != nil {
			e.buf, e.depth = e.buf[:start], depth
			if e.table != nil {
				e.table.undo(before)
			}
			continue
		}
		sent++
	}
	return sent
}

// marshaler writes a type that knows its own text.
func (e *encoder) marshaler(m encoding.TextMarshaler) error {
	text, err := m.MarshalText()
	if err != nil {
		return typeErrorf("encode %T: %v", m, err)
	}
	e.text(string(text))
	return nil
}

// guarded writes an application's value, whose own code may run for that: a
// panic of it is an error.
func (e *encoder) guarded(write func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Message: "internal error", Props: map[string]any{"code": "internal"}}
		}
	}()
	return write()
}

const hexDigits = "0123456789abcdef"

// text writes a JSON string. Invalid UTF-8 becomes U+FFFD.
func (e *encoder) text(s string) {
	e.buf = append(e.buf, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				e.buf = append(append(e.buf, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		e.buf = append(e.buf, s[start:i]...)
		switch c {
		case '"', '\\':
			e.buf = append(e.buf, '\\', c)
		case '\n':
			e.buf = append(e.buf, '\\', 'n')
		case '\r':
			e.buf = append(e.buf, '\\', 'r')
		case '\t':
			e.buf = append(e.buf, '\\', 't')
		default:
			e.buf = append(e.buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	e.buf = append(append(e.buf, s[start:]...), '"')
}

// path writes the elements of a property path.
func (e *encoder) path(path []any) error {
	e.raw("[")
	for i, step := range path {
		if i > 0 {
			e.raw(",")
		}
		switch step := step.(type) {
		case string:
			e.text(step)
		case float64:
			e.number(step)
		case int:
			e.integer(int64(step))
		default:
			return typeErrorf("a property path holds strings and numbers, not %s", kindOf(step))
		}
	}
	e.raw("]")
	return nil
}
