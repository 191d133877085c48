package clustertests

import (
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// whatTheUserSaw is what graphiql.mjs prints: texts of the page, and what the browser made of it.
type whatTheUserSaw struct {
	Title, Welcome, Fields, Data, Mistake, Docs, Events, Refusal string

	Stopped               bool
	Complaints, Strangers []string
	Assets                int
}

// TestGraphiQLInABrowser: someone opens the gateway's address in Chromium, asks, reads the documentation, subscribes
// and stops. The page loads nothing from elsewhere, and keeps to its own policy.
func TestGraphiQLInABrowser(t *testing.T) {
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t)
	books, countdown := startService(t, 0, "books"), startPeer(t, 0, "countdown.mjs")
	services := []map[string]string{{"name": "books", "url": books.graphql()}, {"name": "countdown", "url": countdown.graphql()}}
	pushed, err := once[struct{ Success bool }](startDriver(t), "http://"+g.address+"/api", call("updateConfig", map[string]any{"services": services}))
	if err != nil || !pushed.Success {
		t.Fatalf("updateConfig: %v %v", pushed, err)
	}
	eventually(t, "both services answer", func() error {
		_, err := ask(g.graphql(), "{ countdowns allBooks { title } }")
		return err
	})

	saw := useGraphiQL(t, "http://"+g.address+"/")
	if saw.Title != "Catalyst gateway" || saw.Assets == 0 {
		t.Errorf("the page is %q and loads %d assets, want the gateway's with some", saw.Title, saw.Assets)
	}
	for what, c := range map[string]struct{ got, want string }{
		"the text to begin with":        {saw.Welcome, "Ctrl-Enter runs the query below."},
		"the answer to it":              {saw.Fields, `{ "name": "allBooks" }`},
		"a query's answer":              {saw.Data, `"title": "The Art of Computer Programming" } ], "countdowns": 0 }`},
		"a mistake's":                   {saw.Mistake, `Did you mean \"title\"?`},
		"the documentation of fields":   {saw.Docs, "allBooks("},
		"a description of a service's":  {saw.Docs, "How many countdowns are under way."},
		"a subscription's last event":   {saw.Events, `{ "data": { "countdown": 0 } }`},
		"a mistake in a subscription's": {saw.Refusal, `Did you mean \"countdown\"?`},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s: the page shows %q, want %q in it", what, c.got, c.want)
		}
	}
	if !saw.Stopped {
		t.Error("the service still counts for a subscription that was stopped")
	}
	for _, complaint := range saw.Complaints {
		t.Errorf("the browser complains: %s", complaint)
	}
	for _, url := range saw.Strangers {
		t.Errorf("the page asks another server: %s", url)
	}
}

// TestGraphiQLInANode: the gateway that is part of a node has the page too.
func TestGraphiQLInANode(t *testing.T) {
	s := startSite(t, 1, "--gateway-endpoint=", "--embedded-gateway", "127.0.0.1:0", "--log-format", "json")
	home := strings.TrimSuffix(graphqlOf(t, s.nodes[0]), "graphql")
	if got, err := page(home); err != nil || !strings.Contains(got, `src="assets/page-`) {
		t.Errorf("%s: %q %v, want GraphiQL", home, got, err)
	}
}

func page(url string) (string, error) {
	response, err := web.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// useGraphiQL runs js/graphiql.mjs, for longer than other programs: a browser starts in it.
func useGraphiQL(t testing.TB, home string) whatTheUserSaw {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("this test uses chromium: %v; make test installs it", err)
	}
	if page, err := page(home); err != nil || strings.Contains(page, "This build has no GraphiQL") {
		t.Fatalf("the program has no GraphiQL (%v): make graphiql bundles it", err)
	}
	var stdout strings.Builder
	cmd := exec.Command("node", filepath.Join(programs.js, "graphiql.mjs"), home, "--browser", chromium)
	dir := t.TempDir()
	cmd.Dir, cmd.Env = dir, cleanEnvironment("HOME="+dir, "TMPDIR="+dir)
	cmd.Stdout, cmd.Stderr = &stdout, newLog(t, "graphiql.mjs")
	p := launch(t, t, cmd)
	select {
	case <-p.exited:
	case <-time.After(4 * patience):
		t.Fatalf("the browser is not done after %v", 4*patience)
	}
	return decode[whatTheUserSaw](t, []byte(stdout.String()))
}
