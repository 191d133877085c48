package samples

import "github.com/graph-gophers/graphql-go"

const booksSchema = `
type Query {
	"All books, or those by an author."
	books(author: String): [Book!]!
	"One book."
	book(id: ID!): Book
}

type Book {
	id: ID!
	title: String!
	author: String!
	year: Int!
}
`

type book struct {
	ID     graphql.ID
	Title  string
	Author string
	Year   int32
}

// library has the books.
type library struct{}

func shelf() []book {
	return []book{
		{"frankenstein", "Frankenstein", "Mary Shelley", 1818},
		{"time-machine", "The Time Machine", "H. G. Wells", 1895},
		{"rur", "R.U.R.", "Karel Čapek", 1920},
	}
}

func (library) Books(q struct{ Author *string }) []book {
	found := []book{}
	for _, b := range shelf() {
		if q.Author == nil || b.Author == *q.Author {
			found = append(found, b)
		}
	}
	return found
}

func (library) Book(q struct{ ID graphql.ID }) *book {
	for _, b := range shelf() {
		if b.ID == q.ID {
			return &b
		}
	}
	return nil
}
