package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAProbeSaysWhatAServiceIs(t *testing.T) {
	s := newStub(t, booksSDL+`type Subscription { bookAdded: Book }`)
	got, err := Probe(t.Context(), s.named("books"))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, fmt.Sprint(got.Types, got.Queries, got.Mutations, got.Subscriptions), "7 [book books] [addBook] [bookAdded]")
	if got.Took <= 0 {
		t.Errorf("took %v", got.Took)
	}
}

// says is a service that gives everybody the same answer.
func says(status int, header, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, value, ok := strings.Cut(header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func TestAProbeTellsTroublesApart(t *testing.T) {
	const json, html, plain = "Content-Type: application/json", "Content-Type: text/html; charset=utf-8", "Content-Type: text/plain"
	for name, c := range map[string]struct {
		service http.Handler
		trouble Trouble
		says    string
	}{
		"a wrong path":           {says(404, html, "<h1>Not Found</h1>"), Missing, "answered 404 Not Found"},
		"one of a JSON API":      {says(404, json, `{"message":"Route POST:/ not found"}`), Missing, "answered 404 Not Found"},
		"a file server":          {says(405, plain, "no"), Missing, "answered 405 Method Not Allowed"},
		"a redirect":             {says(308, "Location: /graphql/", ""), Missing, "answered 308 Permanent Redirect, to /graphql/"},
		"a web page":             {says(200, html, "<html>"), NotGraphQL, "answered 200 OK with text/html: that is no GraphQL"},
		"an empty answer":        {says(204, "", ""), NotGraphQL, "answered 204 No Content: that is no GraphQL"},
		"another API":            {says(200, json, `{"books":[]}`), NotGraphQL, "answered 200 OK with application/json: that is no GraphQL"},
		"no JSON":                {says(200, json, `{"data`), NotGraphQL, "answered 200 OK with application/json: that is no GraphQL"},
		"an API that objects":    {says(400, plain, "bad request"), NotGraphQL, "answered 400 Bad Request with text/plain: that is no GraphQL"},
		"one without a status":   {says(299, plain, "hm"), NotGraphQL, "answered 299 with text/plain: that is no GraphQL"},
		"introspection off":      {says(400, json, `{"errors":[{"message":"introspection is not allowed"}]}`), Reticent, "refuses to say what it is: introspection is not allowed"},
		"credentials":            {says(401, plain, "who?"), Reticent, "answered 401 Unauthorized"},
		"a proxy":                {says(503, html, "<h1>"), Unwell, "answered 503 Service Unavailable"},
		"an error inside":        {says(500, json, `{"errors":[{"message":"Unexpected error."}]}`), Unwell, "answered 500 Internal Server Error"},
		"a broken answer":        {breaksOff(), Unwell, "broke off"},
		"a type without a field": {says(200, json, `{"data":{"__schema":{"queryType":{"name":"Query"},"types":[{"kind":"OBJECT","name":"Query"}]}}}`), Unservable, "cannot be served: its schema is not valid: OBJECT Query: must define one or more fields."},
		"no query type":          {says(200, json, `{"data":{"__schema":{}}}`), Unservable, "cannot be served: its introspection has no query type"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.service)
			defer server.Close()
			wantTrouble(t, server.URL, c.trouble, c.says)
		})
	}
}

func breaksOff() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"data":`)
	})
}

func TestAProbeOfWhatDoesNotSpeakHTTP(t *testing.T) {
	shell, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	go func() {
		for {
			c, err := shell.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2p1\r\n")
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	wantTrouble(t, "http://"+shell.Addr().String(), NotGraphQL, "does not speak HTTP")

	server := httptest.NewServer(says(200, "", ""))
	wantTrouble(t, strings.Replace(server.URL, "http:", "https:", 1), NotGraphQL, "speaks plain HTTP, and no TLS")
	server.Close()
	wantTrouble(t, server.URL, Unreachable, "cannot be reached: connect: connection refused")
	secure := httptest.NewUnstartedServer(says(200, "", ""))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	wantTrouble(t, secure.URL, Unreachable, "has a certificate that is not trusted here: x509: certificate signed by unknown authority")
	wantTrouble(t, "ws://127.0.0.1/graphql", Unservable, `cannot be asked: its url begins with "ws": want http or https`)
	wantTrouble(t, "books", Unservable, `cannot be asked: its url is none`)
}

func wantTrouble(t *testing.T, url string, trouble Trouble, says string) {
	t.Helper()
	_, err := Probe(t.Context(), Service{Name: "x", URL: url})
	var got *ProbeError
	if !errors.As(err, &got) || got.Trouble != trouble || got.Error() != says {
		t.Errorf("%s: got %#v, want trouble %d: %s", url, err, trouble, says)
	}
}

func TestAProbeEndsWithItsContext(t *testing.T) {
	asked := make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // what is not read hides that the client has gone
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := Probe(ctx, Service{Name: "x", URL: server.URL}); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var got *ProbeError
	_, err := Probe(ctx, Service{Name: "x", URL: server.URL})
	if !errors.As(err, &got) || got.Trouble != Unreachable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late: %#v", err)
	}
}

// TestAProbeKeepsWhereARedirectLeads: it is not followed, and whoever asked may
// want to look there.
func TestAProbeKeepsWhereARedirectLeads(t *testing.T) {
	server := httptest.NewServer(http.RedirectHandler("/graphql", http.StatusPermanentRedirect))
	defer server.Close()
	var got *ProbeError
	if _, err := Probe(t.Context(), Service{Name: "x", URL: server.URL}); !errors.As(err, &got) {
		t.Fatal(err)
	}
	to, err := url.Parse(got.Location)
	if err != nil || to.Path != "/graphql" {
		t.Errorf("location %q, %v", got.Location, err)
	}
}
