package clustertests

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAGatewayWithACertificate: nodes and clients reach it over TLS, plain HTTP gets nothing, and a certificate that is put
// in place of the first is shown without a restart.
func TestAGatewayWithACertificate(t *testing.T) {
	authority := newAuthority(t, "ca of the operator")
	files := authority.flags(t, "any", "gateway")[2:] // --tls-cert FILE --tls-key FILE
	g := &ownGateway{state: filepath.Join(t.TempDir(), "gateway.json")}
	g.start(t, append(files, "--api-token", "open-sesame")...)
	trusting := "SSL_CERT_FILE=" + authority.file

	books := startService(t, 0, "books")
	s := newSite(t, "default", 1, "--gateway-endpoint", "wss://"+g.address+"/api", "--gateway-token", "open-sesame")
	s.nodes[0].env = append(s.nodes[0].env, trusting)
	s.start(t, anyPort)
	if made := s.dial(t, s.nodes[0]).register(t, books.channel("books")); made.Data.Gateway == nil || made.Data.Gateway.State != "applied" {
		t.Errorf("register: %v, want applied", made)
	}
	ask := func(env ...string) ran {
		return cli(t, env, "query", "{ allBooks { title } }", "--gateway", "https://"+g.address)
	}
	if got := ask(trusting); got.status != 0 || !strings.Contains(got.stdout, "allBooks") {
		t.Errorf("over TLS: %+v", got)
	}
	if got := ask(); got.status != 3 || !strings.Contains(got.stderr, "is not trusted") {
		t.Errorf("without trusting its authority: %+v, want status 3 and why", got)
	}
	if got, err := web.Get("http://" + g.address + "/graphql?query={__typename}"); err != nil || got.StatusCode != http.StatusBadRequest {
		t.Errorf("in plain HTTP: %v, %v; want 400", got, err)
	}

	first := shownBy(t, g.address, authority)
	again := authority.flags(t, "any", "gateway")[2:]
	for _, i := range []int{1, 3} {
		text, err := os.ReadFile(again[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[i], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Second) // a file system may be too coarse to tell
	if err := os.Chtimes(files[1], later, later); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new certificate is shown", func() error {
		if slices.Equal(shownBy(t, g.address, authority), first) {
			return errors.New("it is the first one")
		}
		return nil
	})
	if got := cli(t, nil, "gateway", "--addr", "127.0.0.1:0", "--tls-cert", files[1]); got.status != 2 || !strings.Contains(got.stderr, "go together") {
		t.Errorf("a certificate without a key: %+v", got)
	}
}

// shownBy is the certificate that a server shows.
func shownBy(t *testing.T, address string, a *authority) []byte {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}
