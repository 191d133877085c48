package transport

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wire is the peer's end of a session's connection, for tests that speak the
// protocol themselves.
type wire struct {
	t    testing.TB
	conn Conn
	s    *Session
	err  chan error // what Run returned
}

// script runs a session whose peer is the test.
func script(t testing.TB, cfg Config) *wire {
	t.Helper()
	ours, theirs := Pipe()
	w := &wire{t: t, conn: theirs, s: NewSession(ours, cfg), err: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { w.err <- w.s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-w.s.Done()
	})
	return w
}

func (w *wire) say(messages ...string) {
	w.t.Helper()
	for _, m := range messages {
		if err := w.conn.Write(context.Background(), []byte(m)); err != nil {
			w.t.Errorf("say %s: %v", m, err)
		}
	}
}

// hear returns the next message, or "" when the session hung up.
func (w *wire) hear() string {
	w.t.Helper()
	m, err := w.conn.Read(context.Background())
	if err != nil && err != io.EOF {
		w.t.Fatal(err)
	}
	return string(m)
}

func (w *wire) expect(want ...string) {
	w.t.Helper()
	for _, m := range want {
		if got := w.hear(); got != m {
			w.t.Errorf("heard %s\n want %s", got, m)
		}
	}
}

func TestTheEndOfASessionReachesEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := make(chan error, 1)
		main := NewTarget(map[string]Method{
			"hang": func(ctx context.Context, c *Call) (any, error) {
				<-ctx.Done()
				handler <- context.Cause(ctx)
				return nil, ctx.Err()
			},
		})
		var released atomic.Int32
		main.OnRelease(func() { released.Add(1) })
		a, b := Pipe()
		client, server := NewSession(a, Config{}), NewSession(b, Config{Main: main})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- server.Run(ctx) }()
		go func() { ended <- client.Run(t.Context()) }()

		var broken error
		client.Main().OnBroken(func(err error) { broken = err })
		call := client.Main().Call("hang", NewFunc(nil).OnRelease(func() { released.Add(1) }))
		call.Pull()
		synctest.Wait()
		cancel()

		if err := <-handler; !errors.Is(err, ErrBroken) || !errors.Is(err, context.Canceled) {
			t.Errorf("the method's context ended with %v", err)
		}
		if _, err := call.Await(t.Context()); !errors.Is(err, ErrBroken) {
			t.Errorf("await: got %v", err)
		}
		first, second := <-ended, <-ended
		if first == nil {
			first, second = second, first
		}
		if second != nil || !errors.Is(first, ErrBroken) {
			t.Errorf("Run returned %v where its context ended, %v at the peer", second, first)
		}
		<-client.Done()
		if !errors.Is(broken, ErrBroken) || !errors.Is(client.Err(), ErrBroken) {
			t.Errorf("OnBroken got %v, Err says %v", broken, client.Err())
		}
		if got := released.Load(); got != 2 {
			t.Errorf("%d releases, want 2: the main object and the argument", got)
		}
		if got := client.Stats(); got != (Stats{}) {
			t.Errorf("left over: %+v", got)
		}
		if _, err := client.Main().Call("hang").Await(t.Context()); !errors.Is(err, ErrBroken) {
			t.Errorf("a call afterwards: got %v", err)
		}
		again := false
		client.Main().OnBroken(func(error) { again = true })
		if !again {
			t.Error("OnBroken of a broken stub did not run at once")
		}
	})
}

func TestRunWaitsForItsMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finished := false
		w := script(t, Config{Main: NewTarget(map[string]Method{
			"stubborn": func(context.Context, *Call) (any, error) {
				time.Sleep(time.Hour)
				finished = true
				return nil, nil
			},
			"next": func(context.Context, *Call) (any, error) {
				t.Error("a queued call started after the end")
				return nil, nil
			},
		})})
		w.say(`["push",["pipeline",0,["stubborn"],[]]]`, `["push",["pipeline",0,["next"],[]]]`)
		synctest.Wait()
		_ = w.conn.Close(nil)
		<-w.s.Done()
		if !finished {
			t.Error("Run returned before its method")
		}
	})
}

func TestRunIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{})
		synctest.Wait()
		if err := w.s.Run(t.Context()); err == nil {
			t.Error("a second Run was accepted")
		}
	})
}

func TestCallsBeforeRunAreSentByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := Pipe()
		s := NewSession(ours, Config{})
		p := s.Main().Call("early", 1)
		w := &wire{t: t, conn: theirs, s: s}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = s.Run(ctx) }()
		w.expect(`["push",["pipeline",0,["early"],[1]]]`)
		w.say(`["resolve",1,"bird"]`)
		if got := must[string](t, p); got != "bird" {
			t.Errorf("got %q", got)
		}
		cancel()
		<-s.Done()
	})
}

func TestAPanicStaysInItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, Config{}, Config{Main: NewTarget(map[string]Method{
			"panic":    func(context.Context, *Call) (any, error) { panic("secret") },
			"encoding": func(context.Context, *Call) (any, error) { return poison{}, nil },
			"failing":  func(context.Context, *Call) (any, error) { return nil, poison{} },
			"nil":      func(context.Context, *Call) (any, error) { var e *Error; return "nil", e },
			"fine":     func(context.Context, *Call) (any, error) { return "fine", nil },
		})})
		for _, method := range []string{"panic", "encoding", "failing"} {
			_, err := client.Main().Call(method).Await(t.Context())
			if e := (*Error)(nil); !errors.As(err, &e) || e.Code() != "internal" || strings.Contains(e.Message, "secret") {
				t.Errorf("%s: got %#v", method, err)
			}
		}
		if got := must[string](t, client.Main().Call("nil")); got != "nil" {
			t.Errorf("got %q", got)
		}
		if got := must[string](t, client.Main().Call("fine")); got != "fine" {
			t.Errorf("got %q", got)
		}
	})
}

// poison panics when it is encoded.
type poison struct{}

func (poison) MarshalText() ([]byte, error) { panic("secret") }
func (poison) Error() string                { panic("secret") }

func TestThePeersAbortIsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{})
		p := w.s.Main().Call("x").Pull()
		w.expect(`["push",["pipeline",0,["x"],[]]]`, `["pull",1]`)
		w.say(`["abort",["error","RangeError","out of patience",null,{"code":"tired"}]]`)
		_, err := p.Await(t.Context())
		if e := (*Error)(nil); !errors.Is(err, ErrBroken) || !errors.As(err, &e) || e.Code() != "tired" {
			t.Errorf("got %v", err)
		}
		w.expect("") // an abort is not answered
	})
}

func TestNoMainObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, Config{}, Config{})
		_, err := client.Main().Call("x").Await(t.Context())
		if err == nil || err.Error() != "this session has no main object" {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatATargetDoesNotList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, Config{}, Config{Main: echo()})
		main := client.Main()
		for _, c := range []struct {
			p    *Promise
			want string
		}{
			{main.Call("foo"), `no method "foo" on this target`},
			{main.Get("echo").Call("bar"), `no method "echo.bar" on this target`},
			{main.Call(""), "this target is not a function"},
			{main.Call("echo", 1).Call("x"), "x is not a function"},
			{main.Call("echo", 1).Call(""), "the value is not a function"},
			{main.Call("echo").Get("a"), "cannot read a of undefined"},
			{main.Call("echo", map[string]any{}).Get("a", "b"), "cannot read b of undefined"},
		} {
			_, err := c.p.Await(t.Context())
			if e := (*Error)(nil); !errors.As(err, &e) || e.Name != "TypeError" || e.Message != c.want {
				t.Errorf("got %#v, want %q", err, c.want)
			}
		}
		if got := must[any](t, main.Get("nothing")); got != (Undefined{}) {
			t.Errorf("a property that is not there: got %v", got)
		}
		f := must[*Stub](t, main.Get("echo"))
		if got := must[string](t, f.Call("", "by itself")); got != "by itself" {
			t.Errorf("a method as a function: got %q", got)
		}
	})
}
