package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// runStream sends text to nodes and returns the tally of what became of it.
func runStream(t testing.TB, text string, inFlight int, nodes ...*fakeNode) (done, refused int) {
	t.Helper()
	c := &client{timeout: 20 * time.Second}
	for _, n := range nodes {
		c.addresses = append(c.addresses, n.address())
	}
	s := &stream{client: c, inFlight: inFlight, answered: func(_ *item, answer any, err error) {
		if r, _ := answer.(map[string]any); err == nil && r["success"] == true {
			done++
		} else {
			refused++
		}
	}}
	l := &lines{in: strings.NewReader(text), prefix: "test", bad: func(line int, err error) { t.Errorf("line %d: %v", line, err) }}
	items := make(chan *item, 16)
	read := make(chan error, 1)
	go func() { read <- l.read(t.Context(), items) }()
	if err := s.run(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	return done, refused
}

// TestApplyKeepsOrderOverLostSessions sends updates of a few services through
// nodes that lose sessions, answers and the leader all the time.
func TestApplyKeepsOrderOverLostSessions(t *testing.T) {
	site := newFakeSite()
	a, b := site.node("a"), site.node("b")
	defer a.stop()
	defer b.stop()
	const services, updates = 15, 60
	var text strings.Builder
	want := map[string][]string{}
	for i := range updates {
		for s := range services {
			id := fmt.Sprintf("s%d:http", s)
			fmt.Fprintf(&text, `{"resource":"dataChannel","action":"upsert","data":{"name":"s%d","endpoint":"http://%d","protocol":"http"}}`+"\n", s, i)
			want[id] = append(want[id], fmt.Sprintf("upsert %s http://%d", id, i))
		}
	}
	a.chaos, b.chaos = rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(3, 4))
	done, refused := runStream(t, text.String(), 10, a, b)
	if done != services*updates || refused != 0 {
		t.Errorf("%d done and %d refused, want %d and 0", done, refused, services*updates)
	}
	got := map[string][]string{}
	for _, change := range site.applied {
		id := strings.Fields(change)[1]
		got[id] = append(got[id], change)
	}
	for id := range want {
		if !slices.Equal(got[id], want[id]) {
			t.Errorf("changes of %s: %v, want each once and in order", id, got[id])
		}
	}
	if site.actions == services*updates {
		t.Error("no action was sent twice: the test made no trouble")
	}
}

// TestApplyLeavesAStalledNode gives up waiting for a node that takes actions
// and answers none.
func TestApplyLeavesAStalledNode(t *testing.T) {
	site := newFakeSite()
	a, b := site.node("a"), site.node("b")
	defer a.stop()
	defer b.stop()
	a.stalls = true
	c := &client{timeout: 300 * time.Millisecond, addresses: []string{a.address(), b.address()}}
	answered := 0
	s := &stream{client: c, inFlight: 10, answered: func(*item, any, error) { answered++ }}
	items := make(chan *item, 3)
	for i := range 3 {
		items <- &item{line: i, key: fmt.Sprint(i), body: map[string]any{"resource": "member", "action": "remove", "data": map[string]any{"id": "c"}, "requestId": fmt.Sprint(i)}}
	}
	close(items)
	if err := s.run(t.Context(), items); err != nil || answered != 3 {
		t.Errorf("%d answered, %v; want 3 by the other node", answered, err)
	}
}

func TestTooLongALineIsSkipped(t *testing.T) {
	long := `{"resource":"` + strings.Repeat("x", longestLine) + `"}`
	var bad []int
	l := &lines{in: strings.NewReader("{}\n" + long + "\n{\"requestId\":\"mine\"}"), prefix: "p", bad: func(line int, _ error) { bad = append(bad, line) }}
	items := make(chan *item, 10)
	if err := l.read(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range items {
		got = append(got, fmt.Sprint(i.line, i.body["requestId"]))
	}
	if want := []string{"1p-1", "3mine"}; !slices.Equal(got, want) || !slices.Equal(bad, []int{2}) {
		t.Errorf("items %v, bad lines %v; want %v and line 2", got, bad, want)
	}
}

// BenchmarkApply is the client's own cost: its peer answers at once and keeps
// nothing.
func BenchmarkApply(b *testing.B) {
	site := newFakeSite()
	site.indifferent = true
	n := site.node("a")
	defer n.stop()
	var text strings.Builder
	for i := range b.N {
		fmt.Fprintf(&text, `{"resource":"dataChannel","action":"create","data":{"name":"svc-%06d","endpoint":"http://svc-%06d.internal:8080/api","protocol":"http"}}`+"\n", i, i)
	}
	b.ResetTimer()
	runStream(b, text.String(), 1000, n)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "actions/s")
}
