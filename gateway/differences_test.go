package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What comparing with graphql-js has found: cluster-tests/js/differential.mjs.

func TestMutationsRunInTheOrderOfWhatThereIs(t *testing.T) {
	var order []string
	note := func(name string) func(map[string]any) any {
		return func(map[string]any) any {
			order = append(order, name)
			return 1
		}
	}
	a := newStub(t, `type Query { q: Int } type Mutation { a: Int a2: Int! }`).on("Mutation.a", note("a")).on("Mutation.a2", note("a2"))
	b := newStub(t, `type Query { r: Int } type Mutation { b: Int b2: Int! }`).on("Mutation.b", note("b")).value("Mutation.b2", nil)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	const variables = `{"y": true, "n": false}`
	for _, c := range []struct{ mutation, order, answer string }{
		{`($n: Boolean!) { a @include(if: $n) b a }`, "b a", `{"data":{"b":1,"a":1}}`},
		{`($y: Boolean!) { a @include(if: $y) b a }`, "a b", `{"data":{"a":1,"b":1}}`},
		{`($y: Boolean!) { ...{ b @skip(if: $y) } a2 b a }`, "a2 b a", `{"data":{"a2":1,"b":1,"a":1}}`},
		{`($n: Boolean!) { a @include(if: $n) b2 a }`, "", `{"data":null,"errors":[{"message":"service b answered without this field","path":["b2"]`},
		{`{ a a2 b a }`, "a a2 b", `{"data":{"a":1,"a2":1,"b":1}}`},
	} {
		order = nil
		wantHas(t, post(t, g, "mutation"+c.mutation, variables), c.answer)
		if got := strings.Join(order, " "); got != c.order {
			t.Errorf("%s ran %q, want %q", c.mutation, got, c.order)
		}
	}
}

func TestIntrospectionSelectsWhatHolds(t *testing.T) {
	g := gatewayOf(t, Config{}, newStub(t, `type Query { a: Int }`).named("a"))
	got := post(t, g, `query($n: Boolean!) { __schema @include(if: $n) { directives { name } } __schema { queryType { name } } }`, `{"n": false}`)
	wantEqual(t, got, `{"data":{"__schema":{"queryType":{"name":"Query"}}}}`)
}

// TestKeysMayBeEscaped: JSON says the same with and without escapes (RFC 8259 §8.3).
func TestKeysMayBeEscaped(t *testing.T) {
	old := newStub(t, `type Query { book: Book } type Book { b: Int }`)
	a := newStub(t, `type Query { a: Int other: Book c: Int } type Book { a: Int }`)
	g := gatewayOf(t, Config{}, old.named("old"), a.named("new"))
	a.handleWith(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"\u0064ata": {"\u0061": 1, "o\u0074her": {"\u006b": "Book", "\u0061":2}, "c": null},
			"err\u006frs": [{"\u006dessage": "no", "pat\u0068": ["c"], "e\u0078tensions": {"\u0073tack": "secret", "\u006bind": 1}}]}`))
		return true
	})
	got := postBody(t, g, `{"\u0071uery": "{ a other { k: __typename a } c }"}`).Body.String()
	wantEqual(t, got, `{"data":{"a":1,"other":{"\u006b":"new_Book","\u0061":2},"c":null},`+
		`"errors":[{"message":"no","path":["c"],"extensions":{"\u006bind":1,"service":"new"}}]}`)
}

func TestLiteralsThatDoNotFitAreRefused(t *testing.T) {
	a := newStub(t, `type Query { a(i: Int, f: [Float], s: String, e: E, c: Custom, in: [In]): Int } enum E { X } scalar Custom input In { i: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"))
	for literal, fits := range map[string]bool{
		`i: 2147483647`: true, `i: -2147483648`: true, `c: {x: [99999999999]}`: true, `in: {i: 1}`: true, `f: 99999999999`: true,
		`i: 2147483648`: false, `i: -99999999999999999999`: false, `f: [{}]`: false, `s: {x: 1}`: false, `e: {X: X}`: false, `in: [{i: 3000000000}]`: false,
	} {
		got := post(t, g, `{ a(`+literal+`) }`)
		if refused := strings.Contains(got, "GRAPHQL_VALIDATION_FAILED"); refused == fits {
			t.Errorf("%s: got %s, want refused %v", literal, got, !fits)
		}
	}
}

// TestFragmentsOnTypesOfOthers: only a film is both a Node and Named, which makes the fragments valid for books, too.
func TestFragmentsOnTypesOfOthers(t *testing.T) {
	const shared = ` interface Node { id: ID } interface Named { name: String } `
	a := newStub(t, shared+`type Query { book: Node } type Book implements Node { id: ID } type Author implements Named { name: String }`)
	b := newStub(t, shared+`type Query { film: Named } type Film implements Node & Named { id: ID name: String }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	got := post(t, g, `{ book { id ... on Named { name } ...f } film { name ... on Node { id } ...f } } fragment f on Named { n: name ... on Node { i: id } }`)
	wantEqual(t, got, `{"data":{"book":{"id":"a ID"},"film":{"name":"a String","id":"a ID","n":"a String","i":"a ID"}}}`)
	wantEqual(t, a.last.Load().query, `query{book{id } }`)
}

// TestSuggestionsAreForMistakes: to look for what may have been meant by a name of a megabyte took a minute.
func TestSuggestionsAreForMistakes(t *testing.T) {
	a := newStub(t, `type Query { author: Int }`)
	open, hidden := gatewayOf(t, Config{}, a.named("a")), gatewayOf(t, Config{HideIntrospection: true}, a.named("a"))
	long := "authors_" + strings.Repeat("x", 64)
	for _, c := range []struct {
		query     string
		g         *Gateway
		suggested bool
	}{
		{`{ authr }`, open, true},
		{`{ a: authr b: authr }`, open, true},
		{`{ authr ` + long + ` }`, open, false},
		{`{ authr a authorr autho au aut }`, open, false},
		{`{ authr }`, hidden, false},
	} {
		got := post(t, c.g, c.query)
		if strings.Contains(got, "Did you mean") != c.suggested || !strings.Contains(got, `Cannot query field \"authr\"`) {
			t.Errorf("%s: got %s, want a suggestion: %v", c.query, got, c.suggested)
		}
	}
}

