package transport

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// TestAPipeInItsOwnChunk has streams that hold themselves and each other, in
// every way in which a stream can end. Nothing waits for itself.
func TestAPipeInItsOwnChunk(t *testing.T) {
	own, other := `[["readable",1]]`, `[["readable",2]]`
	write := func(pipe int, args string) string {
		return fmt.Sprintf(`["stream",["pipeline",%d,["write"],%s]]`, pipe, args)
	}
	for name, messages := range map[string][]string{
		"released":           {write(1, own), `["release",1,1]`},
		"aborted":            {write(1, own), `["stream",["pipeline",1,["abort"],["enough"]]]`},
		"aborted by itself":  {`["stream",["pipeline",1,["abort"],` + own + `]]`},
		"closed by itself":   {`["stream",["pipeline",1,["close"],` + own + `]]`, `["release",1,1]`},
		"written when over":  {`["stream",["pipeline",1,["close"],[]]]`, write(1, own)},
		"in each other":      {write(1, other), write(2, own), `["release",1,1]`, `["release",2,1]`},
		"the session's end":  {write(1, other), write(2, own)},
		"read":               {write(1, own), `["push",["pipeline",0,["read"],` + other + `]]`, write(2, `[1]`), `["release",2,1]`},
		"read by the method": {`["push",["pipeline",0,["read"],` + own + `]]`, write(1, own), `["release",1,1]`},
		"as a blob":          {write(1, `[["blob","",["readable",1]]]`), `["release",1,1]`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := script(t, Config{Main: reader()})
				w.say(`["pipe"]`, `["pipe"]`)
				w.say(messages...)
				synctest.Wait()
				_ = w.conn.Close(nil)
				<-w.s.Done()
				if got := w.s.Stats(); got.Exports+got.Imports+got.Running != 0 || len(w.s.bindings) != 0 || w.s.callBytes != 0 {
					t.Errorf("left over: %+v, %d bytes of calls", got, w.s.callBytes)
				}
			})
		})
	}
}

// reader is an object whose method read reads a stream and releases what comes.
func reader() *Target {
	return NewTarget(map[string]Method{
		"read": func(ctx context.Context, c *Call) (any, error) {
			r, ok := c.Arg(0).(*Readable)
			if !ok {
				return nil, typeErrorf("want a stream")
			}
			n := 0
			for chunk, err := range r.All(ctx) {
				if err != nil {
					return n, err
				}
				ReleaseAll(chunk)
				n++
			}
			return n, nil
		},
		"echo": func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil },
	})
}

// TestAPipeReleasedWhileItMoves releases a pipe in the middle of its way to
// where it is passed. Everything arrives, and the far end is released once.
func TestAPipeReleasedWhileItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{})
		p := w.s.newPipe()
		for i := range 3 {
			p.call([]any{"write"}, &payload{args: []any{i}}).release()
		}
		far := &farEnd{answer: w.s.newAnswer()}
		far.called = func() {
			if len(far.chunks) == 2 {
				p.release()
			}
		}
		p.passTo(far)
		if fmt.Sprint(far.chunks) != "[0 1 2]" || far.releases != 1 {
			t.Errorf("chunks %v arrived, and %d releases, want one", far.chunks, far.releases)
		}
	})
}

// farEnd is where a pipe goes on to.
type farEnd struct {
	*answer
	called   func()
	chunks   []any
	releases int
}

func (f *farEnd) call(_ []any, in *payload) ref {
	f.chunks = append(f.chunks, in.first())
	f.called()
	return f.session.answered(Undefined{}, nil)
}

func (f *farEnd) release() { f.releases++ }

