package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
)

// between runs a proxy between two connections, as transport/relay does, until
// the test ends.
func between(t testing.TB, near, far Conn, limits Limits) (down, up *Session) {
	up = NewSession(far, Config{Proxy: true, Limits: limits})
	down = NewSession(near, Config{Proxy: true, Limits: limits, Main: up.Main()})
	up.Offer(down.Main())
	up.Main().OnBroken(down.Abort)
	down.Main().OnBroken(up.Abort)
	ctx, cancel := context.WithCancel(context.Background())
	for _, s := range []*Session{down, up} {
		go func() { _ = s.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		<-down.Done()
		<-up.Done()
	})
	return down, up
}

// tapped are two ends of a proxy that the test plays.
func tapped(t testing.TB) (near, far *wire, down, up *Session) {
	nearOurs, nearTheirs := Pipe()
	farOurs, farTheirs := Pipe()
	down, up = between(t, nearOurs, farOurs, Limits{})
	return &wire{t: t, conn: nearTheirs, s: down}, &wire{t: t, conn: farTheirs, s: up}, down, up
}

// chain is a client, a proxy of two sessions, and a server.
func chain(t testing.TB, client, server Config) (c, s *Session, all []*Session) {
	a, b := Pipe()
	x, y := Pipe()
	down, up := between(t, b, x, Limits{})
	c, s = NewSession(a, client), NewSession(y, server)
	ctx, cancel := context.WithCancel(context.Background())
	for _, session := range []*Session{c, s} {
		go func() { _ = session.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		<-c.Done()
		<-s.Done()
	})
	return c, s, []*Session{c, down, up, s}
}

// verbatim are values as they are written by hand.
var verbatim = []string{
	`{"b":1,"a":2,"":3,"B":{"z":0,"y":[[]]}}`,
	`{"a":1,"a":2}`,
	`"\u0041\/\b\ud83d\ude00 é \" \\"`,
	`"\ud800"`, `"\udc00\ud800"`, `{"\ud800":"\udfff"}`,
	`[[1.0,1e3,1E+3,-0,0.1000,123456789012345678901234567890,1e-7]]`,
	`["date",0]`, `["date",null]`, `["date",1.5]`, `["bigint","-0012"]`, `["undefined"]`, `["inf"]`, `["-inf"]`, `["nan"]`,
	`["bytes","YWJj"]`, `["bytes","YWJjZA=="]`, `["bytes","AAAA","ArrayBuffer"]`,
	`["error","RangeError","text","RangeError: text\n    at x:1:2",{"z":1,"a":["error","E","inner","stack"]}]`,
	`["error","E","m",null]`, `["error","E","m",null,{"thrown":["undefined"]}]`,
	`["url","http://a/%20?b#c"]`, `["headers",[["b","1"],["a","2"],["a","3"]]]`,
	`["request","http://a/",{"method":"PUT","headers":[["x-b","1"]],"body":"text","credentials":"omit","keepalive":true}]`,
	`["response",null,{"statusText":"x","status":204}]`, `["response",["bytes","YWJj"],{"headers":[["a","b"]]}]`,
	`[[["undefined"],null,true,false,"x",[[]],{}]]`,
}

// TestValuesPassAProxyAsTheyAre has values in arguments, results, rejections
// and chunks, either way.
func TestValuesPassAProxyAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, down, up := tapped(t)
		for turn, ends := range [][2]*wire{{near, far}, {far, near}} {
			from, to := ends[0], ends[1]
			id := 0
			both := func(say, hear *wire, format string, args ...any) {
				t.Helper()
				m := fmt.Sprintf(format, args...)
				say.say(m)
				hear.expect(m)
			}
			for _, v := range verbatim {
				id++
				both(from, to, `["push",["pipeline",0,["m"],[%s,1]]]`, v)
				both(from, to, `["pull",%d]`, id)
				both(to, from, `["resolve",%d,%s]`, id, v)
				to.expect(fmt.Sprintf(`["release",%d,1]`, id))
				from.say(fmt.Sprintf(`["release",%d,1]`, id))
				id++
				both(from, to, `["push",["pipeline",0,["m"],[]]]`)
				both(from, to, `["pull",%d]`, id)
				both(to, from, `["reject",%d,%s]`, id, v)
				to.expect(fmt.Sprintf(`["release",%d,1]`, id))
				from.say(fmt.Sprintf(`["release",%d,1]`, id))
			}
			id++
			pipe := id
			id++
			opening := []string{`["pipe"]`, fmt.Sprintf(`["push",["pipeline",0,["m"],[["readable",%d]]]]`, pipe)}
			from.say(opening...)
			to.expect(opening...)
			for _, v := range verbatim {
				id++
				both(from, to, `["stream",["pipeline",%d,["write"],[%s]]]`, pipe, v)
				both(to, from, `["resolve",%d,["undefined"]]`, id)
			}
			both(from, to, `["release",%d,1]`, pipe)
			both(from, to, `["release",%d,1]`, pipe+1)
			if turn == 1 {
				expectEmpty(t, down, up)
			}
		}
	})
}

