package transport

import (
	"encoding/base64"
	"math"
	"math/big"
	"strings"
	"time"
)

// decoder evaluates expressions as it reads them. Its errors are violations:
// they abort the session.
type decoder struct {
	scanner
	session *Session
	scope   scope
	out     *payload
	depth   int // how much deeper values may nest
	// streaming says that the message is a call of a stream's writer.
	streaming bool
	// evaluating says that a proxy, too, needs the values.
	evaluating bool
	// turn is the reader's, who will run the calls; nil has them run at once.
	turn *turn
}

// scope says what the ids in an expression stand for. Import and export are
// the sender's words.
type scope interface {
	// lookup gives what the sender imports: a ref, or in a map a kept value.
	lookup(id int64) (any, error)
	importStub(id int64) (ref, error)
	importPromise(id int64) (ref, error)
	// importStream gives the readable end of a stream, or in a copy within this
	// process what was kept.
	importStream(id int64) (any, error)
}

// single evaluates one expression into a payload of one value.
func (d *decoder) single() (*payload, error) {
	outer, p := d.out, &payload{args: make([]any, 1)}
	d.out = p
	v, err := d.outcome()
	if err == nil {
		p.args[0] = v
		d.wait(v, place{list: p.args})
	}
	return d.filled(p, outer, err)
}

// arguments evaluates a bare array of expressions into a payload.
func (d *decoder) arguments() (*payload, error) {
	outer, p := d.out, &payload{}
	d.out = p
	var err error
	if d.proxied() {
		p.sealed, err = d.seal(true)
	} else if err = d.expect('['); err == nil {
		p.args, err = d.elements()
	}
	return d.filled(p, outer, err)
}

// filled goes on with the outer payload. After an error p owns nothing.
func (d *decoder) filled(p, outer *payload, err error) (*payload, error) {
	d.out = outer
	if err != nil {
		p.release()
		return nil, err
	}
	return p, nil
}

// wait notes a promise's place, if v is one.
func (d *decoder) wait(v any, at place) {
	if p, ok := v.(*Promise); ok {
		at.promise = p
		d.out.waits = append(d.out.waits, at)
	}
}

func (d *decoder) value() (any, error) {
	switch c := d.peek(); {
	case c == '"':
		return d.text()
	case c == '{':
		return d.object()
	case c == '[':
		return d.array()
	case c == '-' || c-'0' < 10:
		return d.number()
	case c == 't':
		return true, d.word("true")
	case c == 'f':
		return false, d.word("false")
	case c == 'n':
		return nil, d.word("null")
	}
	return nil, d.malformed("a value")
}

func (d *decoder) deeper() error {
	if d.depth--; d.depth < 0 {
		return violation("message nests deeper than %d", d.session.limits.Depth)
	}
	return nil
}

func (d *decoder) object() (any, error) {
	if err := d.deeper(); err != nil {
		return nil, err
	}
	d.pos++
	object := make(map[string]any)
	if !d.accept('}') {
		for {
			key, err := d.key()
			if err == nil {
				err = d.expect(':')
			}
			if err != nil {
				return nil, err
			}
			v, err := d.value()
			if err != nil {
				return nil, err
			}
			object[key] = v
			d.wait(v, place{object: object, key: key})
			if d.accept('}') {
				break
			}
			if err := d.expect(','); err != nil {
				return nil, err
			}
		}
	}
	d.depth++
	return object, nil
}

// array reads an array wrapped in an array, or an expression.
func (d *decoder) array() (any, error) {
	if err := d.deeper(); err != nil {
		return nil, err
	}
	d.pos++
	var v any
	var err error
	switch d.peek() {
	case '[':
		d.pos++
		v, err = d.elements()
		if err == nil {
			err = d.expect(']')
		}
	case '"':
		v, err = d.expression()
	default:
		return nil, d.malformed("an array in an array, or the name of an expression")
	}
	d.depth++
	return v, err
}

// elements reads what is left of an array after its '['.
func (d *decoder) elements() ([]any, error) {
	list := make([]any, 0, 4)
	if d.accept(']') {
		return list, nil
	}
	promises := false
	var err error
	for {
		var v any
		if v, err = d.value(); err != nil {
			break
		}
		list = append(list, v)
		if _, ok := v.(*Promise); ok {
			promises = true
		}
		if d.accept(']') {
			break
		}
		if err = d.expect(','); err != nil {
			break
		}
	}
	if promises { // also after an error: the payload releases them
		for i, v := range list {
			d.wait(v, place{list: list, index: i})
		}
	}
	return list, err
}

// next moves on to the following element of an expression.
func (d *decoder) next() error { return d.expect(',') }

func (d *decoder) nextText() (string, error) {
	if err := d.next(); err != nil {
		return "", err
	}
	return d.text()
}

