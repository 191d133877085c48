package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

func TestATokenIsMadeUsedAndExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 11, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		text, id := s.token(map[string]any{"role": "operator", "ttl": 60, "description": "ci"})
		c, err := w.connectAs("n2", "client", text)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		use := func(name string) (actionResult, error) {
			return transport.Await[actionResult](t.Context(), c.scope.Call("applyAction", create(name, "")))
		}
		if r, err := use("before"); err != nil || !r.Success {
			t.Fatalf("use: %+v, %v", r, err)
		}
		time.Sleep(58 * time.Second)
		if r, err := use("just-before"); err != nil || !r.Success {
			t.Errorf("before its time is over: %+v, %v", r, err)
		}
		time.Sleep(3 * time.Second)
		_, err = use("after")
		if code(err) != "unauthenticated" {
			t.Fatalf("an open session after its token's time: %v, want unauthenticated", err)
		}
		wantWords(t, err.Error(), id, "expired at 2000-01-01", "catalyst token create")
		if _, err := ask[Status](w, "n3", text, "status"); code(err) != "unauthenticated" {
			t.Errorf("a new session after its token's time: %v, want unauthenticated", err)
		}
		list, err := ask[struct {
			Tokens []fsm.Token `json:"tokens"`
		}](w, "n1", s.admin, "listTokens")
		if err != nil || !slices.ContainsFunc(list.Tokens, func(k fsm.Token) bool { return k.ID == id && k.Description == "ci" }) {
			t.Errorf("the expired token is not listed: %+v, %v", list, err)
		}
	})
}

// A revocation reaches every node that is not cut off: calls at once, watches
// within seconds.
func TestARevokedTokenEndsSessionsAndWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 12, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		text, id := s.token(map[string]any{"role": "viewer"})
		at := w.follower()
		c, err := w.connectAs(at.cfg.ID, "client", text)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		var mu sync.Mutex
		events := 0
		callback := transport.NewFunc(func(context.Context, *transport.Call) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			events++
			return nil, nil
		})
		if _, err := c.scope.Call("watchRoutes", callback).Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen := func() int {
			mu.Lock()
			defer mu.Unlock()
			return events
		}
		s.must("dataChannel", "create", service("one", "http://one:80/"))
		w.eventually("the watch shows it", func() bool { return seen() == 2 })
		s.must("token", "revoke", map[string]any{"id": id})
		w.eventually("the watch has ended", func() bool { return at.counts.watchers.Load() == 0 })
		s.must("dataChannel", "create", service("two", "http://two:80/"))
		time.Sleep(time.Second)
		if got := seen(); got != 2 {
			t.Errorf("the watch got %d events, want none after the revocation", got-2)
		}
		_, err = c.scope.Call("status").Await(t.Context())
		if code(err) != "unauthenticated" {
			t.Fatalf("the session after the revocation: %v, want unauthenticated", err)
		}
		wantWords(t, err.Error(), id, "revoked")
		_, err = ask[Status](w, at.cfg.ID, text, "status")
		if code(err) != "unauthenticated" {
			t.Fatalf("a new session: %v, want unauthenticated", err)
		}
		wantWords(t, err.Error(), id, "revoked", "catalyst token list")
	})
}

// A token is good at a follower that has not heard of it yet.
func TestANewTokenHoldsAtEveryNodeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 13, "n1", "n2", "n3")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2", "n3")
		for i := range 30 {
			leader := w.leader().cfg.ID
			r, err := s.act(leader, s.admin, "token", "create", map[string]any{"role": "viewer"})
			if err != nil || !r.Success {
				t.Fatalf("create: %+v, %v", r, err)
			}
			id := sortedKeys(w.hosts)[i%3]
			if _, err := ask[Status](w, id, r.Data["token"].(string), "status"); err != nil {
				t.Fatalf("token %d at %s: %v", i, id, err)
			}
		}
	})
}

func TestTheLastAdminTokenIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 14, "n1")
		defer w.shutdown()
		s := secure(w, nil, "n1")
		admin, err := trust.ParseToken(s.admin)
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.act("n1", s.admin, "token", "revoke", map[string]any{"id": admin.ID})
		if err != nil || r.Code != "conflict" {
			t.Fatalf("revoking the last admin token: %+v, %v; want conflict", r, err)
		}
		text, _ := s.token(map[string]any{"role": "admin"})
		s.must("token", "revoke", map[string]any{"id": admin.ID})
		if _, err := ask[Status](w, "n1", text, "status"); err != nil {
			t.Errorf("the token that is left: %v", err)
		}
	})
}

