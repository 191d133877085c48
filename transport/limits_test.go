package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func isOverloaded(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.Code() == "overloaded"
}

func TestTooManyCallsAtOnceAreRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, server := pair(t, Config{}, Config{Main: book.target(), Limits: Limits{Calls: 10}})
		for range 10 {
			client.Main().Call("beside").Release()
		}
		if _, err := client.Main().Call("note", 1).Await(t.Context()); !isOverloaded(err) {
			t.Errorf("got %v, want overloaded", err)
		}
		time.Sleep(2 * time.Second)
		if got := must[int](t, client.Main().Call("note", 2)); got != 1 {
			t.Errorf("the session did not live on: got %d", got)
		}
		expectEmpty(t, client, server)
	})
}

func TestTooManyBytesOfCallsAtOnceAreRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, _ := pair(t, Config{}, Config{Main: book.target(), Limits: Limits{CallBytes: 10_000}})
		large := strings.Repeat("x", 6_000)
		first := client.Main().Call("slowly", large)
		if _, err := client.Main().Call("note", large).Await(t.Context()); !isOverloaded(err) {
			t.Errorf("got %v, want overloaded", err)
		}
		must[string](t, first)
		must[any](t, client.Main().Call("note", large))
	})
}

func TestThousandsOfCallsWithoutAPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{Main: echo(), Limits: Limits{Exports: 5000}})
		for range 5000 {
			w.say(`["push",["pipeline",0,["echo"],[1]]]`)
		}
		if err := <-w.err; err == nil || !strings.Contains(err.Error(), "more than 5000 results and objects are held") {
			t.Errorf("the session ended with %v", err)
		}
		w.expectAbort("more than 5000 results and objects are held")
	})
}

func TestTooManyImportsAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{Limits: Limits{Imports: 100}})
		for i := range 100 {
			w.say(fmt.Sprintf(`["push",["export",%d]]`, -i-1))
		}
		w.expectAbort("more than 100 objects imported")
		<-w.err
	})
}

func TestTooManyCallsOfOnesOwnAreRejectedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, Config{Limits: Limits{Imports: 100}}, Config{Main: echo()})
		var last *Promise
		for range 100 {
			last = client.Main().Call("echo", 1)
		}
		if _, err := last.Await(t.Context()); !isOverloaded(err) {
			t.Errorf("got %v, want overloaded", err)
		}
	})
}

func TestTooManyExportsOfOnesOwnAreRejectedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := pair(t, Config{Limits: Limits{Exports: 3}}, Config{Main: (&keeper{}).target()})
		must[any](t, client.Main().Call("keep", NewFunc(nil)))
		f := NewFunc(nil)
		if _, err := client.Main().Call("look", f, f, f).Await(t.Context()); !isOverloaded(err) {
			t.Errorf("got %v, want overloaded", err)
		}
		if got := client.Stats().Exports; got != 1 {
			t.Errorf("%d exports are left, want the one that is kept", got)
		}
	})
}

// stuckConn is a connection whose peer does not read.
type stuckConn struct {
	Conn
	free chan struct{}
}

func (c *stuckConn) Write(ctx context.Context, messages ...[]byte) error {
	select {
	case <-c.free:
		return c.Conn.Write(ctx, messages...)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestASlowReaderLosesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := Pipe()
		stuck := &stuckConn{Conn: ours, free: make(chan struct{})}
		s := NewSession(stuck, Config{Main: echo(), Limits: Limits{BufferedBytes: 100_000}})
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		w := &wire{t: t, conn: theirs, s: s}
		for i := 1; i <= 300; i++ {
			w.say(`["push",["pipeline",0,["echo"],["`+strings.Repeat("x", 1000)+`"]]]`, fmt.Sprintf(`["pull",%d]`, i))
		}
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "the peer reads too slowly") {
			t.Errorf("the session ended with %v", err)
		}
	})
}

func TestOneLargeAnswerIsNotASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{BufferedBytes: 1000}
		client, _ := pair(t, Config{}, Config{Main: echo(), Limits: limits})
		large := strings.Repeat("x", 100_000)
		got := client.Main().Call("echo", large).Pull()
		small := client.Main().Call("echo", "y").Pull()
		if must[string](t, got) != large || must[string](t, small) != "y" {
			t.Error("the answers came back wrong")
		}
	})
}

func TestAMapsWorkIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{Main: echo(), Limits: Limits{MapCalls: 1000}})
		list := "[[" + strings.TrimSuffix(strings.Repeat("1,", 100), ",") + "]]"
		w.say(`["push",`+list+`]`,
			`["push",["remap",1,[],[["import",1]],[["remap",-1,[],[],[["pipeline",0]]],["pipeline",1]]]]`, `["pull",2]`)
		w.expect(`["reject",2,["error","Error","the maps of one message may take 1000 steps in all",null,{"code":"overloaded"}]]`)
		w.say(`["push",["remap",1,[],[],[["pipeline",0]]]]`, `["pull",3]`)
		w.expect(`["resolve",3,` + list + `]`)
	})
}

func TestLimitsAreValidated(t *testing.T) {
	if err := (Limits{}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (Limits{Depth: -1}).Validate(); err == nil || err.Error() != "limit Depth is -1: want 0 for the default, or more" {
		t.Errorf("got %v", err)
	}
}

func TestCallsThatWaitForAPromiseAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := &notebook{}
		client, server := pair(t, Config{}, Config{Main: book.target(), Limits: Limits{Calls: 10}})
		later := client.Main().Call("anotherSlowly")
		var last *Promise
		for range 10 {
			last = later.Call("note", 1)
		}
		if _, err := last.Await(t.Context()); !isOverloaded(err) {
			t.Errorf("got %v, want overloaded", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := server.Stats().Running; got != 0 || len(book.notes) != 9 {
			t.Errorf("%d calls are still counted, %d arrived, want 9", got, len(book.notes))
		}
	})
}

func TestResultsThatAreNotReleasedAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := `"` + strings.Repeat("x", 100_000) + `"`
		for _, push := range []string{
			`["push",` + large + `]`,
			`["push",{"a":[[` + large + `]]}]`,
			`["push",["pipeline",0,["echo"],[` + large + `]]]`,
			`["push",[[` + strings.TrimSuffix(strings.Repeat("1,", 10_000), ",") + `]]]`,
		} {
			w := script(t, Config{Main: echo(), Limits: Limits{HeldBytes: 500_000}})
			for i := 1; i <= 10; i++ { // each one released before the next
				w.say(push, fmt.Sprintf(`["release",%d,1]`, i))
				synctest.Wait()
			}
			if err := w.s.Err(); err != nil {
				t.Errorf("%.40s: %v", push, err)
			}
			for range 10 { // it ends in the middle
				_ = w.conn.Write(t.Context(), []byte(push))
			}
			w.expectAbort("results of more than 500000 bytes are held")
			<-w.err
			if got := w.s.heldBytes; got != 0 {
				t.Errorf("%.40s: %d bytes are still counted", push, got)
			}
		}
	})
}

// TestPromisesDoNotMultiply doubles a list twenty-five times.
func TestPromisesDoNotMultiply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := script(t, Config{Main: echo()})
		w.say(`["push",[["x"]]]`)
		for i := range 25 {
			w.say(fmt.Sprintf(`["push",[[["pipeline",%d],["pipeline",%d]]]]`, i+1, i+1))
		}
		w.say(`["push",["pipeline",0,["echo"],[["pipeline",26]]]]`, `["pull",27]`)
		if got := w.hear(); !strings.Contains(got, `"code":"too_large"`) {
			t.Errorf("got %.200s", got)
		}
	})
}
