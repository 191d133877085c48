package peering

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

// still is a site in which nothing happens.
type still struct{ table *fsm.Table }

func (s still) Table() *fsm.Table { return s.table }

func (s still) Await(ctx context.Context, _ uint64) (*fsm.Table, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

func (s still) Commit(context.Context, string, fsm.Op) (fsm.Outcome, error) {
	return fsm.Outcome{}, errors.New("nothing happens here")
}

// listening is a session with the site b, in the middle of a dump, without its
// connection.
func listening(t *fsm.Table) *Session {
	x := New(Config{Site: still{t}}).newSession(context.Background())
	x.peer, x.hello = "b", *stranger("b")
	x.intake.begin(t, "b")
	return x
}

// FuzzReadUpdates lets anyone who has a secret say anything.
func FuzzReadUpdates(f *testing.F) {
	for _, u := range [][]Update{
		{announces("books", 5, "b"), announces("films", 6, "b", "c"), withdraws("music", 7, "b"), ends(8)},
		{announces("books", 5, "b"), withdraws("books", 6, "b"), announces("books", 7, "b", "x", "b"), {Type: endOfRIB, Version: 9, Since: 4}},
		{{Type: add, Version: 1, Route: &Announcement{ID: "big:http", Service: big("big", "b"), Site: "b", Path: []string{"b"}}}},
	} {
		data, _ := json.Marshal(u)
		f.Add(string(data))
	}
	for _, m := range malformations() {
		data, _ := json.Marshal([]any{m.item})
		f.Add(string(data))
	}
	held := held10()
	f.Fuzz(func(t *testing.T, text string) {
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return
		}
		items, err := readUpdates(v)
		if err != nil {
			if list, ok := v.([]any); ok && len(list) <= MaxUpdates || items != nil {
				t.Fatalf("a list of items was not read: %v", err)
			}
			return
		}
		again, _ := readUpdates(v)
		if !reflect.DeepEqual(items, again) {
			t.Fatalf("read as %+v, and then as %+v", items, again)
		}
		for _, i := range items {
			if fault := i.fault(); fault != "" {
				t.Fatalf("%+v: %s", i, fault)
			}
		}
		learns(t, held, items)
	})
}

// held10 is a table that holds some routes of b, some of them stale.
func held10() *fsm.Table {
	table, _ := founded("a").Apply([]fsm.Command{
		{Op: fsm.Learn{Peer: "b", Epoch: "epoch-b", Term: 1, Version: 4, EndOfRIB: true, Add: []fsm.LearnedRoute{
			{Service: service("books", "b"), Site: "b", Path: []string{"b"}},
			{Service: service("films", "c"), Site: "c", Path: []string{"b", "c"}},
		}}},
		{Op: fsm.MarkStale{Peer: "b"}},
		{Op: learnsMany("b", 0, 8)},
	})
	return table
}

// fault is what is wrong with an item that was not found malformed.
func (i *item) fault() string {
	switch {
	case i.malformed:
		return ""
	case i.version > 1<<53-1 || i.since > 1<<53-1:
		return "is of a version that JavaScript does not know"
	case i.kind == endOfRIB:
		if i.key.ID != "" {
			return "ends the dump of a route"
		}
	case i.kind != add && i.kind != remove:
		return "is of no kind"
	case i.key.ID == "":
		return "has no key"
	case i.kind == add && len(i.path) > fsm.MaxPath:
		return "has too long a path"
	}
	return ""
}