// Tokens of the wrong kind, and what is none, are told apart.
func TestWhatIsNoClientTokenIsRefusedWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 15, "n1")
		defer w.shutdown()
		s := secure(w, nil, "n1")
		peer, _ := s.token(map[string]any{"role": "peer", "site": "rome"})
		foreign := trust.NewToken(trust.ClientToken, w.hosts["n1"].node.keeper.Pin(), time.Time{}, 0)
		join, _ := trust.ParseToken(s.join)
		for name, c := range map[string]struct {
			token string
			words []string
		}{
			"none":            {"", []string{"--token", "CATALYST_TOKEN"}},
			"gibberish":       {"hunter2", []string{"not valid at this site", "--token"}},
			"a join token":    {s.join, []string{"join token", "catalyst join"}},
			"a peer's":        {peer, []string{"rome", "catalyst peer add --secret"}},
			"a truncated one": {s.admin[:len(s.admin)-3], []string{"incomplete", "copy it whole"}},
			"another site's":  {foreign.Text(), []string{foreign.ID, "another site's", "catalyst token list"}},
			"a join secret as a client's": {func() string {
				other := join
				other.Kind = trust.ClientToken
				return other.Text()
			}(), []string{join.ID, "not valid at this site"}},
		} {
			_, err := askFrom[Status](w, "n1", "client@10.9.9."+fmt.Sprint(len(name)), c.token, "status")
			if code(err) != "unauthenticated" {
				t.Errorf("%s: %v, want unauthenticated", name, err)
				continue
			}
			wantWords(t, err.Error(), c.words...)
			if c.token != "" && strings.Contains(err.Error(), c.token) {
				t.Errorf("%s: the refusal repeats the token: %v", name, err)
			}
		}
	})
}

func TestWhoGuessesIsSlowedDownAndForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 16, "n1", "n2")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2")
		guess := func(id, from, token string) error {
			_, err := askFrom[Status](w, id, from, token, "status")
			return err
		}
		for i := range failuresFree {
			if err := guess("n1", "client@10.9.9.1", "wrong"); code(err) != "unauthenticated" {
				t.Fatalf("guess %d: %v, want unauthenticated", i, err)
			}
		}
		err := guess("n1", "client@10.9.9.1", s.admin)
		if code(err) != "overloaded" {
			t.Fatalf("the right token after %d wrong ones: %v, want overloaded", failuresFree, err)
		}
		wantWords(t, err.Error(), "10.9.9.1", "wait", "another node")
		if err := guess("n2", "client@10.9.9.1", s.admin); err != nil {
			t.Errorf("another node: %v", err)
		}
		if err := guess("n1", "client@10.9.9.2", s.admin); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(failureCosts)
		if err := guess("n1", "client@10.9.9.1", s.admin); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		if err := guess("n1", "client@10.9.9.1", "wrong"); code(err) != "unauthenticated" {
			t.Errorf("one more guess: %v, want unauthenticated", err)
		}
		if err := guess("n1", "client@10.9.9.1", "wrong"); code(err) != "overloaded" {
			t.Errorf("a guess right after it: %v, want overloaded", err)
		}
		time.Sleep(failuresFree * failureCosts)
		for i := range failuresFree {
			if err := guess("n1", "client@10.9.9.1", "wrong"); code(err) != "unauthenticated" {
				t.Fatalf("guess %d after a while: %v, want unauthenticated", i, err)
			}
		}
	})
}

// Enrolment and the doors of nodes and peers take guesses as clients' do.
func TestEveryDoorCountsGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 17, "n1")
		defer w.shutdown()
		s := secure(w, nil, "n1")
		wrong := trust.NewToken(trust.JoinToken, w.hosts["n1"].node.keeper.Pin(), time.Time{}, 1).Text()
		for i, c := range []struct {
			method string
			args   []any
		}{
			{"connectionFromNode", []any{"wrong"}},
			{"connectionFromIBGPPeer", []any{"wrong"}},
			{"enroll", []any{enrolment{Token: wrong, ID: "n9"}}},
		} {
			from := fmt.Sprintf("client@10.9.8.%d", i)
			knock := func() error {
				session, err := w.connectAs("n1", from, s.admin)
				if err != nil {
					t.Fatal(err)
				}
				defer session.close()
				_, err = session.s.Main().Call(c.method, c.args...).Await(t.Context())
				return err
			}
			for range failuresFree {
				if err := knock(); code(err) != "unauthenticated" {
					t.Fatalf("%s: %v, want unauthenticated", c.method, err)
				}
			}
			if err := knock(); code(err) != "overloaded" {
				t.Errorf("%s after %d guesses: %v, want overloaded", c.method, failuresFree, err)
			}
		}
	})
}

func TestFailuresAreBoundedAndPaidOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f failures
		if wait := f.wait("nobody"); wait != 0 {
			t.Errorf("who never failed waits %s", wait)
		}
		for i := range failuresFree - 1 {
			f.note("a")
			if wait := f.wait("a"); wait != 0 {
				t.Errorf("after %d failures: wait %s, want none", i+1, wait)
			}
		}
		f.note("a")
		if got := f.wait("a"); got != failureCosts {
			t.Errorf("after %d failures: wait %s, want %s", failuresFree, got, failureCosts)
		}
		f.note("a")
		if got := f.wait("a"); got != 2*failureCosts {
			t.Errorf("one more: wait %s, want %s", got, 2*failureCosts)
		}
		time.Sleep(2 * failureCosts)
		if got := f.wait("a"); got != 0 {
			t.Errorf("after the wait: %s, want none", got)
		}
		// What is over goes first, then what ends first: a flood of addresses
		// does not free the one that owes most.
		for range 3 * failuresFree {
			f.note("guesser")
		}
		for i := range 3 * failuresKept {
			f.note(fmt.Sprint("flood-", i))
			if len(f.owed) > failuresKept+1 {
				t.Fatalf("%d addresses are kept, want at most %d", len(f.owed), failuresKept)
			}
		}
		if got := f.wait("guesser"); got == 0 {
			t.Error("a flood of other addresses freed the guesser")
		}
		time.Sleep(time.Hour)
		f.note("b")
		if len(f.owed) > failuresKept {
			t.Errorf("%d addresses are kept an hour later", len(f.owed))
		}
	})
}

func TestTheSameComplaintIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f failures
		if !f.first("x") || f.first("x") || !f.first("y") {
			t.Error("a complaint is said once, and each for itself")
		}
		time.Sleep(complainEvery - time.Millisecond)
		if f.first("x") {
			t.Error("it is said again before the minute is over")
		}
		time.Sleep(time.Millisecond)
		if !f.first("x") {
			t.Error("it is not said again after a minute")
		}
		for i := range 3 * failuresKept {
			f.first(fmt.Sprint("flood-", i))
			if len(f.logged) > failuresKept+1 {
				t.Fatalf("%d complaints are remembered, want at most %d", len(f.logged), failuresKept)
			}
		}
	})
}

func TestShrinkForgetsWhatIsOverFirst(t *testing.T) {
	now := time.Unix(1e9, 0)
	m := map[string]time.Time{"later": now.Add(time.Hour)}
	for i := range failuresKept {
		m[fmt.Sprint(i)] = now.Add(-time.Second)
	}
	shrink(m, now)
	if _, kept := m["later"]; !kept || len(m) != 1 {
		t.Errorf("%d are left, the one that is not over: %v; want that one alone", len(m), kept)
	}
	for i := range failuresKept {
		m[fmt.Sprint(i)] = now.Add(time.Duration(i) * time.Millisecond)
	}
	shrink(m, now)
	if _, kept := m["later"]; !kept || len(m) > failuresKept*2/3 {
		t.Errorf("%d are left, the one that ends last: %v; want about half, with it", len(m), kept)
	}
}

// everyMethod is what each method of a CliScope needs. A method that is not
// here fails the test: whoever adds one says who may call it.
var everyMethod = map[string]pipeline.Role{
	"applyAction":            pipeline.Viewer, // the pipeline decides: everyAction
	"createLocalDataChannel": pipeline.Viewer,
	"updateLocalDataChannel": pipeline.Viewer,
	"deleteLocalDataChannel": pipeline.Viewer,
	"listLocalRoutes":        pipeline.Viewer,
	"listRoutes":             pipeline.Viewer,
	"showRoute":              pipeline.Viewer,
	"listPeers":              pipeline.Viewer,
	"listMembers":            pipeline.Viewer,
	"listMetrics":            pipeline.Viewer,
	"status":                 pipeline.Viewer,
	"watchRoutes":            pipeline.Viewer,
	"diagnose":               pipeline.Viewer,
	"init":                   pipeline.Admin,
	"join":                   pipeline.Admin,
	"leave":                  pipeline.Admin,
	"listTokens":             pipeline.Admin,
	"listKeys":               pipeline.Admin,
	"listAudit":              pipeline.Admin,
	"snapshot":               pipeline.Admin,
	"restore":                pipeline.Admin,
}

