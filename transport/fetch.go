package transport

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The values of the Fetch standard, which JavaScript has built in.

// URL is an absolute URL as text. A *url.URL is sent as one, too.
type URL string

// Parse returns the URL in parts.
func (u URL) Parse() (*url.URL, error) { return url.Parse(string(u)) }

// Request is a request as JavaScript's fetch knows it.
type Request struct {
	URL    string
	Method string      // empty means GET
	Header http.Header // may be nil
	// Body is nil, a string, []byte or a *Readable of bytes.
	Body any
	// Init has the rest of a RequestInit, such as "redirect" or "credentials",
	// as plain JSON values.
	Init map[string]any
}

// Response is a response as JavaScript's fetch knows it.
type Response struct {
	Status     int // 0 means 200
	StatusText string
	Header     http.Header // may be nil
	// Body is nil, a string, []byte or a *Readable of bytes.
	Body any
	// Init has the rest of a ResponseInit as plain JSON values.
	Init map[string]any
}

// fetch appends a value of the Fetch standard, other than a Blob.
func (e *encoder) fetch(v any) error {
	switch v := v.(type) {
	case URL:
		return e.url(string(v))
	case *url.URL:
		if v != nil {
			return e.url(v.String())
		}
	case http.Header:
		e.raw(`["headers",`)
		e.header(v)
		e.raw("]")
		return nil
	case *Request:
		if v != nil {
			return e.request(v)
		}
	case *Response:
		if v != nil {
			return e.response(v)
		}
	}
	e.raw("null")
	return nil
}

func (e *encoder) url(text string) error {
	if !absolute.MatchString(text) {
		return typeErrorf("URL %.64q is not absolute", text)
	}
	e.raw(`["url",`)
	e.text(text)
	e.raw("]")
	return nil
}

