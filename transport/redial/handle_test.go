package redial

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

func TestASessionBeginsWithWhatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		c := New(w.dial, Config{})
		scope := c.Main().Open("login", "secret")
		table := scope.Get("tables", 0)
		kept := table.Open("row", scope, c.Main())
		scope.Release() // their recipes are still needed
		table.Release()
		table.Open("gone").Release()
		run(t, c)
		go func() { _, _ = Call[any](t.Context(), kept, "call", kept) }()
		opening := []string{
			`["push",["pipeline",0,["login"],["secret"]]]`, `["pull",1]`,
			`["push",["pipeline",1,["tables",0]]]`, `["pull",2]`,
			`["push",["pipeline",2,["row"],[["pipeline",1],["import",0]]]]`, `["pull",3]`,
		}
		call := []string{`["push",["pipeline",3,["call"],[["pipeline",3]]]]`, `["pull",4]`}

		w.accept()
		w.expect(opening...)
		w.expect(call...)
		w.say(`["resolve",1,["export",-1]]`, `["resolve",2,["export",-2]]`)
		w.cut() // in the middle of the opening

		w.accept()
		w.expect(opening...)
		w.quiet() // the outcome of the call is unknown
		w.say(`["resolve",1,["export",-1]]`, `["resolve",2,["export",-2]]`, `["resolve",3,["export",-3]]`)
		w.expect(`["release",1,1]`, `["release",2,1]`, `["release",3,1]`)
		late := kept.Open("late")
		w.expect(`["push",["pipeline",-3,["late"],[]]]`, `["pull",4]`)
		kept.Release()
		w.quiet()
		late.Release() // and with it all that it was obtained by
		w.expect(`["release",4,1]`, `["release",-3,1]`, `["release",-2,1]`, `["release",-1,1]`)
		late.Release()
		w.quiet()
		w.cut()

		w.accept()
		w.quiet()
		if _, err := Call[any](t.Context(), kept, "call"); !errors.Is(err, transport.ErrUnsent) {
			t.Errorf("a call of a released handle: %v", err)
		}
		if _, err := Call[any](t.Context(), kept.Open("more"), "call"); !errors.Is(err, transport.ErrUnsent) {
			t.Errorf("a call of what was opened on a released handle: %v", err)
		}
		if _, err := Call[any](t.Context(), c.Main(), "call", []any{c.Main()}); err == nil || !strings.Contains(err.Error(), errNested.Error()) {
			t.Errorf("a handle in a list: %v", err)
		}
		w.quiet()
	})
}

func TestASubscriptionLearnsOfGaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listener atomic.Pointer[transport.Stub]
		var refuse atomic.Bool
		s := serve(t, map[string]transport.Method{
			"watch": transport.Method1(func(_ context.Context, f *transport.Stub) (*transport.Target, error) {
				if refuse.Load() {
					return nil, &transport.Error{Message: "not now"}
				}
				listener.Store(f.Dup())
				return transport.NewTarget(nil), nil
			}),
		})
		var mu sync.Mutex
		var log []string
		note := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, text)
		}
		onEvent := transport.NewFunc(transport.Proc1(func(_ context.Context, e string) error {
			note(e)
			return nil
		})).OnRelease(func() { note("listener released") })
		c := New(s.dial, Config{})
		release := transport.Hold(onEvent)
		watch := c.Main().Subscribe(func(err error) {
			switch {
			case err == nil:
				note("open")
			case errors.Is(err, transport.ErrBroken):
				note("lost")
			default:
				note(err.Error())
			}
		}, func(main *transport.Promise) *transport.Promise { return main.Call("watch", onEvent) })
		run(t, c)
		event := func(name string) {
			synctest.Wait()
			if _, err := transport.Invoke[any](t.Context(), listener.Load(), "", name); err != nil {
				t.Errorf("event %s: %v", name, err)
			}
		}
		event("one")
		s.restart()
		time.Sleep(time.Second)
		event("two")
		refuse.Store(true)
		s.restart()
		time.Sleep(time.Second)
		refuse.Store(false)
		s.goDown(errDown)
		time.Sleep(time.Hour)
		s.goDown(nil)
		time.Sleep(time.Minute)
		event("three")
		s.goDown(errDown)
		synctest.Wait()
		watch.Release()
		release()
		s.goDown(nil)
		time.Sleep(time.Minute)
		synctest.Wait()

		want := []string{"open", "one", "lost", "open", "two", "lost", "not now", "lost", "open", "three", "lost", "listener released"}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(log, want) {
			t.Errorf("got  %q\nwant %q", log, want)
		}
	})
}

func TestAnArgumentIsReleasedWithItsHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, map[string]transport.Method{
			"keep": transport.Proc1(func(_ context.Context, f *transport.Stub) error { f.Dup(); return nil }),
		})
		c := New(s.dial, Config{})
		run(t, c)
		var released atomic.Int32
		h := c.Main().Open("keep", transport.NewFunc(nil).OnRelease(func() { released.Add(1) }))
		for range 3 {
			synctest.Wait()
			s.restart()
			time.Sleep(time.Second)
		}
		if released.Load() != 0 {
			t.Error("the argument was released between two sessions")
		}
		h.Release()
		s.goDown(errDown)
		synctest.Wait()
		if got := released.Load(); got != 1 {
			t.Errorf("released %d times, want once", got)
		}
	})
}

func TestAnOpeningThatTheNextSessionOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		c := New(w.dial, Config{})
		run(t, c)
		w.accept()
		synctest.Wait()
		var openings atomic.Int32
		h := c.Main().Subscribe(nil, func(main *transport.Promise) *transport.Promise {
			if openings.Add(1) == 1 {
				w.cut()
				time.Sleep(time.Minute) // the next session has begun
			}
			return main.Call("open")
		})
		go func() { _, _ = Call[any](t.Context(), h, "call") }()
		w.accept()
		w.expect(`["push",["pipeline",0,["open"],[]]]`, `["pull",1]`, `["push",["pipeline",1,["call"],[]]]`, `["pull",2]`)
	})
}