func (d *decoder) nextInteger() (int64, error) {
	if err := d.next(); err != nil {
		return 0, err
	}
	return d.integer()
}

// expression reads an expression from its name on.
func (d *decoder) expression() (v any, err error) {
	name, err := d.key()
	if err != nil {
		return nil, err
	}
	v, err = d.evaluate(name)
	if err != nil {
		return nil, err
	}
	if err := d.expect(']'); err != nil {
		if p, ok := v.(*Promise); ok {
			p.Release() // it has no place in the payload yet
		}
		return nil, err
	}
	return v, nil
}

// evaluate reads an expression between its name and its end.
func (d *decoder) evaluate(name string) (v any, err error) {
	switch name {
	case "undefined":
		v = Undefined{}
	case "inf":
		v = math.Inf(1)
	case "-inf":
		v = math.Inf(-1)
	case "nan":
		v = math.NaN()
	case "date":
		v, err = d.date()
	case "bigint":
		v, err = d.bigInt()
	case "bytes":
		v, err = d.bytes()
	case "error":
		v, err = d.failure()
	case "import", "pipeline":
		v, err = d.reference(name == "pipeline")
	case "remap":
		v, err = d.remap()
	case "export", "promise":
		v, err = d.introduction(name == "promise")
	case "writable":
		v, err = d.writable()
	case "readable":
		v, err = d.readable()
	case "blob":
		v, err = d.blob()
	case "url":
		v, err = d.url()
	case "headers":
		v, err = d.headers()
	case "request":
		v, err = d.request()
	case "response":
		v, err = d.response()
	default:
		err = violation("bad RPC message: unknown expression %.64q", name)
	}
	return v, err
}

// writable reads ["writable", id].
func (d *decoder) writable() (any, error) {
	id, err := d.nextInteger()
	if err != nil {
		return nil, err
	}
	r, err := d.scope.importStub(id)
	if err != nil {
		return nil, err
	}
	return &Writable{stub: d.refer(r, false).(*Stub)}, nil
}

// readable reads ["readable", id].
func (d *decoder) readable() (any, error) {
	id, err := d.nextInteger()
	if err != nil {
		return nil, err
	}
	v, err := d.scope.importStream(id)
	if r, ok := v.(*Readable); ok {
		r.lent.Store(true)
		d.out.reads = append(d.out.reads, r)
	}
	return v, err
}

// maxDate is as far as JavaScript's dates reach, in milliseconds.
const maxDate = 8.64e15

func (d *decoder) date() (any, error) {
	if err := d.next(); err != nil {
		return nil, err
	}
	if d.peek() == 'n' {
		return time.Time{}, d.word("null")
	}
	if c := d.peek(); c != '-' && c-'0' >= 10 {
		return nil, d.malformed("milliseconds or null")
	}
	ms, err := d.number()
	if err != nil {
		return nil, err
	}
	if math.Abs(ms) > maxDate {
		return time.Time{}, nil
	}
	return time.UnixMilli(int64(ms)).UTC(), nil
}

func (d *decoder) bigInt() (any, error) {
	text, err := d.nextText()
	if err != nil {
		return nil, err
	}
	digits := strings.TrimPrefix(text, "-")
	if len(digits) > d.session.limits.BigIntDigits {
		return nil, violation("bigint of more than %d digits", d.session.limits.BigIntDigits)
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return nil, violation("bigint %.64q is not a decimal number", text)
	}
	n, _ := new(big.Int).SetString(text, 10)
	return n, nil
}

func (d *decoder) bytes() (any, error) {
	text, err := d.nextText()
	if err != nil {
		return nil, err
	}
	data, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, violation("bytes are not base64: %v", err)
	}
	if !d.accept(',') {
		return data, nil
	}
	kind, err := d.text()
	if err != nil {
		return nil, err
	}
	if kind == "Uint8Array" {
		return data, nil
	}
	b := Bytes{Kind: kind, Data: data}
	if err := b.validate(); err != nil {
		return nil, violation("%v", err)
	}
	return b, nil
}

// failure reads ["error", type, message, stack?, props?].
func (d *decoder) failure() (any, error) {
	name, err := d.nextText()
	if err != nil {
		return nil, err
	}
	message, err := d.nextText()
	if err != nil {
		return nil, err
	}
	e := &Error{Name: name, Message: message}
	if !d.accept(',') {
		return e, nil
	}
	if d.peek() == '"' {
		e.Stack, err = d.text()
	} else {
		_, err = d.skip(d.depth)
	}
	if err != nil || !d.accept(',') {
		return e, err
	}
	if d.peek() != '{' {
		return nil, d.malformed("an error's properties")
	}
	props, err := d.object()
	if err == nil {
		e.Props = props.(map[string]any)
	}
	return e, err
}
