package clustertests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tokenMade is what `catalyst token create` answers.
type tokenMade struct {
	ID, Token string
	ExpiresAt int64
}

func (s *site) makeToken(t testing.TB, role string, flags ...string) tokenMade {
	t.Helper()
	got := s.cli(t, s.running()[0], 0, append([]string{"token", "create", "--role", role, "-o", "json"}, flags...)...)
	return decode[struct{ Data tokenMade }](t, []byte(got.stdout)).Data
}

// expires waits until a token's time is over.
func (m tokenMade) expires(t testing.TB) {
	t.Helper()
	eventually(t, "the token expires", func() error {
		if left := time.Until(time.UnixMilli(m.ExpiresAt)); left > 0 {
			return fmt.Errorf("in %v", left)
		}
		return nil
	})
}

// as is a client with another token than the admin's.
func (s *site) as(t testing.TB, n *node, token string) *client {
	t.Helper()
	return s.driver.dial(t, n, token)
}

// refusal is what a command that failed told its operator.
func refusal(t testing.TB, name string, got ran, more ...string) {
	t.Helper()
	if got.status == 0 {
		t.Errorf("%s: it was done: %+v", name, got)
	}
	says(t, name, fmt.Sprintf("%s%sstatus %d\n", got.stdout, got.stderr, got.status), more...)
}

// TestJoinTokens: what does not let a node in, and what the operator is told of it.
func TestJoinTokens(t *testing.T) {
	s := startSecured(t, 2)
	other := newSecured(t, 1)
	other.nodes[0].start(t, anyPort)
	other.initiate(t, other.nodes[0], "--site", "oslo")

	newcomer := func(id string) *node {
		n := newNode(t, id, "--gateway-endpoint=")
		n.start(t, anyPort)
		return n
	}
	n := newcomer("n3")
	stays := func(t *testing.T, name string, got ran, more ...string) {
		t.Helper()
		refusal(t, name, got, more...)
		if st, err := once[status](s.driver, n.http(), call("connectionFromCli"), call("status")); err != nil || st.Role != "waiting" {
			t.Errorf("the refused node: %+v %v, want that it waits", st, err)
		}
		if st := s.leaderStatus(t); st.Voters != 2 {
			t.Errorf("%d voters, want 2", st.Voters)
		}
	}
	t.Run("expired", func(t *testing.T) {
		made := s.makeToken(t, "join", "--ttl", "1s")
		made.expires(t)
		stays(t, "join-expired", s.join(t, n, made.Token), made.ID, "TOKEN_ID")
	})
	t.Run("revoked", func(t *testing.T) {
		made := s.makeToken(t, "join")
		s.cli(t, s.nodes[1], 0, "token", "revoke", made.ID)
		stays(t, "join-revoked", s.join(t, n, made.Token), made.ID, "TOKEN_ID")
	})
	t.Run("a client's", func(t *testing.T) {
		stays(t, "join-with-client-token", s.join(t, n, s.makeToken(t, "operator").Token))
		stays(t, "join-with-client-token-in-secret", run(t, []string{"CATALYST_TOKEN=" + s.given.AdminToken}, n.catalyst("join", s.nodes[0].at.RPC, "--address", n.at.RPC)...))
	})
	t.Run("cut off while it was pasted", func(t *testing.T) {
		whole := s.given.JoinToken
		stays(t, "join-cut-off", s.join(t, n, whole[:len(whole)-7]))
		stays(t, "join-mistyped", s.join(t, n, whole[:40]+"a7"+whole[42:]))
	})
	t.Run("another site's", func(t *testing.T) {
		stays(t, "join-of-another-site", s.join(t, n, other.given.JoinToken), s.given.Fingerprint, "THIS_SITE", other.given.Fingerprint, "OTHER_SITE")
	})
	t.Run("no address of a node", func(t *testing.T) {
		gone := fmt.Sprint("127.0.0.1:", freePort(t))
		stays(t, "join-nobody-there", run(t, nil, n.catalyst("join", gone, "--token", s.given.JoinToken, "--address", n.at.RPC)...))
		stays(t, "join-at-raft-port", run(t, nil, n.catalyst("join", s.nodes[0].at.Raft, "--token", s.given.JoinToken, "--address", n.at.RPC)...))
		stays(t, "join-at-gossip-port", run(t, nil, n.catalyst("join", s.nodes[0].at.Gossip, "--token", s.given.JoinToken, "--address", n.at.RPC)...))
	})
	t.Run("in a client's place", func(t *testing.T) {
		refusal(t, "client-with-join-token", run(t, []string{"CATALYST_TOKEN=" + s.given.JoinToken}, n.catalyst("status", "--address", s.nodes[0].at.RPC)...))
		_, err := s.as(t, s.nodes[0], s.given.JoinToken).routes(query{})
		if codeOf(err) != "unauthenticated" || !strings.Contains(err.Error(), "join token") {
			t.Errorf("a join token from npm's client: %v, want unauthenticated, with the reason", err)
		}
	})
	t.Run("used up", func(t *testing.T) {
		made := s.makeToken(t, "join", "--uses", "1")
		if got := s.join(t, n, made.Token); got.status != 0 {
			t.Fatalf("the first use: %+v", got)
		}
		n.trust = s.nodes[0].trust
		s.nodes = append(s.nodes, n)
		s.complete(t, 3)
		late := newcomer("n4")
		refusal(t, "join-used-up", s.join(t, late, made.Token), made.ID, "TOKEN_ID")
		refusal(t, "join-again", s.join(t, n, made.Token))
	})
	t.Run("three race for one use", func(t *testing.T) {
		made := s.makeToken(t, "join", "--uses", "1")
		racers := []*node{newcomer("r1"), newcomer("r2"), newcomer("r3")}
		results := make([]ran, len(racers))
		var wg sync.WaitGroup
		for i, racer := range racers {
			wg.Go(func() { results[i] = s.join(t, racer, made.Token) })
		}
		wg.Wait()
		in := slices.DeleteFunc(slices.Clone(results), func(r ran) bool { return r.status != 0 })
		if len(in) != 1 {
			t.Errorf("%d of three got in, want 1: %+v", len(in), results)
		}
		for i, r := range results {
			if r.status == 0 {
				racers[i].trust = s.nodes[0].trust
				s.nodes = append(s.nodes, racers[i])
				continue
			}
			refusal(t, "join-used-up", r, made.ID, "TOKEN_ID")
			if err := racers[i].answers("/ready", 503); err != nil {
				t.Error(err)
			}
		}
		s.complete(t, 4)
	})
}

