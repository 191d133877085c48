package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/transport"
)

func TestFetchValuesAtTheReference(t *testing.T) {
	main := connect(t, referenceServer(t)).Main()
	address := &url.URL{Scheme: "https", Host: "example.com", Path: "/a b", RawQuery: "c=%zz"}
	if got := await[transport.URL](t, main.Call("echo", address)); string(got) != address.String() {
		t.Errorf("URL: got %s, want %s", got, address)
	}
	header := http.Header{"Content-Type": {"text/plain"}, "X-Two": {"a, b"}, "Set-Cookie": {"a=1", "b=2"}}
	if got := await[http.Header](t, main.Call("echo", header)); !reflect.DeepEqual(got, header) {
		t.Errorf("headers: got %v, want %v", got, header)
	}
	request := &transport.Request{
		URL: "http://example.com/x", Method: "POST", Header: http.Header{"X-A": {"1"}},
		Body: transport.ReadableFrom(strings.NewReader("some text")), Init: map[string]any{"redirect": "manual"},
	}
	if got, want := await[string](t, main.Call("read", request)), "POST http://example.com/x some text"; got != want {
		t.Errorf("request: got %q, want %q", got, want)
	}
	request.Body = []byte("bytes")
	back := await[*transport.Request](t, main.Call("echo", request))
	body, err := io.ReadAll(back.Body.(io.Reader))
	if err != nil || string(body) != "bytes" || back.Method != "POST" || back.Header.Get("x-a") != "1" || back.Init["redirect"] != "manual" {
		t.Errorf("request and back: got %+v, %q, %v", back, body, err)
	}
	answer := await[*transport.Response](t, main.Call("echo", &transport.Response{Status: 404, StatusText: "gone", Body: "nothing"}))
	body, err = io.ReadAll(answer.Body.(io.Reader))
	if err != nil || answer.Status != 404 || answer.StatusText != "gone" || string(body) != "nothing" {
		t.Errorf("response and back: got %+v, %q, %v", answer, body, err)
	}
	if empty := await[*transport.Response](t, main.Call("echo", &transport.Response{Status: 204})); empty.Body != nil {
		t.Errorf("a response without body came back with %v", empty.Body)
	}
}

func TestBlobsAtTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	for _, size := range []int{0, 1, 300_000} {
		blob := transport.Blob{Type: "image/png", Data: bytes.Repeat([]byte{7}, size)}
		if got := await[transport.Blob](t, s.Main().Call("echo", blob)); got.Type != blob.Type || !bytes.Equal(got.Data, blob.Data) {
			t.Errorf("%d bytes came back as %d of %q", size, len(got.Data), got.Type)
		}
	}
	if got := await[string](t, s.Main().Call("size", transport.Blob{Data: make([]byte, 100_000)})); got != " 100000" {
		t.Errorf("the server got %q", got)
	}
	expectNothingLeft(t, s)
}

func TestReadablesAtTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	main := s.Main()
	sent := []any{1.0, "two", []any{3.0}, map[string]any{"four": 4.0}, []byte{5}}
	stream := func() *transport.Readable { return numbers(len(sent), func(i int) any { return sent[i] }, io.EOF) }
	if got := await[[]any](t, main.Call("collect", stream())); !reflect.DeepEqual(got, sent) {
		t.Errorf("the server read %v", got)
	}
	produced := await[struct {
		Stream *transport.Readable `json:"stream"`
	}](t, main.Call("produce", 1000))
	list, err := chunks(t, produced.Stream)
	if err != nil || len(list) != 1000 || list[999] != 999.0 {
		t.Errorf("from the server: %d chunks, %v", len(list), err)
	}
	failing := numbers(1, func(int) any { return "a" }, &transport.Error{Name: "RangeError", Message: "no more"})
	_, err = main.Call("collect", failing).Await(t.Context())
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Name != "RangeError" || e.Message != "no more" {
		t.Errorf("a source that fails here: got %v", err)
	}
	_, err = chunks(t, await[*transport.Readable](t, main.Call("produceBadly")))
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Name != "RangeError" || e.Message != "the source broke" {
		t.Errorf("a source that fails there: got %v", err)
	}
	expectNothingLeft(t, s)
}

func chunks(t *testing.T, r *transport.Readable) (list []any, err error) {
	t.Helper()
	for chunk, err := range r.All(t.Context()) {
		if err != nil {
			return list, err
		}
		list = append(list, chunk)
	}
	return list, nil
}

func TestWritablesAtTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	main := s.Main()
	mine := &sunken{}
	await[any](t, main.Call("write", transport.NewWritable(mine), []any{"a", 2, []any{3}}))
	if want := []any{"a", 2.0, []any{3.0}}; !reflect.DeepEqual(mine.chunks, want) || mine.end != "closed" {
		t.Errorf("the server wrote %v, and the end was %q", mine.chunks, mine.end)
	}
	there := await[*transport.Writable](t, main.Call("sink"))
	for i := range 500 {
		if err := there.Send(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := there.Close(); err != nil {
		t.Error(err)
	}
	got := await[struct {
		Chunks []int  `json:"chunks"`
		End    string `json:"end"`
	}](t, main.Call("sunk"))
	if len(got.Chunks) != 500 || got.Chunks[499] != 499 || got.End != "closed" {
		t.Errorf("the server has %d chunks, and the end was %q", len(got.Chunks), got.End)
	}
	bad := await[*transport.Writable](t, main.Call("sink"))
	err := errors.Join(bad.Send(t.Context(), "bad"), bad.Close())
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Message != "no such chunk" {
		t.Errorf("a chunk that the server cannot take: got %v", err)
	}
	await[*transport.Writable](t, main.Call("sink")).Abort(errors.New("changed my mind"))
	eventually(t, "the abort arrives", func() bool {
		return await[map[string]any](t, main.Call("sunk"))["end"] == "changed my mind"
	})
	expectNothingLeft(t, s)
}

func TestPropertiesOfTheReference(t *testing.T) {
	main := connect(t, referenceServer(t)).Main()
	counter := main.Call("counter", 5)
	defer counter.Release()
	counter.Call("add", 2).Release()
	if got := await[int](t, counter.Get("value")); got != 7 {
		t.Errorf("got %d, want 7", got)
	}
	if got := await[string](t, main.Call("list").Get("items", 1, "name")); got != "two" {
		t.Errorf("a path with an index: got %q", got)
	}
}

// TestABatchWithABlob goes there and back in one request.
func TestABatchWithABlob(t *testing.T) {
	b := transport.NewBatch("http://"+referenceServer(t)+"/", &http.Client{}, transport.Config{})
	size := b.Main().Call("size", transport.Blob{Type: "text/plain", Data: make([]byte, 200_000)})
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := await[string](t, size); got != "text/plain 200000" {
		t.Errorf("got %q", got)
	}
}

// expectNothingLeft wants the session to hold nothing, once all is told.
func expectNothingLeft(t *testing.T, s *transport.Session) {
	t.Helper()
	eventually(t, "nothing is left here", func() bool {
		got := s.Stats()
		return got.Imports == 0 && got.Exports == 0
	})
	eventually(t, "nothing is left there", func() bool {
		got, err := transport.Invoke[map[string]int](context.Background(), s.Main(), "stats")
		return err == nil && got["imports"] == 1 && got["exports"] <= 3
	})
}
