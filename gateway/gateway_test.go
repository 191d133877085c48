package gateway

import (
	"context"
	"testing"
)

// contextOf ends with the test, before its cleanups.
func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

const booksSDL = `
type Query { book(id: ID!): Book books(first: Int = 10, by: Order): [Book!]! }
type Mutation { addBook(book: BookInput!): Book }
type Book { id: ID! title: String author: Author }
type Author { name: String! }
enum Order { TITLE YEAR }
input BookInput { title: String! year: Int = 2000 tags: [String!] }
`

const filmsSDL = `
type Query { film: Film films: [Film!]! }
type Mutation { addFilm(title: String!): Film! }
type Film { id: ID! title: String }
`

func TestTwoServicesAnswerOneQuery(t *testing.T) {
	books := newStub(t, booksSDL).value("Query.book", map[string]any{"title": "SICP"})
	films := newStub(t, filmsSDL).value("Query.film", map[string]any{"title": "Brazil"})
	g := gatewayOf(t, Config{}, books.named("books"), films.named("films"))

	got := post(t, g, `{ b: book(id: 1) { title } film { title } __typename }`)
	wantEqual(t, got, `{"data":{"b":{"title":"SICP"},"film":{"title":"Brazil"},"__typename":"Query"}}`)
	wantEqual(t, books.last.Load().query, `query{b:book(id:1){title } }`)
}

func TestTheEmptyGatewayAnswers(t *testing.T) {
	g := gatewayOf(t, Config{})
	wantEqual(t, post(t, g, `{ services __typename }`), `{"data":{"services":[],"__typename":"Query"}}`)
}
