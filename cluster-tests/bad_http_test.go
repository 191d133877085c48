package clustertests

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func malformedBatches(t *testing.T, s *site, n *node) {
	for _, body := range []string{"", "\n\n\n", "{nope", "[]\n[]", `["push",["pipeline",0,["nope"],[]]]` + "\n" + `["pull",1]`, `["pull",1]`} {
		post(t, n, strings.NewReader(body))
	}
	if state := post(t, n, bytes.NewReader(make([]byte, 64<<20))); state < 400 {
		t.Errorf("a batch of 64 MiB: status %d, want 4xx", state)
	}
}

// post sends a batch and returns the status, 499 when the node hung up before it read all.
func post(t testing.TB, n *node, body io.Reader) int {
	t.Helper()
	response, err := web.Post(n.http(), "text/plain", body)
	if err != nil {
		return 499
	}
	defer response.Body.Close()
	if response.StatusCode >= 500 {
		t.Errorf("POST /rpc: %s", response.Status)
	}
	return response.StatusCode
}

// upgrade asks for a WebSocket and returns the status: 101 when it was granted.
func upgrade(t testing.TB, n *node, host, origin string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, n.http(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	request.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}
	if origin != "" {
		request.Header.Set("Origin", origin)
	}
	response, err := web.Do(request)
	if err != nil {
		t.Fatalf("upgrade with host %q and origin %q: %v", host, origin, err)
	}
	response.Body.Close()
	return response.StatusCode
}

// postFrom sends a batch as a page of that origin would, and returns the status.
func postFrom(t testing.TB, n *node, host, origin string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, n.http(), strings.NewReader(`["push",["pipeline",0,["version"],[]]]`))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	request.Header.Set("Content-Type", "text/plain")
	if origin != "" {
		request.Header.Set("Origin", origin)
	}
	response, err := web.Do(request)
	if err != nil {
		t.Fatalf("post with host %q and origin %q: %v", host, origin, err)
	}
	response.Body.Close()
	return response.StatusCode
}

func foreignUpgrades(t *testing.T, _ *site, n *node) {
	for _, try := range []struct {
		host, origin string
		want         int
	}{
		{"", "", 101},
		{"", "http://" + n.at.RPC, 101},
		{"", "http://evil.example", 403},
		{"", "https://evil.example", 403},
		{"", "null", 403},
		{"evil.example", "", 403},
		{"evil.example", "http://evil.example", 403}, // a name that was made to point here
	} {
		if got := upgrade(t, n, try.host, try.origin); got != try.want {
			t.Errorf("upgrade with host %q and origin %q: status %d, want %d", try.host, try.origin, got, try.want)
		}
		want := try.want
		if want == 101 {
			want = 200 // what a page may upgrade, it may post
		}
		if got := postFrom(t, n, try.host, try.origin); got != want {
			t.Errorf("post with host %q and origin %q: status %d, want %d", try.host, try.origin, got, want)
		}
	}
}

func wrongMethods(t *testing.T, _ *site, n *node) {
	base := "http://" + n.at.RPC
	for _, try := range []struct {
		method, path string
		want         []int
	}{
		{"GET", "/health", []int{200}}, {"GET", "/ready", []int{200}}, {"GET", "/metrics", []int{200}},
		{"GET", "/", []int{404}}, {"GET", "/nope", []int{404}}, {"GET", "/rpc/more", []int{404}}, {"GET", "/debug/pprof/", []int{404}},
		{"GET", "/rpc", []int{400, 404, 405, 426}}, // a GET that is no upgrade
		{"PUT", "/rpc", []int{404, 405}}, {"DELETE", "/rpc", []int{404, 405}}, {"OPTIONS", "/rpc", []int{404, 405}},
		{"POST", "/health", []int{404, 405}}, {"PUT", "/ready", []int{404, 405}}, {"POST", "/metrics", []int{404, 405}},
	} {
		if err := answers(try.method, base+try.path, try.want...); err != nil {
			t.Error(err)
		}
	}
}