// TestPipeliningThroughAProxy uses a result before it is there, and after: then
// what was sealed is opened.
func TestPipeliningThroughAProxy(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		synctest.Test(t, func(t *testing.T) {
			k := &keeper{}
			main := k.target()
			main.methods["list"] = func(context.Context, *Call) (any, error) {
				return map[string]any{"items": []any{map[string]any{"n": 1, "f": k.made()}, map[string]any{"n": 2, "f": k.made()}}}, nil
			}
			client, _, all := chain(t, Config{}, Config{Main: main})
			list := client.Main().Call("list")
			if when == "after" {
				list.Pull()
				// What came is asked for again below, from the one in the middle.
				synctest.Wait()
			}
			if got := must[int](t, list.Get("items", 1, "n")); got != 2 {
				t.Errorf("%s: a property: got %d", when, got)
			}
			if got := must[string](t, list.Get("items", 0, "f").Call("hello")); got != "hello" {
				t.Errorf("%s: a call: got %q", when, got)
			}
			mapped := list.Get("items").Map(func(i *Item) any { return i.Get("f").Call("hello") })
			if got := must[[]string](t, mapped); !reflect.DeepEqual(got, []string{"hello", "hello"}) {
				t.Errorf("%s: a map: got %q", when, got)
			}
			if got := must[any](t, client.Main().Call("echo", list.Get("items", 0, "n"))); got != 1.0 {
				t.Errorf("%s: as an argument: got %v", when, got)
			}
			list.Release()
			if when == "after" {
				ReleaseAll(must[any](t, client.Main().Call("list")))
			}
			expectEmpty(t, all...)
			if got := k.released.Load(); got%2 != 0 || got == 0 {
				t.Errorf("%s: %d are released", when, got)
			}
		})
	}
}

// TestSealedResultsAreOpened speaks to the proxy's own copy of a result, by a
// client that keeps its id.
func TestSealedResultsAreOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far, down, up := tapped(t)
		near.say(`["push",["pipeline",0,["m"],[]]]`, `["pull",1]`)
		far.expect(`["push",["pipeline",0,["m"],[]]]`, `["pull",1]`)
		far.say(`["resolve",1,{"a":[["x",{"k":"v"}]],"f":["export",-1]}]`)
		near.expect(`["resolve",1,{"a":[["x",{"k":"v"}]],"f":["export",-1]}]`)
		far.expect(`["release",1,1]`)
		near.say(`["push",["pipeline",1,["a",1,"k"]]]`, `["pull",2]`)
		near.expect(`["resolve",2,"v"]`)
		near.say(`["push",["pipeline",1,["a"]]]`, `["pull",3]`)
		near.expect(`["resolve",3,[["x",{"k":"v"}]]]`)
		near.say(`["push",["remap",1,["a"],[],[["pipeline",0,["k"]]]]]`, `["pull",4]`)
		near.expect(`["resolve",4,[[["undefined"],"v"]]]`)
		near.say(`["push",["pipeline",1,["f"],[{"b":1,"a":2}]]]`, `["pull",5]`)
		far.expect(`["push",["pipeline",-1,[],[{"b":1,"a":2}]]]`, `["pull",2]`)
		far.say(`["resolve",2,["inf"]]`)
		near.expect(`["resolve",5,["inf"]]`)
		far.expect(`["release",2,1]`)
		near.say(`["push",["pipeline",0,["m"],[["pipeline",1,["a",0]]]]]`, `["pull",6]`)
		far.expect(`["push",["pipeline",0,["m"],["x"]]]`, `["pull",3]`)
		far.say(`["resolve",3,1]`)
		near.expect(`["resolve",6,1]`)
		far.expect(`["release",3,1]`)
		for id := range 6 {
			near.say(fmt.Sprintf(`["release",%d,1]`, id+1))
		}
		near.say(`["release",-1,1]`)
		far.expect(`["release",-1,1]`)
		expectEmpty(t, down, up)
	})
}

func TestReferencesThroughAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		released := 0
		f := NewFunc(func(_ context.Context, c *Call) (any, error) { return c.Arg(0), nil }).OnRelease(func() { released++ })
		client, _, all := chain(t, Config{}, Config{Main: k.target()})
		main := client.Main()
		must[any](t, main.Call("keep", f))
		if got := must[string](t, main.Call("use", "back")); got != "back" || released != 0 {
			t.Errorf("a callback that is kept: got %q, released %d times", got, released)
		}
		must[any](t, main.Call("drop"))
		synctest.Wait()
		if released != 1 {
			t.Errorf("the callback was released %d times, want once", released)
		}
		made := must[*Stub](t, main.Call("make"))
		again := must[*Stub](t, main.Call("echo", made))
		made.Release()
		synctest.Wait()
		if got := must[string](t, again.Call("hello")); got != "hello" || k.released.Load() != 0 {
			t.Errorf("an object that went home and came back: got %q", got)
		}
		again.Release()
		synctest.Wait()
		if got := k.released.Load(); got != 1 {
			t.Errorf("the object was released %d times, want once", got)
		}
		expectEmpty(t, all...)
	})
}

func TestStreamsThroughAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server, all := chain(t, Config{}, Config{Main: d.target()})
		main := client.Main()
		if got := must[[]any](t, main.Call("read", count(1000))); !reflect.DeepEqual(got, numbers(1000)) {
			t.Errorf("an argument: %d chunks arrived, or others", len(got))
		}
		data := noise(1 << 20)
		if got := must[int](t, main.Call("length", ReadableFrom(bytes.NewReader(data)))); got != len(data) {
			t.Errorf("%d bytes arrived", got)
		}
		n := 0
		for chunk, err := range must[*Readable](t, main.Call("count", 1000)).All(t.Context()) {
			if n++; err != nil || chunk != float64(n) {
				t.Fatalf("got %v, %v, want %d", chunk, err, n)
			}
		}
		w := must[*Writable](t, main.Call("sink"))
		for i := range 10 {
			_ = w.Send(t.Context(), i+1)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		d.sink.expect(t, "EOF", numbers(10)...)
		mine := &tape{}
		must[any](t, main.Call("fill", NewWritable(mine), 10))
		mine.expect(t, "EOF", numbers(10)...)
		blob := Blob{Type: "a/b", Data: data}
		for _, v := range []any{blob, []any{blob}} {
			if got := must[any](t, main.Call("echo", v)); !reflect.DeepEqual(got, v) {
				t.Errorf("a blob became %.80v", got)
			}
		}
		expectEmpty(t, all...)

		// The acknowledgements are the far end's.
		produced := 0
		must[any](t, main.Call("keep", NewReadable(func(context.Context) (any, error) {
			produced++
			return bytes.Repeat([]byte{1}, 10_000), nil
		}, nil)))
		synctest.Wait()
		if held := produced * 10_000 * 4 / 3; held > firstWindow+30_000 {
			t.Errorf("the writer went on for %d bytes, with a window of %d", held, firstWindow)
		}
		if got := server.Stats().Running; got != produced-1 {
			t.Errorf("%d chunks wait at the reader, of %d", got, produced)
		}
		_ = d.kept.Cancel(&Error{Name: "RangeError", Message: "enough"})
		expectEmpty(t, all...)
		for i, s := range all {
			if s.heldBytes != 0 {
				t.Errorf("side %d counts %d bytes", i, s.heldBytes)
			}
		}
	})
}

