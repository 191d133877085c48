package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
)

// gate is a connection whose Write waits until it is opened, or fails when it
// is closed.
type gate struct {
	Conn
	open   chan struct{}
	closed chan struct{}
	taken  chan struct{} // a Write has begun
}

func gated(c Conn) *gate {
	return &gate{Conn: c, open: make(chan struct{}), closed: make(chan struct{}), taken: make(chan struct{}, 100)}
}

func (g *gate) Write(ctx context.Context, messages ...[]byte) error {
	g.taken <- struct{}{}
	select {
	case <-g.open:
		return g.Conn.Write(ctx, messages...)
	case <-g.closed:
		return io.ErrClosedPipe
	}
}

func expectUnsent(t *testing.T, what string, p *Promise, want bool) {
	t.Helper()
	_, err := p.Await(t.Context())
	if !errors.Is(err, ErrBroken) {
		t.Errorf("%s: got %v, want an error that matches ErrBroken", what, err)
	}
	if got := errors.Is(err, ErrUnsent); got != want {
		t.Errorf("%s: got %v; unsent is %v, want %v", what, err, got, want)
	}
}

func TestWhatWasHandedOverIsUnknownAndTheRestUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := Pipe()
		g := gated(ours)
		s := NewSession(g, Config{})
		before := s.Mark()
		taken := s.Main().Call("taken")
		go func() { _ = s.Run(t.Context()) }()
		<-g.taken
		between := s.Mark()
		queued := s.Main().Call("queued")
		pipelined := queued.Call("pipelined")
		onTaken := taken.Call("pipelined")
		property := taken.Get("property").Pull()
		if between.Unsent() {
			t.Error("a session that goes on says that a call is unsent")
		}
		_ = theirs.Close(nil)
		synctest.Wait() // the session ended with a Write in progress
		late := s.Main().Call("late")
		close(g.closed)
		<-s.Done()

		expectUnsent(t, "a call in a Write that failed", taken, false)
		expectUnsent(t, "a queued call", queued, true)
		expectUnsent(t, "a call on a queued call", pipelined, true)
		expectUnsent(t, "a queued call on one that was taken", onTaken, true)
		expectUnsent(t, "a queued property", property, true)
		expectUnsent(t, "a call on an ended session", late, true)
		expectUnsent(t, "a call on an unsent call", queued.Call("later"), true)
		expectUnsent(t, "a call with an object, on an ended session", s.Main().Call("late", NewFunc(nil)), true)
		if before.Unsent() || !between.Unsent() || !s.Mark().Unsent() {
			t.Errorf("marks say unsent: %v, %v, %v; want false, true, true", before.Unsent(), between.Unsent(), s.Mark().Unsent())
		}
	})
}

// What is said to be unsent does not leave afterwards, though what an ended
// session has to say does.
func TestAnEndedSessionSendsAnswersAndNoCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := Pipe()
		g := gated(ours)
		s := NewSession(g, Config{Main: echo()})
		w := &wire{t: t, conn: theirs, s: s}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = s.Run(ctx) }()
		first := s.Main().Call("first")
		<-g.taken
		w.say(`["push",["pipeline",0,["echo"],[7]]]`, `["pull",1]`)
		second := s.Main().Call("second").Pull()
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(g.open)
		w.expect(`["push",["pipeline",0,["first"],[]]]`, `["resolve",1,7]`, "")
		<-s.Done()
		expectUnsent(t, "the first call", first, false)
		expectUnsent(t, "the second call", second, true)
	})
}

func TestCallsOfASessionThatNeverConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _ := Pipe()
		_ = ours.Close(nil)
		s := NewSession(ours, Config{})
		early := s.Main().Call("early")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.end(context.Cause(ctx), nil) // as Run does when ctx is over, before its writer starts
		_ = s.Run(ctx)
		expectUnsent(t, "a call before Run", early, true)
	})
}

// A peer that reads too slowly loses no message in the middle: what follows
// would be taken for something else.
func TestNothingFollowsAMessageThatHadNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := Pipe()
		g := gated(ours)
		s := NewSession(g, Config{Limits: Limits{BufferedBytes: 100}})
		w := &wire{t: t, conn: theirs, s: s}
		go func() { _ = s.Run(t.Context()) }()
		s.Main().Call("taken")
		<-g.taken
		text := make([]byte, 60)
		var last *Promise
		for range 10 {
			last = s.Main().Call("x", string(text))
		}
		synctest.Wait()
		close(g.open)
		w.expect(`["push",["pipeline",0,["taken"],[]]]`,
			`["abort",["error","Error","more than 100 bytes unsent: the peer reads too slowly"]]`, "")
		<-s.Done()
		expectUnsent(t, "a call that had no room", last, true)
	})
}

func TestABatchThatCannotConnectIsUnsent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	hangUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangUp.Close()
	for _, c := range []struct {
		what, url string
		unsent    bool
	}{
		{"a server that is not there", nobody, true},
		{"a server that hangs up", hangUp.URL, false},
	} {
		b := NewBatch(c.url, nil, Config{})
		p := b.Main().Call("x")
		if err := b.Send(t.Context()); err == nil {
			t.Errorf("%s: sent", c.what)
		}
		expectUnsent(t, c.what, p, c.unsent)
	}
}
