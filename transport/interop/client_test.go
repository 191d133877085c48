package interop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// sent and what comes back of it.
var echoes = []struct{ sent, want any }{
	{nil, nil},
	{true, true},
	{12, 12.0},
	{-0.25, -0.25},
	{math.MaxFloat64, math.MaxFloat64},
	{int64(1) << 53, float64(1 << 53)},
	{"é 漢 😀 \" \\ \n \x01", "é 漢 😀 \" \\ \n \x01"},
	{[]any{}, []any{}},
	{[]any{[]any{1, []any{2}}, map[string]any{"a": []any{}}}, []any{[]any{1.0, []any{2.0}}, map[string]any{"a": []any{}}}},
	{item{ID: 1, Name: "one"}, map[string]any{"id": 1.0, "name": "one"}},
	{[]string{"a", "b"}, []any{"a", "b"}},
	{transport.Undefined{}, transport.Undefined{}},
	{math.Inf(1), math.Inf(1)},
	{math.Inf(-1), math.Inf(-1)},
	{big.NewInt(-12345678901234567), big.NewInt(-12345678901234567)},
	{time.UnixMilli(1749342170815).UTC(), time.UnixMilli(1749342170815).UTC()},
	{time.Time{}, time.Time{}},
	{[]byte{1, 2, 255}, []byte{1, 2, 255}},
	{transport.Bytes{Kind: "Float32Array", Data: make([]byte, 8)}, transport.Bytes{Kind: "Float32Array", Data: make([]byte, 8)}},
}

func TestValuesSurviveTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	for _, e := range echoes {
		got, err := s.Main().Call("echo", e.sent).Await(t.Context())
		if err != nil || !reflect.DeepEqual(got, e.want) {
			t.Errorf("echo of %#v: got %#v, %v", e.sent, got, err)
		}
	}
	nan, err := s.Main().Call("echo", math.NaN()).Await(t.Context())
	if f, ok := nan.(float64); err != nil || !ok || !math.IsNaN(f) {
		t.Errorf("echo of NaN: got %v, %v", nan, err)
	}
}

func await[T any](t *testing.T, p *transport.Promise) T {
	t.Helper()
	v, err := transport.Await[T](t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPipeliningIntoTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	main := s.Main()
	counter := main.Call("counter", 5)
	if got := await[int](t, counter.Call("add", 2)); got != 7 {
		t.Errorf("pipelined call: got %d, want 7", got)
	}
	if got := await[int](t, counter.Get("value")); got != 7 {
		t.Errorf("pipelined property: got %d, want 7", got)
	}
	counter.Release()
	if got := await[string](t, main.Call("list").Get("items", 1, "name")); got != "two" {
		t.Errorf("path with an index: got %q", got)
	}
	sum := main.Call("add", main.Call("later", 40), main.Call("add", 1, 1))
	if got := await[int](t, sum); got != 42 {
		t.Errorf("promises as arguments: got %d, want 42", got)
	}
}

func TestMapAtTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	main := s.Main()
	names := main.Call("list").Get("items").Map(func(i *transport.Item) any {
		return map[string]any{
			"label":  i.Capture(main).Call("describe", i.Get("id"), i.Get("name")),
			"name":   i.Get("name"),
			"static": []any{1, "x"},
		}
	})
	got := await[[]map[string]any](t, names)
	want := map[string]any{"label": "2:two", "name": "two", "static": []any{1.0, "x"}}
	if len(got) != 3 || !reflect.DeepEqual(got[1], want) {
		t.Errorf("got %v, want %v second", got, want)
	}
	rows := main.Call("echo", []any{
		map[string]any{"k": 10, "l": []any{1, 2}}, map[string]any{"k": 20, "l": []any{3}},
	})
	nested := rows.Map(func(row *transport.Item) any {
		return row.Get("l").Map(func(n *transport.Item) any {
			return n.Capture(main).Call("add", n, row.Get("k"))
		})
	})
	if got, want := await[[][]int](t, nested), [][]int{{11, 12}, {23}}; !reflect.DeepEqual(got, want) {
		t.Errorf("nested: got %v, want %v", got, want)
	}
}

func TestCallbacksFromTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	main := s.Main()
	released := make(chan string, 10)
	double := func(name string) *transport.Target {
		return transport.NewFunc(func(_ context.Context, c *transport.Call) (any, error) {
			return 2 * c.Arg(0).(float64), nil
		}).OnRelease(func() { released <- name })
	}
	if got := await[int](t, main.Call("call", double("used once"), 21)); got != 42 {
		t.Errorf("called back: got %d, want 42", got)
	}
	if got := <-released; got != "used once" {
		t.Errorf("released %q", got)
	}
	await[any](t, main.Call("keep", double("kept")))
	if got := await[int](t, main.Call("useKept", 4)); got != 8 {
		t.Errorf("kept callback: got %d, want 8", got)
	}
	await[any](t, main.Call("drop"))
	if got := <-released; got != "kept" {
		t.Errorf("released %q", got)
	}
	failing := transport.NewFunc(func(context.Context, *transport.Call) (any, error) {
		return nil, &transport.Error{Name: "RangeError", Message: "no", Props: map[string]any{"code": "conflict"}}
	})
	_, err := main.Call("call", failing).Await(t.Context())
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Name != "RangeError" || e.Code() != "conflict" {
		t.Errorf("error through two sides: got %#v", err)
	}
}

func TestStubsOfTheReferenceAreReleased(t *testing.T) {
	s := connect(t, referenceServer(t))
	main := s.Main()
	for i := range 50 {
		counter := await[*transport.Stub](t, main.Call("counter", i))
		copied := counter.Dup()
		counter.Release()
		if got := await[int](t, copied.Call("add", 1)); got != i+1 {
			t.Errorf("counter %d: got %d", i, got)
		}
		copied.Release()
	}
	pair := await[struct {
		List []*transport.Stub `json:"list"`
		Name string            `json:"name"`
	}](t, main.Call("counters"))
	if got := await[int](t, pair.List[1].Call("add", 1)); got != 3 || pair.Name != "two" {
		t.Errorf("stubs in an object: got %d, %+v", got, pair)
	}
	for _, c := range pair.List {
		c.Release()
	}
	eventually(t, "all disposed", func() bool { return await[int](t, main.Call("disposed")) == 50 })
	if got := s.Stats(); got.Imports != 0 || got.Exports != 0 {
		t.Errorf("left over here: %+v", got)
	}
	// Left there: the main objects, and the call of stats itself.
	if got := await[map[string]int](t, main.Call("stats")); got["imports"] != 1 || got["exports"] > 3 {
		t.Errorf("left over there: %v", got)
	}
}

func TestErrorsOfTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	_, err := s.Main().Call("fail").Await(t.Context())
	e := (*transport.Error)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("got %#v", err)
	}
	cause, _ := e.Props["cause"].(*transport.Error)
	if e.Name != "RangeError" || e.Message != "out of range" || e.Code() != "too_large" || e.Props["limit"] != 7.0 ||
		!time.UnixMilli(0).Equal(e.Props["when"].(time.Time)) || cause == nil || cause.Message != "the cause" {
		t.Errorf("got %#v", e)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is not found by errors.Is")
	}
	_, err = s.Main().Call("failMany").Await(t.Context())
	if !errors.As(err, &e) || len(e.Unwrap()) != 2 || e.Unwrap()[1].Error() != "second" {
		t.Errorf("got %#v", err)
	}
	_, err = s.Main().Call("nothing").Await(t.Context())
	if err == nil || await[int](t, s.Main().Call("add", 1, 1)) != 2 {
		t.Errorf("unknown method: got %v", err)
	}
}

func TestOrderAtTheReference(t *testing.T) {
	s := connect(t, referenceServer(t))
	for i := range 1000 {
		s.Main().Call("note", i).Release()
	}
	seen := await[[]int](t, s.Main().Call("seen"))
	if len(seen) != 1000 {
		t.Fatalf("%d calls arrived, want 1000", len(seen))
	}
	for i, n := range seen {
		if n != i {
			t.Fatalf("call %d arrived as number %d", n, i)
		}
	}
}

func TestBatchToTheReference(t *testing.T) {
	b := transport.NewBatch(fmt.Sprintf("http://%s/", referenceServer(t)), &http.Client{}, transport.Config{})
	main := b.Main()
	labels := main.Call("list").Get("items").Map(func(i *transport.Item) any {
		return i.Capture(main).Call("describe", i.Get("id"), i.Get("name"))
	})
	sum := main.Call("add", main.Call("add", 1, 2), 3)
	failed := main.Call("fail")
	if err := b.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := await[[]string](t, labels); len(got) != 3 || got[2] != "3:three" {
		t.Errorf("map: got %v", got)
	}
	if got := await[int](t, sum); got != 6 {
		t.Errorf("sum: got %d, want 6", got)
	}
	_, err := failed.Await(t.Context())
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Code() != "too_large" {
		t.Errorf("got %#v", err)
	}
}