// TestAProxyWithAnObjectOfItsOwn opens what comes: blobs and streams among it.
func TestAProxyWithAnObjectOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server := pair(t, Config{}, Config{Main: d.target(), Proxy: true})
		main := client.Main()
		blob := Blob{Type: "a/b", Data: noise(100_000)}
		for _, v := range []any{blob, []any{blob}, map[string]any{"a": 1.0}, "text"} {
			got, err := main.Call("echo", v).Await(t.Context())
			if err != nil || !reflect.DeepEqual(got, v) {
				t.Errorf("%.40v became %.80v, %v", v, got, err)
			}
		}
		if got := must[[]any](t, main.Call("read", count(10))); !reflect.DeepEqual(got, numbers(10)) {
			t.Errorf("a readable: got %v", got)
		}
		w := must[*Writable](t, main.Call("sink"))
		_ = w.Send(t.Context(), map[string]any{"a": 1.0})
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		d.sink.expect(t, "EOF", map[string]any{"a": 1.0})
		expectEmpty(t, client, server)
	})
}

func TestEndsPassAProxy(t *testing.T) {
	for name, c := range map[string]struct{ said, heard string }{
		"an abort":             {`["abort",["error","RangeError","enough","stack",{"b":1,"a":2}]]`, `["abort",["error","RangeError","enough","stack",{"b":1,"a":2}]]`},
		"an abort of no error": {`["abort",{"z":1,"a":"\ud800"}]`, `["abort",{"z":1,"a":"\ud800"}]`},
		"a violation":          {`nonsense`, `["abort",["error","Error","bad RPC message: 'n' at byte 0: want '['"]]`},
	} {
		for turn := range 2 {
			synctest.Test(t, func(t *testing.T) {
				near, far, down, up := tapped(t)
				if turn == 1 {
					near, far = far, near
				}
				var order []string
				stub := near.s.Main()
				stub.OnBroken(func(error) { order = append(order, "one") })
				stub.OnBroken(func(error) { order = append(order, "two") })
				near.say(c.said)
				far.expect(c.heard, "")
				<-down.Done()
				<-up.Done()
				if strings.Join(order, " ") != "one two" {
					t.Errorf("%s: broken hooks ran as %q", name, order)
				}
				expectEmpty(t, down, up)
			})
		}
	}
	// Goodbyes have codes where the medium has.
	synctest.Test(t, func(t *testing.T) {
		a, _ := Pipe()
		b, _ := Pipe()
		near, far := &goodbyes{Conn: a}, &goodbyes{Conn: b}
		down, up := between(t, near, far, Limits{})
		down.Abort(&ClosedError{Code: 4001, Reason: "moved"})
		<-down.Done()
		<-up.Done()
		for _, g := range []*goodbyes{near, far} {
			if e := (*ClosedError)(nil); !errors.As(g.reason, &e) || e.Code != 4001 || e.Reason != "moved" {
				t.Errorf("closed with %v", g.reason)
			}
		}
	})
}

// goodbyes keeps the reason with which it is closed.
type goodbyes struct {
	Conn
	reason error
}

func (g *goodbyes) Close(reason error) error {
	g.reason = reason
	return g.Conn.Close(reason)
}

// TestCutsPassAProxy ends streams and calls in the middle.
func TestCutsPassAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &depot{sink: &tape{}}
		client, server, all := chain(t, Config{}, Config{Main: d.target()})
		source := &counting{n: 1 << 30}
		must[any](t, client.Main().Call("keep", source.readable()))
		w := must[*Writable](t, client.Main().Call("sink"))
		_ = w.Send(t.Context(), 1)
		hanging := client.Main().Call("read", NewReadable(func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, nil)).Pull()
		synctest.Wait()
		server.Abort(&Error{Message: "enough"})
		for _, s := range all {
			<-s.Done()
		}
		if _, err := hanging.Await(t.Context()); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "enough") {
			t.Errorf("a call got %v", err)
		}
		source.expectCancelled(t, "enough")
		d.sink.expect(t, "the writer of the stream went away without closing it", 1.0)
		for _, s := range all {
			if got := s.Stats(); got != (Stats{}) {
				t.Errorf("left over: %+v", got)
			}
		}
		if _, err := d.kept.Next(t.Context()); err == nil || err == io.EOF {
			t.Errorf("a stream that was cut ended with %v", err)
		}
	})
}
