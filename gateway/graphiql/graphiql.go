// Package graphiql serves GraphiQL, a page for asking a GraphQL API, from the
// binary itself: the page loads nothing from elsewhere. It speaks to /graphql of
// the server that it came from.
package graphiql

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// bundle is what web/build.mjs makes, each file compressed with gzip, and
// missing.html: git has only that, and go build works with it alone.
//
//go:embed bundle
var bundle embed.FS

// Handler serves the page at / and the files that it loads.
func Handler() http.Handler { return pages{bundle} }

// pages serves what a folder named bundle has.
type pages struct{ files fs.FS }

// policy lets the page have what comes from its own server, and nobody show it in
// a frame. Monaco writes style sheets and style attributes of its own, and its
// style sheet has small pictures in it.
const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; font-src 'self'; " +
	"img-src 'self' data:; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "queries go to /graphql, by POST", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	file, err := p.open(name)
	if err != nil {
		http.Error(w, "there is no such page; GraphiQL is at /", http.StatusNotFound)
		return
	}
	defer file.Close()
	if err := file.serve(w, r); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// file is one of a bundle, named as clients do.
type file struct {
	io.ReadSeeker
	io.Closer
	name   string
	zipped bool
}

// open finds a file of the bundle. Where none was built, another page stands for
// the first one.
func (p pages) open(name string) (*file, error) {
	opened, err := p.files.Open("bundle/" + name + ".gz")
	zipped := err == nil
	if err != nil && name == "index.html" {
		opened, err = p.files.Open("bundle/missing.html")
	}
	if err != nil {
		return nil, err
	}
	content, ok := opened.(io.ReadSeeker)
	if !ok {
		return nil, errors.Join(fmt.Errorf("read %s: it is no file", name), opened.Close())
	}
	return &file{content, opened, name, zipped}, nil
}

// mediaTypes holds for what a bundle can have: what a machine's own table says
// of .js differs.
var mediaTypes = map[string]string{
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".css":   "text/css; charset=utf-8",
	".txt":   "text/plain; charset=utf-8",
	".svg":   "image/svg+xml",
	".ttf":   "font/ttf",
	".woff":  "font/woff",
	".woff2": "font/woff2",
}

// serve answers with the file, as it is stored if the client takes that.
func (f *file) serve(w http.ResponseWriter, r *http.Request) error {
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return fmt.Errorf("read %s: %w", f.name, err)
	}
	h := w.Header()
	h.Set("ETag", fmt.Sprintf(`W/"%x"`, sum.Sum(nil)[:12])) // weak: one for both encodings
	h.Set("Content-Type", mediaTypes[path.Ext(f.name)])
	h.Set("Cache-Control", "no-cache")
	if strings.HasPrefix(f.name, "assets/") { // a hash in the name: another content has another name
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	content := f.ReadSeeker
	if f.zipped {
		h.Set("Vary", "Accept-Encoding")
		if takesGzip(r.Header.Values("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
		} else {
			plain, err := f.unzipped()
			if err != nil {
				return fmt.Errorf("read %s: %w", f.name, err)
			}
			content = bytes.NewReader(plain)
		}
	}
	http.ServeContent(w, r, f.name, time.Time{}, content)
	return nil
}

func (f *file) unzipped() ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// takesGzip reads Accept-Encoding (RFC 9110 §12.5.3).
func takesGzip(accept []string) bool {
	for coding := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, weight, weighed := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, number, _ := strings.Cut(weight, "=")
		q, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		return !weighed || err == nil && q > 0
	}
	return false
}
