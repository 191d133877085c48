package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// inMemory reaches stubs without a network, so that time can be a bubble's.
type inMemory map[string]http.Handler

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if s, is := m[r.URL.Host].(*stub); is && s.gone.Load() {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m[r.URL.Host].ServeHTTP(w, r)
	}()
	select {
	case <-done:
		return w.Result(), nil
	case <-r.Context().Done():
		<-done
		return nil, r.Context().Err()
	}
}

// hang keeps a stub from answering for as long as it is asked.
func hang(s *stub) {
	s.handleWith(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
}

func well(s *stub) { s.handleWith(func(http.ResponseWriter, *http.Request) bool { return false }) }

func stateOf(g *Gateway, name string) ServiceStatus {
	for _, s := range g.Status().Services {
		if s.Name == name {
			return s
		}
	}
	return ServiceStatus{}
}

// world is a gateway in a bubble, and stubs that it can reach.
type world struct {
	*testing.T
	reach inMemory
	cfg   Config
}

func inBubble(t *testing.T, story func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		reach := inMemory{}
		story(&world{t, reach, Config{Transport: reach, Limits: Limits{Patience: 500 * time.Millisecond}}})
	})
}

// stub is a service at http://NAME, which no listener stands behind.
func (w *world) stub(name, sdl string) (*stub, Service) {
	s := &stub{t: w.T, fields: map[string]func(map[string]any) any{}}
	s.become(sdl)
	w.reach[name] = s
	return s, Service{Name: name, URL: "http://" + name + "/graphql"}
}

func (w *world) start() (*Gateway, func()) {
	g, err := New(w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	return g, run(w, g)
}

func TestAHungServiceDelaysNoOther(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a: Int }`)
		b, isB := w.stub("b", `type Query { b: Int }`)
		_, isC := w.stub("c", `type Query { c: Int }`)
		g, _ := w.start()
		tell(w, g, isA)
		hang(b)

		start := time.Now()
		status := tell(w, g, isA, isB, isC)
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("the update took %v", took)
		}
		wantEqual(t, post(w, g, `{ a c }`), `{"data":{"a":1,"c":1}}`)
		wantEqual(t, status.Services[1].State, Pending)
		if n := a.introspections.Load(); n != 1 {
			t.Errorf("service a was introspected %d times, want once", n)
		}

		start = time.Now()
		tell(w, g, isA, isB) // while b is still being asked
		if took := time.Since(start); took > 0 {
			t.Errorf("the update after it took %v", took)
		}
		wantHas(t, post(w, g, `{ c }`), "Cannot query field")

		time.Sleep(6 * time.Second)
		s := stateOf(g, "b")
		wantEqual(t, s.State+": "+s.Error, "down: service b did not answer in time")
		well(b)
		time.Sleep(10 * time.Second)
		wantEqual(t, post(w, g, `{ a b }`), `{"data":{"a":1,"b":1}}`)
		wantEqual(t, stateOf(g, "b").State, Serving)
	})
}

func TestWhatAServiceWasIsServedWhileItIsBroken(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a: Int }`)
		g, _ := w.start()
		tell(w, g, isA)

		a.become(`type Query { a: Int more: Int }`)
		time.Sleep(2 * time.Minute) // it is asked again by itself
		wantEqual(t, post(w, g, `{ a more }`), `{"data":{"a":1,"more":1}}`)

		replyWith(a, `{"errors":[{"message":"maintenance"}]}`)
		time.Sleep(2 * time.Minute)
		s := stateOf(g, "a")
		wantEqual(t, s.State+": "+s.Error, "stale: service a refuses to say what it is: maintenance")
		wantHas(t, post(w, g, `{ more }`), `"message":"maintenance","path":["more"]`)

		a.handleWith(func(w http.ResponseWriter, r *http.Request) bool { return false })
		time.Sleep(time.Minute)
		wantEqual(t, stateOf(g, "a").State, Serving)
		wantEqual(t, post(w, g, `{ more }`), `{"data":{"more":1}}`)

		// The same at another place: what it was is served until it says more.
		_, moved := w.stub("elsewhere", `type Query { a: Int }`)
		moved.Name = "a"
		hang(a)
		tell(w, g, moved)
		wantEqual(t, post(w, g, `{ a }`), `{"data":{"a":1}}`)
	})
}