// everyAction is what can be done to a site, with data that would be good.
func everyAction() []action {
	return []action{
		creation(service("sneaked")),
		{Resource: "dataChannel", Action: "update", Data: service("kept")},
		{Resource: "dataChannel", Action: "upsert", Data: service("sneaked")},
		deletion("kept:http"),
		{Resource: "localRoute", Action: "create", Data: service("sneaked")},
		{Resource: "peer", Action: "create", Data: args{"id": "sneaked", "endpoints": []string{"ws://127.0.0.1:9/rpc"}, "secret": "x"}},
		{Resource: "peer", Action: "update", Data: args{"id": "sneaked", "endpoints": []string{"ws://127.0.0.1:9/rpc"}}},
		{Resource: "peer", Action: "delete", Data: args{"id": "sneaked"}},
		{Resource: "member", Action: "remove", Data: args{"id": "n2"}},
		{Resource: "member", Action: "promote", Data: args{"id": "n2"}},
		{Resource: "member", Action: "demote", Data: args{"id": "n2"}},
		{Resource: "member", Action: "remove", Data: args{"id": "n2", "dryRun": true}},
		{Resource: "token", Action: "create", Data: args{"role": "admin"}},
		{Resource: "token", Action: "revoke", Data: args{"id": "aaaaaaaa", "force": true}},
		{Resource: "keys", Action: "rotate", Data: args{}},
		{Resource: "internalBGP", Action: "open", Data: args{"site": "oslo"}},
		{Resource: "internalBGP", Action: "updateRoutes", Data: args{"site": "oslo"}},
		{Resource: "internalBGP", Action: "close", Data: args{"site": "oslo"}},
	}
}