// TestABlobIsNotWrittenWithoutEnd goes on writing to one that was refused, or
// is closed.
func TestABlobIsNotWrittenWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		write := `["stream",["pipeline",1,["write"],[["bytes","` + strings.Repeat("AAAA", 1000) + `"]]]]`
		for _, end := range []string{write, `["stream",["pipeline",1,["close"],[]]]`, `["stream",["pipeline",1,["write"],["text"]]]`} {
			w := script(t, Config{Main: echo(), Limits: Limits{HeldBytes: 5000}})
			w.say(`["pipe"]`, `["push",["pipeline",0,["echo"],[["blob","",["readable",1]]]]]`, write, end)
			for range 100 {
				w.say(write)
			}
			synctest.Wait()
			c := w.s.exports[1].ref.(*pipe).next.(*collector)
			if len(c.data) > 5000 || w.s.heldBytes > 5000 {
				t.Errorf("after %.40s: %d bytes are kept, %d counted", end, len(c.data), w.s.heldBytes)
			}
			w.say(`["release",1,1]`, `["release",2,1]`)
			synctest.Wait()
			if got := w.s.Stats(); w.s.heldBytes != 0 || got.Exports+got.Running != 0 {
				t.Errorf("left over: %+v, %d bytes held", got, w.s.heldBytes)
			}
		}
	})
}

// TestAnUnreadPipeIsBounded writes to a pipe that nobody reads, far beyond what
// a session admits. The writes are refused, and the session lives.
func TestAnUnreadPipeIsBounded(t *testing.T) {
	for _, limits := range []Limits{{Calls: 100}, {CallBytes: 10_000}} {
		synctest.Test(t, func(t *testing.T) {
			w := script(t, Config{Main: echo(), Limits: limits})
			w.say(`["pipe"]`)
			for range 20_000 {
				w.say(`["stream",["pipeline",1,["write"],["` + strings.Repeat("x", 60) + `"]]]`)
			}
			synctest.Wait()
			refused := 20_000 - w.s.Stats().Running
			if got := w.s.Stats().Running; got == 0 || got > 110 || w.s.callBytes > w.s.limits.CallBytes {
				t.Errorf("%d writes are kept, of %d bytes", got, w.s.callBytes)
			}
			for range refused {
				if got := w.hear(); !strings.Contains(got, `"code":"overloaded"`) {
					t.Fatalf("got %s", got)
				}
			}
			w.say(`["release",1,1]`)
			synctest.Wait()
			if got := w.s.Stats(); got != (Stats{}) || w.s.callBytes != 0 {
				t.Errorf("left over: %+v, %d bytes", got, w.s.callBytes)
			}
		})
	}
}

func TestPipesThatAreNeverUsedAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{Limits: Limits{Exports: 100}})
		for range 100 {
			w.say(`["pipe"]`)
		}
		w.expectAbort("more than 100 results and objects are held")
		<-w.err
	})
}

// TestMisuseOfAPipe has calls that a pipe does not take, or takes no more.
func TestMisuseOfAPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{Main: echo()})
		w.say(`["pipe"]`)
		for i, c := range []struct{ call, answer string }{
			{`["read"],[]`, `["reject",%d,["error","TypeError","a stream has the methods write, close and abort, not \"read\""]]`},
			{`["write","x"],[]`, `["reject",%d,["error","TypeError","a stream has the methods write, close and abort, not \"write.x\""]]`},
			{`["close"],[]`, `["resolve",%d,["undefined"]]`},
			{`["close"],[]`, `["reject",%d,["error","TypeError","the stream is closed"]]`},
			{`["write"],[1]`, `["reject",%d,["error","TypeError","the stream is closed"]]`},
			{`["abort"],[1]`, `["reject",%d,["error","TypeError","the stream is closed"]]`},
		} {
			w.say(`["stream",["pipeline",1,` + c.call + `]]`)
			w.expect(fmt.Sprintf(c.answer, i+2))
		}
		w.say(`["push",["pipeline",1,["write"],[1]]]`, `["pull",8]`, `["release",8,1]`, `["release",1,1]`)
		w.expect(`["reject",8,["error","TypeError","the stream is closed"]]`)
		expectEmpty(t, w.s)
	})
}