func TestABrokenServiceIsAskedLessAndLessOften(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a: Int }`)
		var asked atomic.Int64
		a.handleWith(func(w http.ResponseWriter, r *http.Request) bool {
			asked.Add(1)
			http.Error(w, "no", http.StatusNotFound)
			return true
		})
		g, _ := w.start()
		tell(w, g, isA)
		s := stateOf(g, "a")
		wantEqual(t, s.State+": "+s.Error, "down: service a answered with status 404")
		time.Sleep(10 * time.Second)
		early := asked.Load()
		time.Sleep(10 * time.Minute)
		if later := asked.Load() - early; early < 4 || early > 8 || later < 20 || later > 30 {
			t.Errorf("it was asked %d times in 10 s and then %d times in 10 min", early, later)
		}
	})
}

func TestServicesThatSayNonsenseAreDown(t *testing.T) {
	for reply, want := range map[string]string{
		`<html>`:           "service a did not answer as a GraphQL service does",
		`{"data":{}}`:      "service a cannot be served: its introspection has no query type",
		`{"data":{"a":1}}`: "service a cannot be served: its introspection has no query type",
		`{"data":{"__schema":{"queryType":{"name":"Q"},"types":[]}}}`:                                                                 "service a cannot be served: its schema is not valid: Schema root query refers to a type Q that does not exist.",
		`{"data":{"__schema":{"queryType":{"name":"Q"},"types":[{"kind":"OBJECT","name":"Q","fields":[{"name":"x){"}]}]}}}`:           `service a cannot be served: type Q: field "x){": that is no name`,
		`{"data":{"__schema":{"queryType":{"name":"Q"},"types":[{"kind":"OBJECT","name":"Q","fields":[{"name":"x","type":null}]}]}}}`: `service a cannot be served: type Q: field "x": it has no type`,
		`{"data":{"__schema":{"queryType":{"name":"Q"},"types":[{"kind":"WHAT","name":"Q"}]}}}`:                                       `service a cannot be served: type Q: unknown kind "WHAT"`,
		`{"data":{"__schema":{"queryType":{"name":"Q"},"types":"x"}}}`:                                                                `service a cannot be served: its introspection is malformed: cannot unmarshal string`,
		`{"data":{"__schema":{"queryType":{"name":"Q"},"types":[{},{},{},{}]}}}`:                                                      `service a cannot be served: it has 4 types, and 3 are taken at most`,
		`{"data":{"__schema":{"queryType":{"name":"Q"},"types":[{"kind":"OBJECT","name":"Q","fields":[{"name":"x","type":{"kind":"SCALAR","name":"Int"},"args":[{"name":"a","type":{"kind":"SCALAR","name":"Int"},"defaultValue":"1){x} query"}]}]}]}}}`: `its default value "1){x} query" is malformed`,
	} {
		inBubble(t, func(w *world) {
			a, isA := w.stub("a", `type Query { a: Int }`)
			replyWith(a, reply)
			w.cfg.Limits.Types = 3
			g, _ := w.start()
			tell(w, g, isA)
			s := stateOf(g, "a")
			wantEqual(t, s.State, Down)
			wantHas(t, s.Error, want)
		})
	}
}

func TestServersOfOlderEditionsAreUnderstood(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a(x: Int = 3): Int }`)
		schema := a.schema.Load()
		a.handleWith(func(rw http.ResponseWriter, r *http.Request) bool {
			body := new(strings.Builder)
			_, _ = copyTo(body, r)
			if strings.Contains(body.String(), "isRepeatable") || strings.Contains(body.String(), "args(includeDeprecated") {
				_, _ = rw.Write(refusalOf(errors.New("Cannot query field isRepeatable")))
				return true
			}
			request, _ := readRequest([]byte(body.String()))
			_, _ = rw.Write(introspectionOf(schema, request))
			return true
		})
		g, _ := w.start()
		tell(w, g, isA)
		wantEqual(t, stateOf(g, "a").State, Serving)
		wantHas(t, post(w, g, `{ __type(name: "Query") { fields { args { defaultValue } } } }`), `"defaultValue":"3"`)
	})
}

