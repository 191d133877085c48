package clustertests

import (
	"strings"
	"testing"
)

// TestNodeWithoutTokenStaysOnLoopback: on any other address it refuses to start, before it listens, and says what to do.
func TestNodeWithoutTokenStaysOnLoopback(t *testing.T) {
	got := cli(t, nil, "node", "--id", "open", "--data-dir", t.TempDir(), "--bootstrap", "--gateway-endpoint=",
		"--rpc-addr", "0.0.0.0:0", "--raft-addr", "127.0.0.1:0", "--gossip-addr", "127.0.0.1:0")
	if got.status == 0 {
		t.Errorf("it started and ended with status 0")
	}
	for _, word := range []string{"--insecure", "CATALYST_ADMIN_TOKEN", "0.0.0.0"} {
		if !strings.Contains(got.stderr, word) {
			t.Errorf("its message does not name %s: %s", word, got.stderr)
		}
	}
}

// TestAdminToken: with a token configured, whoever lacks it is rejected as unauthenticated, and nobody else is disturbed.
func TestAdminToken(t *testing.T) {
	const token = "a-token-that-only-this-test-knows"
	d := startDriver(t)
	n := newNode(t, "guarded", "--gateway-endpoint=", "--bootstrap")
	n.env = []string{"CATALYST_ADMIN_TOKEN=" + token}
	n.start(t, anyPort)
	eventually(t, "ready", n.ready)

	for name, given := range map[string][]any{"no token": nil, "a wrong token": {"guess"}, "an empty token": {""}} {
		t.Run(name, func(t *testing.T) {
			c := d.dial(t, n, given...)
			defer c.close(t)
			if r, err := c.apply(creation(service("sneaked"))); codeOf(err) != "unauthenticated" {
				t.Errorf("applyAction: %v %v, want a rejection with code unauthenticated", r, err)
			}
			if _, err := c.routes(query{Consistency: "stale"}); codeOf(err) != "unauthenticated" {
				t.Errorf("listLocalRoutes: %v, want a rejection with code unauthenticated", err)
			}
			if broken := c.report(t).Broken; broken != nil {
				t.Errorf("the session broke: %v", broken)
			}
		})
	}
	c := d.dial(t, n, token)
	c.register(t, service("allowed"))
	list, err := c.routes(query{})
	if err != nil || len(list.Routes) != 1 || list.Routes[0].Service.Name != "allowed" {
		t.Errorf("with the token: %s %v", asJSON(list), err)
	}
	t.Run("the CLI", func(t *testing.T) {
		without := cli(t, nil, "service", "list", "--address", n.ws())
		if without.status == 0 || !strings.Contains(without.stderr, "CATALYST_TOKEN") {
			t.Errorf("without the token: %+v, want a refusal that names CATALYST_TOKEN", without)
		}
		if with := cli(t, []string{"CATALYST_TOKEN=" + token}, "service", "list", "--address", n.ws()); with.status != 0 {
			t.Errorf("with the token: %+v", with)
		}
	})
	if text := string(tail(n.log.Name(), 1<<20)); strings.Contains(text, token) {
		t.Error("the log shows the token")
	}
}
