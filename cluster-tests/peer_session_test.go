package clustertests

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestProgramsThatPeer has JavaScript programs speak for sites of their own, well and badly, at both nodes of a real site.
func TestProgramsThatPeer(t *testing.T) {
	rome := startNamed(t, "rome", 2)
	c := rome.dial(t, rome.leader(t))
	want := services{}
	want.register(t, rome, c, service("own"))

	run := func(name string, story func(*testing.T, *site)) {
		t.Run(name, func(t *testing.T) {
			story(t, rome)
			rome.holdsFromPeers(t) // it has left nothing
			for _, n := range rome.nodes {
				if err := n.healthy(); err != nil {
					t.Error(err)
				}
			}
			everywhere(t, want, rome)
		})
	}
	run("one announces, hears, and says goodbye", programPeers)
	run("none touches another's routes", programsKeepApart)
	run("a malformed item is a withdrawal", malformedItems)
	run("a malformed update ends the session", malformedUpdates)
	run("a deposed leader is not heard", deposedProgram)
	run("one that is lost has time to come back", lostProgram)
	run("one that comes back is told what it missed", resumedProgram)
	run("one that says nothing any more is lost", silentProgram)
	run("one that reads nothing is told all in the end", slowProgram)
	run("one that fails harms itself alone", failingProgram)
	run("one that may not is rejected", rejectedPrograms)
}

// programPeers: what a program announces is a route with its site as peer and path, what the site registers is told to it
// and its own is not, and goodbye withdraws at once.
func programPeers(t *testing.T, rome *site) {
	js := rome.mustOpen(t, rome.follower(t), ofJS("js"))
	a := service("a")
	js.announces(t, announcement(1, a, "js"), announcement(2, service("b"), "js"), endOfRIB(2))
	rome.holdsFromPeers(t, "js/a:http by js", "js/b:http by js")
	a.Endpoint += "/moved"
	js.announces(t, announcement(3, a, "js"), withdrawal(4, "js", "b:http"))
	for _, n := range rome.nodes { // an update is answered after its commit, so a read that is not stale shows it
		list, err := once[routes](rome.driver, n.http(), rome.scope(), call("listRoutes", query{Name: "a"}))
		if err != nil || len(list.Routes) != 1 || list.Routes[0].Service.Endpoint != a.Endpoint ||
			!slices.Equal(list.Routes[0].Path, []string{"js"}) {
			t.Errorf("%s shows %s (%v), want a as it was announced last", n.id, asJSON(list), err)
		}
	}
	rome.holdsFromPeers(t, "js/a:http by js")

	at := rome.dial(t, rome.follower(t))
	defer at.close(t)
	at.register(t, service("news"))
	at.do(t, deletion("news:http"))
	eventually(t, "the program is told of a dump and of two changes", func() error {
		if got := js.told(t); got.Dumps != 1 || got.Changes != 2 {
			return fmt.Errorf("it was told %s", asJSON(got))
		}
		return nil
	})
	own := announced{ID: "own:http", Service: service("own"), Site: "rome", Path: []string{"rome"}}
	if got := js.told(t); len(got.Faults) > 0 || asJSON(got.Routes) != asJSON([]announced{own}) {
		t.Errorf("the program was told %s, want rome's own service alone", asJSON(got))
	}
	goodbye(t, js)
	rome.holdsFromPeers(t)
}