// TestATypeThatDiffersRenamesAllThatLeadsToIt: each type of a chain differs only because the next one does.
func TestATypeThatDiffersRenamesAllThatLeadsToIt(t *testing.T) {
	const chain = 500
	sdl := func(last string) string {
		types := []string{"type Query { a: T000 } type Apart { x: Int }"}
		for i := range chain {
			types = append(types, fmt.Sprintf("type T%03d { x: Int next: T%03d }", i, i+1))
		}
		return strings.Join(append(types, fmt.Sprintf("type T%03d { %s: Int }", chain, last)), "\n")
	}
	g := gatewayOf(t, Config{}, newStub(t, sdl("x")).named("a"), newStub(t, sdl("y")).named("b"))
	if got := len(g.Status().Services[1].Warnings); got != chain+2 { // all of the chain, and the root field
		t.Errorf("%d names are others, want %d", got, chain+2)
	}
	wantEqual(t, post(t, g, `{ b_a { next { next { __typename } } } }`), `{"data":{"b_a":{"next":{"next":{"__typename":"b_T002"}}}}}`)
}

func TestOneFieldOfAOneOfIsThere(t *testing.T) {
	a := newStub(t, `type Query { a(by: By, many: [By!]): Int } input By @oneOf { id: ID name: String }`)
	g := gatewayOf(t, Config{}, a.named("a"))
	for variables, fits := range map[string]bool{
		`{"by": {"id": 1}}`: true, `{"by": null}`: true, `{}`: true, `{"many": [{"name": "x"}, {"id": "y"}]}`: true,
		`{"by": {"id": null}}`: false, `{"by": {}}`: false, `{"by": {"id": 1, "name": null}}`: false, `{"by": {"id": 1, "name": "x"}}`: false,
		`{"many": [{"name": "x"}, {"id": null}]}`: false,
	} {
		got := post(t, g, `query($by: By, $many: [By!]) { a(by: $by, many: $many) }`, variables)
		if answered := got == `{"data":{"a":1}}`; answered != fits {
			t.Errorf("%s: got %s, want it taken: %v", variables, got, fits)
		}
	}
}

// TestARefusedSubscriptionSaysWhy: a service that takes no WebSockets has said what is wrong where events were asked for.
func TestARefusedSubscriptionSaysWhy(t *testing.T) {
	a := newStub(t, `type Query { q: Int } type Subscription { s(x: Int): Int }`)
	g := gatewayOf(t, Config{}, a.named("a"))
	a.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errors":[{"message":"not yours"}]}`))
		} else {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
		return true
	})
	subscribe := func() string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(`{"query":"subscription { s }"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "text/event-stream")
		return serve(g, r).Body.String()
	}
	wantHas(t, subscribe(), `{"data":{"s":null},"errors":[{"message":"not yours","path":["s"],"extensions":{"service":"a"}}]}`, "event: complete")
	a.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	wantHas(t, subscribe(), "service a offers no subscriptions over server-sent events or WebSockets")
}
