package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// noise is n bytes.
func noise(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(data)
	return data
}

// TestBytesAsReadersAndWriters copies 10 MB each way through each kind of end.
func TestBytesAsReadersAndWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := noise(10 << 20)
		want := sha256.Sum256(data)
		var stored bytes.Buffer
		closes := 0
		main := NewTarget(map[string]Method{
			"sum": func(_ context.Context, c *Call) (any, error) {
				h := sha256.New()
				_, err := io.Copy(h, c.Arg(0).(*Readable))
				return h.Sum(nil), err
			},
			"data": func(context.Context, *Call) (any, error) {
				return ReadableFrom(closer{bytes.NewReader(data), nil, &closes}), nil
			},
			"store": func(context.Context, *Call) (any, error) { return WritableTo(closer{nil, &stored, &closes}), nil },
			"write": func(_ context.Context, c *Call) (any, error) {
				w := c.Arg(0).(*Writable)
				if _, err := io.Copy(w, bytes.NewReader(data)); err != nil {
					return nil, err
				}
				return nil, w.Close()
			},
		})
		client, server := pair(t, Config{}, Config{Main: main})
		if got := must[[]byte](t, client.Main().Call("sum", ReadableFrom(bytes.NewReader(data)))); !bytes.Equal(got, want[:]) {
			t.Error("a reader that was sent arrived otherwise")
		}
		got, err := io.ReadAll(must[*Readable](t, client.Main().Call("data")))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("a reader that came has %d bytes, %v", len(got), err)
		}
		w := must[*Writable](t, client.Main().Call("store"))
		if n, err := io.Copy(w, bytes.NewReader(data)); err != nil || n != int64(len(data)) {
			t.Errorf("%d bytes were written, %v", n, err)
		}
		if err := w.Close(); err != nil || !bytes.Equal(stored.Bytes(), data) {
			t.Errorf("the writer got %d bytes, %v", stored.Len(), err)
		}
		var mine bytes.Buffer
		must[any](t, client.Main().Call("write", WritableTo(&mine)))
		if !bytes.Equal(mine.Bytes(), data) {
			t.Errorf("a writer that was sent got %d bytes", mine.Len())
		}
		expectEmpty(t, client, server)
		if closes != 2 {
			t.Errorf("%d closes, want one of the reader and one of the writer", closes)
		}
	})
}

// closer counts how often it is closed.
type closer struct {
	io.Reader
	io.Writer
	n *int
}

func (c closer) Close() error { *c.n++; return nil }

// TestAReaderIsClosedOnce has readers that end in every way.
func TestAReaderIsClosedOnce(t *testing.T) {
	broken := errors.New("broken disk")
	for name, c := range map[string]struct {
		reader io.Reader
		method string
		end    bool // the session ends before the peer has acknowledged
	}{
		"read to the end":         {bytes.NewReader(noise(1000)), "length", false},
		"not read":                {endless{}, "ignore", false},
		"failing":                 {io.MultiReader(bytes.NewReader(noise(1000)), failingReader{broken}), "length", false},
		"at the session's end":    {endless{}, "keep", true},
		"ended before the answer": {bytes.NewReader(noise(1000)), "keep", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &depot{}
				client, server := pair(t, Config{}, Config{Main: d.target()})
				closes := 0
				function := &counting{n: 3, err: io.EOF}
				if c.end {
					must[any](t, client.Main().Call("keep", function.readable()))
					_, _ = d.kept.Next(t.Context())
					defer d.kept.Close()
				}
				_, err := client.Main().Call(c.method, ReadableFrom(closer{c.reader, nil, &closes})).Await(t.Context())
				if failed := err != nil && err.Error() == "broken disk"; failed != (name == "failing") {
					t.Errorf("got %v", err)
				}
				synctest.Wait()
				if c.end {
					server.Abort(nil)
					<-client.Done()
				}
				synctest.Wait()
				if closes != 1 {
					t.Errorf("%d closes, want one", closes)
				}
				function.expectCancelled(t, "")
				if d.kept != nil {
					_ = d.kept.Close()
				}
			})
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestAStreamHasOneReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		main := client.Main()

		twice := count(3)
		if _, err := main.Call("ignore", twice, twice).Await(t.Context()); !errors.Is(err, errStreamTaken) {
			t.Errorf("a stream twice in one call: got %v", err)
		}
		if got := must[[]any](t, main.Call("read", twice)); !reflect.DeepEqual(got, numbers(3)) {
			t.Errorf("after a call that was not sent: got %v", got)
		}
		if _, err := main.Call("ignore", twice).Await(t.Context()); !errors.Is(err, errStreamTaken) {
			t.Errorf("a stream in a second call: got %v", err)
		}
		if _, err := twice.Next(t.Context()); !errors.Is(err, errStreamTaken) {
			t.Errorf("a read of what was passed on: got %v", err)
		}
		begun := must[*Readable](t, main.Call("count", 3))
		if v, err := begun.Next(t.Context()); v != 1.0 || err != nil {
			t.Errorf("got %v, %v", v, err)
		}
		if _, err := main.Call("ignore", begun).Await(t.Context()); !errors.Is(err, errStreamTaken) {
			t.Errorf("a stream that is being read: got %v", err)
		}
		if v, err := begun.Next(t.Context()); v != 2.0 || err != nil {
			t.Errorf("the reader goes on: got %v, %v", v, err)
		}
		_ = begun.Close()
		_ = begun.Close()
		if _, err := begun.Next(t.Context()); !errors.Is(err, errStreamClosed) {
			t.Errorf("a closed stream: got %v", err)
		}
		w := must[*Writable](t, main.Call("sink"))
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if _, err := main.Call("ignore", w).Await(t.Context()); !errors.Is(err, errReleased) {
			t.Errorf("a closed writer: got %v", err)
		}
		expectEmpty(t, client, server)
	})
}

func TestAllBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &counting{n: 1 << 30}
		client, server := pair(t, Config{}, Config{Main: NewTarget(map[string]Method{
			"count": func(context.Context, *Call) (any, error) { return source.readable(), nil },
		})})
		for chunk := range must[*Readable](t, client.Main().Call("count")).All(t.Context()) {
			if chunk == 3.0 {
				break
			}
		}
		synctest.Wait()
		source.expectCancelled(t, "dropped without being read")
		expectEmpty(t, client, server)
	})
}

// middle gives the peer of its session what far has, by calls of its own.
func middle(far *Stub) *Target {
	pass := func(method string) Method {
		return func(_ context.Context, c *Call) (any, error) { return far.Call(method, c.in.args...), nil }
	}
	return NewTarget(map[string]Method{
		"echo": pass("echo"), "count": pass("count"), "read": pass("read"), "length": pass("length"),
		"ignore": pass("ignore"), "keep": pass("keep"), "sink": pass("sink"), "fill": pass("fill"),
		"awaited": func(ctx context.Context, c *Call) (any, error) { return far.Call("count", c.Arg(0)).Await(ctx) },
	})
}

// TestStreamsThroughASessionInTheMiddle passes streams on from one session to
// another. They go through without being read there.
func TestStreamsThroughASessionInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		up, server := pair(t, Config{}, Config{Main: d.target()})
		client, down := pair(t, Config{}, Config{Main: middle(up.Main())})
		main := client.Main()
		all := []*Session{client, down, up, server}

		if got := must[[]any](t, main.Call("read", count(1000))); !reflect.DeepEqual(got, numbers(1000)) {
			t.Errorf("an argument: %d chunks arrived, or others", len(got))
		}
		for _, method := range []string{"count", "awaited"} {
			var got []any
			for chunk, err := range must[*Readable](t, main.Call(method, 1000)).All(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, chunk)
			}
			if !reflect.DeepEqual(got, numbers(1000)) {
				t.Errorf("%s: %d chunks arrived, or others", method, len(got))
			}
			expectEmpty(t, all...)
		}
		w := must[*Writable](t, main.Call("sink"))
		for i := range 10 {
			if err := w.Send(t.Context(), i+1); err != nil {
				t.Error(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		d.sink.expect(t, "EOF", numbers(10)...)
		mine := &tape{}
		must[any](t, main.Call("fill", NewWritable(mine), 10))
		mine.expect(t, "EOF", numbers(10)...)
		expectEmpty(t, all...)

		// The far end's errors come back, and its pace.
		*d.sink = tape{fails: func(any) error { return &Error{Message: "full"} }}
		w = must[*Writable](t, main.Call("sink"))
		_ = w.Send(t.Context(), 1)
		if err := w.Close(); err == nil || err.Error() != "full" {
			t.Errorf("a sink that fails: got %v", err)
		}
		produced := 0
		must[any](t, main.Call("keep", NewReadable(func(context.Context) (any, error) {
			produced++
			return bytes.Repeat([]byte{1}, 10_000), nil
		}, nil)))
		synctest.Wait()
		if held := produced * 10_000 * 4 / 3; held > firstWindow+30_000 {
			t.Errorf("the writer went on for %d bytes, with a window of %d", held, firstWindow)
		}
		_ = d.kept.Close()
		expectEmpty(t, all...)

		// The near end's end is the far end's.
		source := &counting{n: 1 << 30}
		must[any](t, main.Call("keep", source.readable()))
		w = must[*Writable](t, main.Call("sink"))
		*d.sink = tape{}
		_ = w.Send(t.Context(), 1)
		synctest.Wait()
		client.Abort(nil)
		<-down.Done()
		synctest.Wait()
		for {
			_, err := d.kept.Next(t.Context())
			if err == nil {
				continue
			}
			if err == io.EOF {
				t.Error("a stream that was cut ended well")
			}
			break
		}
		d.sink.expect(t, "the writer of the stream went away without closing it", 1.0)
		expectEmpty(t, up, server)
	})
}

func TestBlobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		far, near := pair(t, Config{}, Config{Main: middle(client.Main())})
		for _, size := range []int{0, 1, chunkBytes, chunkBytes + 1, 1 << 20} {
			sent := Blob{Type: "application/x", Data: noise(size)}
			for _, main := range []*Stub{client.Main(), far.Main()} {
				for _, arg := range []any{sent, map[string]any{"in": []any{sent, "x"}}} {
					v, err := main.Call("echo", arg).Await(t.Context())
					if m, ok := v.(map[string]any); ok {
						v = m["in"].([]any)[0]
					}
					got, ok := v.(Blob)
					if err != nil || !ok || got.Type != sent.Type || !bytes.Equal(got.Data, sent.Data) {
						t.Errorf("%d bytes became %.80v, %v", size, v, err)
					}
				}
			}
			expectEmpty(t, client, server, far, near)
			if client.heldBytes+server.heldBytes+far.heldBytes+near.heldBytes != 0 {
				t.Error("blobs are counted that are gone")
			}
		}
	})
}

// TestABlobDelaysItsCallOnly has a blob whose bytes come late.
func TestABlobDelaysItsCallOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		main := book.target()
		other := &notebook{}
		main.methods["another"] = func(context.Context, *Call) (any, error) { return other.target(), nil }
		w := script(t, Config{Main: main})
		w.say(`["push",["pipeline",0,["another"],[]]]`, `["pipe"]`,
			`["push",["pipeline",0,["note"],[["blob","",["readable",2]]]]]`,
			`["push",["pipeline",0,["note"],["after the blob"]]]`,
			`["push",["pipeline",1,["note"],["elsewhere"]]]`)
		synctest.Wait()
		book.expect(t)
		other.expect(t, "elsewhere")
		w.say(`["stream",["pipeline",2,["write"],[["bytes","YWJj"]]]]`, `["stream",["pipeline",2,["close"],[]]]`)
		synctest.Wait()
		book.expect(t, "{ [97 98 99]}", "after the blob")
		w.expect(`["resolve",6,["undefined"]]`, `["resolve",7,["undefined"]]`)
	})
}

// TestABlobThatIsTooLarge goes on writing after it was refused.
func TestABlobThatIsTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: echo(), Limits: Limits{HeldBytes: 300_000}})
		_, err := client.Main().Call("echo", Blob{Data: noise(1 << 20)}).Await(t.Context())
		if e := (*Error)(nil); !errors.As(err, &e) || e.Code() != "too_large" {
			t.Errorf("got %v", err)
		}
		must[any](t, client.Main().Call("echo", Blob{Data: noise(100_000)}))
		expectEmpty(t, client, server)
		if server.heldBytes != 0 {
			t.Errorf("%d bytes are counted that are gone", server.heldBytes)
		}
	})
}

func TestRequestsAndResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := NewTarget(map[string]Method{
			"fetch": func(_ context.Context, c *Call) (any, error) {
				r := c.Arg(0).(*Request)
				body, err := io.ReadAll(r.Body.(*Readable))
				return &Response{Status: 201, StatusText: "Made", Header: r.Header, Body: ReadableFrom(bytes.NewReader(body))}, err
			},
			"echo": func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil },
		})
		client, server := pair(t, Config{}, Config{Main: main})
		data := noise(1 << 20)
		response := must[*Response](t, client.Main().Call("fetch", &Request{
			URL: "http://a/b", Method: "POST", Header: http.Header{"X-A": {"1", "2"}}, Body: ReadableFrom(bytes.NewReader(data)),
		}))
		got, err := io.ReadAll(response.Body.(*Readable))
		if err != nil || !bytes.Equal(got, data) || response.Status != 201 || response.StatusText != "Made" || response.Header.Get("X-A") != "1, 2" {
			t.Errorf("got %d bytes, %v, of %d %q %v", len(got), err, response.Status, response.StatusText, response.Header)
		}
		// What nobody reads is closed with its result.
		source := &counting{n: 1 << 30}
		p := client.Main().Call("echo", &Response{Body: source.readable()})
		p.Pull()
		time.Sleep(time.Second)
		p.Release()
		synctest.Wait()
		source.expectCancelled(t, "dropped without being read")
		expectEmpty(t, client, server)
		for _, body := range []any{nil, "text", []byte("bytes")} {
			want := &Request{URL: "http://a/", Method: "PUT", Header: http.Header{}, Body: body, Init: map[string]any{"redirect": "manual"}}
			if got := must[*Request](t, client.Main().Call("echo", want)); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		}
		expectEmpty(t, client, server)
	})
}
