package graphiql

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const script = "console.log('a script that is long enough to be shorter when it is compressed, compressed, compressed');"

// built is what make build would have embedded.
func built(t *testing.T) pages {
	t.Helper()
	files := fstest.MapFS{"bundle/missing.html": {Data: []byte("no GraphiQL")}}
	for name, text := range map[string]string{
		"index.html":          "<title>GraphiQL</title>",
		"licenses.txt":        "MIT",
		"assets/page-ABC1.js": script,
	} {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		files["bundle/"+name+".gz"] = &fstest.MapFile{Data: zipped.Bytes()}
	}
	return pages{files}
}

// ask makes a request with headers in pairs.
func ask(h http.Handler, method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	for pair := range slices.Chunk(header, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.Header.Get("Content-Encoding") != "gzip" {
		return string(body)
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestEveryClientGetsAnEncodingThatItTakes(t *testing.T) {
	h := built(t)
	for _, c := range []struct {
		accept string
		want   string
	}{
		{"", ""},
		{"gzip", "gzip"},
		{"deflate, GZIP ;q=0.5, br", "gzip"},
		{"gzip;q=0, br", ""},
		{"gzip; q=0.000", ""},
		{"gzip;q=much", ""},
		{"x-gzip-like, br", ""},
	} {
		got := ask(h, "GET", "/assets/page-ABC1.js", "Accept-Encoding", c.accept)
		if got.StatusCode != 200 || got.Header.Get("Content-Encoding") != c.want {
			t.Errorf("Accept-Encoding %q: %s in %q, want %q", c.accept, got.Status, got.Header.Get("Content-Encoding"), c.want)
		}
		if got.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: Vary is %q", c.accept, got.Header.Get("Vary"))
		}
		if body := bodyOf(t, got); body != script {
			t.Errorf("Accept-Encoding %q: got %q, want the script", c.accept, body)
		}
	}
}

func TestThePageIsAskedForAgainAndItsPartsAreNot(t *testing.T) {
	h := built(t)
	for path, want := range map[string]struct{ kind, cache string }{
		"/":                    {"text/html; charset=utf-8", "no-cache"},
		"/licenses.txt":        {"text/plain; charset=utf-8", "no-cache"},
		"/assets/page-ABC1.js": {"text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
	} {
		first := ask(h, "GET", path, "Accept-Encoding", "gzip")
		if kind, cache := first.Header.Get("Content-Type"), first.Header.Get("Cache-Control"); kind != want.kind || cache != want.cache {
			t.Errorf("%s: %s, %s; want %+v", path, kind, cache, want)
		}
		tag := first.Header.Get("ETag")
		again := ask(h, "GET", path, "If-None-Match", tag) // also in the other encoding
		if body := bodyOf(t, again); tag == "" || again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s with If-None-Match %s: %s and %q, want 304 and nothing", path, tag, again.Status, body)
		}
		if other := ask(h, "GET", path, "If-None-Match", `W/"other"`); other.StatusCode != 200 {
			t.Errorf("%s with another tag: %s, want 200", path, other.Status)
		}
	}
}

func TestHeadSaysWhatGetDoes(t *testing.T) {
	h := built(t)
	got, head := ask(h, "GET", "/"), ask(h, "HEAD", "/")
	if body := bodyOf(t, head); body != "" || head.StatusCode != 200 || head.Header.Get("ETag") != got.Header.Get("ETag") {
		t.Errorf("HEAD /: %s, %v and %q; want what GET says (%v) and no body", head.Status, head.Header, body, got.Header)
	}
}

func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	h := built(t)
	for _, name := range []string{"/nothing", "/assets", "/assets/", "/assets/page-ABC1.js.gz", "/missing.html", "/../graphiql.go", "//"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = name
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Result(); got.StatusCode != 404 || !strings.Contains(bodyOf(t, got), "GraphiQL is at /") {
			t.Errorf("%s: %s, want 404 and where the page is", name, got.Status)
		}
	}
}

func TestThePageOnlyReads(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		got := ask(built(t), method, "/")
		if got.StatusCode != 405 || got.Header.Get("Allow") != "GET, HEAD" || !strings.Contains(bodyOf(t, got), "/graphql") {
			t.Errorf("%s /: %s, Allow %q; want 405 and where queries go", method, got.Status, got.Header.Get("Allow"))
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	for _, path := range []string{"/", "/assets/page-ABC1.js", "/nothing"} {
		h := ask(built(t), "GET", path).Header
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "connect-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, want)
			}
		}
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v lacks nosniff or no-referrer", path, h)
		}
	}
}

// What git has is enough for go build, and says what it lacks.
func TestABuildWithoutNpmSaysWhatItLacks(t *testing.T) {
	page, err := bundle.ReadFile("bundle/missing.html")
	if err != nil {
		t.Fatal(err)
	}
	h := pages{fstest.MapFS{"bundle/missing.html": {Data: page}}}
	got := ask(h, "GET", "/", "Accept-Encoding", "gzip")
	if got.StatusCode != 200 || got.Header.Get("Content-Encoding") != "" || got.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("/ without a bundle: %s %v, want a page as it is", got.Status, got.Header)
	}
	body := bodyOf(t, got)
	for _, want := range []string{"This build has no GraphiQL", "make build", "/graphql", "application/json"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page %q lacks %q", body, want)
		}
	}
	if got := ask(h, "GET", "/assets/page-ABC1.js"); got.StatusCode != 404 {
		t.Errorf("an asset without a bundle: %s, want 404", got.Status)
	}
}

// TestWhatIsEmbedded holds whether or not make has bundled GraphiQL.
func TestWhatIsEmbedded(t *testing.T) {
	got := ask(Handler(), "GET", "/")
	body := bodyOf(t, got)
	if got.StatusCode != 200 || !strings.Contains(body, "<title>Catalyst gateway</title>") {
		t.Errorf("/: %s %q, want a page of the gateway's", got.Status, body)
	}
	for line := range strings.Lines(body) {
		if strings.Contains(line, "://") {
			t.Errorf("the page refers to another host: %s", line)
		}
	}
	assets, err := fs.Glob(bundle, "bundle/assets/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range assets {
		if kind := path.Ext(strings.TrimSuffix(name, ".gz")); mediaTypes[kind] == "" {
			t.Errorf("%s: there is no media type for %s", name, kind)
		}
	}
}
