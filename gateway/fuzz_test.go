package gateway

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

// FuzzCursor: what a cursor passes is JSON, and it passes what is JSON.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{`{}`, `[1,-0.5e+7,"\u00e9\n",null,true,false,{"a":[]}]`, `01`, `1.`, `"\ud800"`, `{"a":1,}`, `nul`, ` "x" `, `[,]`, "\"\x7f\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := cursor{text: text}
		value, ok := c.value()
		ok = ok && c.ended() && utf8.Valid(text)
		want := json.Valid(text) && utf8.Valid(text)
		if ok != want && strings.Count(string(text), "[")+strings.Count(string(text), "{") < maxNesting {
			t.Fatalf("%q: got %v, want %v", text, ok, want)
		}
		if !ok || value[0] != '"' {
			return
		}
		var said string
		if err := json.Unmarshal(value, &said); err != nil {
			t.Fatal(err)
		}
		if got := string(unescape(value[1 : len(value)-1])); got != said {
			t.Fatalf("%s says %q, want %q", value, got, said)
		}
		var again string
		if err := json.Unmarshal(appendQuoted(nil, said), &again); err != nil || again != said {
			t.Fatalf("quoted again %q says %q, %v", said, again, err)
		}
	})
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"query":"{a}"}`, `{"query":"\u007ba}","variables":{"a":[1]},"operationName":"x","extensions":{}}`,
		`{"query":"{a}","query":"{b}","variables":null}`, `[{"query":"{a}"}]`, `{"query":1}`, `{"query":"{a}"}x`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := readRequest(body)
		var want struct {
			Query     string          `json:"query"`
			Name      *string         `json:"operationName"`
			Variables json.RawMessage `json:"variables"`
		}
		wrong := json.Unmarshal(body, &want)
		if err != nil {
			return
		}
		if wrong != nil {
			t.Fatalf("%q was taken: %v", body, wrong)
		}
		var members map[string]json.RawMessage
		_ = json.Unmarshal(body, &members) // other than the struct, this minds upper and lower case
		if got := string(unescape(r.query)); string(members["query"]) != "" && got != textOf(t, members["query"]) {
			t.Fatalf("query: got %q, want %s", got, members["query"])
		}
		if len(r.variables) > 0 && !bytes.Equal(bytes.TrimSpace(members["variables"]), r.variables) {
			t.Fatalf("variables: got %s, want %s", r.variables, members["variables"])
		}
	})
}

func textOf(t *testing.T, value []byte) string {
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// schemaOf is a schema of services that are not asked.
func schemaOf(t testing.TB, sdls ...string) *Schema {
	t.Helper()
	cfg := schemaConfig{limits: Limits{}.withDefaults(), log: slog.New(slog.DiscardHandler)}
	var parts []part
	for i, sdl := range sdls {
		name := string(rune('a' + i))
		is, err := describe(introspectionOfSDL(t, sdl), 1000)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part{service: newService(Service{Name: name, URL: "http://" + name}, nil, cfg.limits), is: is})
	}
	return merge(parts, cfg)
}

func introspectionOfSDL(t testing.TB, sdl string) []byte {
	t.Helper()
	s := &stub{t: t}
	s.become(sdl)
	r := request{query: []byte(strings.Trim(string(appendQuoted(nil, introspections()[0])), `"`))}
	data, refusal := schemaIn(introspectionOf(s.schema.Load(), r))
	if data == nil {
		t.Fatal(refusal)
	}
	return data
}

