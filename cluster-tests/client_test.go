package clustertests

import (
	"encoding/json"
	"errors"
	"testing"
)

// client is one WebSocket session of npm's capnweb, with the CliScope that it connected to.
type client struct {
	d       *driver
	session string
}

// dial opens a session and connects; nothing is awaited, so a dead node shows only at the first call.
func (d *driver) dial(t testing.TB, n *node, token ...any) *client {
	t.Helper()
	c := &client{d, d.name("session")}
	d.must(t, "open", args{"session": c.session, "url": n.ws()}, nil)
	d.must(t, "call", args{"session": c.session, "steps": []step{call("connectionFromCli", token...)}, "keep": "cli"}, nil)
	return c
}

// ask calls a method of the CliScope and decodes its result into dst.
func (c *client) ask(dst any, method string, arguments ...any) error {
	return c.d.ask("call", args{"session": c.session, "from": "cli", "steps": []step{call(method, arguments...)}}, dst)
}

func (c *client) apply(a action) (result, error) {
	var r result
	err := c.ask(&r, "applyAction", a)
	return r, err
}

// do applies an action that must succeed.
func (c *client) do(t testing.TB, a action) result {
	t.Helper()
	r, err := c.apply(a)
	if err != nil || !r.Success {
		t.Fatalf("%s: %v %v", asJSON(a), r, err)
	}
	return r
}

func (c *client) register(t testing.TB, d dataChannel) result {
	t.Helper()
	return c.do(t, creation(d))
}

func (c *client) routes(q query) (routes, error) {
	var r routes
	err := c.ask(&r, "listLocalRoutes", q)
	return r, err
}

func (c *client) close(t testing.TB) {
	t.Helper()
	c.d.must(t, "close", args{"session": c.session}, nil)
}

// session is what the driver saw of a session's frames, and how it ended.
type session struct {
	Sent, Received, SentBeforeFirstAnswer int
	Broken                                *failure
}

func (c *client) report(t testing.TB) session {
	t.Helper()
	var s session
	c.d.must(t, "report", args{"session": c.session}, &s)
	return s
}

// watch is a watchRoutes callback in the driver, and the events it got.
type watch struct {
	c    *client
	name string
}

func (c *client) watch(t testing.TB, options any) *watch {
	t.Helper()
	w := &watch{c, c.d.name("watch")}
	c.d.must(t, "watch", args{"session": c.session, "from": "cli", "watch": w.name, "options": options}, nil)
	return w
}

func (w *watch) events(t testing.TB) []event {
	t.Helper()
	var events []event
	w.c.d.must(t, "events", args{"session": w.c.session, "watch": w.name, "after": 0}, &events)
	return events
}

func (w *watch) stop(t testing.TB) {
	t.Helper()
	w.c.d.must(t, "unwatch", args{"session": w.c.session, "watch": w.name}, nil)
}

// codeOf is the code of a rejection, "" of anything else.
func codeOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.Code
	}
	return ""
}

// decode reads JSON that the contract promises.
func decode[T any](t testing.TB, text []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("decode %.200s: %v", text, err)
	}
	return value
}
