package gateway

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fast is a service on loopback that always answers with the same.
func fast(b *testing.B, sdl, reply string) *stub {
	s := newStub(b, sdl)
	s.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("__schema")) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, reply)
		return true
	})
	return s
}

// nowhereWriter is where a response goes that nobody reads.
type nowhereWriter struct{ header http.Header }

func (w nowhereWriter) Header() http.Header         { return w.header }
func (w nowhereWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhereWriter) WriteHeader(int)             {}

func benchmark(b *testing.B, g *Gateway, body string) {
	b.Helper()
	handler := g.Handler()
	want := postBody(b, g, body).Body.String()
	if strings.Contains(want, `"errors"`) {
		b.Fatal(want)
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		w := nowhereWriter{http.Header{}}
		for p.Next() {
			r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
			r.Header["Content-Type"] = []string{"application/json"}
			clear(w.header)
			handler.ServeHTTP(w, r)
		}
	})
}

const oneBook = `{"data":{"book":{"id":"1","title":"Structure and Interpretation of Computer Programs","author":{"name":"Abelson"}}}}`

func BenchmarkOneService(b *testing.B) {
	g := gatewayOf(b, Config{}, fast(b, booksSDL, oneBook).named("books"))
	benchmark(b, g, `{"query":"query($id: ID!) { book(id: $id) { id title author { name } } }","variables":{"id":"1"}}`)
}

func BenchmarkTwoServices(b *testing.B) {
	g := gatewayOf(b, Config{}, fast(b, booksSDL, oneBook).named("books"),
		fast(b, filmsSDL, `{"data":{"film":{"id":"1","title":"Brazil"}}}`).named("films"))
	benchmark(b, g, `{"query":"query($id: ID!) { book(id: $id) { id title author { name } } film { id title } }","variables":{"id":"1"}}`)
}

// BenchmarkGatewayAlone has a service that costs nothing: what is left is the gateway's
// own work.
func BenchmarkGatewayAlone(b *testing.B) {
	g := gatewayOf(b, Config{}, fast(b, booksSDL, oneBook).named("books"))
	for s := range g.Schema().services {
		s.transport, s.lines = canned(oneBook), nil
	}
	benchmark(b, g, `{"query":"query($id: ID!) { book(id: $id) { id title author { name } } }","variables":{"id":"1"}}`)
}

// BenchmarkLargeAnswer copies 1 MB through.
func BenchmarkLargeAnswer(b *testing.B) {
	book := `{"id":"1","title":"Structure and Interpretation of Computer Programs"}`
	reply := `{"data":{"books":[` + strings.Repeat(book+",", 1<<20/len(book)) + book + `]}}`
	g := gatewayOf(b, Config{}, fast(b, booksSDL, reply).named("books"))
	for s := range g.Schema().services {
		s.transport, s.lines = canned(reply), nil
	}
	b.SetBytes(int64(len(reply)))
	benchmark(b, g, `{"query":"{ books { id title } }"}`)
}

type canned string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusOK, ContentLength: int64(len(c)), Body: io.NopCloser(strings.NewReader(string(c)))}, nil
}

// BenchmarkPlan plans a document that was not seen before.
func BenchmarkPlan(b *testing.B) {
	s := schemaOf(b, booksSDL, filmsSDL)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.plan(`query($id: ID!) { book(id: $id) { id title author { name } } film { id title } }`, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMergeFifty merges 50 services of which one is new.
func BenchmarkMergeFifty(b *testing.B) {
	cfg := schemaConfig{limits: Limits{}.withDefaults()}
	var parts []part
	for i := range 50 {
		name := "s" + string(rune('a'+i/10)) + string(rune('0'+i%10))
		is, err := describe(introspectionOfSDL(b, strings.NewReplacer("book", name+"book", "Book", name+"Book").Replace(booksSDL)), 1000)
		if err != nil {
			b.Fatal(err)
		}
		parts = append(parts, part{service: newService(Service{Name: name, URL: "http://s"}, nil, cfg.limits), is: is})
	}
	s := merge(parts[:49], cfg)
	for i := range parts[:49] {
		parts[i].was = s.services[parts[i].service].names
	}
	b.ReportAllocs()
	for b.Loop() {
		merge(parts, cfg)
	}
}

// fifty are services on loopback.
func fifty(b *testing.B) []Service {
	var list []Service
	for i := range 50 {
		name := "s" + string(rune('a'+i/10)) + string(rune('0'+i%10))
		sdl := strings.NewReplacer("book", name+"book", "Book", name+"Book", "author", name+"author").Replace(booksSDL)
		list = append(list, newStub(b, sdl).named(name))
	}
	return list
}

// BenchmarkFullLoad begins with nothing and ends when 50 services are served.
func BenchmarkFullLoad(b *testing.B) {
	list := fifty(b)
	g := started(b, Config{})
	for b.Loop() {
		tell(b, g, list...)
		b.StopTimer()
		tell(b, g)
		b.StartTimer()
	}
}

// BenchmarkOneMore goes from 49 services to 50.
func BenchmarkOneMore(b *testing.B) {
	list := fifty(b)
	g := started(b, Config{})
	tell(b, g, list[:49]...)
	for b.Loop() {
		tell(b, g, list...)
		b.StopTimer()
		tell(b, g, list[:49]...)
		b.StartTimer()
	}
}
