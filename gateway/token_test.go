package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/transport/ws"
)

func TestWhoCannotShowTheTokenChangesNoServices(t *testing.T) {
	var log bytes.Buffer
	g := started(t, Config{APIToken: "s3cret", Log: slog.New(slog.NewTextHandler(&log, nil))})
	server := httptest.NewServer(g.Handler())
	defer server.Close()
	for header, want := range map[string]string{
		"":               "this gateway wants a token: give it to the nodes (--gateway-token)",
		"Bearer":         "wants a token",
		"Bearer wrong":   "the token is not this gateway's",
		"Bearer s3cretx": "the token is not this gateway's",
		"Basic s3cret":   "the token is not this gateway's",
		"Bearer s3cret":  "",
		"bearer s3cret":  "",
	} {
		h := http.Header{}
		if header != "" {
			h.Set("Authorization", header)
		}
		conn, err := ws.Dial(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http")+"/api", ws.Options{Header: h})
		if want == "" {
			if err != nil {
				t.Errorf("with %q: %v", header, err)
				continue
			}
			_ = conn.Close(nil)
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "401 Unauthorized: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: got %v, want %q", header, err, want)
		}
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api", strings.NewReader(`["push",["pipeline",0,["status"]]]`))
		r.Header = h
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized || response.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("a batch with %q: got %s", header, response.Status)
		}
	}
	wantEqual(t, post(t, g, `{ __typename }`), `{"data":{"__typename":"Query"}}`) // that is for everybody
	if said := log.String(); strings.Count(said, "refused at /api") != 1 || strings.Contains(said, "s3cret") {
		t.Errorf("the log says %s", said)
	}
	for _, token := range []string{"two words", "líne", "a\nb"} {
		if _, err := New(Config{APIToken: token}); err == nil || !strings.Contains(err.Error(), "api token") || strings.Contains(err.Error(), token) {
			t.Errorf("the token %q: got %v", token, err)
		}
	}
}