// FuzzSplice: whatever a service answers, the response is JSON.
func FuzzSplice(f *testing.F) {
	s := schemaOf(f, `type Query { t: T } type T { z: Int }`, `type Query { b: T u: [T] n: Int! } type T { a: Int t: [T] }`)
	queries := []string{
		`{ b { __typename a } n }`, `{ u { x: __typename t { __typename t { a } } } __typename }`, `{ n }`,
		`{ __typename @skip(if: true) x: b { a } y: b { ... { __typename } } }`,
	}
	for _, seed := range []string{
		`{"data":{"b":{"__typename":"T","a":1},"n":2}}`, `{"data":{"u":[{"x":"T","t":[{"__typename":"T","t":null}]},null]}}`,
		`{"data":null,"errors":[{"message":"m","path":["n",0],"extensions":{"code":"x","stack":1}}]}`, `{"errors":[1,{},{"message":1}]}`,
		`{"data":{"n":null}}`, `{"data":{"x":{"a":1},"y":{"__typename":"T"}},"extensions":{}}`, `{"data":{"b":"T","n":[]}}`,
	} {
		for i := range queries {
			f.Add([]byte(seed), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, query uint8) {
		p, err := s.plan(queries[int(query)%len(queries)], "")
		if err != nil {
			t.Fatal(err)
		}
		x := new(execution)
		x.reset(p)
		x.include()
		x.outcomes[0].asked = true
		x.take(0, body)
		x.answerLocally()
		response := x.respond()
		var got struct {
			Data   map[string]any
			Errors []struct {
				Message string
				Path    []any
			}
		}
		if err := json.Unmarshal(response, &got); err != nil {
			t.Fatalf("the response to %q is %s: %v", body, response, err)
		}
		if got.Data != nil && len(got.Data) != len(x.included) {
			t.Fatalf("data of %s has %d fields, want %d", response, len(got.Data), len(x.included))
		}
		if x.outcomes[0].fault == nil && !json.Valid(body) {
			t.Fatalf("%q was taken", body)
		}
	})
}

// FuzzIntrospection: what is taken as a schema merges with others into one that
// is valid.
func FuzzIntrospection(f *testing.F) {
	for _, sdl := range []string{booksSDL, filmsSDL, `type Query { q: Query n: N } interface N { id: ID } type A implements N { id: ID } union U = A | Query enum E { X } input I @oneOf { a: [Int!] b: Int } directive @d(i: I) on FIELD scalar S`} {
		f.Add(introspectionOfSDL(f, sdl))
	}
	f.Add([]byte(`{"__schema":{"queryType":{"name":"Q"},"types":[{"kind":"OBJECT","name":"Q","fields":[{"name":"x","type":{"kind":"SCALAR","name":"Int"}}]}]}}`))
	other, err := describe(introspectionOfSDL(f, booksSDL+`interface N { id: ID! } type A { x: Int } enum E { X } `), 1000)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		is, err := describe(data, 100)
		if err != nil {
			return
		}
		limits := Limits{}.withDefaults()
		parts := []part{
			{service: newService(Service{Name: "other", URL: "http://o"}, nil, limits), is: other},
			{service: newService(Service{Name: "fuzzed", URL: "http://f"}, nil, limits), is: is},
		}
		s := merge(parts, schemaConfig{limits: limits, log: slog.New(slog.DiscardHandler)})
		doc := &ast.SchemaDocument{Schema: ast.SchemaDefinitionList{{Position: nowhere}}}
		for _, op := range operations() {
			if d := rootOf(s.ast, op); d != nil {
				doc.Schema[0].OperationTypes = append(doc.Schema[0].OperationTypes,
					&ast.OperationTypeDefinition{Operation: op, Type: d.Name, Position: nowhere})
			}
		}
		for name, d := range s.ast.Types {
			if name == "Query" {
				d = withoutMeta(d)
			}
			doc.Definitions = append(doc.Definitions, d)
		}
		for _, d := range s.ast.Directives {
			doc.Directives = append(doc.Directives, d)
		}
		if _, err := validator.ValidateSchemaDocument(doc); err != nil {
			t.Fatalf("the merged schema is not valid: %v\n%s", err, data)
		}
		if _, err := describe(compacted(t, introspectionOf(s, request{query: []byte(strings.Trim(string(appendQuoted(nil, introspections()[0])), `"`))})), 1000); err != nil {
			t.Fatalf("its introspection is not taken: %v", err)
		}
	})
}

func compacted(t *testing.T, response []byte) []byte {
	data, refusal := schemaIn(response)
	if data == nil {
		t.Fatalf("%s: %s", refusal, response)
	}
	return data
}

// FuzzPlan: what is sent to a service is valid for it.
func FuzzPlan(f *testing.F) {
	const first, second = `type Query { t: T i: I q: Query } interface I { id: ID } type T implements I { id: ID z(a: Int): Int }`,
		`type Query { t(in: In, e: [E!]): T u: U i: I } interface I { id: ID } type T implements I { id: ID a(in: In): U } type V { v: String t: T }
		 union U = T | V input In { e: E = A s: String } enum E { A B } type Mutation { m(i: Int!): V n: T } type Subscription { s: T }`
	s := schemaOf(f, first, second)
	own := map[string]*ast.Schema{"a": gqlparser.MustLoadSchema(&ast.Source{Input: first}), "b": gqlparser.MustLoadSchema(&ast.Source{Input: second})}
	for _, seed := range []string{
		`{ t { id z(a: 1) } b_t(in: {e: B, s: "x\n"}, e: [A]) { __typename a { ...on V { v } ...f } } } fragment f on b_T { id ...g } fragment g on I { id ...on T { z } }`,
		`query Q($x: Boolean = true, $in: In, $n: Int) { i { id ...on b_T { a(in: $in) { __typename } } ...on T { z(a: $n) } } ...r @include(if: $x) } fragment r on Query { u @skip(if: $x) { ...on V { t { id } } } b_i { id } }`,
		`mutation($i: Int!) { a: m(i: $i) { v } n { id } m(i: 3) { v } }`, `subscription { s { id } }`, `{ q { t { id } __typename } __schema { types { name } } }`,
		`{ b_t(in: {s: """block "quoted" \""" """}) { id } }`, `{ t { ...e } } fragment e on I { ...on b_T { id } }`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, document string) {
		p, err := s.plan(document, "")
		if err != nil {
			return
		}
		for i := range p.steps {
			var sent struct {
				Query string `json:"query"`
			}
			if err := json.Unmarshal(p.steps[i].bare, &sent); err != nil {
				t.Fatalf("%s: %v", p.steps[i].bare, err)
			}
			doc, err := parser.ParseQuery(&ast.Source{Input: sent.Query})
			if err != nil {
				t.Fatalf("%q became %q: %v", document, sent.Query, err)
			}
			if errs := validator.ValidateWithRules(own[p.steps[i].source.service.Name], doc, nil); len(errs) > 0 {
				t.Fatalf("%q became %q: %v", document, sent.Query, errs)
			}
		}
	})
}
