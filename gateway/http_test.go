package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestRequestsOverHTTP(t *testing.T) {
	a := newStub(t, `type Query { a(x: Int): Int } type Mutation { m: Int } type Subscription { s: Int }`)
	g := gatewayOf(t, Config{Limits: Limits{BodyBytes: 300}}, a.named("a"))
	const ok = `{"data":{"a":1}}`
	const jsonType, responseType = "application/json; charset=utf-8", "application/graphql-response+json; charset=utf-8"
	for _, c := range []struct {
		name, method, target, contentType, accept, body string
		status                                          int
		media, has                                      string
	}{
		{"post", "POST", "", "application/json", "", `{"query":"{a}"}`, 200, jsonType, ok},
		{"charset", "POST", "", "application/json; charset=UTF-8", "*/*", `{"query":"{a}"}`, 200, jsonType, ok},
		{"newer media type", "POST", "", "application/json", "application/graphql-response+json", `{"query":"{a}"}`, 200, responseType, ok},
		{"preference", "POST", "", "application/json", "application/json;q=0.2, application/graphql-response+json;q=0.3, text/html", `{"query":"{a}"}`, 200, responseType, ok},
		{"first of two", "POST", "", "application/json", "application/json, application/graphql-response+json", `{"query":"{a}"}`, 200, jsonType, ok},
		{"members of others", "POST", "", "application/json", "", ` { "operationName" : null , "variables":null,"extensions":{},"other":[1],"query":"{\u0061 \n}" } `, 200, jsonType, ok},
		{"several operations", "POST", "", "application/json", "", `{"query":"query A{a} query B{b:a}","operationName":"B"}`, 200, jsonType, `{"data":{"b":1}}`},
		{"get", "GET", "?query=%7Ba%7D", "", "", "", 200, jsonType, ok},
		{"get with variables", "GET", "?query=query($v:Int){a(x:$v)}&variables=%7B%22v%22:1%7D&operationName=", "", "", "", 200, jsonType, ok},

		{"nothing acceptable", "POST", "", "application/json", "text/html", `{"query":"{a}"}`, 406, jsonType, "accept"},
		{"other charset", "POST", "", "application/json", "application/json; charset=latin1", `{"query":"{a}"}`, 406, jsonType, "accept"},
		{"no content type", "POST", "", "", "", `{"query":"{a}"}`, 415, jsonType, "content type"},
		{"form", "POST", "", "application/x-www-form-urlencoded", "", `query={a}`, 415, jsonType, "content type"},
		{"plain text", "POST", "", "text/plain", "", `{"query":"{a}"}`, 415, jsonType, "content type"},
		{"multipart", "POST", "", "multipart/form-data; boundary=x", "", `--x`, 415, jsonType, "content type"},
		{"utf-16", "POST", "", "application/json; charset=utf-16", "", `{"query":"{a}"}`, 415, jsonType, "content type"},
		{"put", "PUT", "", "application/json", "", `{"query":"{a}"}`, 405, jsonType, "GET or POST"},
		{"long", "POST", "", "application/json", "", `{"query":"{a}` + strings.Repeat(" ", 300) + `"}`, 413, jsonType, "300 bytes"},
		{"batch", "POST", "", "application/json", "", `[{"query":"{a}"}]`, 400, jsonType, "one request at a time"},
		{"no json", "POST", "", "application/json", "", `{"query"`, 400, jsonType, "malformed"},
		{"empty", "POST", "", "application/json", "", ``, 400, jsonType, "no JSON object"},
		{"trailing", "POST", "", "application/json", "", `{"query":"{a}"}}`, 400, jsonType, "goes on"},
		{"not utf-8", "POST", "", "application/json", "", "{\"query\":\"{a}\xff\"}", 400, jsonType, "UTF-8"},
		{"no query", "POST", "", "application/json", "", `{}`, 400, jsonType, "query is missing"},
		{"query is null", "POST", "", "application/json", "", `{"query":null}`, 400, jsonType, "want a string"},
		{"variables are a list", "POST", "", "application/json", "", `{"query":"{a}","variables":[]}`, 400, jsonType, "want an object"},
		{"name is a number", "POST", "", "application/json", "", `{"query":"{a}","operationName":1}`, 400, jsonType, "want a string"},
		{"extensions are text", "POST", "", "application/json", "", `{"query":"{a}","extensions":"x"}`, 400, jsonType, "want an object"},
		{"get without query", "GET", "?x=1", "", "", "", 400, jsonType, "query is missing"},
		{"get with bad variables", "GET", "?query=%7Ba%7D&variables=nonsense", "", "", "", 400, jsonType, "malformed"},
		{"get smuggles a member", "GET", "?query=%7Ba%7D&variables=null,%22query%22:1", "", "", "", 400, jsonType, "want a string"},

		{"syntax error", "POST", "", "application/json", "", `{"query":"{a"}`, 200, jsonType, `"locations":[{"line":1,"column":3}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}`},
		{"syntax error, newer", "POST", "", "application/json", "application/graphql-response+json", `{"query":"{a"}`, 400, responseType, "Expected Name"},
		{"unknown field", "POST", "", "application/json", "", `{"query":"{nope}"}`, 200, jsonType, `Cannot query field \"nope\"`},
		{"unknown field, newer", "POST", "", "application/json", "application/graphql-response+json", `{"query":"{nope}"}`, 400, responseType, `GRAPHQL_VALIDATION_FAILED`},
		{"which operation", "POST", "", "application/json", "", `{"query":"query A{a} query B{a}"}`, 200, jsonType, "operationName must say which"},
		{"no such operation", "POST", "", "application/json", "", `{"query":"query A{a}","operationName":"C"}`, 200, jsonType, `no operation \"C\"`},
		{"only fragments", "POST", "", "application/json", "", `{"query":"fragment f on Query {a}"}`, 200, jsonType, "no operation"},
		{"bad variable", "POST", "", "application/json", "", `{"query":"query($v:Int!){a(x:$v)}","variables":{"v":"1"}}`, 200, jsonType, `variable $v: \"1\" is no Int`},
		{"bad variable, newer", "POST", "", "application/json", "application/graphql-response+json", `{"query":"query($v:Int!){a(x:$v)}"}`, 400, responseType, `variable $v of type Int! is missing`},
		{"mutation by get", "GET", "?query=mutation%7Bm%7D", "", "", "", 405, jsonType, "POST"},
		{"mutation by get, events", "GET", "?query=mutation%7Bm%7D", "", "text/event-stream", "", 405, jsonType, "POST"},
		{"subscription", "POST", "", "application/json", "", `{"query":"subscription{s}"}`, 400, jsonType, "WebSocket"},
		{"zero byte", "POST", "", "application/json", "", `{"query":"{a}\u0000"}`, 200, jsonType, "PARSE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := a.requests.Load()
			r, err := http.NewRequestWithContext(t.Context(), c.method, "/graphql"+c.target, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			if c.accept != "" {
				r.Header.Set("Accept", c.accept)
			}
			w := serve(g, r)
			if w.Code != c.status || w.Header().Get("Content-Type") != c.media {
				t.Errorf("got %d, %s, want %d, %s", w.Code, w.Header().Get("Content-Type"), c.status, c.media)
			}
			wantHas(t, w.Body.String(), c.has)
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("the response is not JSON: %s", w.Body)
			}
			if asked := a.requests.Load() - before; (asked > 0) != strings.HasPrefix(c.has, `{"data"`) {
				t.Errorf("the service got %d requests", asked)
			}
		})
	}
}