// everyAction is the same of actions.
var everyAction = map[string]pipeline.Role{
	"dataChannel/create": pipeline.Operator,
	"dataChannel/update": pipeline.Operator,
	"dataChannel/upsert": pipeline.Operator,
	"dataChannel/delete": pipeline.Operator,
	"peer/create":        pipeline.Admin,
	"peer/update":        pipeline.Admin,
	"peer/delete":        pipeline.Admin,
	"member/remove":      pipeline.Admin,
	"member/promote":     pipeline.Admin,
	"member/demote":      pipeline.Admin,
	"token/create":       pipeline.Admin,
	"token/revoke":       pipeline.Admin,
	"keys/rotate":        pipeline.Admin,
}

func TestEveryRoleMayCallWhatItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 18, "n1", "n2")
		defer w.shutdown()
		s := secure(w, nil, "n1", "n2")
		n := w.follower()
		there := map[string]pipeline.Role{}
		for role, methods := range (&cliScope{n: n}).methods() {
			for name := range methods {
				there[name] = role
			}
		}
		if !maps.Equal(there, everyMethod) {
			t.Errorf("the methods of CliScope and who may call them: %v, want %v", there, everyMethod)
		}
		tokens := map[pipeline.Role]string{pipeline.Admin: s.admin}
		tokens[pipeline.Viewer], _ = s.token(map[string]any{"role": "viewer"})
		tokens[pipeline.Operator], _ = s.token(map[string]any{"role": "operator"})
		for role, token := range tokens {
			for method, needs := range everyMethod {
				if role >= needs {
					continue // that it works is what the other stories show
				}
				_, err := ask[any](w, n.cfg.ID, token, method)
				if code(err) != "forbidden" {
					t.Errorf("%s calls %s: %v, want forbidden", role, method, err)
					continue
				}
				wantWords(t, err.Error(), method, needs.String(), role.String())
			}
			for method := range everyMethod {
				if method == "leave" || method == "init" || method == "join" || everyMethod[method] > role {
					continue
				}
				if _, err := ask[any](w, n.cfg.ID, token, method); code(err) == "forbidden" {
					t.Errorf("%s calls %s: %v", role, method, err)
				}
			}
			for action, needs := range everyAction {
				resource, verb, _ := strings.Cut(action, "/")
				r, err := s.act(n.cfg.ID, token, resource, verb, map[string]any{"id": "nothing"})
				switch allowed := role >= needs; {
				case err != nil:
					t.Errorf("%s sends %s: %v", role, action, err)
				case allowed == (r.Code == "forbidden"):
					t.Errorf("%s sends %s: %+v, allowed: %v", role, action, r, allowed)
				case !allowed:
					wantWords(t, r.Error, action, needs.String(), role.String())
				}
			}
		}
		for _, action := range n.pipelineActions() {
			if _, listed := everyAction[action]; !listed && !strings.HasPrefix(action, "internalBGP/") {
				t.Errorf("the pipeline takes %s, and everyAction does not say who may send it", action)
			}
		}
	})
}

// pipelineActions are all that some plugin takes.
func (n *Node) pipelineActions() (all []string) {
	for _, plugin := range n.pipeline {
		if h, ok := plugin.(pipeline.Handler); ok {
			all = append(all, h.Handles()...)
		}
	}
	return all
}

// A node that waits in the open obeys its own machine alone.
func TestAWaitingNodeObeysItsOwnMachineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 19, "n1", "n2")
		defer w.shutdown()
		open := func(c *Config) { c.RPCAddr = "0.0.0.0:3000" }
		w.start("n1", open)
		w.start("n2", open)
		_, err := ask[answer](w, "n1", "", "init", map[string]any{})
		if code(err) != "unauthenticated" {
			t.Fatalf("init from elsewhere: %v, want unauthenticated", err)
		}
		wantWords(t, err.Error(), "waits to be taken into a site", "its own machine", "catalyst init", "catalyst join")
		c, err := w.connect("n1")
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.s.Main().Call("connectionFromNode", "").Await(t.Context())
		c.close()
		if code(err) != "unauthenticated" {
			t.Errorf("another node at a waiting one: %v, want unauthenticated", err)
		}
		if err := w.hosts["n2"].node.members.Join([]string{w.hosts["n1"].gossipAddr()}); err == nil {
			t.Error("two waiting nodes in the open gossip with each other")
		}
		r, err := askFrom[answer](w, "n1", "n1", "", "init", map[string]any{})
		if err != nil || !r.Success {
			t.Fatalf("init from its own machine: %+v, %v", r, err)
		}
		r, err = askFrom[answer](w, "n2", "n2", "", "join", w.hosts["n1"].rpcAddr(), map[string]any{"token": r.Data["joinToken"]})
		if err != nil || !r.Success {
			t.Errorf("join from its own machine: %+v, %v", r, err)
		}
	})
}
