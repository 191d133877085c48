package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tape is a sink that keeps what it gets.
type tape struct {
	fails func(chunk any) error // may be nil

	mu     sync.Mutex
	chunks []any
	ended  error // io.EOF after Close
	ends   int
}

func (s *tape) Write(_ context.Context, chunk any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != nil {
		if err := s.fails(chunk); err != nil {
			return err
		}
	}
	s.chunks = append(s.chunks, chunk)
	return nil
}

func (s *tape) Close(context.Context) error { s.end(io.EOF); return nil }
func (s *tape) Abort(reason error)          { s.end(reason) }

func (s *tape) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = err
	s.ends++
}

func (s *tape) expect(t *testing.T, ended string, chunks ...any) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(chunks)+len(s.chunks) > 0 && !reflect.DeepEqual(s.chunks, chunks) {
		t.Errorf("the sink has %v, want %v", s.chunks, chunks)
	}
	switch {
	case ended == "" && s.ends > 0:
		t.Errorf("the sink ended with %v", s.ended)
	case ended != "" && (s.ends != 1 || s.ended.Error() != ended):
		t.Errorf("the sink ended %d times, with %v, want once with %q", s.ends, s.ended, ended)
	}
}

// counting is a source of n numbers that ends with err.
type counting struct {
	n   int
	err error

	mu        sync.Mutex
	next      int
	cancelled []error
}

func (c *counting) readable() *Readable {
	return NewReadable(func(context.Context) (any, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.next == c.n {
			return nil, c.err
		}
		c.next++
		return c.next, nil
	}, func(reason error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cancelled = append(c.cancelled, reason)
	})
}

func count(n int) *Readable { return (&counting{n: n, err: io.EOF}).readable() }

// expectCancelled wants one cancel, whose reason contains text; "" wants none.
func (c *counting) expectCancelled(t *testing.T, text string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case text == "" && len(c.cancelled) > 0:
		t.Errorf("the source was cancelled: %v", c.cancelled)
	case text != "" && (len(c.cancelled) != 1 || !strings.Contains(fmt.Sprint(c.cancelled[0]), text)):
		t.Errorf("the source was cancelled with %v, want once with %q", c.cancelled, text)
	}
}

// depot is an object with streams of every kind.
type depot struct {
	sink  *tape
	kept  *Readable
	keptW *Writable
}

func (d *depot) target() *Target {
	return NewTarget(map[string]Method{
		"echo": func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil },
		"count": func(_ context.Context, c *Call) (any, error) {
			var n int
			err := c.Decode(0, &n)
			return count(n), err
		},
		"read": func(ctx context.Context, c *Call) (any, error) {
			Concurrent(ctx)
			chunks := []any{}
			for chunk, err := range c.Arg(0).(*Readable).All(ctx) {
				if err != nil {
					return nil, err
				}
				chunks = append(chunks, chunk)
			}
			return chunks, nil
		},
		"length": func(ctx context.Context, c *Call) (any, error) {
			Concurrent(ctx)
			return io.Copy(io.Discard, c.Arg(0).(*Readable))
		},
		"ignore": func(context.Context, *Call) (any, error) { return "ignored", nil },
		"keep": func(_ context.Context, c *Call) (any, error) {
			switch s := c.Arg(0).(type) {
			case *Readable:
				d.kept = s.Keep()
			case *Writable:
				d.keptW = s.Keep()
			}
			return nil, nil
		},
		"sink": func(context.Context, *Call) (any, error) { return NewWritable(d.sink), nil },
		"fill": func(ctx context.Context, c *Call) (any, error) {
			w := c.Arg(0).(*Writable)
			for chunk, err := range count(int(c.Arg(1).(float64))).All(ctx) {
				if err == nil {
					err = w.Send(ctx, chunk)
				}
				if err != nil {
					return nil, err
				}
			}
			return nil, w.Close()
		},
	})
}

func numbers(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = float64(i + 1)
	}
	return list
}

func TestStreamsInArgumentsAndResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		main := client.Main()

		if got := must[[]any](t, main.Call("read", count(1000))); !reflect.DeepEqual(got, numbers(1000)) {
			t.Errorf("a readable argument: %d chunks arrived, or others", len(got))
		}
		var got []any
		for chunk, err := range must[*Readable](t, main.Call("count", 1000)).All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, chunk)
		}
		if !reflect.DeepEqual(got, numbers(1000)) {
			t.Errorf("a readable result: %d chunks arrived, or others", len(got))
		}
		w := must[*Writable](t, main.Call("sink"))
		for i := range 1000 {
			if err := w.Send(t.Context(), i+1); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		d.sink.expect(t, "EOF", numbers(1000)...)
		mine := &tape{}
		must[any](t, main.Call("fill", NewWritable(mine), 1000))
		mine.expect(t, "EOF", numbers(1000)...)
		expectEmpty(t, client, server)
	})
}

// TestStreamsInsideValues has streams in objects, lists, structs and errors.
func TestStreamsInsideValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		mine := &tape{}
		type both struct {
			In  []*Readable `json:"in"`
			Out *Writable   `json:"out"`
		}
		sent := both{In: []*Readable{count(1), count(2)}, Out: NewWritable(mine)}
		back := must[both](t, client.Main().Call("echo", map[string]any{"in": sent.In, "out": sent.Out}))
		for i, r := range back.In {
			for range i + 1 {
				if _, err := r.Next(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if _, err := r.Next(t.Context()); err != io.EOF {
				t.Errorf("stream %d ended with %v", i, err)
			}
		}
		if err := back.Out.Send(t.Context(), "home"); err != nil {
			t.Error(err)
		}
		if err := back.Out.Close(); err != nil {
			t.Error(err)
		}
		mine.expect(t, "EOF", "home")
		expectEmpty(t, client, server)
	})
}

func TestChunksOfEveryKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := pair(t, Config{}, Config{Main: (&depot{}).target()})
		chunks := []any{
			nil, true, 1.5, "text", Undefined{}, []byte("bytes"), Bytes{Kind: "ArrayBuffer", Data: []byte{1}}, big.NewInt(7),
			time.UnixMilli(5).UTC(), []any{1.0, []any{}}, map[string]any{"a": "b"}, URL("http://a/"),
			Blob{Type: "text/plain", Data: []byte("blob")},
		}
		left := chunks
		source := NewReadable(func(context.Context) (any, error) {
			if len(left) == 0 {
				return nil, io.EOF
			}
			chunk := left[0]
			left = left[1:]
			return chunk, nil
		}, nil)
		got := must[[]any](t, client.Main().Call("read", source))
		if !reflect.DeepEqual(got, chunks) {
			t.Errorf("got %v\nwant %v", got, chunks)
		}
		expectEmpty(t, client, server)
	})
}

// TestStubsInChunks has functions in chunks. Each lives until the reader
// releases it, and what nobody reads is released with the stream.
func TestStubsInChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		functions := func(n int) *Readable {
			return NewReadable(func(context.Context) (any, error) {
				if n--; n < 0 {
					return nil, io.EOF
				}
				return map[string]any{"f": k.made()}, nil
			}, nil)
		}
		main := NewTarget(map[string]Method{
			"functions": func(context.Context, *Call) (any, error) { return functions(3), nil },
			"one": func(ctx context.Context, c *Call) (any, error) {
				r := c.Arg(0).(*Readable)
				defer r.Close()
				chunk, err := r.Next(ctx)
				if err != nil {
					return nil, err
				}
				defer ReleaseAll(chunk)
				return chunk.(map[string]any)["f"].(*Stub).Call("hello").Await(ctx)
			},
		})
		client, server := pair(t, Config{}, Config{Main: main})
		var stubs []*Stub
		for chunk, err := range must[*Readable](t, client.Main().Call("functions")).All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			stubs = append(stubs, chunk.(map[string]any)["f"].(*Stub))
		}
		synctest.Wait()
		if got := k.released.Load(); len(stubs) != 3 || got != 0 {
			t.Errorf("%d stubs arrived, %d are released", len(stubs), got)
		}
		for _, s := range stubs {
			if got := must[string](t, s.Call("hello")); got != "hello" {
				t.Errorf("got %q", got)
			}
			s.Release()
		}
		expectEmpty(t, client, server)
		k.released.Store(0)
		// One is read, the others are not.
		if got := must[string](t, client.Main().Call("one", functions(3))); got != "hello" {
			t.Errorf("got %q", got)
		}
		expectNoneLeft(t, k, client, server)

		sink := &tape{}
		w := NewWritable(sink)
		client, server = pair(t, Config{}, Config{Main: NewTarget(map[string]Method{
			"sink": func(context.Context, *Call) (any, error) { return w, nil },
		})})
		k.released.Store(0)
		remote := must[*Writable](t, client.Main().Call("sink"))
		if err := remote.Send(t.Context(), k.made()); err != nil {
			t.Error(err)
		}
		if err := remote.Close(); err != nil {
			t.Error(err)
		}
		sink.chunks[0].(*Stub).Release() // the sink's
		expectEmpty(t, client, server)
		if got := k.released.Load(); got != 1 {
			t.Errorf("%d released, want 1", got)
		}
	})
}

