package clustertests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ownGateway is a process of `catalyst gateway`.
type ownGateway struct {
	*process
	address string
	state   string
}

// start runs it at the same address as before, any at first.
func (g *ownGateway) start(t testing.TB, flags ...string) {
	t.Helper()
	if g.address == "" {
		g.address = "127.0.0.1:0"
	}
	log := newLog(t, "catalyst-gateway")
	cmd := exec.Command(programs.catalyst, append([]string{"gateway", "--addr", g.address, "--state", g.state, "--log-format", "json"}, flags...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = t.TempDir(), cleanEnvironment(), log, log
	g.process = launch(t, t, cmd)
	listening := regexp.MustCompile(`https?://([0-9.:\[\]]+)/graphql`)
	eventually(t, "the gateway listens", func() error {
		found := listening.FindSubmatch(tail(log.Name(), 64<<10))
		if found == nil {
			return fmt.Errorf("its log does not say where")
		}
		g.address = string(found[1])
		return nil
	})
}

func (g *ownGateway) graphql() string { return "http://" + g.address + "/graphql" }

// TestTheProductsOwnGateway: `catalyst gateway` in a foreign gateway's place: told by the site, asked by clients, and
// killed: it comes back with what it had, also without a site.
func TestTheProductsOwnGateway(t *testing.T) {
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	books, pokemon := startService(t, 0, "books"), startService(t, 0, "pokemon")
	s := startSite(t, 1, "--gateway-endpoint", "ws://"+g.address+"/api")
	c := s.dial(t, s.nodes[0])
	for _, d := range []dataChannel{books.channel("books"), pokemon.channel("pokemon")} {
		if r := c.register(t, d); r.Data.Gateway == nil || r.Data.Gateway.State != "applied" {
			t.Errorf("register %s: %v, want gateway.state applied", d.Name, r)
		}
	}
	both := func() error {
		data, err := ask(g.graphql(), across)
		if err == nil && (!strings.Contains(string(data["allBooks"]), "title") || !strings.Contains(string(data["getPokemon"]), "pikachu")) {
			err = fmt.Errorf("got %s", asJSON(data))
		}
		return err
	}
	eventually(t, "both services answer", both)
	t.Run("catalyst query", func(t *testing.T) {
		got := cli(t, nil, "query", across, "--gateway", g.graphql())
		if got.status != 0 || !strings.Contains(got.stdout, `"species": "pikachu"`) {
			t.Errorf("got %+v, want the data", got)
		}
		for _, word := range []string{"answered by", "books in", "pokemon in", "ms in all"} {
			if !strings.Contains(got.stderr, word) {
				t.Errorf("%q does not say %q", got.stderr, word)
			}
		}
		if got := cli(t, nil, "query", "{ nothingLikeIt }", "--gateway", g.address); got.status != 1 || got.stdout != "" || !strings.Contains(got.stderr, "nothingLikeIt") {
			t.Errorf("a field that is not there: %+v, want status 1 and its name", got)
		}
		if got := cli(t, nil, "query", "{ __typename }", "--gateway", "127.0.0.1:1"); got.status != 3 || !strings.Contains(got.stderr, "catalyst gateway") {
			t.Errorf("no gateway: %+v, want status 3 and what to do", got)
		}
	})
	t.Run("graphql-http has nothing to object to", func(t *testing.T) {
		got := run(t, nil, "node", filepath.Join(programs.js, "audit.mjs"), g.graphql())
		var audit struct {
			Count  int
			Failed []struct{ Name, Reason string }
		}
		if err := json.Unmarshal([]byte(got.stdout), &audit); err != nil {
			t.Fatalf("the audit printed %q and %q: %v", got.stdout, got.stderr, err)
		}
		if audit.Count != 61 || len(audit.Failed) > 0 {
			t.Errorf("of %d audits %d fail: %+v", audit.Count, len(audit.Failed), audit.Failed)
		}
	})
	t.Run("it comes back by itself", func(t *testing.T) {
		s.nodes[0].crash(t)
		g.kill(t)
		if _, err := ask(g.graphql(), "{ __typename }"); err == nil {
			t.Fatal("it was killed and answers")
		}
		g.start(t)
		eventually(t, "both services answer without a site", both)
	})
}

// TestWhatTheGatewaySaysComesBack: an operator who asks the site learns what the gateway makes of each service, and a
// client hears of its action while the gateway is being told.
func TestWhatTheGatewaySaysComesBack(t *testing.T) {
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	s := startSite(t, 2, "--gateway-endpoint", "ws://"+g.address+"/api")
	follower := s.follower(t)
	c := s.dial(t, follower)
	books, clash := startService(t, 0, "books"), startService(t, 0, "clash")
	status := func(want ...string) func() error {
		return func() error {
			got := cli(t, []string{"CATALYST_ADDR=" + follower.ws()}, "status")
			for _, line := range want {
				if !strings.Contains(got.stdout, line+"\n") {
					return fmt.Errorf("%+v has no line %q", got, line)
				}
			}
			return nil
		}
	}

	t.Run("the commit is told before the answer", func(t *testing.T) {
		var told struct {
			Result result
			Steps  []map[string]any
		}
		c.d.must(t, "act", args{"session": c.session, "from": "cli", "action": creation(books.channel("books"))}, &told)
		want := fmt.Sprintf(`[{"id":"books:http:graphql","index":%d,"step":"replicated"}]`, told.Result.Index)
		if got := asJSON(told.Steps); got != want || !told.Result.Success {
			t.Errorf("it was told %s and then %v, want %s", got, told.Result, want)
		}
		if g := told.Result.Data.Gateway; g == nil || g.State != "applied" || !slices.Contains(g.Queries, "allBooks") {
			t.Errorf("the answer: %v, want that allBooks is served", told.Result)
		}
	})
	t.Run("a refusal is only answered", func(t *testing.T) {
		var told struct {
			Result result
			Steps  []any
		}
		c.d.must(t, "act", args{"session": c.session, "from": "cli", "action": creation(dataChannel{Name: "x", Protocol: "http"})}, &told)
		if told.Result.Success || len(told.Steps) > 0 {
			t.Errorf("%v after %v, want a refusal alone", told.Result, told.Steps)
		}
	})
	t.Run("a clash of names is shown", func(t *testing.T) {
		const warning = "type Book is clash_Book: service books has another one of that name"
		made := c.register(t, clash.channel("clash"))
		if g := made.Data.Gateway; g == nil || g.State != "applied" || !slices.Equal(g.Warnings, []string{warning}) {
			t.Errorf("the answer: %v, want applied with the warning", made)
		}
		eventually(t, "status warns", status("          clash:http:graphql: "+warning))
		c.do(t, deletion(made.Data.ID))
		eventually(t, "status does not warn any more", func() error {
			if st, err := s.status(follower); err != nil || st.Gateway == nil || len(st.Gateway.Warnings) > 0 {
				return errors.New(asJSON(st.Gateway))
			}
			return nil
		})
	})
	t.Run("a service that is down waits until it is up", func(t *testing.T) {
		port := freePort(t)
		late := dataChannel{Name: "late", Endpoint: fmt.Sprintf("http://127.0.0.1:%d/graphql", port), Protocol: "http:graphql"}
		made := c.register(t, late)
		if g := made.Data.Gateway; g == nil || g.State != "pending" || !strings.Contains(g.Error, "refused") {
			t.Errorf("the answer: %v, want pending with the reason", made)
		}
		eventually(t, "status shows that it waits", status("          late:http:graphql waits: service late cannot be reached: connect: connection refused"))
		startService(t, port, "pokemon")
		eventually(t, "nothing waits", func() error {
			if st, err := s.status(follower); err != nil || st.Gateway == nil || len(st.Gateway.Waiting) > 0 {
				return errors.New(asJSON(st.Gateway))
			}
			_, err := ask(g.graphql(), across)
			return err
		})
	})
	t.Run("a deposed leader is not heard", func(t *testing.T) {
		st, err := s.status(follower)
		if err != nil {
			t.Fatal(err)
		}
		late := c.d.name("late-leader")
		c.d.must(t, "open", args{"session": late, "url": "ws://" + g.address + "/api"}, nil)
		var answer struct {
			Success     bool
			Error, Code string
		}
		list := map[string]any{"services": []any{}, "fence": map[string]any{"epoch": st.Epoch, "term": st.Term - 1, "index": 999}}
		c.d.must(t, "call", args{"session": late, "steps": []step{call("updateConfig", list)}}, &answer)
		if answer.Success || answer.Code != "fenced" || !strings.Contains(answer.Error, "a newer list was accepted") {
			t.Errorf("the late list: %+v, want that it is refused", answer)
		}
		if _, err := ask(g.graphql(), "{ allBooks { title } }"); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

// TestTheGatewayKeepsToItsOwn: only nodes that show its token tell it anything, others learn why not, and a web page whose name
// was made to point at it gets nothing.
func TestTheGatewayKeepsToItsOwn(t *testing.T) {
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json"), address: "0.0.0.0:0"}
	g.start(t, "--api-token", "open-sesame")
	_, port, err := net.SplitHostPort(g.address)
	if err != nil {
		t.Fatal(err)
	}
	books := startService(t, 0, "books")
	for token, want := range map[string]string{
		"":            "answered 401 Unauthorized: this gateway wants a token: give it to the nodes (--gateway-token)",
		"open-barley": "answered 401 Unauthorized: the token is not this gateway's",
	} {
		s := startSite(t, 1, "--gateway-endpoint", "ws://127.0.0.1:"+port+"/api", "--gateway-token", token)
		made := s.dial(t, s.nodes[0]).register(t, books.channel("books"))
		if d := made.Data.Gateway; d == nil || d.State != "pending" || !strings.Contains(d.Error, want) {
			t.Errorf("with the token %q: %v, want pending because it %q", token, made, want)
		}
		if got := cli(t, []string{"CATALYST_ADDR=" + s.nodes[0].ws()}, "status"); !strings.Contains(got.stdout, want) {
			t.Errorf("with the token %q status says %+v", token, got)
		}
		s.nodes[0].stop(t)
	}
	s := startSite(t, 1, "--gateway-endpoint", "ws://127.0.0.1:"+port+"/api", "--gateway-token", "open-sesame")
	made := s.dial(t, s.nodes[0]).register(t, books.channel("books"))
	if d := made.Data.Gateway; d == nil || d.State != "applied" {
		t.Errorf("with the right token: %v, want applied", made)
	}

	r, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/graphql?query={__typename}", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example:" + port
	response, err := web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "rebound.example") {
		t.Errorf("under a foreign name on loopback: %s %q, want 403", response.Status, text)
	}
}

// TestEveryNodeHasAGateway: embedded gateways follow the tables of their nodes, serve without a leader, and take lists from
// nobody.
func TestEveryNodeHasAGateway(t *testing.T) {
	s := startSite(t, 2, "--embedded-gateway", "127.0.0.1:0", "--log-format", "json")
	books, pokemon := startService(t, 0, "books"), startService(t, 0, "pokemon")
	c := s.dial(t, s.leader(t))
	c.register(t, books.channel("books"))
	made := c.register(t, pokemon.channel("pokemon"))
	for _, n := range s.nodes {
		eventually(t, n.id+" answers for both", func() error {
			_, err := ask(graphqlOf(t, n), across)
			return err
		})
	}
	if got, err := web.Get(strings.Replace(graphqlOf(t, s.nodes[0]), "/graphql", "/api", 1)); err != nil || got.StatusCode != 404 {
		t.Errorf("/api of an embedded gateway: %v %v, want 404", got, err)
	} else {
		got.Body.Close()
	}
	if made.Data.Gateway != nil {
		t.Errorf("the answer waited for a gateway: %v", made)
	}
	for _, n := range s.nodes {
		if st, err := s.status(n); err != nil || st.Gateway == nil || st.Gateway.Endpoint != graphqlOf(t, n) || st.Gateway.State != "applied" || st.Gateway.Services != 2 {
			t.Errorf("%s shows the gateway %s (%v), want its own, with two services", n.id, asJSON(st.Gateway), err)
		}
	}
	c.do(t, deletion(made.Data.ID))
	for _, n := range s.nodes {
		eventually(t, n.id+" has forgotten what was removed", func() error {
			if _, err := ask(graphqlOf(t, n), across); err == nil {
				return errors.New("it still answers for it")
			}
			_, err := ask(graphqlOf(t, n), "{ allBooks { title } }")
			return err
		})
	}
	left := s.follower(t)
	s.leader(t).crash(t)
	eventually(t, "there is no leader", func() error {
		st, err := s.status(left)
		if err == nil && st.Leader != "" {
			err = fmt.Errorf("%s leads", st.Leader)
		}
		return err
	})
	if _, err := ask(graphqlOf(t, left), "{ allBooks { title } }"); err != nil {
		t.Errorf("without a leader: %v", err)
	}
}

// graphqlOf is where the gateway of a node listens, as its log says last.
func graphqlOf(t testing.TB, n *node) string {
	t.Helper()
	found := regexp.MustCompile(`http://[0-9.:]+/graphql`).FindAll(tail(n.log.Name(), 1<<20), -1)
	if len(found) == 0 {
		t.Fatalf("the log of %s does not say where its gateway is", n.id)
	}
	return string(found[len(found)-1])
}