var absolute = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*:.`)

// header writes pairs as JavaScript's Headers enumerates them: names in lower
// case and in order, values of one name joined, except cookies.
func (e *encoder) header(h http.Header) {
	type pair struct{ name, value string }
	var pairs []pair
	for name, values := range h {
		name = strings.ToLower(name)
		if name != "set-cookie" {
			values = []string{strings.Join(values, ", ")}
		}
		for _, v := range values {
			pairs = append(pairs, pair{name, v})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	e.raw("[")
	for i, p := range pairs {
		if i > 0 {
			e.raw(",")
		}
		e.raw("[")
		e.text(p.name)
		e.raw(",")
		e.text(p.value)
		e.raw("]")
	}
	e.raw("]")
}

// body appends what a request's or response's Body may be.
func (e *encoder) body(v any) error {
	switch v.(type) {
	case nil, string, []byte, *Readable:
		return e.value(v)
	}
	return typeErrorf("a body is a string, bytes or a stream, not %s", kindOf(v))
}

// members writes what a request or response has beside its main parts.
type members struct {
	e     *encoder
	count int
}

func (m *members) member(name string) {
	if m.count > 0 {
		m.e.raw(",")
	}
	m.count++
	m.e.text(name)
	m.e.raw(":")
}

func (m *members) rest(init map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(init)) {
		data, err := json.Marshal(init[name])
		if err != nil {
			return typeErrorf("%s: %v", name, err)
		}
		m.member(name)
		m.e.buf = append(m.e.buf, data...)
	}
	return nil
}

func (e *encoder) request(r *Request) error {
	if !absolute.MatchString(r.URL) {
		return typeErrorf("URL %.64q is not absolute", r.URL)
	}
	e.raw(`["request",`)
	e.text(r.URL)
	e.raw(",{")
	m := members{e: e}
	if r.Method != "" && r.Method != http.MethodGet {
		m.member("method")
		e.text(r.Method)
	}
	if len(r.Header) > 0 {
		m.member("headers")
		e.header(r.Header)
	}
	if r.Body != nil {
		m.member("body")
		if err := e.body(r.Body); err != nil {
			return err
		}
		m.member("duplex")
		e.raw(`"half"`)
	}
	if err := m.rest(r.Init); err != nil {
		return err
	}
	e.raw("}]")
	return nil
}

func (e *encoder) response(r *Response) error {
	e.raw(`["response",`)
	if err := e.body(r.Body); err != nil {
		return err
	}
	e.raw(",{")
	m := members{e: e}
	if r.Status != 0 && r.Status != http.StatusOK {
		m.member("status")
		e.integer(int64(r.Status))
	}
	if r.StatusText != "" {
		m.member("statusText")
		e.text(r.StatusText)
	}
	if len(r.Header) > 0 {
		m.member("headers")
		e.header(r.Header)
	}
	if err := m.rest(r.Init); err != nil {
		return err
	}
	e.raw("}]")
	return nil
}

func (d *decoder) url() (any, error) {
	u, err := d.address()
	return u, err
}

func (d *decoder) address() (URL, error) {
	text, err := d.nextText()
	if err != nil {
		return "", err
	}
	if !absolute.MatchString(text) {
		return "", violation("URL %.64q is not absolute", text)
	}
	return URL(text), nil
}

func (d *decoder) headers() (any, error) {
	if err := d.next(); err != nil {
		return nil, err
	}
	return d.pairs()
}

// pairs reads a header.
func (d *decoder) pairs() (http.Header, error) {
	h := http.Header{}
	err := d.list(func() error {
		if err := d.expect('['); err != nil {
			return err
		}
		name, err := d.text()
		if err != nil {
			return err
		}
		value, err := d.nextText()
		if err != nil {
			return err
		}
		if strings.Trim(strings.ToLower(name), "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") != "" || name == "" {
			return violation("%.64q is not the name of a header", name)
		}
		if strings.ContainsAny(value, "\r\n\x00") {
			return violation("header %.64q has a value of more than one line", name)
		}
		h.Add(name, value)
		return d.expect(']')
	})
	return h, err
}

// readBody reads what a request's or response's Body may be.
func (d *decoder) readBody() (any, error) {
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil, string, []byte, *Readable:
		return v, nil
	case *Promise:
		v.Release()
	}
	return nil, violation("a body is a string, bytes or a stream, not %s", kindOf(v))
}

// members reads an object whose values member reads.
func (d *decoder) members(member func(name string) error) error {
	if err := d.deeper(); err != nil {
		return err
	}
	if err := d.expect('{'); err != nil {
		return err
	}
	for first := true; !d.accept('}'); first = false {
		if !first {
			if err := d.next(); err != nil {
				return err
			}
		}
		name, err := d.key()
		if err == nil {
			err = d.expect(':')
		}
		if err == nil {
			err = member(name)
		}
		if err != nil {
			return err
		}
	}
	d.depth++
	return nil
}

// plain reads a JSON value that is not an expression.
func (d *decoder) plain(dst any) error {
	raw, err := d.skip(d.depth)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		return violation("bad RPC message: %v", err)
	}
	return nil
}

func (d *decoder) request() (any, error) {
	u, err := d.address()
	if err != nil {
		return nil, err
	}
	if err := d.next(); err != nil {
		return nil, err
	}
	r := &Request{URL: string(u), Method: http.MethodGet, Header: http.Header{}}
	err = d.members(func(name string) (err error) {
		switch name {
		case "method":
			return d.plain(&r.Method)
		case "headers":
			r.Header, err = d.pairs()
		case "body":
			r.Body, err = d.readBody()
		case "duplex": // follows from the body
			return d.plain(new(any))
		default:
			err = d.more(&r.Init, name)
		}
		return err
	})
	return r, err
}

func (d *decoder) response() (any, error) {
	if err := d.next(); err != nil {
		return nil, err
	}
	r := &Response{Status: http.StatusOK, Header: http.Header{}}
	var err error
	if r.Body, err = d.readBody(); err != nil {
		return nil, err
	}
	if err := d.next(); err != nil {
		return nil, err
	}
	err = d.members(func(name string) (err error) {
		switch name {
		case "status":
			return d.plain(&r.Status)
		case "statusText":
			return d.plain(&r.StatusText)
		case "headers":
			r.Header, err = d.pairs()
		default:
			err = d.more(&r.Init, name)
		}
		return err
	})
	return r, err
}

// more reads a member that goes into init.
func (d *decoder) more(init *map[string]any, name string) error {
	var v any
	if err := d.plain(&v); err != nil {
		return err
	}
	if *init == nil {
		*init = map[string]any{}
	}
	(*init)[name] = v
	return nil
}
