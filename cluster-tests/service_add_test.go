package clustertests

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestServiceAddLooksFirst registers, at a follower, what people register: npm's services, and what they take for one. What
// an operator is told of each is a golden file.
func TestServiceAddLooksFirst(t *testing.T) {
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	s := startSite(t, 2, "--gateway-endpoint", "ws://"+g.address+"/api")
	add := func(t *testing.T, want int, message string, args ...string) {
		t.Helper()
		got := cli(t, []string{"CATALYST_ADDR=" + s.follower(t).ws()}, append([]string{"service"}, args...)...)
		if got.status != want {
			t.Errorf("service %s: %+v, want exit status %d", strings.Join(args, " "), got, want)
		}
		says(t, message, milliseconds.ReplaceAllString(got.stdout+got.stderr, "(N ms)"))
	}
	holds := func(t *testing.T, name string, want bool) {
		t.Helper()
		got := cli(t, []string{"CATALYST_ADDR=" + s.nodes[0].ws()}, "service", "list", "--name", name)
		if strings.Contains(got.stdout, name+":") != want {
			t.Errorf("the site holds %s: want %t: %+v", name, want, got)
		}
	}
	answers := func(t *testing.T, query string) {
		t.Helper()
		eventually(t, "the gateway answers "+query, func() error {
			_, err := ask(g.graphql(), query)
			return err
		})
	}
	books, pokemon := startService(t, 0, "books"), startService(t, 0, "pokemon")

	t.Run("a service is told step by step", func(t *testing.T) {
		add(t, 0, "service-add", "add", "books", books.graphql())
		add(t, 0, "service-add-many-fields", "add", "pokemon", pokemon.graphql())
		answers(t, across)
	})
	t.Run("the same again changes nothing", func(t *testing.T) {
		add(t, 0, "service-add-again", "add", "books", books.graphql())
		add(t, 0, "service-update", "update", "books", books.graphql(), "--region", "eu")
	})
	t.Run("a wrong path is refused, with the right one", func(t *testing.T) {
		add(t, 1, "service-add-wrong-path", "add", "wrong", strings.TrimSuffix(pokemon.graphql(), "l"))
		add(t, 1, "service-add-no-path", "add", "wrong", strings.TrimSuffix(pokemon.graphql(), "/graphql"))
		holds(t, "wrong", false)
	})
	t.Run("what is no GraphQL is refused", func(t *testing.T) {
		page, nothing := startPeer(t, 0, "stranger.mjs", "--kind", "page"), startPeer(t, 0, "stranger.mjs", "--kind", "nothing")
		add(t, 1, "service-add-web-page", "add", "wrong", page.graphql())
		add(t, 1, "service-add-not-found", "add", "wrong", nothing.graphql())
		add(t, 1, "service-add-node", "add", "wrong", s.nodes[0].http())
		holds(t, "wrong", false)
		add(t, 0, "service-add-forced", "add", "forced", page.graphql(), "--force")
		holds(t, "forced", true)
		answers(t, across)
	})
	t.Run("what says nothing of itself is registered", func(t *testing.T) {
		reticent := startPeer(t, 0, "stranger.mjs", "--kind", "reticent")
		add(t, 0, "service-add-reticent", "add", "reticent", reticent.graphql())
		holds(t, "reticent", true)
	})
	t.Run("what does not run yet is served when it does", func(t *testing.T) {
		port := freePort(t)
		add(t, 0, "service-add-closed-port", "add", "late", fmt.Sprintf("http://127.0.0.1:%d/graphql", port))
		late := startService(t, port, "clash")
		answers(t, "{ shelf }")
		late.kill(t)
		answers(t, across)
	})
	t.Run("names that clash are told", func(t *testing.T) {
		clash := startService(t, 0, "clash")
		add(t, 0, "service-add-clash", "add", "clash", clash.graphql())
	})
	t.Run("without a gateway it is pending", func(t *testing.T) {
		g.kill(t)
		eventually(t, "the site has noticed that the gateway is gone", func() error {
			st, err := s.status(s.follower(t))
			if err == nil && (st.Gateway == nil || st.Gateway.State != "pending") {
				err = errors.New(asJSON(st.Gateway))
			}
			return err
		})
		add(t, 0, "service-add-no-gateway", "add", "more", books.graphql())
		g.start(t)
		eventually(t, "the gateway has it as well", func() error {
			got := cli(t, []string{"CATALYST_ADDR=" + s.nodes[0].ws()}, "service", "add", "more", books.graphql())
			if !strings.Contains(got.stdout, "gateway serves it") && !strings.Contains(got.stdout, "gateway reloaded") {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
	})
	t.Run("a program gets one document", func(t *testing.T) {
		env := []string{"CATALYST_ADDR=" + s.nodes[0].ws()}
		got := cli(t, env, "service", "add", "books", books.graphql(), "--region", "eu", "-o", "json")
		if r := decode[result](t, []byte(got.stdout)); !r.Success || r.Data.Gateway == nil || got.stderr != "" {
			t.Errorf("registered: %+v", got)
		}
		got = cli(t, env, "service", "add", "wrong", s.nodes[0].http(), "-o", "json")
		if r := decode[result](t, []byte(got.stdout)); r.Success || r.Code != "invalid" || got.status != 1 {
			t.Errorf("refused: %+v", got)
		}
	})
}

// milliseconds are how long a step took.
var milliseconds = regexp.MustCompile(`\([0-9,]+ ms\)`)