// programsKeepApart: a path is its peer's. Nobody else can withdraw or replace it, and a site's own routes are nobody's.
func programsKeepApart(t *testing.T, rome *site) {
	x, y := rome.mustOpen(t, rome.nodes[0], ofJS("x")), rome.mustOpen(t, rome.nodes[1], ofJS("y"))
	mine, theirs := service("mine"), service("mine")
	theirs.Endpoint += "/stolen"
	own := service("own")
	own.Endpoint += "/stolen"
	x.announces(t, announcement(1, mine, "x"))
	y.announces(t, withdrawal(1, "x", "mine:http"), withdrawal(2, "rome", "own:http"), announcement(3, own, "y", "rome"))
	rome.holdsFromPeers(t, "x/mine:http by x")
	y.announces(t, announcement(4, theirs, "y", "x"))
	rome.holdsFromPeers(t, "x/mine:http by x", "x/mine:http by y")
	for _, n := range rome.nodes {
		paths, err := rome.paths(n, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range paths {
			wanted := map[string]string{"x": mine.Endpoint, "y": theirs.Endpoint, "": service("own").Endpoint}[r.Peer]
			if r.Service.Endpoint != wanted || r.Best != (r.Peer != "y") {
				t.Errorf("%s shows %s, want the endpoint %s, and the shorter path as the best", n.id, asJSON(r), wanted)
			}
		}
	}
	y.announces(t, withdrawal(5, "x", "mine:http"))
	rome.holdsFromPeers(t, "x/mine:http by x")
	y.announces(t, announcement(6, theirs, "y", "x"))
	x.announces(t, withdrawal(2, "x", "mine:http"))
	rome.holdsFromPeers(t, "x/mine:http by y")
	goodbye(t, x, y)
}

// goodbye closes sessions for good: each call is answered, and then the session is over.
func goodbye(t testing.TB, programs ...*program) {
	t.Helper()
	for _, p := range programs {
		if err := p.d.ask("goodbye", args{"peer": p.name, "reason": "the test is over"}, nil); err != nil {
			t.Errorf("close: %v", err)
		}
		p.breaks(t, "goodbye")
	}
}

// malformedItems: each of them withdraws the route that it names, and hurts no other of the same update.
func malformedItems(t *testing.T, rome *site) {
	js := rome.mustOpen(t, rome.nodes[0], ofJS("js"))
	bad := func(change func(route, service map[string]any)) update {
		service := map[string]any{"name": "a", "endpoint": "http://127.0.0.1:9/a", "protocol": "http"}
		route := map[string]any{"id": "a:http", "site": "js", "path": []string{"js"}, "service": service}
		change(route, service)
		return update{"type": "add", "version": 9, "route": route}
	}
	items := map[string]update{
		"no endpoint":                   bad(func(_, s map[string]any) { delete(s, "endpoint") }),
		"a number for an endpoint":      bad(func(_, s map[string]any) { s["endpoint"] = 7 }),
		"an endpoint that is no URL":    bad(func(_, s map[string]any) { s["endpoint"] = "nowhere" }),
		"an unknown protocol":           bad(func(_, s map[string]any) { s["protocol"] = "smtp" }),
		"another service's id":          bad(func(_, s map[string]any) { s["name"] = "other" }),
		"tags that are none":            bad(func(_, s map[string]any) { s["tags"] = map[string]any{"k": 1} }),
		"no service":                    bad(func(r, _ map[string]any) { delete(r, "service") }),
		"no path":                       bad(func(r, _ map[string]any) { delete(r, "path") }),
		"an empty path":                 bad(func(r, _ map[string]any) { r["path"] = []string{} }),
		"a path from elsewhere":         bad(func(r, _ map[string]any) { r["path"] = []string{"js", "elsewhere"} }),
		"a path of numbers":             bad(func(r, _ map[string]any) { r["path"] = []any{1} }),
		"a version that is no number":   {"type": "add", "version": "nine", "route": bad(func(_, _ map[string]any) {})["route"]},
		"a remove without a version":    {"type": "remove", "id": "a:http", "site": "js", "version": -1},
		"an item of an unknown type":    {"type": "replace", "id": "a:http", "site": "js", "version": 9},
		"an item of no type, but a key": {"id": "a:http", "site": "js"},
	}
	for name, item := range items {
		js.announces(t, announcement(1, service("a"), "js"), announcement(1, service("b"), "js"))
		rome.holdsFromPeers(t, "js/a:http by js", "js/b:http by js")
		beside := service("b")
		beside.Endpoint += "/beside?" + strings.ReplaceAll(name, " ", "-")
		a, err := js.says(item, announcement(2, beside, "js"))
		if err != nil || !a.Success || a.Malformed != 1 {
			t.Errorf("%s: %+v %v, want one malformed item", name, a, err)
		}
		rome.holdsFromPeers(t, "js/b:http by js")
		js.announces(t, withdrawal(3, "js", "b:http"))
	}
	for name, item := range map[string]any{"a number": 7, "a text": "remove", "null": nil, "a list": []any{}, "an empty object": args{}} {
		js.announces(t, announcement(1, service("a"), "js"))
		var a answer
		err := js.d.ask("announce", args{"peer": js.name, "updates": []any{item}}, &a)
		if err != nil || !a.Success || a.Malformed != 1 {
			t.Errorf("%s for an item: %+v %v, want one malformed item", name, a, err)
		}
		rome.holdsFromPeers(t, "js/a:http by js") // it names no key
	}
	p := rome.mustPeer(t, "js")
	if p.Malformed != len(items)+5 || p.State != "established" || !strings.Contains(p.LastError, "malformed") {
		t.Errorf("the site tells of the program: %s, want %d malformed items, counted and told", asJSON(p), len(items)+5)
	}
	goodbye(t, js)
}