func TestARequestEndsOnTheSchemaThatItBeganWith(t *testing.T) {
	inBubble(t, func(w *world) {
		a, isA := w.stub("a", `type Query { a: Int }`)
		g, _ := w.start()
		tell(w, g, isA)
		asked, answerNow := make(chan struct{}), make(chan struct{})
		a.handleWith(func(rw http.ResponseWriter, r *http.Request) bool {
			close(asked)
			<-answerNow
			_, _ = rw.Write([]byte(`{"data":{"a":7}}`))
			return true
		})
		got := make(chan string)
		go func() { got <- post(w, g, `{ a }`) }()
		<-asked
		tell(w, g)
		wantHas(t, post(w, g, `{ a }`), "Cannot query field")
		close(answerNow)
		wantEqual(t, <-got, `{"data":{"a":7}}`)
	})
}

func TestAnOlderLeaderIsRefused(t *testing.T) {
	inBubble(t, func(w *world) {
		_, isA := w.stub("a", `type Query { a: Int }`)
		w.cfg.StatePath = filepath.Join(w.TempDir(), "gateway.json")
		g, stop := w.start()
		push := func(epoch string, term, index uint64, list ...Service) error {
			_, err := g.Update(w.Context(), list, &Fence{epoch, term, index})
			return err
		}
		for _, c := range []struct {
			epoch       string
			term, index uint64
			refused     bool
		}{
			{"2026-b", 3, 10, false}, {"2026-b", 3, 10, false}, {"2026-b", 3, 9, true}, {"2026-b", 2, 99, true},
			{"2026-a", 9, 99, true}, {"2026-b", 3, 11, false}, {"2026-b", 4, 1, false}, {"2026-c", 1, 1, false}, {"2026-b", 9, 9, true},
		} {
			if err := push(c.epoch, c.term, c.index, isA); errors.Is(err, ErrFenced) != c.refused || err != nil != c.refused {
				t.Errorf("list of %v: got %v", c, err)
			}
		}
		if err := push("2026-b", 9, 9); err == nil || len(g.Status().Services) != 1 {
			t.Error("a refused list changed something")
		}
		if _, err := g.Update(w.Context(), nil, nil); err != nil || len(g.Status().Services) != 0 {
			t.Errorf("a list without a fence: got %v", err)
		}
		stop()
		g, _ = w.start()
		if err := push("2026-c", 1, 0, isA); !errors.Is(err, ErrFenced) {
			t.Errorf("after a restart: got %v, want that it is refused", err)
		}
	})
}

func TestTheLastConfigurationSurvivesARestart(t *testing.T) {
	inBubble(t, func(w *world) {
		_, isA := w.stub("a", `type Query { item: Item } type Item { id: ID }`)
		b, isB := w.stub("b", `type Query { item: Item } type Item { name: String }`)
		isB.Token = "secret"
		w.cfg.StatePath = filepath.Join(w.TempDir(), "gateway.json")
		g, stop := w.start()
		tell(w, g, isA, isB)
		tell(w, g, isB)
		stop()
		info, err := os.Stat(w.cfg.StatePath)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the state file: got %v, %v, want that only its owner reads it", info.Mode(), err)
		}

		introspected := b.introspections.Load()
		g, err = New(w.cfg) // it does not run yet
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, post(w, g, `{ b_item { name __typename } }`), `{"data":{"b_item":{"name":"a String","__typename":"b_Item"}}}`)
		wantEqual(t, b.last.Load().header.Get("Authorization"), "Bearer secret")
		wantEqual(t, stateOf(g, "b").State, Stale)
		if n := b.introspections.Load() - introspected; n != 0 {
			t.Errorf("it was introspected %d times", n)
		}
		stop = run(w, g)
		tell(w, g, isB, isA)
		synctest.Wait() // b was known, and the update does not wait for it
		wantEqual(t, stateOf(g, "b").State, Serving)
		wantEqual(t, stateOf(g, "a").State, Serving)
		wantEqual(t, post(w, g, `{ item { __typename } b_item { __typename } }`), `{"data":{"item":{"__typename":"Item"},"b_item":{"__typename":"b_Item"}}}`)
		stop()
		for damage, text := range map[string]string{"cut": `{"version":1,"serv`, "newer": `{"version":99}`, "empty": ""} {
			if err := os.WriteFile(w.cfg.StatePath, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if g, err = New(w.cfg); err != nil {
				t.Fatalf("%s: %v", damage, err)
			}
			wantEqual(t, post(w, g, `{ services }`), `{"data":{"services":[]}}`)
		}
		w.cfg.StatePath = w.TempDir()
		if _, err := New(w.cfg); err == nil || !strings.Contains(err.Error(), "read the gateway's state") {
			t.Errorf("a directory as state file: got %v", err)
		}
	})
}

