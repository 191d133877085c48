package transport

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type benchService struct {
	Name     string            `json:"name"`
	Endpoint string            `json:"endpoint"`
	Protocol string            `json:"protocol"`
	Region   string            `json:"region,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

var books = benchService{
	Name: "books-of-the-month", Endpoint: "http://books.internal.example.com:8080/graphql",
	Protocol: "http:graphql", Region: "eu-central-1", Tags: map[string]string{"tier": "front"},
}

func BenchmarkEncode(b *testing.B) {
	e := encoder{depth: 64}
	b.ReportAllocs()
	for b.Loop() {
		e.buf = e.buf[:0]
		if err := e.value(books); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e := encoder{depth: 64}
	if err := e.value(books); err != nil {
		b.Fatal(err)
	}
	s := &Session{limits: Limits{}.withDefaults()}
	b.ReportAllocs()
	for b.Loop() {
		d := decoder{scanner: scanner{data: e.buf, keys: &s.keys}, session: s, depth: 64}
		v, err := d.value()
		if err != nil {
			b.Fatal(err)
		}
		var back benchService
		if err := Decode(v, &back); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEchoPipe is a call without a network: what sessions cost by themselves.
func BenchmarkEchoPipe(b *testing.B) {
	client, _ := pair(b, Config{}, Config{Main: echo()})
	main := client.Main()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := main.Call("echo", books).Await(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBatch serves a batch of 100 calls, without HTTP's own work.
func BenchmarkBatch(b *testing.B) {
	var body strings.Builder
	for i := 1; i <= 100; i++ {
		fmt.Fprintf(&body, "%s\n[\"pull\",%d]\n", pushBooks, i)
	}
	main := echo()
	handler := BatchHandler(func(*http.Request) *Target { return main }, Config{})
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.TrimSuffix(body.String(), "\n"))))
		if lines := bytes.Count(w.Body.Bytes(), []byte(`["resolve",`)); lines != 100 {
			b.Fatalf("%d answers: %.200s", lines, w.Body)
		}
	}
}
