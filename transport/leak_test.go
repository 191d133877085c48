package transport

import (
	"bytes"
	"context"
	"runtime"
	"testing"
	"time"
)

// TestNothingLeaks makes very many calls with functions, objects, streams and
// blobs over one pair of sessions. Afterwards tables, heap and goroutines are
// as they were.
func TestNothingLeaks(t *testing.T) {
	calls, streams := 100_000, 5_000
	if testing.Short() {
		calls, streams = 10_000, 500
	}
	main := (&depot{}).target()
	main.methods["make"] = func(context.Context, *Call) (any, error) { return echo(), nil }
	main.methods["call"] = func(ctx context.Context, c *Call) (any, error) {
		Concurrent(ctx)
		return c.Arg(0).(*Stub).Call("", c.Arg(1)).Await(ctx)
	}
	client, server := pair(t, Config{}, Config{Main: main})
	data := noise(1000)
	same := NewFunc(func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil })
	work := func(calls, streams int) {
		for i := range calls {
			switch i % 3 {
			case 0:
				must[int](t, client.Main().Call("echo", i))
			case 1:
				must[int](t, client.Main().Call("call", same, i))
			case 2:
				must[*Stub](t, client.Main().Call("make")).Release()
			}
		}
		for i := range streams {
			switch i % 3 {
			case 0:
				must[int](t, client.Main().Call("length", ReadableFrom(bytes.NewReader(data))))
			case 1:
				_ = must[*Readable](t, client.Main().Call("count", 3)).Close()
			case 2:
				must[Blob](t, client.Main().Call("echo", Blob{Data: data}))
			}
		}
	}
	work(1000, 300)
	expectSettled(t, client, server)
	heap, goroutines := inUse(), runtime.NumGoroutine()
	work(calls, streams)
	expectSettled(t, client, server)
	if got := inUse(); got > heap+1<<20 {
		t.Errorf("the heap went from %d to %d bytes", heap, got)
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		t.Errorf("%d goroutines became %d", goroutines, got)
	}
}

// expectSettled waits until the last releases have arrived.
func expectSettled(t *testing.T, sessions ...*Session) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for i, s := range sessions {
		for !settled(s) {
			if time.Now().After(deadline) {
				t.Fatalf("side %d: left over: %+v", i, s.Stats())
			}
			runtime.Gosched()
		}
	}
}

// settled says whether s holds nothing but its main object.
func settled(s *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.imports) == 1 && len(s.exports) == 1 && s.calls == 0 && s.heldBytes == 0 && s.callBytes == 0 && len(s.bindings) <= 1
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC() // pools keep what they hold for one more
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
