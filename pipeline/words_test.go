package pipeline

import "testing"

func TestMentionsWholeNamesAndURLs(t *testing.T) {
	for _, c := range []struct {
		words, text string
		want        bool
	}{
		{"service 'books' has no schema", "books", true},
		{"books: refused", "books", true},
		{"no schema for books.", "books", true},
		{"books-2: refused", "books", false},
		{"mybooks: refused", "books", false},
		{"my.books: refused", "books", false},
		{"books:tcp:graphql: refused", "books", false},
		{"books:tcp:graphql: refused", "books:tcp:graphql", true},
		{"fetch http://books/graphql", "books", false},
		{"fetch http://books:1/ and books", "books", true},
		{"validation failed for http://a:1/graphql: fetch failed", "http://a:1/graphql", true},
		{"request to http://a:1/graphql, again", "http://a:1/graphql", true},
		{"see http://a:1/graphql.", "http://a:1/graphql", true},
		{"see http://a:1/graphql2", "http://a:1/graphql", false},
		{"see http://a:1/graphql/v2", "http://a:1/graphql", false},
		{"see http://a:1/graphql?v=2", "http://a:1/graphql", false},
		{"see http://a:10", "http://a:1", false},
		{"", "books", false},
		{"books", "", false},
	} {
		if got := mentions(c.words, c.text); got != c.want {
			t.Errorf("%q mentions %q: %t, want %t", c.words, c.text, got, c.want)
		}
	}
}

func TestNamedIsOneOrNobody(t *testing.T) {
	a := &service{wire: GatewayService{Name: "a", URL: "http://a/graphql"}}
	b := &service{wire: GatewayService{Name: "b", URL: "http://b/graphql"}}
	twin := &service{wire: GatewayService{Name: "twin", URL: "http://a/graphql"}}
	for _, c := range []struct {
		words string
		among []*service
		want  *service
	}{
		{"http://a/graphql is down", []*service{a, b}, a},
		{"b: http://a/graphql is down", []*service{a, b}, a}, // a URL says more than a name
		{"http://a/graphql is down", []*service{a, b, twin}, nil},
		{"a and b clash", []*service{a, b}, nil},
		{"b is down", []*service{a, b}, b},
		{"down", []*service{a, b}, nil},
	} {
		if got := named(c.words, c.among); got != c.want {
			t.Errorf("%q: %v, want %v", c.words, got, c.want)
		}
	}
}
