package clustertests

import (
	"fmt"
	"strings"
	"testing"
)

// TestBadInputHurtsNobodyElse sends one node what no good client would; after each the node serves others as before.
func TestBadInputHurtsNobodyElse(t *testing.T) {
	s := startSite(t, 1, "--gateway-endpoint=")
	n := s.nodes[0]

	run := func(name string, story func(*testing.T, *site, *node)) {
		t.Run(name, func(t *testing.T) {
			story(t, s, n)
			servesOthers(t, s, n)
		})
	}
	run("bad RPC messages", malformedMessages)
	run("wrong argument types", wrongArguments)
	run("invalid definitions", invalidDefinitions)
	run("an oversized message", oversizedMessage)
	run("deep nesting", deepNesting)
	run("thousands of calls without a pull", callsWithoutPull)
	run("malformed batches", malformedBatches)
	run("foreign upgrades", foreignUpgrades)
	run("wrong methods and paths", wrongMethods)
	run("a reader that does not read", slowReader)
	run("a watcher that does not read", slowWatcher)
}

// servesOthers asserts that the node answers /health, that a fresh session can write and read, and that its memory never
// went out of bounds.
func servesOthers(t *testing.T, s *site, n *node) {
	t.Helper()
	if err := n.healthy(); err != nil {
		t.Fatal(err)
	}
	c := s.dial(t, n)
	defer c.close(t)
	made := c.register(t, service("alive"))
	c.do(t, deletion(made.Data.ID))
	if mib := n.memory(); mib > 512 {
		t.Errorf("the node held %d MiB at its most, want less than 512", mib)
	}
}

// socket is a WebSocket in the driver that speaks without capnweb.
type socket struct {
	s    *site
	name string
}

type heard struct {
	Frames []string
	Closed *struct {
		Code   int
		Reason string
	}
}

func (s *site) socket(t testing.TB, n *node) socket {
	t.Helper()
	k := socket{s, s.driver.name("socket")}
	s.must(t, "raw", args{"socket": k.name, "url": n.ws()}, nil)
	return k
}

// send sends each frame as text, repeated so many times if repeat is not 0.
func (k socket) send(t testing.TB, repeat int, frames ...string) {
	t.Helper()
	k.s.must(t, "send", args{"socket": k.name, "frames": frames, "repeat": repeat}, nil)
}

func (k socket) heard(t testing.TB) heard {
	t.Helper()
	var h heard
	k.s.must(t, "heard", args{"socket": k.name}, &h)
	return h
}

func (k socket) endsSoon(t testing.TB, what string) {
	t.Helper()
	eventually(t, "the node ends the session after "+what, func() error {
		if h := k.heard(t); h.Closed == nil {
			return fmt.Errorf("it is open; heard %.300q", h.Frames)
		}
		return nil
	})
}

func (k socket) hangUp(t testing.TB) {
	t.Helper()
	k.s.must(t, "hangUp", args{"socket": k.name}, nil)
}

func malformedMessages(t *testing.T, s *site, n *node) {
	for _, frame := range []string{
		`{nope`, ``, `null`, `7`, `{}`, `[]`, `["push"]`, `["frobnicate",1]`, `["pull",99]`, `["release",99,1]`,
		`["push",["pipeline",0,"notapath",[]]]`, `["push",["pipeline",99,["version"],[]]]`, `["push",["nosuch",1]]`,
		`["pull","one"]`, "[\"push\",[\"pipeline\",0,[\"version\"],[]]]\x00",
	} {
		k := s.socket(t, n)
		k.send(t, 0, frame)
		k.endsSoon(t, frame)
		k.hangUp(t)
	}
	for _, frame := range []string{`["push",["export",-1.5]]`, `["resolve",-40,1]`, `["reject",3,["error","Error","x"]]`, `["abort",["error","Error","bye"]]`} {
		k := s.socket(t, n)
		k.send(t, 0, frame, `["push",["pipeline",0,["version"],[]]]`, `["pull",1]`)
		servesOthers(t, s, n)
		k.hangUp(t)
	}
}

func wrongArguments(t *testing.T, s *site, n *node) {
	c := s.dial(t, n)
	defer c.close(t)
	undefined, bigint := args{"$js": "undefined"}, args{"$js": "bigint", "of": "12345678901234567890"}
	for _, arguments := range [][]any{
		{}, {nil}, {7}, {"text"}, {[]any{}}, {undefined}, {bigint}, {args{"$js": "date", "of": 1}}, {args{"$js": "function"}},
		{args{"resource": 1, "action": 2, "data": 3}}, {args{"resource": "dataChannel", "action": "create"}},
		{args{"resource": "dataChannel", "action": "create", "data": nil}},
		{args{"resource": "dataChannel", "action": "create", "data": args{"name": bigint, "endpoint": true, "protocol": []any{}}}},
		{args{"resource": "dataChannel", "action": "create", "data": service("x"), "requestId": 7}},
	} {
		r, err := c.apply2(arguments)
		if err == nil && (r.Success || r.Error == "") {
			t.Errorf("applyAction(%s): %v, want a refusal with a reason", asJSON(arguments), r)
		}
	}
	for method, arguments := range map[string][]any{
		"listLocalRoutes":        {"text"},
		"watchRoutes":            {"not a function"},
		"deleteLocalDataChannel": {args{"id": 1}},
		"listRoutes":             {args{"minIndex": "soon"}},
	} {
		var ignored any
		if err := c.ask(&ignored, method, arguments...); err == nil {
			if r := decode[result](t, []byte(asJSON(ignored))); r.Success || r.Error == "" {
				t.Errorf("%s(%s) was answered with %.200s", method, asJSON(arguments), asJSON(ignored))
			}
		}
	}
	if broken := c.report(t).Broken; broken != nil {
		t.Errorf("the session broke: %v", broken)
	}
}