// scopeMethods is the CliScope without what everyAction covers: who may call what.
var scopeMethods = []struct {
	name      string
	arguments []any
	needs     string
}{
	{"listLocalRoutes", nil, "viewer"},
	{"listRoutes", nil, "viewer"},
	{"showRoute", []any{"kept:http"}, "viewer"},
	{"listPeers", nil, "viewer"},
	{"listMembers", nil, "viewer"},
	{"listMetrics", nil, "viewer"},
	{"status", nil, "viewer"},
	{"diagnose", nil, "viewer"},
	{"init", []any{args{}}, "admin"},
	{"join", []any{"127.0.0.1:9"}, "admin"},
	{"leave", []any{args{}}, "admin"},
	{"listTokens", nil, "admin"},
	{"listKeys", nil, "admin"},
	{"listAudit", []any{args{}}, "admin"},
	{"snapshot", nil, "admin"},
	{"restore", []any{args{"$js": "undefined"}}, "admin"},
}

// TestRoles: what each role may and may not, by npm's client at each of two nodes, and who is named in the audit.
func TestRoles(t *testing.T) {
	s := startSecured(t, 2)
	s.cli(t, s.nodes[0], 0, "service", "add", "kept", "http://127.0.0.1:9/kept", "-p", "http")
	before := s.leaderStatus(t).Index
	viewer := s.makeToken(t, "viewer", "--description", "the wall")
	operator := s.makeToken(t, "operator", "--description", "deploy")

	denied := func(t *testing.T, r result, err error, what, role string) {
		t.Helper()
		said := r.Error
		if err != nil {
			said = err.Error()
		}
		if code := r.Code + codeOf(err); r.Success || code != "forbidden" || !strings.Contains(said, "has the role "+role) {
			t.Errorf("%s: %v %v, want forbidden, naming the role %s", what, r, err, role)
		}
	}
	methods := func(t *testing.T, c *client, role string) {
		t.Helper()
		for _, m := range scopeMethods {
			var ignored any
			err := c.ask(&ignored, m.name, m.arguments...)
			if m.needs != "viewer" {
				denied(t, result{}, err, m.name, role)
			} else if err != nil {
				t.Errorf("%s as %s: %v", m.name, role, err)
			}
		}
	}
	t.Run("a viewer changes nothing", func(t *testing.T) {
		for _, n := range s.nodes {
			c := s.as(t, n, viewer.Token)
			for _, a := range everyAction() {
				r, err := c.apply(a)
				denied(t, r, err, asJSON(a), "viewer")
			}
			for method, argument := range map[string]any{
				"createLocalDataChannel": service("sneaked"), "updateLocalDataChannel": service("kept"), "deleteLocalDataChannel": "kept:http",
			} {
				var r result
				err := c.ask(&r, method, argument)
				denied(t, r, err, method, "viewer")
			}
			methods(t, c, "viewer")
			w := c.watch(t, nil)
			w.sees(t, "kept:http")
			w.stop(t)
			c.close(t)
		}
		if got := s.table(t, s.nodes[0], before); len(got) != 1 {
			t.Errorf("the table: %s", asJSON(got))
		}
	})
	t.Run("an operator changes services", func(t *testing.T) {
		c := s.as(t, s.nodes[1], operator.Token)
		defer c.close(t)
		for _, a := range everyAction() {
			r, err := c.apply(a)
			switch a.Resource {
			case "dataChannel", "localRoute":
				if err != nil || !r.Success {
					t.Errorf("%s: %v %v", asJSON(a), r, err)
				}
			default:
				denied(t, r, err, asJSON(a), "operator")
			}
		}
		methods(t, c, "operator")
	})
	t.Run("the command line says who is needed", func(t *testing.T) {
		asViewer := func(args ...string) ran {
			return run(t, []string{"CATALYST_TOKEN=" + viewer.Token, "CATALYST_ADDR=" + s.nodes[1].at.RPC}, s.nodes[1].catalyst(args...)...)
		}
		for name, args := range map[string][]string{
			"viewer-adds-service": {"service", "add", "x", "http://127.0.0.1:9/"}, "viewer-lists-tokens": {"token", "list"},
			"viewer-saves-snapshot": {"snapshot", "save", filepath.Join(t.TempDir(), "s")},
		} {
			refusal(t, name, asViewer(args...), viewer.ID, "TOKEN_ID")
		}
	})
	t.Run("the audit names who did what", func(t *testing.T) {
		type entry struct{ By, Action, ID, Detail string }
		list := decode[struct{ Entries []entry }](t, []byte(s.cli(t, s.nodes[1], 0, "audit", "-o", "json").stdout))
		for _, want := range []entry{
			{"token " + operator.ID + " (deploy)", "dataChannel/delete", "kept:http", ""},
			{"init", "token/create", s.adminID(t), "admin"},
		} {
			if !slices.ContainsFunc(list.Entries, func(e entry) bool { return e.By == want.By && e.Action == want.Action && e.ID == want.ID }) {
				t.Errorf("the audit lacks %+v: %s", want, asJSON(list))
			}
		}
		for _, e := range list.Entries {
			if strings.Contains(e.By, viewer.ID) {
				t.Errorf("the audit says that the viewer did something: %+v", e)
			}
		}
		made := slices.IndexFunc(list.Entries, func(e entry) bool { return e.Action == "token/create" && e.ID == viewer.ID })
		if made < 0 || list.Entries[made].By != "token "+s.adminID(t)+" (of init)" {
			t.Errorf("the audit does not say who made the viewer's token: %s", asJSON(list))
		}
	})
	s.keepsSecrets(t, viewer.Token, operator.Token)
}

