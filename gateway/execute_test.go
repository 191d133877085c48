package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestFieldsComeInTheOrderOfTheOperation(t *testing.T) {
	a := newStub(t, `type Query { a: Int a2: Int }`)
	b := newStub(t, `type Query { b: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	for query, want := range map[string]string{
		`{ a b a2 }`:                `{"a":1,"b":1,"a2":1}`,
		`{ a2 x: b a }`:             `{"a2":1,"x":1,"a":1}`,
		`{ b ...f b a }`:            `{"b":1,"a2":1,"a":1}`,
		`{ a @skip(if: true) b a }`: `{"b":1,"a":1}`,
		`{ a @skip(if: true) }`:     `{}`,
		`query($y: Boolean!) { a @include(if: $y) b ... @skip(if: $y) { a2 } }`:      `{"a":1,"b":1}`,
		`query($n: Boolean!) { a @include(if: $n) b a }`:                             `{"b":1,"a":1}`,
		`query($n: Boolean!) { a @include(if: $n) }`:                                 `{}`,
		`query($d: Boolean = true) { ...f @skip(if: $d) b }`:                         `{"b":1}`,
		`query($y: Boolean!, $n: Boolean!) { ...f @include(if: $y) ...{ ...g } b }`:  `{"a2":1,"b":1}`,
		`query($n: Boolean!) { __typename @include(if: $n) t: __typename b }`:        `{"t":"Query","b":1}`,
		`query($y: Boolean!) { __schema @skip(if: $y) { description } b }`:           `{"b":1}`,
		`query($n: Boolean!) { a @include(if: $n) __type(name: "Int") { name } }`:    `{"__type":{"name":"Int"}}`,
		`query($y: Boolean!) { a @include(if: $y) @skip(if: $y) a2 @skip(if:false)}`: `{"a2":1}`,
	} {
		if strings.Contains(query, "...f") {
			query += ` fragment f on Query { a2 @include(if: true) }`
		}
		if strings.Contains(query, "...g") {
			query += ` fragment g on Query { a @include(if: $n) @include(if: true) }`
			query = strings.Replace(query, "@include(if: $n) @include(if: true)", "@include(if: $n)", 1)
		}
		wantEqual(t, post(t, g, query, `{"y": true, "n": false, "extra": [1]}`), `{"data":`+want+`}`)
	}
}

func TestAServiceIsNotAskedForWhatIsSkipped(t *testing.T) {
	a := newStub(t, `type Query { a: Int }`)
	b := newStub(t, `type Query { b: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	wantEqual(t, post(t, g, `query($s: Boolean!) { a @skip(if: $s) b }`, `{"s": true}`), `{"data":{"b":1}}`)
	if n := a.requests.Load(); n != 0 {
		t.Errorf("service a got %d requests, want none", n)
	}
}

func TestArgumentsArriveAsTheyWere(t *testing.T) {
	var got map[string]any
	a := newStub(t, booksSDL).on("Mutation.addBook", func(args map[string]any) any {
		got = args["book"].(map[string]any)
		return nil
	})
	g := gatewayOf(t, Config{}, a.named("a"))
	const nasty = `quote \" slash \\ tab \t line \n é 𝄞 \u0007`
	post(t, g, `mutation { addBook(book: {title: "`+nasty+`", tags: ["""block "x" """]}) { id } }`)
	if want := "quote \" slash \\ tab \t line \n é 𝄞 \a"; got["title"] != want {
		t.Errorf("got %q, want %q", got["title"], want)
	}
	post(t, g, `mutation($t: String!) { addBook(book: {title: $t, year: -5}) { id } }`, `{"t": "`+nasty+`"}`)
	if want := "quote \" slash \\ tab \t line \n é 𝄞 \a"; got["title"] != want {
		t.Errorf("in a variable: got %q, want %q", got["title"], want)
	}
}

func TestAServiceGetsTheVariablesThatItNeeds(t *testing.T) {
	a := newStub(t, booksSDL)
	b := newStub(t, filmsSDL)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	got := post(t, g, `query Q($id: ID!, $o: Order = YEAR, $n: Int) { book(id: $id) { id } films { id } books(by: $o, first: $n) { id } }`, `{"id": 7}`)
	wantEqual(t, got, `{"data":{"book":{"id":"a ID"},"films":[{"id":"a ID"}],"books":[{"id":"a ID"}]}}`)
	wantEqual(t, a.last.Load().body, `{"query":"query Q($id:ID!,$o:Order=YEAR,$n:Int){book(id:$id){id } books(by:$o,first:$n){id } }","variables":{"id":7}}`)
	wantEqual(t, b.last.Load().body, `{"query":"query Q{films{id } }"}`)
}

func TestNullsBubbleToTheRoot(t *testing.T) {
	a := newStub(t, `type Query { must: Int! may: Int }`)
	b := newStub(t, `type Query { other: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))

	a.value("Query.may", answer{message: "no luck"})
	wantEqual(t, post(t, g, `{ x: may other }`),
		`{"data":{"x":null,"other":1},"errors":[{"message":"no luck","path":["x"],"extensions":{"service":"a"}}]}`)

	replyWith(a, `{"data":null,"errors":[{"message":"broken","path":["m"]}]}`)
	wantEqual(t, post(t, g, `{ other m: must }`),
		`{"data":null,"errors":[{"message":"broken","path":["m"],"extensions":{"service":"a"}}]}`)
	wantEqual(t, post(t, g, `{ other may }`),
		`{"data":{"other":1,"may":null},"errors":[{"message":"broken","path":["m"],"extensions":{"service":"a"}}]}`)
	replyWith(a, `{"data":{"must":null}}`)
	wantEqual(t, post(t, g, `{ must }`), // data is null only with an error (GraphQL §7.1.2)
		`{"data":null,"errors":[{"message":"service a answered without this field","path":["must"],"extensions":{"code":"SERVICE_FAILED","service":"a"}}]}`)
}

// replyWith makes a stub answer everything but introspection with this.
func replyWith(s *stub, body string) {
	s.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
		return true
	})
}

func TestErrorsOfServicesSayWhereAndNotHow(t *testing.T) {
	a := newStub(t, `type Query { a: Int b: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"))
	for reply, want := range map[string]string{
		`{"data":{"a":1,"b":null},"errors":[{"message":"m","path":["b"],"locations":[{"line":1,"column":2}],"extensions":{"code":"X","stacktrace":["at f"],"originalError":{"stack":"s"}}}]}`: `{"data":{"a":1,"b":null},"errors":[{"message":"m","path":["b"],"extensions":{"code":"X","service":"a"}}]}`,
		`{"errors":[{"message":"no"}]}`:                                     `{"data":{"a":null,"b":null},"errors":[{"message":"no","path":["a"],"extensions":{"service":"a"}},{"message":"no","path":["b"],"extensions":{"service":"a"}}]}`,
		`{"data":{"a":1,"b":2},"errors":[{"message":"by the way"}]}`:        `{"data":{"a":1,"b":2},"errors":[{"message":"by the way","extensions":{"service":"a"}}]}`,
		`{"data":{"a":1,"b":2},"errors":[{"text":1}, 7, {"message": "x"}]}`: `{"data":{"a":1,"b":2},"errors":[{"message":"service a reported an error","extensions":{"service":"a"}},{"message":"service a reported an error","extensions":{"service":"a"}},{"message":"x","extensions":{"service":"a"}}]}`,
		`{"data":{"b":2,"a":1,"c":3}}`:                                      `{"data":{"a":1,"b":2}}`,
		`{"data":{"b":2}}`:                                                  `{"data":{"a":null,"b":2},"errors":[{"message":"service a answered without this field","path":["a"],"extensions":{"code":"SERVICE_FAILED","service":"a"}}]}`,
		` { "data" : { "a" : [ 1 , { "x" : "\u00e9" } ] , "b" : 2e3 } } `:   `{"data":{"a":[ 1 , { "x" : "\u00e9" } ],"b":2e3}}`,
	} {
		replyWith(a, reply)
		wantEqual(t, post(t, g, `{ a b }`), want)
	}
}

func TestNonsenseHarmsOnlyItsOwnFields(t *testing.T) {
	a := newStub(t, `type Query { a: Int }`)
	b := newStub(t, `type Query { b: Int }`)
	g := gatewayOf(t, Config{Limits: Limits{ResponseBytes: 1000}}, a.named("a"), b.named("b"))
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	for _, reply := range []string{
		``, `null`, `[]`, `{`, `{}`, `{"data":null}`, `{"data":{"a":1}`, `{"data":{"a":1}}x`, `{"data":{"a":01}}`, `{"data":{"a":1,}}`,
		`{"data":{"a":"` + "\x01" + `"}}`, `{"data":{"a":"` + "\xff" + `"}}`, `{"data":{"a":"\x"}}`, `{"data":[1]}`, `{"data":{"a":` + deep[:800] + `}}`,
		`<html>`, `{"errors":{}}`,
	} {
		replyWith(a, reply)
		wantEqual(t, post(t, g, `{ b a }`), `{"data":{"b":1,"a":null},"errors":[{"message":"service a did not answer as a GraphQL service does",`+
			`"path":["a"],"extensions":{"code":"SERVICE_FAILED","service":"a"}}]}`)
	}
	for message, handle := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"answered with more than 1000 bytes": func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, `{"data":{"a":"`+strings.Repeat("x", 2000)+`"}}`)
			return true
		},
		"answered with status 302": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://secret.example", http.StatusFound)
			return true
		},
		"answered with status 503": func(w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "secret", http.StatusServiceUnavailable)
			return true
		},
		"broke off": func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
	} {
		a.handleWith(handle)
		wantEqual(t, post(t, g, `{ b a }`), `{"data":{"b":1,"a":null},"errors":[{"message":"service a `+message+`",`+
			`"path":["a"],"extensions":{"code":"SERVICE_FAILED","service":"a"}}]}`)
	}
	a.server.Close()
	wantHas(t, post(t, g, `{ b a }`), `"message":"service a cannot be reached"`)
}

