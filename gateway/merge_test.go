package gateway

import (
	"slices"
	"strings"
	"testing"
)

func warningsOf(status Status, service string) string {
	for _, s := range status.Services {
		if s.Name == service {
			return strings.Join(s.Warnings, "\n")
		}
	}
	return "no service " + service
}

func TestTypesOfEqualShapeAreShared(t *testing.T) {
	const page = ` "not compared" type Page { next: String total: Int! } `
	a := newStub(t, `type Query { a: Page }`+page)
	b := newStub(t, `type Query { b: Page } type Page { total: Int! next: String @deprecated }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))

	wantEqual(t, warningsOf(g.Status(), "b"), "")
	got := post(t, g, `{ a { ...p } b { ...p } } fragment p on Page { __typename total }`)
	wantEqual(t, got, `{"data":{"a":{"__typename":"Page","total":1},"b":{"__typename":"Page","total":1}}}`)
}

func TestTheNewcomerGetsItsPrefixWhereNamesClash(t *testing.T) {
	old := newStub(t, `type Query { item: Item } type Item { id: ID! } enum Kind { A }`)
	shop := newStub(t, `
		type Query { item(like: Like): Item any(kind: [Kind!]): Thing }
		interface Thing { id: ID! }
		type Item implements Thing { id: ID! price: Int owner: Owner }
		type Owner { items: [Item!]! }
		input Like { kind: Kind = B }
		enum Kind { A B }`)
	shop.value("Query.any", map[string]any{"__typename": "Item", "id": "7"})
	g := gatewayOf(t, Config{}, old.named("old"), shop.named("my-shop"))

	// Owner and Thing have names of their own, and Like has one, too.
	wantEqual(t, warningsOf(g.Status(), "my-shop"), strings.Join([]string{
		"type Item is my_shop_Item: service old has another one of that name",
		"type Kind is my_shop_Kind: service old has another one of that name",
		"query field item is my_shop_item: service old has another one of that name",
	}, "\n"))
	wantEqual(t, warningsOf(g.Status(), "old"), "")

	got := post(t, g, `query($k: my_shop_Kind!, $ks: [my_shop_Kind!], $l: Like) {
			my_shop_item(like: $l) { type: __typename owner { items { __typename } } }
			any(kind: $ks) { __typename ... on my_shop_Item @include(if: true) { id } ...f }
			x: my_shop_item(like: {kind: $k}) { id }
		} fragment f on my_shop_Item { price self: __typename }`,
		`{"k": "B", "ks": ["A", "B"], "l": {"kind": "A"}}`)
	wantEqual(t, got, `{"data":{"my_shop_item":{"type":"my_shop_Item","owner":{"items":[{"__typename":"my_shop_Item"}]}},`+
		`"any":{"__typename":"my_shop_Item","id":"7","price":1,"self":"my_shop_Item"},"x":{"id":"a ID"}}}`)
	wantEqual(t, shop.last.Load().query, `query($k:Kind!,$ks:[Kind!],$l:Like){`+
		`my_shop_item:item(like:$l){type:__typename owner{items{__typename } } } `+
		`any(kind:$ks){__typename ...on Item@include(if:true){id }...f } x:item(like:{kind:$k}){id } }`+
		`fragment f on Item{price self:__typename }`)
}

func TestATypeThatRefersToARenamedOneIsAnotherOne(t *testing.T) {
	a := newStub(t, `type Query { a: Page } type Page { of: Item } type Item { id: ID! }`)
	b := newStub(t, `type Query { b: Page } type Page { of: Item } type Item { name: String }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	wantEqual(t, warningsOf(g.Status(), "b"), "type Item is b_Item: service a has another one of that name\n"+
		"type Page is b_Page: service a has another one of that name")
}

func TestNamesStayWhenTheReasonForThemIsGone(t *testing.T) {
	a := newStub(t, `type Query { item: Item } type Item { id: ID! }`)
	b := newStub(t, `type Query { item: Item } type Item { name: String }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	const query = `{ b_item { name __typename } }`
	const want = `{"data":{"b_item":{"name":"a String","__typename":"b_Item"}}}`
	wantEqual(t, post(t, g, query), want)

	status := tell(t, g, b.named("b"))
	wantEqual(t, post(t, g, query), want)
	wantHas(t, warningsOf(status, "b"), "clients may know it by this one")

	status = tell(t, g, b.named("b"), a.named("a")) // a is the newcomer now, and its names are free
	wantEqual(t, post(t, g, `{ item { id __typename } b_item { __typename } }`),
		`{"data":{"item":{"id":"a ID","__typename":"Item"},"b_item":{"__typename":"b_Item"}}}`)
	wantEqual(t, warningsOf(status, "a"), "")
}

func TestAServiceThatChangesTakesNoNamesFromOthers(t *testing.T) {
	a := newStub(t, `type Query { a: Page } type Page { total: Int }`)
	b := newStub(t, `type Query { b: Page } type Page { total: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))

	a.become(`type Query { a: Page b: Int } type Page { total: Int pages: Int }`)
	moved := a.named("a")
	moved.Token = "another" // that it is asked again
	status := tell(t, g, moved, b.named("b"))
	wantEqual(t, warningsOf(status, "b"), "")
	wantEqual(t, warningsOf(status, "a"), "type Page is a_Page: service b has another one of that name\n"+
		"query field b is a_b: service b has another one of that name")
}

func TestANestedRootIsTheServicesOwn(t *testing.T) {
	a := newStub(t, `type Query { a: Int relay: Query! node: Node } interface Node { a: Int }
		type Mutation { set: Payload } type Payload { query: Query }`)
	b := newStub(t, `type Query { b: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	wantEqual(t, warningsOf(g.Status(), "a"), "")
	wantEqual(t, post(t, g, `{ relay { a relay { __typename ...on a_Query { a } } } b }`),
		`{"data":{"relay":{"a":1,"relay":{"__typename":"a_Query","a":1}},"b":1}}`)
	wantHas(t, post(t, g, `{ relay { b } }`), `Cannot query field \"b\" on type \"a_Query\"`)
	wantHas(t, post(t, g, `{ relay { __schema { description } } }`), `Cannot query field`)
	wantEqual(t, post(t, g, `mutation { set { query { __typename } } }`), `{"data":{"set":{"query":{"__typename":"a_Query"}}}}`)
}

func TestTheSchemasOwnNamesAreNotToBeHad(t *testing.T) {
	odd := newStub(t, `schema { query: Root } type Root { q: Query m: Mutation } type Query { x: Int } type Mutation { y: Int }`)
	g := gatewayOf(t, Config{}, odd.named("odd"))
	wantEqual(t, warningsOf(g.Status(), "odd"), "type Mutation is odd_Mutation: that name is the schema's own\n"+
		"type Query is odd_Query: that name is the schema's own")
	wantEqual(t, post(t, g, `{ q { __typename x } __typename }`), `{"data":{"q":{"__typename":"odd_Query","x":1},"__typename":"Query"}}`)
	if g.Schema().AST().Mutation != nil {
		t.Error("the schema has mutations, and no service has any")
	}
}

func TestSharedInterfacesHaveMembersThatAServiceDoesNotKnow(t *testing.T) {
	const node = ` interface Node { id: ID! } `
	a := newStub(t, `type Query { a: Node } type A implements Node { id: ID! }`+node)
	b := newStub(t, `type Query { b: Node } type B implements Node { id: ID! n: Int }`+node)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	got := post(t, g, `query($x: Int) { a { ...onB ... on B { n } } b { ...onB id } unused: a { id } } fragment onB on B { n @include(if: true) }`)
	wantHas(t, got, "is never used")
	got = post(t, g, `{ a { ...onB ... on B { n } } b { ...onB id } } fragment onB on B { n @include(if: true) }`)
	wantEqual(t, got, `{"data":{"a":{},"b":{"n":1,"id":"a ID"}}}`)
	wantEqual(t, a.last.Load().query, `query{a{__typename@skip(if:true)} }`)
	if got := len(g.Schema().AST().PossibleTypes["Node"]); got != 2 {
		t.Errorf("Node has %d members, want 2", got)
	}
}

func TestDirectivesGoToServicesThatKnowThem(t *testing.T) {
	a := newStub(t, `directive @live(every: Int) repeatable on FIELD | QUERY type Query { a: Int }`)
	b := newStub(t, `type Query { b: Int }`)
	g := gatewayOf(t, Config{}, a.named("a"), b.named("b"))
	wantEqual(t, post(t, g, `query($n: Int) @live(every: $n) { a @live b @live(every: 3) }`, `{"n": 5}`), `{"data":{"a":1,"b":1}}`)
	wantEqual(t, a.last.Load().body, `{"query":"query($n:Int)@live(every:$n){a@live }","variables":{"n":5}}`)
	wantEqual(t, b.last.Load().body, `{"query":"query{b }"}`)
	wantHas(t, post(t, g, `{ a ... @defer { b } }`), `Unknown directive`)
}

func TestEachPrefixIsAName(t *testing.T) {
	for name, want := range map[string]string{
		"books": "books_", "my-shop.eu": "my_shop_eu_", "4711": "_4711_", "__x": "x_", "ünï": "n__", "..": "service_",
	} {
		got := newService(Service{Name: name}, nil, Limits{}.withDefaults()).prefix()
		if got != want || !isName(got) {
			t.Errorf("prefix of %q: got %q, want %q", name, got, want)
		}
	}
}

func TestMergingManyTimesGivesTheSame(t *testing.T) {
	var services []Service
	for _, sdl := range []string{booksSDL, filmsSDL, booksSDL, `type Query { film: Int book: Book } enum Book { X }`} {
		services = append(services, newStub(t, sdl).named("s"))
	}
	g := gatewayOf(t, Config{}, services...)
	first := post(t, g, `{ __schema { types { name fields { name type { name } } possibleTypes { name } } } }`)
	g.mu.Lock()
	g.publish()
	g.mu.Unlock()
	wantEqual(t, post(t, g, `{ __schema { types { name fields { name type { name } } possibleTypes { name } } } }`), first)
	var names []string
	for _, s := range g.Status().Services {
		names = append(names, s.Name)
	}
	if want := []string{"s", "s-2", "s-3", "s-4"}; !slices.Equal(names, want) {
		t.Errorf("services of one name: got %v, want %v", names, want)
	}
}