// adminID is the id of the token of init.
func (s *site) adminID(t testing.TB) string {
	t.Helper()
	list := decode[struct {
		Tokens []struct{ ID, Role, Description string }
	}](t, []byte(s.cli(t, s.running()[0], 0, "token", "list", "-o", "json").stdout))
	for _, k := range list.Tokens {
		if k.Role == "admin" && k.Description == "of init" {
			return k.ID
		}
	}
	t.Fatalf("no token of init: %s", asJSON(list))
	return ""
}

// sees waits for an event about a route, be it in a snapshot.
func (w *watch) sees(t testing.TB, id string) {
	t.Helper()
	eventually(t, "the watch shows "+id, func() error {
		for _, e := range w.events(t) {
			if e.ID == id || slices.ContainsFunc(e.Routes, func(r route) bool { return r.ID == id }) {
				return nil
			}
		}
		return errors.New("not yet")
	})
}

// keepsSecrets looks for the site's tokens, those of more and its gossip key where no secret may be: logs, metrics, and what
// ps shows.
func (s *site) keepsSecrets(t testing.TB, more ...string) {
	t.Helper()
	var secrets []string
	for _, token := range append(more, s.given.AdminToken, s.given.JoinToken) {
		secrets = append(secrets, token[20:60]) // the secret is past version and id
	}
	for _, n := range s.running() {
		text, err := os.ReadFile(n.log.Name())
		if err != nil || !strings.Contains(string(text), "listening") {
			t.Fatalf("the log of %s is not where it was looked for: %v", n.id, err)
		}
		shown, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := os.ReadFile(filepath.Join(n.dir, "gossip-keys.json"))
		if err != nil {
			t.Fatal(err)
		}
		places := map[string]string{"log": string(text), "command line": string(shown), "metrics": n.page(t, "/metrics")}
		for place, text := range places {
			for _, secret := range append(secrets, line(t, string(keys), `[A-Za-z0-9+/]{43}=`)) {
				if strings.Contains(text, secret) {
					t.Errorf("the %s of %s has a secret", place, n.id)
				}
			}
		}
	}
}