// expectNoneLeft expects nothing of all that k made to be held.
func expectNoneLeft(t *testing.T, k *keeper, sessions ...*Session) {
	t.Helper()
	expectEmpty(t, sessions...)
	for i, s := range sessions {
		if len(s.bindings) > 1 {
			t.Errorf("side %d has %d bindings", i, len(s.bindings))
		}
	}
}

func TestAChunkWaitsForItsPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		d := &depot{}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		other, third := pair(t, Config{}, Config{Main: book.target()})
		n := 0
		must[any](t, client.Main().Call("keep", NewReadable(func(context.Context) (any, error) {
			if n++; n > 3 {
				return nil, io.EOF
			}
			return []any{other.Main().Call("slowly", n), other.Main().Call("note", n)}, nil
		}, nil)))
		// The reader's patience ends, and nothing is lost.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if v, err := d.kept.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", v, err)
		}
		for i := range 3 {
			v, err := d.kept.Next(t.Context())
			if want := []any{float64(i + 1), float64(2*i + 2)}; err != nil || !reflect.DeepEqual(v, want) {
				t.Errorf("got %v, %v, want %v", v, err, want)
			}
		}
		if v, err := d.kept.Next(t.Context()); err != io.EOF {
			t.Errorf("got %v, %v", v, err)
		}
		expectEmpty(t, client, server, other, third)
	})
}

func TestErrorsOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		main := client.Main()
		full := &Error{Name: "RangeError", Message: "full", Props: map[string]any{"code": "enospc"}}
		sameError := func(what string, err error) {
			t.Helper()
			e := (*Error)(nil)
			if !errors.As(err, &e) || e.Name != "RangeError" || e.Message != "full" || e.Code() != "enospc" {
				t.Errorf("%s: got %#v", what, err)
			}
		}

		// The source fails.
		source := &counting{n: 3, err: full}
		_, err := main.Call("read", source.readable()).Await(t.Context())
		sameError("a source that fails", err)
		source.expectCancelled(t, "")

		// The reader gives up.
		source = &counting{n: 1 << 20, err: io.EOF}
		must[any](t, main.Call("keep", source.readable()))
		synctest.Wait()
		if _, err := d.kept.Next(t.Context()); err != nil {
			t.Error(err)
		}
		_ = d.kept.Cancel(full)
		synctest.Wait()
		source.expectCancelled(t, "full")
		sameError("a cancel", source.cancelled[0])
		if _, err := d.kept.Next(t.Context()); err != errStreamClosed {
			t.Errorf("a read after the cancel: got %v", err)
		}

		// The sink fails.
		d.sink.fails = func(chunk any) error {
			if chunk == 2.0 {
				return full
			}
			return nil
		}
		w := must[*Writable](t, main.Call("sink"))
		for i := range 2 {
			if err := w.Send(t.Context(), i+1); err != nil {
				t.Error(err)
			}
		}
		if err := w.Send(t.Context(), 3); err != nil { // it may have heard of the second already
			sameError("a send behind the one that failed", err)
		}
		sameError("a close after a sink that failed", w.Close())
		sameError("a send after a sink that failed", w.Send(t.Context(), 4))
		synctest.Wait()
		d.sink.expect(t, "", 1.0)

		// The writer gives up.
		*d.sink = tape{}
		w = must[*Writable](t, main.Call("sink"))
		_ = w.Send(t.Context(), 1)
		w.Abort(full)
		if err := w.Send(t.Context(), 2); err != errStreamClosed {
			t.Errorf("a send after the abort: got %v", err)
		}
		synctest.Wait()
		d.sink.expect(t, "full", 1.0)
		sameError("an abort", d.sink.ended)

		// The writer forgets.
		*d.sink = tape{}
		w = must[*Writable](t, main.Call("sink"))
		_ = w.Send(t.Context(), 1)
		w.Release()
		synctest.Wait()
		d.sink.expect(t, "the writer of the stream went away without closing it", 1.0)
		expectEmpty(t, client, server)
	})
}

