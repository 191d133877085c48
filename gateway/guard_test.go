package gateway

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestForeignNamesAndPagesAreRefused(t *testing.T) {
	loopback, lan := net.IPv4(127, 0, 0, 1), net.IPv4(192, 0, 2, 7)
	for _, c := range []struct {
		cfg          Config
		at           net.IP
		host, origin string
		want         int
	}{
		{Config{}, loopback, "localhost:4000", "", 200},
		{Config{}, loopback, "127.0.0.1:8080", "", 200}, // through a tunnel
		{Config{}, loopback, "[::1]:4000", "", 200},
		{Config{}, loopback, "LOCALHOST", "", 200},
		{Config{}, loopback, "", "", 200},
		{Config{}, loopback, "rebound.example:4000", "http://rebound.example:4000", 403},
		{Config{}, loopback, "localhost.example", "", 403},
		{Config{}, loopback, "192.0.2.7:4000", "", 403},
		{Config{}, lan, "anything.example", "", 200},
		{Config{}, loopback, "localhost:4000", "http://other.example", 200}, // whose page cannot read it
		{Config{Hosts: []string{"api.example:4000"}}, loopback, "API.example:4000", "", 200},
		{Config{Hosts: []string{"api.example:4000"}}, lan, "api.example", "", 403},
		{Config{Hosts: []string{"api.example:4000"}}, loopback, "localhost:4000", "", 403},
		{Config{Origins: []string{"console.example"}}, lan, "api.example", "https://console.example", 200},
		{Config{Origins: []string{"console.example"}}, lan, "api.example", "https://api.example", 200},
		{Config{Origins: []string{"console.example"}}, lan, "api.example", "https://other.example", 403},
		{Config{Origins: []string{"console.example"}}, lan, "api.example", "null", 403},
		{Config{Origins: []string{"console.example"}}, lan, "api.example", "", 200},
	} {
		g := gatewayOf(t, c.cfg)
		for path, want := range map[string]int{"/graphql": c.want, "/health": 200} {
			r := httptest.NewRequest(http.MethodGet, path+"?query={__typename}", nil)
			r = r.WithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: c.at, Port: 4000}))
			if r.Host = c.host; c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w := httptest.NewRecorder()
			g.Handler().ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s at %s under %q from %q with %v %v: got %d %s, want %d",
					path, c.at, c.host, c.origin, c.cfg.Hosts, c.cfg.Origins, w.Code, strings.TrimSpace(w.Body.String()), want)
			}
		}
	}
}