// TestTokensEnd: a session that is open, a watch and the command line's all end with their token, be it revoked or expired.
func TestTokensEnd(t *testing.T) {
	s := startSecured(t, 2)
	admin := s.dial(t, s.nodes[0])
	defer admin.close(t)
	for i, n := range s.nodes {
		t.Run("revoked, at "+n.id, func(t *testing.T) {
			made := s.makeToken(t, "viewer")
			c := s.as(t, n, made.Token)
			defer c.close(t)
			w := c.watch(t, nil)
			name := fmt.Sprint("before", i)
			admin.register(t, service(name))
			w.sees(t, name+":http")
			beside := s.beginWatching(t, n, made.Token)
			s.cli(t, n, 0, "token", "revoke", made.ID)
			eventually(t, "the open session is refused", func() error {
				if _, err := c.routes(query{}); err == nil || !strings.Contains(err.Error(), "revoked") {
					return fmt.Errorf("%v", err)
				}
				return nil
			})
			index := admin.register(t, service(fmt.Sprint("after", i))).Index
			s.table(t, n, index) // it has come there
			for _, e := range w.events(t) {
				if e.Index >= index {
					t.Errorf("the watch of a revoked token shows %s", asJSON(e))
				}
			}
			if status := beside.await(t); status != 1 {
				t.Errorf("catalyst route watch ended with status %d, want 1", status)
			}
			says(t, "watch-revoked", beside.told(t), made.ID, "TOKEN_ID")
			refusal(t, "client-revoked", run(t, []string{"CATALYST_TOKEN=" + made.Token}, n.catalyst("status", "--address", n.at.RPC)...), made.ID, "TOKEN_ID")
		})
	}
	t.Run("expired", func(t *testing.T) {
		made := s.makeToken(t, "viewer", "--ttl", "2s")
		c := s.as(t, s.nodes[1], made.Token)
		defer c.close(t)
		if _, err := c.routes(query{}); err != nil {
			t.Errorf("while it is valid: %v", err)
		}
		made.expires(t)
		if _, err := c.routes(query{}); codeOf(err) != "unauthenticated" || !strings.Contains(err.Error(), "expired") {
			t.Errorf("an open session whose token has expired: %v", err)
		}
		refusal(t, "client-expired", run(t, []string{"CATALYST_TOKEN=" + made.Token}, s.nodes[1].catalyst("status", "--address", s.nodes[1].at.RPC)...), made.ID, "TOKEN_ID")
	})
	t.Run("the last admin's stays", func(t *testing.T) {
		id := s.adminID(t)
		got := run(t, []string{"CATALYST_TOKEN=" + s.given.AdminToken}, s.nodes[0].catalyst("token", "revoke", id, "--address", s.nodes[0].at.RPC)...)
		refusal(t, "revoke-last-admin", got, id, "TOKEN_ID")
		s.cli(t, s.nodes[0], 0, "status")
	})
}

// watching is a `catalyst route watch` that runs.
type watching struct {
	*process
	errs *os.File
}

// beginWatching starts catalyst route watch and waits until it shows something.
func (s *site) beginWatching(t testing.TB, n *node, token string) *watching {
	t.Helper()
	out := newLog(t, "watching")
	w := &watching{errs: newLog(t, "watching-errors")}
	cmd := exec.Command(programs.catalyst, "route", "watch", "--address", n.at.RPC)
	cmd.Env = cleanEnvironment("CATALYST_TOKEN=" + token)
	cmd.Stdout, cmd.Stderr = out, w.errs
	w.process = launch(t, t, cmd)
	eventually(t, "catalyst route watch shows the table", func() error {
		if len(tail(out.Name(), 1<<10)) == 0 {
			return errors.New("nothing yet")
		}
		return nil
	})
	return w
}

func (w *watching) told(t testing.TB) string {
	t.Helper()
	return string(tail(w.errs.Name(), 32<<10))
}

