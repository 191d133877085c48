package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// serveBatches returns a URL where main is served by HTTP batch.
func serveBatches(t *testing.T, main *Target, limits Limits) string {
	t.Helper()
	server := httptest.NewServer(BatchHandler(func(*http.Request) *Target { return main }, Config{Limits: limits}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestABatchIsOneRequest(t *testing.T) {
	requests := 0
	handler := BatchHandler(func(*http.Request) *Target { requests++; return registry() }, Config{})
	server := httptest.NewServer(handler)
	defer server.Close()
	b := NewBatch(server.URL, nil, Config{})
	main := b.Main()
	routes := main.Call("routes")
	names := routes.Get("routes").Map(func(r *Item) any { return r.Get("service", "name") })
	joined := main.Call("join", main.Call("join", 1, 2), 3)
	failed := main.Call("fail")
	whole := main.Call("routes").Pull()
	first := whole.Get("one", "id").Pull()
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := must[[]string](t, names); len(got) != 3 || got[1] != "service1" {
		t.Errorf("map: got %q", got)
	}
	if got := must[string](t, joined); got != "1+2+3" {
		t.Errorf("pipelined: got %q", got)
	}
	if _, err := failed.Await(t.Context()); err == nil || err.Error() != "no" {
		t.Errorf("failed: got %v", err)
	}
	if got := must[map[string]any](t, whole); len(got) != 3 {
		t.Errorf("pulled: got %v", got)
	}
	if got := must[int](t, first); got != 1 {
		t.Errorf("pulled property: got %d", got)
	}
	if _, err := routes.Await(t.Context()); !errors.Is(err, ErrBroken) {
		t.Errorf("not pulled: got %v", err)
	}
	if requests != 1 {
		t.Errorf("%d requests, want one", requests)
	}
}

func TestABatchWaitsForCallsThatNobodyAwaits(t *testing.T) {
	done := false
	main := NewTarget(map[string]Method{
		"slow": func(ctx context.Context, c *Call) (any, error) {
			select {
			case <-time.After(20 * time.Millisecond):
				done = true
			case <-ctx.Done():
			}
			return nil, nil
		},
	})
	response := post(t, serveBatches(t, main, Limits{}), `["push",["pipeline",0,["slow"],[]]]`)
	if response != "" || !done {
		t.Errorf("answered %q; the call was done: %v", response, done)
	}
}

func post(t *testing.T, url, body string) string {
	t.Helper()
	response, err := http.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		return response.Status + " " + string(answer)
	}
	return string(answer)
}

func TestABatchOnTheWire(t *testing.T) {
	url := serveBatches(t, registry(), Limits{MessageBytes: 1000})
	for _, c := range []struct{ body, want string }{
		{"", ""},
		{`["push",["pipeline",0,["join"],[1,2]]]` + "\n" + `["pull",1]`, `["resolve",1,"1+2"]`},
		{`["push",1]` + "\r\n" + `["pull",1]` + "\n", `["resolve",1,1]`},
		{`["push",1]` + "\n" + `["pull",1]` + "\nnonsense", `["resolve",1,1]` + "\n" +
			`["abort",["error","Error","bad RPC message: 'n' at byte 0: want '['"]]`},
		{strings.Repeat("x", 1001), "413 Request Entity Too Large read the batch: http: request body too large\n"},
	} {
		if got := post(t, url, c.body); got != c.want {
			t.Errorf("%.80q answered %q\nwant %q", c.body, got, c.want)
		}
	}
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "POST" {
		t.Errorf("GET answered %s", response.Status)
	}
}

func TestABatchCannotCallBack(t *testing.T) {
	main := NewTarget(map[string]Method{
		"call": func(ctx context.Context, c *Call) (any, error) {
			f, err := c.Stub(0)
			if err != nil {
				return nil, err
			}
			return f.Call("").Await(ctx)
		},
	})
	b := NewBatch(serveBatches(t, main, Limits{}), nil, Config{})
	p := b.Main().Call("call", NewFunc(nil))
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Await(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be called back") {
		t.Errorf("got %v", err)
	}
}

func TestABatchThatIsNotAnswered(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	b := NewBatch(server.URL, nil, Config{})
	p := b.Main().Call("x")
	if err := b.Send(t.Context()); err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("send: got %v", err)
	}
	if _, err := p.Await(t.Context()); !errors.Is(err, ErrBroken) {
		t.Errorf("await: got %v", err)
	}
	if err := b.Send(t.Context()); err == nil {
		t.Error("a second Send was accepted")
	}
}

// TestABatchThatBreaksEnds has a call before what is malformed.
func TestABatchThatBreaksEnds(t *testing.T) {
	url := serveBatches(t, echo(), Limits{})
	if got := post(t, url, pushBooks+"\n"+`["pull",1]`+"\nnonsense"); !strings.Contains(got, `["abort",`) {
		t.Errorf("got %q", got)
	}
}

// TestCallsOfABatchCanMeet has the first call wait for the second.
func TestCallsOfABatchCanMeet(t *testing.T) {
	met := make(chan string)
	url := serveBatches(t, NewTarget(map[string]Method{
		"wait": func(ctx context.Context, _ *Call) (any, error) {
			Concurrent(ctx)
			return <-met, nil
		},
		"come": func(context.Context, *Call) (any, error) {
			met <- "met"
			return nil, nil
		},
	}), Limits{})
	b := NewBatch(url, nil, Config{})
	waits := b.Main().Call("wait")
	b.Main().Call("come")
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := must[string](t, waits); got != "met" {
		t.Errorf("got %q", got)
	}
}

// TestAnswersOfABatchHaveTheirLength unless they are too long to be kept.
func TestAnswersOfABatchHaveTheirLength(t *testing.T) {
	url := serveBatches(t, echo(), Limits{})
	for _, size := range []int{10, 10_000, 200_000} {
		sent := strings.Repeat("x", size)
		call := `["push",["pipeline",0,["echo"],["` + sent + `"]]]` + "\n"
		answer, err := http.Post(url, "text/plain", strings.NewReader(call+call+`["pull",1]`+"\n"+`["pull",2]`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		want := fmt.Sprintf("[\"resolve\",1,%q]\n[\"resolve\",2,%q]", sent, sent)
		if err != nil || string(text) != want {
			t.Errorf("%d bytes: got %.100q, %v", size, text, err)
		}
		if known := answer.ContentLength >= 0; known != (size < keptBuffer) {
			t.Errorf("%d bytes: the length is given as %d", size, answer.ContentLength)
		}
	}
}

// TestABatchThatEndsInAStream has what waits for more of it fail.
func TestABatchThatEndsInAStream(t *testing.T) {
	url := serveBatches(t, echo(), Limits{})
	const want = `["reject",2,["error","Error","the HTTP batch ends in the middle of a stream"]]`
	got := post(t, url, `["pipe"]`+"\n"+`["push",["pipeline",0,["echo"],[["blob","",["readable",1]]]]]`+"\n"+`["pull",2]`+"\n"+
		`["stream",["pipeline",1,["write"],[["bytes","AAEC"]]]]`)
	if !strings.Contains(got, want) {
		t.Errorf("a blob: got %s", got)
	}
	url = serveBatches(t, NewTarget(map[string]Method{"read": func(_ context.Context, c *Call) (any, error) {
		return io.ReadAll(c.Arg(0).(*Readable))
	}}), Limits{})
	got = post(t, url, `["pipe"]`+"\n"+`["push",["pipeline",0,["read"],[["readable",1]]]]`+"\n"+`["pull",2]`+"\n"+
		`["stream",["pipeline",1,["write"],[["bytes","AAEC"]]]]`)
	if !strings.Contains(got, want) {
		t.Errorf("a stream: got %s", got)
	}
}