func TestAServiceThatHangsIsGivenUp(t *testing.T) {
	over := make(chan struct{})
	a := newStub(t, `type Query { a: Int }`)
	b := newStub(t, `type Query { b: Int }`)
	g := gatewayOf(t, Config{Limits: Limits{Time: 100 * time.Millisecond}}, a.named("a"), b.named("b"))
	a.handleWith(func(http.ResponseWriter, *http.Request) bool {
		<-over
		return true
	})
	t.Cleanup(func() { close(over) })
	wantEqual(t, post(t, g, `{ b a }`), `{"data":{"b":1,"a":null},"errors":[{"message":"service a did not answer in time",`+
		`"path":["a"],"extensions":{"code":"SERVICE_FAILED","service":"a"}}]}`)
}

func TestMutationsRunInSeries(t *testing.T) {
	var order []string
	note := func(what string) func(map[string]any) any {
		return func(map[string]any) any {
			order = append(order, what)
			return 1
		}
	}
	a := newStub(t, `type Query { q: Int } type Mutation { a1: Int a2: Int a3: Int! }`).
		on("Mutation.a1", note("a1")).on("Mutation.a2", note("a2")).on("Mutation.a3", note("a3"))
	b := newStub(t, `type Query { q: Int } type Mutation { b1: Int! }`).on("Mutation.b1", note("b1"))
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))

	wantEqual(t, post(t, g, `mutation { a1 a2 b1 x: a1 __typename a3 }`), `{"data":{"a1":1,"a2":1,"b1":1,"x":1,"__typename":"Mutation","a3":1}}`)
	wantEqual(t, strings.Join(order, " "), "a1 a2 b1 a1 a3")
	if n := a.requests.Load(); n != 2 {
		t.Errorf("service a got %d requests, want 2", n)
	}

	// What makes data null ends it.
	order = nil
	replyWith(b, `{"data":null,"errors":[{"message":"no","path":["b1"]}]}`)
	wantEqual(t, post(t, g, `mutation { a1 b1 a2 }`), `{"data":null,"errors":[{"message":"no","path":["b1"],"extensions":{"service":"b"}}]}`)
	wantEqual(t, strings.Join(order, " "), "a1")
}