func TestHealthAndHome(t *testing.T) {
	home := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("home")) })
	g := gatewayOf(t, Config{Home: home})
	for path, want := range map[string]string{"/health": "OK", "/": "home", "/x.js": "home"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		wantEqual(t, serve(g, r).Body.String(), want)
	}
}

func TestLimits(t *testing.T) {
	a := newStub(t, `type Query { a: A } type A { a: A x: Int }`)
	g := gatewayOf(t, Config{Limits: Limits{Tokens: 400, Depth: 5, Aliases: 3, Fields: 20}}, a.named("a"))
	bomb := `fragment f0 on A { x }`
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf(` fragment f%d on A { ...f%d ... on A { ...f%d } }`, i, i-1, i-1)
	}
	wide := `{`
	for i := range 30 {
		wide += fmt.Sprintf(" x%d: a { x }", i)
	}
	for query, want := range map[string]string{
		`{ a { a { a { a { x } } } } }`:                                   `"data"`,
		`{ a { a { a { a { a { x } } } } } }`:                             `nests 6 deep: 5 is the limit`,
		`{ a { ...f } } fragment f on A { a { a { a { a { x }}}}}`:        `nests 6 deep`,
		`{ a { p: x q: x r: x } }`:                                        `"data"`,
		`{ a { p: x q: x ...f } b: a { ...f } } fragment f on A { r: x }`: `more than 3 aliases`,
		`{ a { ...f11 } } ` + bomb:                                        `more than`,
		wide + `}`:                                                        `more than 3 aliases`,
		`{` + strings.Repeat("a{x}", 11) + `}`:                            `more than 20 fields`,
		`{ a { x } }` + strings.Repeat("{ a { x } }", 100):                `more tokens than 400`,
		`{ a {` + strings.Repeat("x ", 500) + `} }`:                       `more tokens than 400`,
	} {
		wantHas(t, post(t, g, query), want)
	}
}