// learns carries out what was read, as a session and its table do.
func learns(t *testing.T, table *fsm.Table, items []item) {
	last := map[fsm.LearnedKey]item{}
	bad := 0
	for _, i := range items {
		last[i.key] = i
		if i.malformed {
			bad++
		}
	}
	l, malformed := listening(table).learn(slices.Clone(items))
	if malformed < bad {
		t.Fatalf("%d items are malformed, and %d were counted", bad, malformed)
	}
	commands, err := fsm.DecodeBatch(fsm.EncodeBatch(nil, []fsm.Command{{At: 1, Op: l}}))
	if err != nil {
		t.Fatalf("the command cannot be read back: %v", err)
	}
	next, outcomes := table.Apply(commands)
	if o := outcomes[0]; o.Code != "" {
		t.Fatalf("outcome %+v", o)
	}
	routes := 0
	for r := range next.Learned("b") {
		routes++
		if r.Path[0] != "b" || r.Path[len(r.Path)-1] != r.Site || slices.Contains(r.Path, "a") {
			t.Fatalf("the table holds %+v", r)
		}
		if _, err := r.Service.Validate(); err != nil {
			t.Fatalf("the table holds %+v: %v", r, err)
		}
		if i, said := last[keyOf(r)]; said && (i.malformed || i.kind != add) {
			t.Fatalf("the table holds %+v, of which was said last %+v", r, i)
		}
	}
	if h := next.Held("b"); h.Routes != routes || l.EndOfRIB && h.Stale != 0 {
		t.Fatalf("the table holds %d routes, and says %+v", routes, h)
	}
}

// FuzzUpdateRoundTrip wants whatever a site may tell to be read as it was meant.
func FuzzUpdateRoundTrip(f *testing.F) {
	f.Add("books", uint8(2), "http://books:80/", "eu", "team", "a", "x,y", uint64(7))
	f.Add("b.o_o-k", uint8(3), "http://[::1]:80/<&>?q=\"", "\u2028é世界", "k\\", "\"\u00a0'", "", uint64(1<<53-1))
	f.Add("x", uint8(0), "tcp://h", "", "", "", "z", uint64(0))
	f.Fuzz(func(t *testing.T, name string, protocol uint8, endpoint, region, key, value, crossed string, version uint64) {
		s := fsm.Service{Name: name, Protocol: fsm.Protocols()[int(protocol)%len(fsm.Protocols())], Endpoint: endpoint, Region: region}
		if key != "" {
			s.Tags = map[string]string{key: value}
		}
		path := append([]string{"o"}, strings.Split(crossed, ",")...)
		table, outcomes := founded("b").Apply([]fsm.Command{
			{Op: fsm.Put{Service: s}},
			{Op: fsm.Learn{Peer: "o", Add: []fsm.LearnedRoute{{Service: s, Site: path[len(path)-1], Path: path}}}},
		})
		if outcomes[0].Code != "" {
			return
		}
		version &= 1<<53 - 1
		for r := range table.All() {
			u := announce(table, r, version)
			items, err := readUpdates(wire([]Update{u}))
			if err != nil {
				t.Fatal(err)
			}
			want := item{kind: add, key: keyOf(r), version: version, service: r.Service, path: pathFrom(table, r)}
			if got := items[0]; !same(got, want) {
				t.Fatalf("%+v was read as %+v", u, got)
			}
			learns(t, held10(), items)
		}
		for _, u := range []Update{{Type: remove, ID: s.ID(), Site: "b", Version: version}, {Type: endOfRIB, Version: version, Since: version / 2}} {
			items, err := readUpdates(wire([]Update{u}))
			if err != nil || items[0].malformed || items[0].key != u.key() || items[0].version != version || items[0].since != u.Since {
				t.Fatalf("%+v was read as %+v, %v", u, items, err)
			}
		}
	})
}

func same(a, b item) bool {
	return fmt.Sprint(a.kind, a.key, a.version, a.since, a.malformed) == fmt.Sprint(b.kind, b.key, b.version, b.since, b.malformed) &&
		a.service.Name == b.service.Name && a.service.Protocol == b.service.Protocol && a.service.Endpoint == b.service.Endpoint &&
		a.service.Region == b.service.Region && maps.Equal(a.service.Tags, b.service.Tags) && slices.Equal(a.path, b.path)
}