// Two services that want one name: which of them has it may change, and what
// clients know of each does not.
func TestAServiceIsItselfUnderAnotherName(t *testing.T) {
	inBubble(t, func(w *world) {
		_, older := w.stub("older", `type Query { item: Item } type Item { id: ID }`)
		_, newer := w.stub("newer", `type Query { item: Item } type Item { name: String }`)
		older.Name, newer.Name = "books", "books"
		g, _ := w.start()
		answers := func(query, want string) {
			t.Helper()
			time.Sleep(time.Second)
			wantHas(t, post(w, g, query), want)
		}
		const both, its = `{ item { id } books_2_item { name } }`, `{ books_2_item { name __typename } }`
		tell(w, g, older, newer)
		answers(both, `{"data":{"item":{"id":"a ID"},"books_2_item":{"name":"a String"}}}`)
		tell(w, g, newer)
		answers(its, `{"data":{"books_2_item":{"name":"a String","__typename":"books_2_Item"}}}`)
		wantEqual(t, stateOf(g, "books").State, Serving)
		for _, list := range [][]Service{{newer, older}, {older, newer}} {
			tell(w, g, list...)
			answers(its, `{"data":{"books_2_item":{"name":"a String","__typename":"books_2_Item"}}}`)
			answers(`{ item { id } }`, `{"data":{"item":{"id":"a ID"}}}`)
		}

		// One that has another place is still itself, if the place was nobody's.
		_, moved := w.stub("elsewhere", `type Query { item: Item } type Item { id: ID }`)
		moved.Name = "books"
		tell(w, g, moved, newer)
		answers(both, `{"data":{"item":{"id":"a ID"},"books_2_item":{"name":"a String"}}}`)
	})
}