func TestWhatIsSaidAgainIsLeftOut(t *testing.T) {
	a := newStub(t, `type Query { a: A } type A { a: A x(n: Int): Int }`)
	g := gatewayOf(t, Config{}, a.named("a"))
	got := post(t, g, `{ a { x x y: x x ...f x(n: 1) @skip(if: true) ...f ... { x x } } } fragment f on A { a { x x } ...g ...g } fragment g on A { x }`)
	wantHas(t, got, `they have differing arguments`) // as it would have been before
	got = post(t, g, `{ a { x x y: x x ...f ...f ... { x x } ...f @skip(if: true) } } fragment f on A { a { x x } ...g ...g } fragment g on A { x }`)
	wantEqual(t, got, `{"data":{"a":{"x":1,"y":1,"a":{"x":1}}}}`)
	wantEqual(t, a.last.Load().query, `query{a{x y:x ...f ...{x }...f@skip(if:true) } }fragment f on A{a{x } ...g }fragment g on A{x }`)
}

func TestIntrospectionCanBeTurnedOff(t *testing.T) {
	a := newStub(t, booksSDL)
	g := gatewayOf(t, Config{HideIntrospection: true}, a.named("a"))
	for query, want := range map[string]string{
		`{ __typename book(id: 1) { __typename id } }`:                   `{"data":{"__typename":"Query","book":{"__typename":"Book","id":"a ID"}}}`,
		`{ __schema { description } }`:                                   `introspection is turned off`,
		`{ ...f } fragment f on Query { x: __type(name: "Q") { name } }`: `introspection is turned off`,
		`{ boks { id } }`: `{"errors":[{"message":"Cannot query field \"boks\" on type \"Query\".","locations"`,
	} {
		wantHas(t, post(t, g, query), want)
	}
}