// TestAReaderThatDoesNotReadHoldsTheWriter is the flow control end to end: a
// writer is held at about its window until the reader reads.
func TestAReaderThatDoesNotReadHoldsTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		const chunk = 10_000
		produced := 0
		must[any](t, client.Main().Call("keep", NewReadable(func(context.Context) (any, error) {
			if produced == 100 {
				return nil, io.EOF
			}
			produced++
			return bytes.Repeat([]byte{byte(produced)}, chunk), nil
		}, nil)))
		synctest.Wait()
		held := produced * chunk * 4 / 3 // in base64
		if held < firstWindow || held > firstWindow+3*chunk {
			t.Errorf("the writer went on for %d bytes, with a window of %d", held, firstWindow)
		}
		if got := server.Stats().Running; got != produced-1 {
			t.Errorf("%d chunks wait at the reader, of %d", got, produced)
		}
		for range 5 {
			if _, err := d.kept.Next(t.Context()); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		if produced < 20 {
			t.Errorf("after some were read, %d chunks were produced", produced)
		}
		rest, err := io.Copy(io.Discard, d.kept)
		if err != nil || rest != 95*chunk {
			t.Errorf("the rest are %d bytes, %v", rest, err)
		}
		expectEmpty(t, client, server)
	})
}

// TestASendThatGaveUpWasNotSent ends the wait of a writer.
func TestASendThatGaveUpWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		sink := &tape{fails: func(any) error { <-release; return nil }}
		client, server := pair(t, Config{}, Config{Main: (&depot{sink: sink}).target()})
		w := must[*Writable](t, client.Main().Call("sink"))
		if err := w.Send(t.Context(), strings.Repeat("x", firstWindow)); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("too long"))
		defer cancel()
		if err := w.Send(ctx, "not sent"); err == nil || err.Error() != "too long" {
			t.Errorf("got %v", err)
		}
		close(release)
		if err := w.Send(t.Context(), "sent"); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if len(sink.chunks) != 2 || sink.chunks[1] != "sent" {
			t.Errorf("%d chunks arrived", len(sink.chunks))
		}
		expectEmpty(t, client, server)
	})
}

// TestCloseWaitsForAll has a sink that takes its time.
func TestCloseWaitsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &tape{fails: func(any) error { time.Sleep(time.Second); return nil }}
		client, server := pair(t, Config{}, Config{Main: (&depot{sink: sink}).target()})
		w := must[*Writable](t, client.Main().Call("sink"))
		start := time.Now()
		for i := range 10 {
			if err := w.Send(t.Context(), i+1); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("small chunks waited %v for the sink", took)
		}
		if err := w.Close(); err != nil || time.Since(start) != 10*time.Second {
			t.Errorf("close returned %v after %v, want ten seconds", err, time.Since(start))
		}
		sink.expect(t, "EOF", numbers(10)...)
		if err := w.Close(); err != errStreamClosed {
			t.Errorf("a second close: got %v", err)
		}
		expectEmpty(t, client, server)
	})
}

