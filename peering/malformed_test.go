package peering

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/fsm"
)

// crooked is an add of books as it comes over the wire, with something changed.
func crooked(change func(item, route, service map[string]any)) any {
	item := wire(announces("books", 7, "b")).(map[string]any)
	route := item["route"].(map[string]any)
	change(item, route, route["service"].(map[string]any))
	return item
}

type object = map[string]any

// Every way in which an item can be wrong, and whether its key can be read.
func malformations() map[string]struct {
	item  any
	named bool
} {
	type m = struct {
		item  any
		named bool
	}
	all := map[string]m{
		"null":                 {nil, false},
		"a number":             {7.0, false},
		"a text":               {"add", false},
		"a list":               {[]any{}, false},
		"an empty object":      {object{}, false},
		"no type":              {object{"id": "books:http", "site": "b", "version": 7.0}, true},
		"an unknown type":      {object{"type": "replace", "id": "books:http", "site": "b", "version": 7.0}, true},
		"a type of number":     {object{"type": 1.0, "id": "books:http", "site": "b", "version": 7.0}, true},
		"an add without any":   {object{"type": "add", "version": 7.0}, false},
		"a route of text":      {object{"type": "add", "version": 7.0, "route": "books:http"}, false},
		"a removal of nobody":  {object{"type": "remove", "id": "books:http", "version": 7.0}, false},
		"a removal of nothing": {object{"type": "remove", "site": "b", "version": 7.0}, false},
		"an id of number":      {object{"type": "remove", "id": 7.0, "site": "b", "version": 7.0}, false},
		"an odd removal":       {object{"type": "remove", "id": "books:http", "site": "b", "version": "7"}, true},
		"an odd end":           {object{"type": "endOfRib", "version": -1.0}, false},
		"an odd since":         {object{"type": "endOfRib", "version": 7.0, "since": 0.5}, false},
	}
	change := func(name string, named bool, f func(item, route, service object)) {
		all[name] = m{crooked(f), named}
	}
	for _, v := range []any{"7", -1.0, 1.5, 1e300, math.MaxFloat64, true, []any{}, object{}, float64(1 << 53)} {
		change(fmt.Sprintf("version %v", v), true, func(i, _, _ object) { i["version"] = v })
	}
	for _, v := range []any{nil, 7.0, "", object{}, []any{}} {
		change(fmt.Sprintf("id %#v", v), false, func(_, r, _ object) { r["id"] = v })
		change(fmt.Sprintf("service %#v", v), true, func(_, r, _ object) { r["service"] = v })
	}
	for _, v := range []any{7.0, "", "not a name", object{}, []any{}} {
		change(fmt.Sprintf("service name %#v", v), true, func(_, _, s object) { s["name"] = v })
		change(fmt.Sprintf("endpoint %#v", v), true, func(_, _, s object) { s["endpoint"] = v })
		change(fmt.Sprintf("protocol %#v", v), true, func(_, _, s object) { s["protocol"] = v })
	}
	change("no protocol", true, func(_, _, s object) { delete(s, "protocol") })
	change("a region of number", true, func(_, _, s object) { s["region"] = 7.0 })
	change("a region that is too long", true, func(_, _, s object) { s["region"] = strings.Repeat("x", fsm.MaxRegion+1) })
	change("an endpoint that is none", true, func(_, _, s object) { s["endpoint"] = "nowhere" })
	change("an id of another service", true, func(_, _, s object) { s["name"] = "films" })
	change("an id of another protocol", true, func(_, _, s object) { s["protocol"] = "tcp" })
	for _, v := range []any{7.0, "x", []any{}, object{"k": 7.0}, object{"": "v"}, object{"k": nil}, object{"k": "a\x00b"}} {
		change(fmt.Sprintf("tags %#v", v), true, func(_, _, s object) { s["tags"] = v })
	}
	long := make([]any, fsm.MaxPath+1)
	for i := range long {
		long[i] = "b"
	}
	for _, v := range []any{nil, 7.0, "b", object{}, []any{}, []any{7.0}, []any{"c"}, []any{"b", "c"}, []any{"x", "b"}, []any{"b c", "b"}, []any{"", "b"}, long} {
		change(fmt.Sprintf("path %.40v", v), true, func(_, r, _ object) { r["path"] = v })
	}
	return all
}

