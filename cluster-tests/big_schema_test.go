package clustertests

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGitHubBesidePokemon: `catalyst gateway` merges GitHub's public schema with another one of npm's, and graphql-js has
// nothing to object to what comes out.
func TestGitHubBesidePokemon(t *testing.T) {
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	github, pokemon := startPeer(t, 0, "github.mjs"), startService(t, 0, "pokemon")
	s := startSite(t, 1, "--gateway-endpoint", "ws://"+g.address+"/api")
	c := s.dial(t, s.nodes[0])
	c.register(t, github.channel("github"))
	c.register(t, pokemon.channel("pokemon"))

	const both = `{ viewer { login } repository(owner: "catalyst", name: "orchestrator") { issues(first: 1) { nodes { title author { __typename } } } }
		getPokemon(pokemon: pikachu) { species } }`
	eventually(t, "both services answer", func() error {
		_, err := ask(g.graphql(), both)
		return err
	})
	data, err := ask(g.graphql(), both)
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{"viewer": "octocat", "repository": "octocat", "getPokemon": "pikachu"} {
		if got := string(data[field]); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want a %s", field, got, want)
		}
	}

	got := run(t, nil, "node", filepath.Join(programs.js, "github.mjs"), "--check", g.graphql())
	var merged struct {
		Wrong          []string
		Same           bool // printed, read and printed again
		Types, Queries []string
	}
	if err := json.Unmarshal([]byte(got.stdout), &merged); err != nil {
		t.Fatalf("the check printed %q and %q: %v", got.stdout, got.stderr, err)
	}
	if len(merged.Wrong) > 0 || !merged.Same {
		t.Errorf("graphql-js objects: %q; printed again it is the same: %v", merged.Wrong, merged.Same)
	}
	if len(merged.Types) < 1500 {
		t.Errorf("there are %d types, want those of GitHub and of Pokemon", len(merged.Types))
	}
	for _, field := range []string{"viewer", "repository", "node", "search", "getPokemon", "getAllPokemon"} {
		if !slices.Contains(merged.Queries, field) {
			t.Errorf("Query has no field %s", field)
		}
	}
}