// apply2 is apply with arguments that no action has.
func (c *client) apply2(arguments []any) (result, error) {
	var r result
	err := c.ask(&r, "applyAction", arguments...)
	return r, err
}

func invalidDefinitions(t *testing.T, s *site, n *node) {
	c := s.dial(t, n)
	defer c.close(t)
	with := func(field string, value any) args {
		d := args{"name": "fine", "endpoint": "http://127.0.0.1:9/x", "protocol": "http"}
		d[field] = value
		return d
	}
	for _, bad := range []struct {
		field string
		value any
	}{
		{"name", ""}, {"name", "-dash"}, {"name", ".dot"}, {"name", "a b"}, {"name", "a/b"}, {"name", "a:b"}, {"name", "é"},
		{"name", strings.Repeat("n", 254)}, {"name", "a\x00b"}, {"name", "a\n"},
		{"endpoint", ""}, {"endpoint", "not a url"}, {"endpoint", "/relative"}, {"endpoint", "127.0.0.1:80"}, {"endpoint", "http://"},
		{"endpoint", "http://[::1"}, {"endpoint", "http://x/" + strings.Repeat("p", 1<<20)},
		{"protocol", ""}, {"protocol", "smtp"}, {"protocol", "HTTP"}, {"protocol", "http:"}, {"protocol", "udp:graphql"},
		{"region", 7}, {"region", strings.Repeat("r", 1<<20)},
		{"tags", "a=b"}, {"tags", args{"a": 1}}, {"tags", manyTags(20_000)},
	} {
		r, err := c.apply(action{Resource: "dataChannel", Action: "create", Data: with(bad.field, bad.value)})
		if err != nil || r.Success || (r.Code != "invalid" && r.Code != "too_large") || !strings.Contains(r.Error, bad.field) {
			t.Errorf("%s %.60s: %.300v %v, want code invalid or too_large and an error that names the field",
				bad.field, asJSON(bad.value), r, err)
		}
	}
	if r, err := c.apply(action{Resource: "dataChannel", Action: "create", Data: with("name", strings.Repeat("n", 253))}); err != nil || !r.Success {
		t.Errorf("a name of 253 characters: %v %v", r, err)
	}
}

func manyTags(count int) map[string]string {
	tags := map[string]string{}
	for i := range count {
		tags[fmt.Sprint("tag-", i)] = "value"
	}
	return tags
}

func oversizedMessage(t *testing.T, s *site, n *node) {
	k := s.socket(t, n)
	k.send(t, 64<<20, "a")
	k.endsSoon(t, "a message of 64 MiB")
	k.hangUp(t)
}

func deepNesting(t *testing.T, s *site, n *node) {
	for _, depth := range []int{1_000, 100_000, 1_000_000} {
		k := s.socket(t, n)
		k.send(t, depth, "[")
		k.endsSoon(t, "unclosed brackets")
		k.hangUp(t)
	}
	k := s.socket(t, n)
	deep := strings.Repeat("[[", 20_000) + strings.Repeat("]]", 20_000)
	k.send(t, 0, `["push",["pipeline",0,["version"],[`+deep+`]]]`, `["pull",1]`)
	eventually(t, "a deep argument is refused", func() error {
		h := k.heard(t)
		if h.Closed != nil || (len(h.Frames) > 0 && strings.HasPrefix(h.Frames[0], `["reject"`)) {
			return nil
		}
		return fmt.Errorf("heard %.300q", h.Frames)
	})
	k.hangUp(t)
}

// callsWithoutPull may end the session, with a reason, or go on serving it.
func callsWithoutPull(t *testing.T, s *site, n *node) {
	for _, chain := range [][]step{
		{call("version")},
		{call("connectionFromCli")},
		{call("connectionFromCli"), call("status")},
		{call("connectionFromCli"), call("listLocalRoutes"), get("routes"), mapTo([]string{"id"})},
	} {
		c := s.dial(t, n)
		s.must(t, "flood", args{"session": c.session, "steps": chain, "count": 20_000}, nil)
		var ignored any
		err := c.ask(&ignored, "status")
		if broken := c.report(t).Broken; err != nil && broken == nil && codeOf(err) == "" {
			t.Errorf("after 20,000 of %s: %v, and the session did not say why", asJSON(chain), err)
		}
		servesOthers(t, s, n)
		c.close(t)
	}
}
