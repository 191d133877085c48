package clustertests

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
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
func (g *ownGateway) start(t testing.TB) {
	t.Helper()
	if g.address == "" {
		g.address = "127.0.0.1:0"
	}
	log := newLog(t, "catalyst-gateway")
	cmd := exec.Command(programs.catalyst, "gateway", "--addr", g.address, "--state", g.state, "--log-format", "json")
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = t.TempDir(), cleanEnvironment(), log, log
	g.process = launch(t, t, cmd)
	listening := regexp.MustCompile(`http://([0-9.:]+)/graphql`)
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

// TestEveryNodeHasAGateway: embedded gateways follow the tables of their nodes, serve without a leader, and take lists from
// nobody.
func TestEveryNodeHasAGateway(t *testing.T) {
	s := startSite(t, 2, "--gateway-endpoint=", "--embedded-gateway", "127.0.0.1:0", "--log-format", "json")
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
