package samples

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/graph-gophers/graphql-go"
)

const reviewsSchema = `
type Query {
	"All reviews, or those of a book; the newest first."
	reviews(book: ID): [Review!]!
}

type Mutation {
	"Stars are 1 to 5."
	addReview(book: ID!, stars: Int!, text: String!): Review!
}

type Subscription {
	"Each review as it is added."
	reviewAdded: Review!
}

type Review {
	book: ID!
	stars: Int!
	text: String!
}
`

const (
	reviewsKept  = 100 // the oldest go
	reviewBytes  = 1000
	listeners    = 100
	listenerLags = 16 // reviews; who is further behind misses some
)

type review struct {
	Book  graphql.ID
	Stars int32
	Text  string
}

// reviews has what was said of books.
type reviews struct {
	mu        sync.Mutex
	all       []review // the newest last
	listening map[chan *review]struct{}
}

func newReviews() *reviews {
	return &reviews{
		all: []review{
			{"rur", 4, "Where the word robot comes from."},
			{"time-machine", 5, "Read it twice, in both directions."},
			{"frankenstein", 5, "Mind who maintains what you build."},
		},
		listening: map[chan *review]struct{}{},
	}
}

func (r *reviews) Reviews(q struct{ Book *graphql.ID }) []review {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := []review{}
	for _, one := range slices.Backward(r.all) {
		if q.Book == nil || one.Book == *q.Book {
			found = append(found, one)
		}
	}
	return found
}

func (r *reviews) AddReview(q review) (*review, error) {
	switch {
	case q.Stars < 1 || q.Stars > 5:
		return nil, fmt.Errorf("stars is %d: want 1 to 5", q.Stars)
	case len(q.Text)+len(q.Book) > reviewBytes:
		return nil, fmt.Errorf("text: a review has at most %d bytes", reviewBytes)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, q)
	r.all = slices.Delete(r.all, 0, max(0, len(r.all)-reviewsKept))
	for to := range r.listening {
		select {
		case to <- &q:
		default:
		}
	}
	return &q, nil
}

func (r *reviews) ReviewAdded(ctx context.Context) (<-chan *review, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.listening) >= listeners {
		return nil, fmt.Errorf("there are %d listeners already", listeners)
	}
	to := make(chan *review, listenerLags)
	r.listening[to] = struct{}{}
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.listening, to)
		close(to)
	})
	return to, nil
}
