// Package samples is two small GraphQL services for whoever tries Catalyst out:
// books, and reviews of them. They keep what they are told in memory, within
// bounds, and know nothing of Catalyst.
package samples

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/graph-gophers/graphql-go"
)

// Service is a sample with the name under which to register it.
type Service struct {
	Name string
	http.Handler
}

// All are the samples, anew: what was said to earlier ones is forgotten.
func All() []Service {
	return []Service{
		{"books", serve(booksSchema, &library{})},
		{"reviews", serve(reviewsSchema, newReviews())},
	}
}

const (
	bodyBytes = 64 << 10 // of a request
	depth     = 16       // of a document
)

// serve answers GraphQL with what the resolver's methods return. The schema is
// the program's own, so that a mistake in it is the programmer's.
func serve(schema string, resolver any) http.Handler {
	return &service{graphql.MustParseSchema(schema, resolver, graphql.MaxDepth(depth), graphql.UseFieldResolvers())}
}

type service struct{ schema *graphql.Schema }

// request is a GraphQL request as it comes in a body.
type request struct {
	Query         string         `json:"query"`
	OperationName string         `json:"operationName"`
	Variables     map[string]any `json:"variables"`
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/graphql" {
		http.Error(w, "GraphQL is at /graphql", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "POST a GraphQL request as application/json", http.StatusMethodNotAllowed)
		return
	}
	var q request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyBytes)).Decode(&q); err != nil {
		http.Error(w, "the body is no GraphQL request: "+err.Error(), http.StatusBadRequest)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		s.stream(w, r, q)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.schema.Exec(r.Context(), q.Query, q.OperationName, q.Variables)) // who left needs no answer
}

// stream answers a subscription with server-sent events, each a response.
func (s *service) stream(w http.ResponseWriter, r *http.Request, q request) {
	responses, err := s.schema.Subscribe(r.Context(), q.Query, q.OperationName, q.Variables)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	_ = flush() // the client knows that it has been heard
	for response := range responses {
		text, err := json.Marshal(response)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "event: next\ndata: %s\n\n", text)
		_ = flush()
	}
	fmt.Fprint(w, "event: complete\ndata:\n\n")
}