func TestTokensAndForwardedHeaders(t *testing.T) {
	a := newStub(t, `type Query { a: Int }`)
	b := newStub(t, `type Query { b: Int }`)
	withToken := a.named("a")
	withToken.Token = "of a"
	g := gatewayOf(t, Config{ForwardHeaders: []string{"authorization", "X-Tenant"}}, withToken, b.named("b"))
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(`{"query":"{a b}"}`))
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "Authorization": {"Bearer client"}, "X-Tenant": {"7"}, "Cookie": {"c=1"}, "X-Other": {"o"},
	}
	wantEqual(t, serve(g, r).Body.String(), `{"data":{"a":1,"b":1}}`)
	for s, want := range map[*stub]string{a: "Bearer of a", b: "Bearer client"} {
		h := s.last.Load().header
		wantEqual(t, h.Get("Authorization")+" "+h.Get("X-Tenant")+h.Get("Cookie")+h.Get("X-Other"), want+" 7")
	}
}

func TestABusyServiceRefuses(t *testing.T) {
	s := newService(Service{Name: "a", URL: "http://a"}, nil, Limits{InFlight: 1}.withDefaults())
	ctx, cancel := contextOf(t)
	later := time.Now().Add(time.Minute)
	for range cap(s.slots) {
		if err := s.admit(ctx, later); err != nil {
			t.Fatal(err)
		}
	}
	waiting := make(chan error)
	go func() { waiting <- s.admit(ctx, later) }()
	for s.asking.Load() < 2 { // it has no place to wait at
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	if err := s.admit(ctx, later); err == nil || err.Error() != "service a is busy" {
		t.Errorf("got %v, want that it is busy", err)
	}
	s.leave()
	if err := <-waiting; err != nil {
		t.Errorf("the one that waited got %v", err)
	}
	if err := s.admit(ctx, time.Now()); err == nil {
		t.Error("who has no time to wait was let in")
	}
	cancel()
	if err := s.admit(ctx, later); err == nil {
		t.Error("who cannot wait any more was let in")
	}
	s.leave()
	if n := s.asking.Load(); n != 0 {
		t.Errorf("%d are asking at the end, want none", n)
	}
}

func TestATraceSaysWhoAnswered(t *testing.T) {
	a := newStub(t, `type Query { a: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"))
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", strings.NewReader(`{"query":"{a}"}`))
	r.Header = http.Header{"Content-Type": {"application/json"}, traceHeader: {"1"}}
	wantHas(t, serve(g, r).Body.String(), `{"data":{"a":1},"extensions":{"services":[{"name":"a","ok":true,"ms":`)
}

func TestUnionsInterfacesAndListsAreTranslated(t *testing.T) {
	old := newStub(t, `type Query { x: Dog } type Dog { old: Int }`)
	pets := newStub(t, `type Query { pets: [[Pet]!] } union Pet = Dog | Cat type Dog { name: String friend: Pet } type Cat { name: String }`)
	pets.value("Query.pets", []any{[]any{
		map[string]any{"__typename": "Dog", "name": "Dog", "friend": map[string]any{"__typename": "Dog"}}, nil,
		map[string]any{"__typename": "Cat", "name": "\\\"Dog"},
	}, []any{}})
	g := gatewayOf(t, Config{}, old.named("old"), pets.named("pets"))
	got := post(t, g, `{ pets { __typename ...on pets_Dog { name friend { kind: __typename } } ...on Cat { name } } }`)
	wantEqual(t, got, `{"data":{"pets":[[{"__typename":"pets_Dog","name":"Dog","friend":{"kind":"pets_Dog"}},null,`+
		`{"__typename":"Cat","name":"\\\"Dog"}],[]]}}`)
}
