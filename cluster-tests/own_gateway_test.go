package clustertests

import (
	"encoding/json"
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