func TestListsThatCannotBeMeant(t *testing.T) {
	g := started(t, Config{Limits: Limits{Services: 2}})
	for want, list := range map[string][]Service{
		"services.1: want a name and a url": {{Name: "a", URL: "http://a"}, {Name: "b"}},
		"services.0: want a name and a url": {{URL: "http://a"}},
		"services.0: a name has at most":    {{Name: strings.Repeat("x", 300), URL: "http://a"}},
		"there are 3, and 2":                {{}, {}, {}},
	} {
		if _, err := g.Update(t.Context(), list, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for url, want := range map[string]string{
		"tcp://x:1": `its url begins with "tcp": want http or https`, "nonsense": "its url is none", "http://%zz": "its url is none",
	} {
		status := tell(t, g, Service{Name: "a", URL: url})
		wantEqual(t, status.Services[0].Error, want)
	}
}

func TestConfigSaysWhatItCannotBe(t *testing.T) {
	for want, cfg := range map[string]Config{
		"limits: Tokens is -1":        {Limits: Limits{Tokens: -1}},
		"Content-Type belongs to one": {ForwardHeaders: []string{"content-type"}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The main object answers as the contract says (section 6), and more.
func TestUpdateConfig(t *testing.T) {
	a := newStub(t, `type Query { a: Int }`)
	g := started(t, Config{})
	type answer struct {
		Success  bool            `json:"success"`
		Error    string          `json:"error"`
		Services []ServiceStatus `json:"services"`
	}
	push := func(args ...any) answer {
		t.Helper()
		left, right := transport.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		server := transport.NewSession(left, transport.Config{Main: g.api(nil)})
		client := transport.NewSession(right, transport.Config{})
		for _, s := range []*transport.Session{server, client} {
			go func() { _ = s.Run(ctx) }()
			defer func() { <-s.Done() }()
		}
		defer cancel()
		got, err := transport.Invoke[answer](ctx, client.Main(), "updateConfig", args...)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	services := []any{map[string]any{"name": "a", "url": a.server.URL, "more": 1}}
	got := push(map[string]any{"services": services})
	if !got.Success || len(got.Services) != 1 || got.Services[0].State != Serving {
		t.Errorf("got %+v", got)
	}
	newer, older := map[string]any{"epoch": "e", "term": 2, "index": 5}, map[string]any{"epoch": "e", "term": 2, "index": 4}
	if got := push(map[string]any{"services": services, "fence": newer}); !got.Success {
		t.Errorf("with a fence: got %+v", got)
	}
	for _, refused := range []answer{
		push(map[string]any{"services": services, "fence": older}),
		push(map[string]any{"services": services}, older),
		push(map[string]any{}),
		push(map[string]any{"services": []any{map[string]any{"name": "a"}}}),
	} {
		if refused.Success || refused.Error == "" {
			t.Errorf("got %+v, want that it is refused", refused)
		}
	}
	if got := push(map[string]any{"services": services}, newer); !got.Success {
		t.Errorf("with a fence beside it: got %+v", got)
	}
}

func TestRequestsGoOnWhileServicesComeAndGo(t *testing.T) {
	a := newStub(t, `type Query { item: Item } type Item { id: ID }`)
	b := newStub(t, `type Query { item: Item } type Item { name: String t: Item }`)
	g := gatewayOf(t, Config{Limits: Limits{Plans: 2}}, a.named("a"), b.named("b"))
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for _, query := range []string{`{ item { id } }`, `{ item { __typename } b_item { __typename t { name } } }`, `{ __schema { types { name } } }`, `{ b_item { name } }`} {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got := post(t, g, query); !strings.HasPrefix(got, `{"data":{`) && !strings.Contains(got, "Cannot query field") {
					t.Errorf("got %s", got)
				}
			}
		})
	}
	for range 30 {
		tell(t, g, a.named("a"))
		tell(t, g, a.named("a"), b.named("b"))
	}
	close(stop)
	asking.Wait()
}

// What a client's query finds out the gateway need not find out by itself.
func TestAQueryShowsThatAServiceIsGoneAndBack(t *testing.T) {
	inBubble(t, func(w *world) {
		a, service := w.stub("a", `type Query { a: Int }`)
		g, stop := w.start()
		defer stop()
		tell(w, g, service)
		a.gone.Store(true)
		time.Sleep(firstRetry)
		if got := stateOf(g, "a"); got.State != Serving {
			t.Fatalf("before anybody has asked: %s, want %s", got.State, Serving)
		}
		wantHas(t, post(w, g, `{ a }`), `"service a cannot be reached"`)
		synctest.Wait()
		if got := stateOf(g, "a"); got.State != Stale || !strings.Contains(got.Error, "connection refused") {
			t.Errorf("after a query: %s (%s), want %s", got.State, got.Error, Stale)
		}
		time.Sleep(10 * lastRetry) // it is asked seldom by now
		a.gone.Store(false)
		wantHas(t, post(w, g, `{ a }`), `"data":{"a":`)
		synctest.Wait()
		if got := stateOf(g, "a"); got.State != Serving {
			t.Errorf("after a query that it answered: %s (%s), want %s", got.State, got.Error, Serving)
		}
	})
}
