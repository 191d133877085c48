package transport

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"unicode/utf8"
)

const (
	booksJSON   = `{"name":"books-of-the-month","endpoint":"http://books.internal.example.com:8080/graphql","protocol":"http:graphql","region":"eu-central-1","tags":{"tier":"front"}}`
	pushBooks   = `["push",["pipeline",0,["echo"],[` + booksJSON + `]]]`
	answerBooks = `["resolve",1,` + booksJSON + `]`
)

// jsonDecoders take in a push and a resolve up to where a session acts on
// them: UTF-8 checked, expressions evaluated.
var jsonDecoders = map[string]func(message []byte) error{
	"ours": func() func([]byte) error {
		s := &Session{limits: Limits{}.withDefaults()}
		return func(message []byte) error { return decodeOurs(s, message) }
	}(),
	"encoding/json": func(message []byte) error {
		return decodeTree(message, json.Unmarshal)
	},
}

var jsonEncoders = map[string]func(to *bytes.Buffer, books any) error{
	"ours": func() func(*bytes.Buffer, any) error {
		e := &encoder{depth: 64}
		return func(to *bytes.Buffer, books any) error {
			e.buf = to.AvailableBuffer()
			e.raw(`["push",["pipeline",0,["echo"],`)
			if err := e.elements([]any{books}); err != nil {
				return err
			}
			e.raw("]]")
			_, err := to.Write(e.buf)
			return err
		}
	}(),
	"encoding/json": func(to *bytes.Buffer, books any) error {
		e := json.NewEncoder(to)
		e.SetEscapeHTML(false)
		return e.Encode(pushTree(books))
	},
}

// BenchmarkJSON compares ways to read and write the messages of an echo.
func BenchmarkJSON(b *testing.B) {
	for name, decode := range jsonDecoders {
		for kind, message := range map[string]string{"push": pushBooks, "resolve": answerBooks} {
			b.Run("decode="+kind+"/by="+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := decode([]byte(message)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	received, err := decodeData([]byte(booksJSON))
	if err != nil {
		b.Fatal(err)
	}
	for name, encode := range jsonEncoders {
		for kind, value := range map[string]any{"struct": books, "map": received} {
			b.Run("encode="+kind+"/by="+name, func(b *testing.B) {
				b.ReportAllocs()
				var to bytes.Buffer
				for b.Loop() {
					to.Reset()
					if err := encode(&to, value); err != nil {
						b.Fatal(err)
					}
				}
				if got := bytes.TrimSpace(to.Bytes()); len(got) != len(pushBooks) {
					b.Fatalf("wrote %s", got)
				}
			})
		}
	}
}

func decodeOurs(s *Session, message []byte) error {
	if !utf8.Valid(message) {
		return violation("not UTF-8")
	}
	d := &decoder{scanner: scanner{data: message, keys: &s.keys}, session: s, scope: anywhere{}, depth: s.limits.Depth}
	err := d.expect('[')
	if err != nil {
		return err
	}
	kind, err := d.key()
	if err != nil {
		return err
	}
	if kind == "push" {
		d.pos += len(`,["pipeline"`)
		if _, _, _, err = d.located(); err != nil {
			return err
		}
		if err = d.expect(']'); err != nil {
			return err
		}
		return d.close()
	}
	if _, err = d.nextInteger(); err != nil {
		return err
	}
	_, err = d.last()
	return err
}

// anywhere is a scope in which ids stand for nothing.
type anywhere struct{ nowhere }

func (anywhere) lookup(int64) (any, error) { return nil, nil }

// decodeTree reads a message into a tree and evaluates that.
func decodeTree(message []byte, unmarshal func([]byte, any) error) error {
	if !utf8.Valid(message) {
		return violation("not UTF-8")
	}
	var tree []any
	if err := unmarshal(message, &tree); err != nil {
		return err
	}
	values := tree[2:]
	if tree[0] == "push" {
		values = tree[1].([]any)[3].([]any)
	}
	for i, v := range values {
		var err error
		if values[i], err = evaluated(v, 256); err != nil {
			return err
		}
	}
	return nil
}

// evaluated is the value of an expression of plain data, in place.
func evaluated(v any, depth int) (_ any, err error) {
	if depth == 0 {
		return nil, errTooDeep
	}
	switch v := v.(type) {
	case []any:
		inner, ok := v[0].([]any)
		if !ok {
			return nil, fmt.Errorf("unexpected expression %v", v)
		}
		for i, item := range inner {
			if inner[i], err = evaluated(item, depth-1); err != nil {
				return nil, err
			}
		}
		return inner, nil
	case map[string]any:
		for key, item := range v {
			if v[key], err = evaluated(item, depth-1); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func pushTree(books any) any {
	return []any{"push", []any{"pipeline", 0, []any{"echo"}, []any{books}}}
}