// TestPeerTokens: a token of role peer speaks for its site alone, and the secret that all share no longer for that site.
func TestPeerTokens(t *testing.T) {
	s := newSecured(t, 2)
	for _, n := range s.nodes {
		n.env = []string{"CATALYST_PEERING_SECRET=" + secretOf("default")}
	}
	s.found(t, anyPort)
	oslo := s.makeToken(t, "peer", "--site", "oslo")
	viewer := s.makeToken(t, "viewer")
	for i, n := range s.nodes {
		p, _, err := s.open(n, oslo.Token, ofJS("oslo"), nil)
		if err != nil {
			t.Fatalf("oslo with its token at %s: %v", n.id, err)
		}
		p.announces(t, announcement(1, service(fmt.Sprint("fjord", i)), "oslo"))
		p.drop(t)
		for name, c := range map[string]struct {
			secret string
			info   *peerInfo
			says   string
		}{
			"another site with the token of oslo": {oslo.Token, ofJS("bergen"), "token of site oslo"},
			"oslo with the secret that all share": {secretOf("default"), ofJS("oslo"), "token"},
			"oslo with a viewer's token":          {viewer.Token, ofJS("oslo"), "role viewer"},
			"a collector with the token of oslo":  {oslo.Token, nil, "oslo"},
		} {
			_, _, err := s.open(n, c.secret, c.info, nil)
			if codeOf(err) != "unauthenticated" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s, at %s: %v, want unauthenticated, naming %q", name, n.id, err, c.says)
			}
		}
		q, _, err := s.open(n, secretOf("default"), ofJS("bergen"), nil)
		if err != nil {
			t.Errorf("a site without a token, with the secret that all share, at %s: %v", n.id, err)
		} else {
			q.drop(t)
		}
		if _, err := s.as(t, n, oslo.Token).routes(query{}); codeOf(err) != "unauthenticated" || !strings.Contains(err.Error(), "peer site oslo") {
			t.Errorf("a peer's token in a client's place: %v", err)
		}
	}
	t.Run("revoked while it speaks", func(t *testing.T) {
		p, _, err := s.open(s.follower(t), oslo.Token, ofJS("oslo"), nil)
		if err != nil {
			t.Fatal(err)
		}
		p.announces(t, announcement(2, service("last"), "oslo"))
		s.cli(t, s.nodes[0], 0, "token", "revoke", oslo.ID)
		eventually(t, "nothing more is taken from oslo", func() error {
			if a, err := p.says(announcement(3, service("late"), "oslo")); err == nil && a.Success {
				return fmt.Errorf("an update was taken")
			}
			return nil
		})
		if _, _, err := s.open(s.nodes[0], oslo.Token, ofJS("oslo"), nil); codeOf(err) != "unauthenticated" {
			t.Errorf("oslo with the revoked token: %v", err)
		}
	})
	s.keepsSecrets(t, oslo.Token)
}

// TestGuessing: who shows wrong tokens must wait, at that node; the right one works at another, and there again later.
func TestGuessing(t *testing.T) {
	s := startSecured(t, 2)
	n, beside := s.nodes[0], s.nodes[1]
	start, end := s.given.AdminToken[:len(s.given.AdminToken)-1], s.given.AdminToken[len(s.given.AdminToken)-1:]
	ends := strings.ReplaceAll("abcdefgh", end, "") // the right one is no guess
	tries := 0
	eventually(t, "guessing is slowed down", func() error {
		tries++
		_, err := s.as(t, n, start+ends[tries%len(ends):][:1]).routes(query{})
		if code := codeOf(err); code != "unauthenticated" && code != "overloaded" {
			t.Fatalf("try %d: %v", tries, err)
		} else if code == "overloaded" && strings.Contains(err.Error(), "wait") {
			return nil
		}
		return errors.New("it is not")
	})
	if tries != 11 {
		t.Errorf("it was slowed down at try %d, want 11", tries)
	}
	if _, err := s.dial(t, n).routes(query{}); codeOf(err) != "overloaded" {
		t.Errorf("the right token from there: %v, want overloaded", err)
	}
	refusal(t, "guessed-too-often", run(t, []string{"CATALYST_TOKEN=" + s.given.AdminToken}, n.catalyst("status", "--address", n.at.RPC, "--timeout", "1s")...))
	if _, err := s.dial(t, beside).routes(query{}); err != nil {
		t.Errorf("the right token at another node: %v", err)
	}
	if err := n.ready(); err != nil {
		t.Errorf("what needs no token: %v", err)
	}
	eventually(t, "the right token works there again", func() error {
		_, err := s.dial(t, n).routes(query{})
		return err
	})
	if text := n.page(t, "/metrics"); !strings.Contains(text, "unauthenticated") {
		t.Error("the metrics do not count it")
	}
}