func TestWhatIsMalformedIsWithdrawn(t *testing.T) {
	for name, m := range malformations() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				h.tells(announces("books", 2, "b"), announces("films", 3, "b"), ends(4))
				answer, err := h.says(wire(announces("music", 5, "b")), m.item, wire(announces("news", 6, "b")))
				if err != nil || !answer.Success || answer.Malformed != 1 || answer.Refused != 0 {
					w.Errorf("answer: %+v, %v", answer, err)
				}
				want := []string{"books [b] by b", "films [b] by b", "music [b] by b", "news [b] by b"}
				if m.named {
					want = want[1:]
				}
				a.holds(want...)
				p := a.peer("b")
				if p.State != Established || p.Malformed != 1 || !strings.Contains(p.LastError, "malformed") {
					w.Errorf("a sees %+v", p)
				}
				if n := a.speaker().cfg.Counts.Malformed.Load(); n != 1 {
					w.Errorf("counted %d", n)
				}
				// The position is one that the peer has been at.
				if held := a.Table().Held("b"); held.Version > 7 || held.Version < 6 {
					w.Errorf("a holds %+v", held)
				}
			})
		})
	}
}

// What is merely unusual is taken as it is.
func TestWhatIsUnusualIsTaken(t *testing.T) {
	type undefined struct{}
	for name, f := range map[string]func(i, r, s object){
		"region null":           func(_, _, s object) { s["region"] = nil },
		"tags null":             func(_, _, s object) { s["tags"] = nil },
		"tags empty":            func(_, _, s object) { s["tags"] = object{} },
		"more fields":           func(i, r, s object) { i["x"], r["x"], s["x"] = 1.0, object{}, []any{nil} },
		"since on an add":       func(i, _, _ object) { i["since"] = "x" },
		"id of the item":        func(i, _, _ object) { i["id"], i["site"] = "films:http", "c" },
		"no version":            func(i, _, _ object) { delete(i, "version") },
		"the highest version":   func(i, _, _ object) { i["version"] = float64(1<<53 - 1) },
		"a path through others": func(_, r, _ object) { r["path"] = []any{"b", "c", "d", "b"} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				if answer, err := h.says(crooked(f)); err != nil || answer != (Answer{Success: true}) {
					w.Errorf("answer: %+v, %v", answer, err)
				}
				if n := len(a.learned()); n != 1 {
					w.Errorf("a holds %q", a.learned())
				}
			})
		})
	}
	// undefined is a value of the transport that JSON does not have.
	item := crooked(func(i, r, s object) {
		s["region"], s["tags"], i["version"], i["since"] = undefined{}, undefined{}, undefined{}, undefined{}
	})
	items, err := readUpdates([]any{item})
	if err != nil || items[0].malformed || items[0].version != 0 {
		t.Errorf("%+v, %v", items, err)
	}
}

func TestTheOlderSpellingOfAProtocolIsTheSameRoute(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		if answer, err := h.says(crooked(func(_, r, s object) { r["id"], s["protocol"] = "books:http:gql", "http:gql" })); err != nil || answer != (Answer{Success: true}) {
			w.Errorf("answer: %+v, %v", answer, err)
		}
		if r := a.Table().Path("books:http:graphql", "b", "b"); r == nil {
			w.Errorf("a holds %q", a.learned())
		}
		h.tells(Update{Type: remove, ID: "books:http:gql", Site: "b", Version: 9})
		a.holds()
	})
}

func TestAMalformedEnvelopeEndsTheSession(t *testing.T) {
	many := make([]any, MaxUpdates+1)
	for i := range many {
		many[i] = wire(withdraws("books", 3, "b"))
	}
	for name, c := range map[string]struct {
		updates any
		says    string
	}{
		"nothing":         {nil, "send a list"},
		"a text":          {"add", "send a list"},
		"an object":       {object{"type": "add"}, "send a list"},
		"a single item":   {wire(announces("books", 2, "b")), "send a list"},
		"very many items": {many, "send at most 8192"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				h.tells(announces("books", 2, "b"), ends(2))
				_, err := ask[Answer](h.end, "update", c.updates)(w.ctx)
				if err == nil || !strings.Contains(err.Error(), "malformed update") && !strings.Contains(err.Error(), c.says) {
					w.Errorf("got %v", err)
				}
				w.later(0)
				a.idles("b")
				if over := h.over(); !strings.Contains(over, c.says) {
					w.Errorf("the session ended with %q", over)
				}
				a.holds("books [b] by b") // as at any other loss
				if p := w.at("a").Table().Held("b"); p.Routes != 1 {
					w.Errorf("a holds %+v", p)
				}
			})
		})
	}
}