// TestWhatIsNotReadIsClosed has streams that nobody reads: in the arguments of
// a call that returned, in a result that is released, in what was never sent.
func TestWhatIsNotReadIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		var given *counting
		main := d.target()
		main.methods["give"] = func(context.Context, *Call) (any, error) { return []any{given.readable()}, nil }
		client, server := pair(t, Config{}, Config{Main: main})
		const endless = 1 << 30

		source := &counting{n: endless}
		must[any](t, client.Main().Call("ignore", map[string]any{"r": source.readable()}))
		synctest.Wait()
		source.expectCancelled(t, "dropped without being read")
		expectEmpty(t, client, server)

		kept := &counting{n: endless}
		must[any](t, client.Main().Call("keep", kept.readable()))
		synctest.Wait()
		kept.expectCancelled(t, "")
		if v, err := d.kept.Next(t.Context()); v != 1.0 || err != nil {
			t.Errorf("a kept stream: got %v, %v", v, err)
		}
		_ = d.kept.Close()
		synctest.Wait()
		kept.expectCancelled(t, "dropped without being read")
		expectEmpty(t, client, server)

		for _, how := range []string{"not pulled", "released when it came", "value released"} {
			given = &counting{n: endless}
			p := client.Main().Call("give")
			switch how {
			case "released when it came":
				p.Pull()
				synctest.Wait()
			case "value released":
				ReleaseAll(must[any](t, p))
			}
			p.Release()
			synctest.Wait()
			given.expectCancelled(t, "dropped without being read")
			expectEmpty(t, client, server)
		}

		unsent := &counting{n: endless}
		if _, err := client.Main().Call("ignore", unsent.readable(), make(chan int)).Await(t.Context()); err == nil {
			t.Error("a channel was sent")
		}
		unsent.expectCancelled(t, "") // the caller's still
		expectEmpty(t, client, server)

		// A sink that comes in arguments ends with the call, unless it is kept.
		ignored, used := &tape{}, &tape{}
		must[any](t, client.Main().Call("ignore", NewWritable(ignored)))
		must[any](t, client.Main().Call("keep", NewWritable(used)))
		synctest.Wait()
		ignored.expect(t, "the writer of the stream went away without closing it")
		if err := d.keptW.Send(t.Context(), 1); err != nil {
			t.Error(err)
		}
		if err := d.keptW.Close(); err != nil {
			t.Error(err)
		}
		used.expect(t, "EOF", 1.0)
		expectEmpty(t, client, server)
	})
}

// TestTheEndOfTheSessionInTheMiddle cuts streams either way, with the reader
// and the writer waiting. Both learn of it, and no goroutine is left.
func TestTheEndOfTheSessionInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server := pair(t, Config{}, Config{Main: d.target()})
		main := client.Main()
		waiting := make(chan struct{})
		gone := make(chan error, 1)
		blocked := NewReadable(func(ctx context.Context) (any, error) {
			<-waiting
			return nil, io.EOF
		}, func(reason error) { gone <- reason; close(waiting) })
		must[any](t, main.Call("keep", blocked))
		reader := make(chan error, 1)
		kept := d.kept
		go func() {
			_, err := kept.Next(t.Context())
			reader <- err
		}()
		busy := &counting{n: 1 << 30} // held by the flow control
		must[any](t, main.Call("keep", busy.readable()))
		w := must[*Writable](t, main.Call("sink"))
		_ = w.Send(t.Context(), 1)
		mine := &tape{}
		must[any](t, main.Call("keep", NewWritable(mine)))
		synctest.Wait()

		server.Abort(&Error{Message: "enough"})
		<-client.Done()
		<-server.Done()
		_ = w.Send(t.Context(), 2)
		_, next := d.kept.Next(t.Context())
		for what, err := range map[string]error{
			"the source": <-gone, "the reader": <-reader, "another reader": next, "a second send": w.Send(t.Context(), 3),
		} {
			if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "enough") {
				t.Errorf("%s got %v", what, err)
			}
		}
		busy.expectCancelled(t, "enough")
		if err := w.Close(); !errors.Is(err, ErrBroken) {
			t.Errorf("a close got %v", err)
		}
		d.sink.expect(t, "the writer of the stream went away without closing it", 1.0)
		mine.expect(t, "the writer of the stream went away without closing it")
	})
}
