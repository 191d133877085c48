package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// apiOf is a client's way to the main object of a session of its own. end ends
// the session and waits for its watches.
func (w *world) apiOf(g *Gateway) (main *transport.Stub, end func()) {
	left, right := transport.Pipe()
	ctx, cancel := context.WithCancel(w.Context())
	watchers := watchers{g: g}
	server := transport.NewSession(left, transport.Config{Main: g.api(&watchers)})
	client := transport.NewSession(right, transport.Config{})
	for _, s := range []*transport.Session{server, client} {
		go func() { _ = s.Run(ctx) }()
	}
	return client.Main(), sync.OnceFunc(func() {
		cancel()
		<-server.Done()
		<-client.Done()
		watchers.wg.Wait()
	})
}

// reports keeps what a callback is told.
type reports struct {
	mu    sync.Mutex
	all   []Status
	takes time.Duration // each call
	fails error
}

func (r *reports) callback() *transport.Target {
	return transport.NewFunc(transport.Proc1(func(_ context.Context, s Status) error {
		time.Sleep(r.takes)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, s)
		return r.fails
	}))
}

// states are those that a service was told to have had, in order.
func (r *reports) states(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var states []string
	for _, status := range r.all {
		state := "none"
		for _, s := range status.Services {
			if s.Name == name {
				state = s.State
			}
		}
		states = append(states, state)
	}
	return strings.Join(states, " ")
}

func (w *world) watch(main *transport.Stub, r *reports) Status {
	w.Helper()
	now, err := transport.Invoke[Status](w.Context(), main, "watchStatus", r.callback())
	if err != nil {
		w.Fatal(err)
	}
	return now
}

func TestAWatcherHearsWhatBecomesOfAService(t *testing.T) {
	inBubble(t, func(w *world) {
		_, isA := w.stub("a", `type Query { item: Item } type Item { id: ID }`)
		b, isB := w.stub("b", `type Query { item: Item } type Item { name: String }`)
		w.cfg.Limits.Refresh = 10 * time.Second
		g, _ := w.start()
		tell(w, g, isA)
		main, end := w.apiOf(g)
		defer end()
		var r reports
		if now := w.watch(main, &r); len(now.Services) != 1 || now.Services[0].State != Serving || now.Revision == 0 {
			t.Errorf("the status of now: %+v", now)
		}
		down := func(rw http.ResponseWriter, _ *http.Request) bool {
			http.Error(rw, "no", http.StatusServiceUnavailable)
			return true
		}
		b.handleWith(down)
		tell(w, g, isB, isA)
		time.Sleep(time.Second)
		well(b)
		time.Sleep(time.Minute)
		b.handleWith(down)
		time.Sleep(time.Minute)
		wantEqual(t, r.states("b"), "down serving stale")
		last := r.all[len(r.all)-1].Services
		wantEqual(t, last[1].Error, "service b answered with status 503")
		wantEqual(t, last[1].Warnings[0], "type Item is b_Item: service a has another one of that name")
		for i := range r.all[1:] {
			if r.all[i+1].Revision <= r.all[i].Revision {
				t.Errorf("revision %d after %d", r.all[i+1].Revision, r.all[i].Revision)
			}
		}
		if _, err := g.Update(w.Context(), []Service{isB, isA}, &Fence{Epoch: "e"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		wantEqual(t, r.states("b"), "down serving stale") // a fence alone is no news
	})
}

func TestASlowWatcherHearsTheLatest(t *testing.T) {
	inBubble(t, func(w *world) {
		_, isA := w.stub("a", `type Query { a: Int }`)
		_, isB := w.stub("b", `type Query { b: Int }`)
		g, _ := w.start()
		main, end := w.apiOf(g)
		defer end()
		r := reports{takes: 20 * time.Second}
		w.watch(main, &r)
		for range 10 {
			tell(w, g, isA)
			time.Sleep(time.Second)
			tell(w, g, isB, isA)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		wantEqual(t, r.states("b"), "none serving") // the first, and the last while it was busy
	})
}

func TestAWatchEndsWithItsCallbackOrItsSession(t *testing.T) {
	inBubble(t, func(w *world) {
		_, isA := w.stub("a", `type Query { a: Int }`)
		g, _ := w.start()
		main, end := w.apiOf(g)
		deaf, fails, well := reports{takes: 2 * watchPatience}, reports{fails: errors.New("no more")}, reports{}
		for _, r := range []*reports{&deaf, &fails, &well, &well} {
			w.watch(main, r)
		}
		_, err := transport.Invoke[Status](w.Context(), main, "watchStatus", well.callback())
		if err == nil || !strings.Contains(err.Error(), "watches 4 times") {
			t.Errorf("a fifth watch: got %v", err)
		}
		if _, err := main.Call("watchStatus").Await(w.Context()); err == nil || !strings.Contains(err.Error(), "want a stub or function") {
			t.Errorf("a watch without a callback: got %v", err)
		}
		tell(w, g, isA)
		time.Sleep(3 * watchPatience)
		tell(w, g)
		time.Sleep(3 * watchPatience)
		wantEqual(t, deaf.states("a")+", "+fails.states("a")+", "+well.states("a"), "serving, serving, serving serving none none")
		w.watch(main, &well) // there is room again
		end()
		tell(w, g, isA)
		synctest.Wait()
		wantEqual(t, well.states("a"), "serving serving none none")
	})
}

func TestAStatusFitsIntoAMessage(t *testing.T) {
	long := Status{Services: make([]ServiceStatus, 1000)}
	for i := range long.Services {
		s := &long.Services[i]
		s.Name, s.Warnings = "s", []string{"w"}
		for range 200 {
			s.Queries = append(s.Queries, strings.Repeat("q", 20))
		}
		s.Mutations, s.Events = s.Queries, s.Queries
	}
	told := long.told()
	bytes := 0
	for _, s := range told.Services {
		if len(s.Warnings) != 1 {
			t.Fatalf("warnings: got %v", s.Warnings)
		}
		bytes += 23 * (len(s.Queries) + len(s.Mutations) + len(s.Events))
	}
	if bytes < tellable*9/10 || bytes > tellable {
		t.Errorf("it tells %d bytes, want nearly %d", bytes, tellable)
	}
	if n := len(long.Services[999].Events); n != 200 {
		t.Errorf("the status itself has %d, want all 200", n)
	}
}

func TestAFencedListSaysSoInAWordForPrograms(t *testing.T) {
	inBubble(t, func(w *world) {
		_, isA := w.stub("a", `type Query { a: Int }`)
		g, _ := w.start()
		main, end := w.apiOf(g)
		defer end()
		push := func(epoch string, term int) map[string]any {
			t.Helper()
			got, err := transport.Invoke[map[string]any](w.Context(), main, "updateConfig", map[string]any{
				"services": []Service{isA}, "fence": Fence{Epoch: epoch, Term: uint64(term), Index: 1},
			})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := push("2", 2); got["success"] != true || got["revision"] == nil || len(got["services"].([]any)) != 1 {
			t.Errorf("the first list: %v", got)
		}
		for _, older := range []struct {
			epoch string
			term  int
			words string
		}{{"2", 1, "the list of term 1, index 1 is refused: a newer list was accepted, of term 2"}, {"1", 9, "founded or restored later (epoch 2, this list's is 1)"}} {
			got := push(older.epoch, older.term)
			if got["success"] != false || got["code"] != "fenced" || got["services"] != nil {
				t.Errorf("an older list: %v", got)
			}
			wantHas(t, got["error"].(string), older.words)
		}
	})
}