func TestAsManyItemsAsThereMayBeAreTaken(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		h := w.meets("a", stranger("b"))
		updates := make([]Update, MaxUpdates)
		for i := range updates {
			updates[i] = announces(fmt.Sprint("s", i), uint64(i+1), "b")
		}
		h.tells(updates...)
		h.tells()
		if n := a.Table().NumLearned(); n != MaxUpdates {
			w.Errorf("a holds %d routes", n)
		}
		// A dump that leaves out more than an update may have.
		h.tells(announces("more", 9000, "b"), announces("most", 9001, "b"))
		h.hangsUp()
		h = w.meets("a", stranger("b"))
		h.tells(announces("more", 9000, "b"), ends(9002))
		a.holds("more [b] by b")
		for _, op := range a.commits {
			if l, ok := op.(fsm.Learn); ok && len(l.Remove) > MaxUpdates {
				w.Errorf("a command has %d removals", len(l.Remove))
			}
		}
	})
}

// Of several items for one route in an update the last counts, whatever they
// are.
func TestOfSeveralItemsTheLastCounts(t *testing.T) {
	add1, add2 := announces("books", 5, "b"), announces("books", 6, "b", "x", "b")
	gone := withdraws("books", 7, "b")
	bad := crooked(func(_, r, _ object) { r["path"] = 7.0 })
	for name, c := range map[string]struct {
		items []any
		want  []string
	}{
		"add, add":                    {[]any{wire(add1), wire(add2)}, []string{"books [b x b] by b"}},
		"add, remove":                 {[]any{wire(add1), wire(gone)}, nil},
		"remove, add":                 {[]any{wire(gone), wire(add1)}, []string{"books [b] by b"}},
		"add, malformed":              {[]any{wire(add1), bad}, nil},
		"malformed, add":              {[]any{bad, wire(add1)}, []string{"books [b] by b"}},
		"add, remove, add":            {[]any{wire(add1), wire(gone), wire(add2)}, []string{"books [b x b] by b"}},
		"add, remove otherwise spelt": {[]any{spelt("graphql"), Update{Type: remove, ID: "books:http:gql", Site: "b"}}, nil},
		"remove, add otherwise spelt": {[]any{Update{Type: remove, ID: "books:http:gql", Site: "b"}, spelt("graphql")}, []string{"books [b] by b"}},
		"add, end":                    {[]any{wire(add1), wire(ends(8))}, []string{"books [b] by b"}},
		"end, add":                    {[]any{wire(ends(8)), wire(add1)}, []string{"books [b] by b"}},
		"add, end, remove, end":       {[]any{wire(add1), wire(ends(8)), wire(gone), wire(ends(9))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.site("a")
				h := w.meets("a", stranger("b"))
				if answer, err := h.says(c.items...); err != nil || !answer.Success {
					w.Errorf("answer: %+v, %v", answer, err)
				}
				a.holds(c.want...)
			})
		})
	}
}

// spelt is an add of books with a spelling of its protocol.
func spelt(protocol string) any {
	return crooked(func(_, r, s object) { r["id"], s["protocol"] = "books:http:"+protocol, "http:"+protocol })
}

// What a peer says costs this side no more than what it may hold here.
func TestADumpIsRememberedOnlyAsFarAsItMatters(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.site("a")
		a.configures(fsm.PeerConfig{ID: "b", Endpoints: []string{"ws://nobody/rpc"}, MaxRoutes: 2})
		h := w.meets("a", stranger("b"))
		h.tells(announces("books", 1, "b"), ends(1))
		h.hangsUp()
		x, _, err := a.speaker().Accept(nobody{}, stranger("b"), Admission{})
		if err != nil {
			w.Fatal(err)
		}
		for i := range 5 {
			updates := make([]Update, 500)
			for j := range updates {
				updates[j] = announces(fmt.Sprint("s", i, "-", j), 2, "b")
			}
			if _, err := x.Update(w.ctx, wire(updates)); err != nil {
				w.Fatal(err)
			}
		}
		if n := len(x.intake.confirmed); n > 100 {
			w.Errorf("of a peer that may hold 2 routes, %d are remembered", n)
		}
		x.Lost(errors.New("enough"))
		w.later(time.Second)
	})
}