func TestVariablesAreOfTheirTypes(t *testing.T) {
	a := newStub(t, `
		type Query { f(i: Int, fl: Float, s: String, b: Boolean, id: ID, e: E, o: O, l: [Int!], ll: [[Int]], x: Any, u: One): Int }
		enum E { A B } scalar Any
		input O { need: Int! opt: Int fall: Int! = 5 deep: O }
		input One @oneOf { a: Int b: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"))
	types := map[string]string{"i": "Int", "fl": "Float", "s": "String", "b": "Boolean", "id": "ID", "e": "E", "o": "O", "l": "[Int!]", "ll": "[[Int]]", "x": "Any", "u": "One"}
	for _, c := range []struct {
		arg    string
		values string
		fit    bool
	}{
		{"i", `1 -5 2147483647 -2147483648 1e3 1.0 null`, true}, {"i", `2147483648 1.5 "1" true [] {}`, false},
		{"fl", `1 1.5 -2e-7`, true}, {"fl", `"1" true`, false},
		{"s", `"" "x"`, true}, {"s", `1 true {}`, false},
		{"b", `true false`, true}, {"b", `0 "true"`, false},
		{"id", `1 "x" 9007199254740993`, true}, {"id", `1.5 true {}`, false},
		{"e", `"A" "B" "\u0041"`, true}, {"e", `"a" "C" 1`, false},
		{"o", `{"need":1} {"need":1,"deep":{"need":2,"opt":null}}`, true},
		{"o", `{} {"need":null} {"need":1,"no":2} {"need":1,"deep":{}} {"need":1,"fall":null} 1 []`, false},
		{"l", `[] [1,2] 1`, true}, {"l", `[null] ["1"] [[1]]`, false},
		{"ll", `[] [[1],null,[null]] 1 [1]`, true}, {"ll", `[["1"]]`, false},
		{"x", `1 "x" {"a":[1]} [] true`, true},
		{"u", `{"a":1}`, true}, {"u", `{} {"a":1,"b":2} {"c":1}`, false},
	} {
		for value := range strings.SplitSeq(c.values, " ") {
			got := post(t, g, `query($v: `+types[c.arg]+`) { f(`+c.arg+`: $v) }`, `{"v":`+value+`}`)
			if fit := strings.Contains(got, `"data"`); fit != c.fit {
				t.Errorf("%s as %s: got %s", value, types[c.arg], got)
			}
		}
	}
}

func TestIntrospectionAnswers(t *testing.T) {
	a := newStub(t, `
		"of everything" schema { query: Query }
		"docs \"quoted\"" type Query { "f" f("x" x: [In!]! = [{a: "b\n"}] @deprecated): U @deprecated(reason: "old") g: I }
		union U = A | B
		interface I { id: ID } type A implements I { id: ID } type B implements I { id: ID e: E }
		enum E { X Y @deprecated } input In { a: String = "d" b: Int @deprecated } scalar S @specifiedBy(url: "http://s")
		directive @d(a: Int = 3) repeatable on FIELD`)
	g := gatewayOf(t, Config{}, a.named("a"))
	for query, want := range map[string]string{
		`query($n: String = "Query") { __type(name: $n) { name kind description fields { name } all: fields(includeDeprecated: true) { name isDeprecated deprecationReason args { name } more: args(includeDeprecated: true) { name defaultValue type { kind ofType { kind ofType { kind name ofType { name }}}}} } } }`: `{"__type":{"name":"Query","kind":"OBJECT","description":"docs \"quoted\"","fields":[{"name":"g"}],"all":[{"name":"f","isDeprecated":true,"deprecationReason":"old","args":[],"more":[{"name":"x","defaultValue":"[{a:\"b\\n\"}]","type":{"kind":"NON_NULL","ofType":{"kind":"LIST","ofType":{"kind":"NON_NULL","name":null,"ofType":{"name":"In"}}}}}]},{"name":"g","isDeprecated":false,"deprecationReason":null,"args":[],"more":[]}]}}`,
		`{ u: __type(name: "U") { possibleTypes { name } interfaces { name } enumValues { name } inputFields { name } fields { name } specifiedByURL isOneOf } }`:                                                                                                                                                        `{"u":{"possibleTypes":[{"name":"A"},{"name":"B"}],"interfaces":null,"enumValues":null,"inputFields":null,"fields":null,"specifiedByURL":null,"isOneOf":null}}`,
		`{ e: __type(name: "E") { enumValues { name } } s: __type(name: "S") { specifiedByURL __typename } i: __type(name: "In") { isOneOf inputFields { name defaultValue } } n: __type(name: "Nope") { name } }`:                                                                                                       `{"e":{"enumValues":[{"name":"X"}]},"s":{"specifiedByURL":"http://s","__typename":"__Type"},"i":{"isOneOf":false,"inputFields":[{"name":"a","defaultValue":"\"d\""}]},"n":null}`,
		`{ __schema { queryType { name ...f } mutationType { name } x: queryType { ... on __Type { kind } } directives { name isRepeatable locations args { defaultValue } } queryType { kind } } } fragment f on __Type { fields { type { name } } }`:                                                                   `{"__schema":{"queryType":{"name":"Query","fields":[{"type":{"name":"I"}}],"kind":"OBJECT"},"mutationType":null,"x":{"kind":"OBJECT"},"directives":[{"name":"d","isRepeatable":true,"locations":["FIELD"],"args":[{"defaultValue":"3"}]},`,
	} {
		wantHas(t, post(t, g, query), `{"data":`+want)
	}
	wantHas(t, post(t, g, `{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }`), "Maximum introspection depth exceeded")
	if n := a.requests.Load(); n != 0 {
		t.Errorf("the service got %d requests, want none", n)
	}
}

// A request by GET is the same request as one by POST.
func TestGetIsPost(t *testing.T) {
	a := newStub(t, booksSDL)
	g := gatewayOf(t, Config{}, a.named("a"))
	values := url.Values{"query": {"query($i: ID!) {\n\tbook(id: $i) { title } # é \"\\\"\n}"}, "variables": {`{"i": "é\""}`}}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/graphql?"+values.Encode(), nil)
	wantEqual(t, serve(g, r).Body.String(), `{"data":{"book":{"title":"a String"}}}`)
	wantEqual(t, a.last.Load().body, `{"query":"query($i:ID!){book(id:$i){title } }","variables":{"i":"é\""}}`)
}
