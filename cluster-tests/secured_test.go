package clustertests

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// initiated is what `catalyst init` answers.
type initiated struct {
	ID, Site, SiteID, Fingerprint, AdminToken, JoinToken, Join, Address, CAFile string
	ExpiresAt                                                                   int64
	Uses                                                                        int
}

// startSecured founds a site of size nodes as an operator does: nodes that wait, catalyst init at the first, and catalyst
// join at each other. All of them vote when it returns.
func startSecured(t testing.TB, size int, flags ...string) *site {
	t.Helper()
	s := newSecured(t, size, flags...)
	s.found(t, anyPort)
	return s
}

// newSecured makes size nodes that a test may still change (under, env, flags) and starts none: found does.
func newSecured(t testing.TB, size int, flags ...string) *site {
	t.Helper()
	s := &site{owner: t}
	for i := range size {
		s.nodes = append(s.nodes, newNode(t, fmt.Sprintf("n%d", i+1), append([]string{"--gateway-endpoint="}, flags...)...))
	}
	return s
}

// found starts the nodes, each at its addresses or all at the same, has the first found a secured site and the others join
// it, one after the other. The driver begins here: it must know the site's authority.
func (s *site) found(t testing.TB, at ...addresses) {
	t.Helper()
	for i, n := range s.nodes {
		n.start(t, at[min(i, len(at)-1)])
	}
	s.initiate(t, s.nodes[0])
	for _, n := range s.nodes[1:] {
		s.admit(t, n)
	}
	s.complete(t, min(len(s.nodes), 5))
}

// initiate founds the site at a node that waits.
func (s *site) initiate(t testing.TB, n *node, flags ...string) {
	t.Helper()
	args := append([]string{"init", "--address", n.at.RPC, "-o", "json"}, flags...)
	got := run(t, nil, n.catalyst(args...)...)
	if got.status != 0 {
		t.Fatalf("catalyst init at %s: %+v", n.id, got)
	}
	s.know(t, n, decode[struct{ Data initiated }](t, []byte(got.stdout)).Data)
}

// know takes over what an operator has read from the screen.
func (s *site) know(t testing.TB, n *node, given initiated) {
	t.Helper()
	s.given, s.token = given, []any{given.AdminToken}
	// A copy: tests wipe the data directories of nodes.
	pem, err := os.ReadFile(given.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	s.given.CAFile = filepath.Join(s.owner.TempDir(), "ca.pem")
	if err := os.WriteFile(s.given.CAFile, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	s.driver = startDriver(s.owner, "NODE_EXTRA_CA_CERTS="+s.given.CAFile)
	n.trust = trusting(t, s.given.CAFile)
}

// admit has a waiting node join the site with the token of init.
func (s *site) admit(t testing.TB, n *node) {
	t.Helper()
	if got := s.join(t, n, s.given.JoinToken); got.status != 0 {
		t.Fatalf("catalyst join at %s: %+v", n.id, got)
	}
	n.trust = s.nodes[0].trust
}

// join runs catalyst join at a waiting node, with whatever token. It is told of the first other node that runs.
func (s *site) join(t testing.TB, n *node, token string) ran {
	t.Helper()
	return run(t, nil, n.catalyst("join", s.other(t, n).at.RPC, "--token", token, "--address", n.at.RPC)...)
}

// other is a running node of the site that is not n.
func (s *site) other(t testing.TB, n *node) *node {
	t.Helper()
	all := s.running()
	i := slices.IndexFunc(all, func(other *node) bool { return other != n && other.trust != nil })
	if i < 0 {
		t.Fatalf("no node beside %s runs", n.id)
	}
	return all[i]
}

// catalyst is a command line of catalyst on the machine of a node.
func (n *node) catalyst(args ...string) []string {
	return slices.Concat(n.under, []string{programs.catalyst}, args)
}

// trusting is a web client that believes one authority and nobody else.
func trusting(t testing.TB, caFile string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate: %s", caFile, pem)
	}
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
}
