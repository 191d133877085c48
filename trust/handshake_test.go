package trust

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// strangers are certificates of which each is wrong in one way, and the good ones.
type stranger struct {
	name string
	made *signer
}

func strangers(paris Authority) []stranger {
	ours := paris.signer()
	subject := func(s Subject) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.URIs = urls(s) }
	}
	usage := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	return []stranger{
		{"node n1", ours.forge(nil)},
		{"node n2", ours.forge(subject(Subject{"paris", Node, "n2"}))},
		{"client ops", ours.forge(func(c *x509.Certificate) {
			subject(Subject{"paris", Client, "ops"})(c)
			usage(x509.ExtKeyUsageClientAuth)(c)
		})},
		{"a client that may be a server", ours.forge(subject(Subject{"paris", Client, "ops"}))},
		{"no certificate", nil},
		{"another authority of the same name", found("paris").signer().forge(nil)},
		{"self-signed, with the right names", (*signer)(nil).forge(nil)},
		{"signed by a node", ours.forge(nil).forge(subject(Subject{"paris", Node, "n1"}))},
		{"the authority itself", ours},
		{"another site, from this authority", ours.forge(subject(n1("oslo")))},
		{"expired", ours.forge(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon.Add(-2*day), noon.Add(-day) })},
		{"not yet valid", ours.forge(func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Hour) })},
		{"no subject", ours.forge(func(c *x509.Certificate) { c.URIs = nil })},
		{"two subjects", ours.forge(func(c *x509.Certificate) { c.URIs = append(c.URIs, urls(Subject{"paris", Node, "n2"})...) })},
		{"an unknown role", ours.forge(subject(Subject{"paris", "root", "n1"}))},
		{"an authority's role", ours.forge(subject(Subject{"paris", authority, "n1"}))},
		{"a subject with a port", ours.forge(func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: scheme, Host: "paris:80", Path: "/node/n1"}}
		})},
		{"only for servers", ours.forge(usage(x509.ExtKeyUsageServerAuth))},
		{"only for clients", ours.forge(usage(x509.ExtKeyUsageClientAuth))},
		{"only for code", ours.forge(usage(x509.ExtKeyUsageCodeSigning))},
	}
}

// TestWhoMayDial and TestWhoMayAnswer tell what each end says to each stranger.
func TestWhoMayDial(t *testing.T) {
	paris := found("paris")
	k := keeping(enrol(paris, n1("paris"), noon))
	var said strings.Builder
	for _, s := range strangers(paris) {
		fmt.Fprintf(&said, "# %s\n", s.name)
		for _, server := range []struct {
			name   string
			config *tls.Config
		}{{"RPC", k.ServerRPC()}, {"Raft", k.ServerRaft()}} {
			m := meet(t, server.config, showing(s.made))
			if m.serverErr != nil && m.clientErr == nil {
				t.Errorf("%s at %s: refused with %v, but the client is content", s.name, server.name, m.serverErr)
			}
			fmt.Fprintf(&said, "%-5s %v\n", server.name, answer(m.serverErr))
			who, known := k.PeerIdentity(m.server.ConnectionState())
			if wants := m.serverErr == nil && s.made != nil; known != wants && server.name == "RPC" {
				t.Errorf("%s: identity %v %v, want it %v", s.name, who, known, wants)
			}
			if known {
				fmt.Fprintf(&said, "      is %s\n", who)
			}
		}
	}
	golden(t, "dial", names(map[string]Pin{"paris": paris.Pin()}, said.String()))
}

func TestWhoMayAnswer(t *testing.T) {
	paris := found("paris")
	k := keeping(enrol(paris, Subject{"paris", Node, "n3"}, noon))
	pinned := Pinned(paris.Pin())
	pinned.Time = atNoon
	pins := map[string]Pin{"paris": paris.Pin()}
	var said strings.Builder
	for _, s := range strangers(paris) {
		if s.made == nil {
			continue
		}
		fmt.Fprintf(&said, "# %s\n", s.name)
		pins["another"] = PinOf(s.made.chain[len(s.made.chain)-1])
		if pins["another"] == paris.Pin() {
			delete(pins, "another")
		}
		for _, client := range []struct {
			name   string
			config *tls.Config
		}{{"n1", k.DialNode("n1")}, {"any", k.DialNode("")}, {"pin", pinned}} {
			m := meet(t, answering(s.made), client.config)
			if (m.clientErr == nil) != (m.serverErr == nil) {
				t.Errorf("%s: client %v, server %v", s.name, m.clientErr, m.serverErr)
			}
			fmt.Fprintf(&said, "%-5s %s\n", client.name, names(pins, answer(m.clientErr)))
		}
	}
	golden(t, "answer", said.String())
}

func answer(err error) string {
	if err == nil {
		return "welcome"
	}
	return err.Error()
}

// An operator's authority may sign for several sites: then only the subject
// tells them apart.
func TestOneAuthorityOfTwoSites(t *testing.T) {
	root := (*signer)(nil).forge(authorities)
	at := func(site string) *signer {
		return root.forge(func(c *x509.Certificate) { c.URIs = urls(n1(site)) })
	}
	paris := keeping(at("paris").credentials(root.certificate.Raw))
	for _, m := range []*meeting{
		meet(t, paris.ServerRPC(), showing(at("oslo"))),
		meet(t, paris.ServerRaft(), showing(at("oslo"))),
		meet(t, answering(at("oslo")), paris.DialNode("n1")),
	} {
		const want = "the certificate of node n1 of site oslo cannot be used here: this is site paris"
		if err := m.err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if m := meet(t, paris.ServerRaft(), showing(at("paris"))); m.err() != nil {
		t.Errorf("a node of the site: %v", m.err())
	}
}

// Clients may verify with a file of authorities and the host name, as they do elsewhere.
func TestAFileOfAuthoritiesAndAHostName(t *testing.T) {
	paris, oslo := found("paris"), found("oslo")
	server := keeping(enrol(paris, n1("paris"), noon)).ServerRPC()
	file := func(a Authority) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: a.Certificate})
	}
	for _, test := range []struct {
		authority Authority
		host      string
		want      string
	}{
		{paris, "paris.example", ""},
		{paris, "127.0.0.1", ""},
		{paris, "oslo.example", "certificate is valid for paris.example, not oslo.example"},
		{oslo, "paris.example", "signed by unknown authority"},
	} {
		config, err := WithRoots(file(test.authority))
		if err != nil {
			t.Fatal(err)
		}
		config.Time, config.ServerName = atNoon, test.host
		if got := answer(meet(t, server, config).clientErr); test.want == "" && got != "welcome" || !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %q", test.host, got, test.want)
		}
	}
	if _, err := WithRoots([]byte("nonsense")); err == nil {
		t.Error("nonsense for a file of authorities was taken")
	}
}

// Two nodes, each with what the site gave it, through their own configs.
func TestTwoNodesMeet(t *testing.T) {
	paris := found("paris")
	a, b := keeping(enrol(paris, n1("paris"), noon)), keeping(enrol(paris, Subject{"paris", Node, "n2"}, noon))
	for _, server := range []*tls.Config{a.ServerRPC(), a.ServerRaft()} {
		m := meet(t, server, b.DialNode("n1"))
		if m.err() != nil {
			t.Fatal(m.err())
		}
		if who, known := a.PeerIdentity(m.server.ConnectionState()); !known || who != b.Subject() {
			t.Errorf("n1 sees %v %v, want %v", who, known, b.Subject())
		}
		state := m.client.ConnectionState()
		if last := state.PeerCertificates[len(state.PeerCertificates)-1]; PinOf(last.Raw) != a.Pin() || a.Pin() != paris.Pin() {
			t.Errorf("the chain does not end with the pinned authority, but with %s", last.Subject)
		}
		if state.Version != tls.VersionTLS13 {
			t.Errorf("spoke version %x", state.Version)
		}
	}
}

func TestOlderThanTLS13IsRefused(t *testing.T) {
	old := showing(nil)
	old.MaxVersion = tls.VersionTLS12
	k := keeping(enrol(found("paris"), n1("paris"), noon))
	for _, server := range []*tls.Config{k.ServerRPC(), k.ServerRaft()} {
		if m := meet(t, server, old); m.serverErr == nil || m.clientErr == nil {
			t.Errorf("TLS 1.2 was spoken: %v %v", m.serverErr, m.clientErr)
		}
	}
}

// WebSockets are an upgrade of HTTP/1.1, and clients offer HTTP/2 first.
func TestHTTP1IsSpoken(t *testing.T) {
	client := showing(nil)
	client.NextProtos = []string{"h2", "http/1.1"}
	m := meet(t, keeping(enrol(found("paris"), n1("paris"), noon)).ServerRPC(), client)
	if got, want := m.client.ConnectionState().NegotiatedProtocol, "http/1.1"; m.err() != nil || got != want {
		t.Errorf("got %q, %v, want %s", got, m.err(), want)
	}
}

// A pin may be of an authority between the root and the node, or of the node's
// own certificate, as long as that is in use.
func TestAPinInTheMiddleOfAChain(t *testing.T) {
	root := (*signer)(nil).forge(authorities)
	middle := root.forge(authorities)
	node := middle.forge(nil)
	server := keeping(node.credentials(root.certificate.Raw)).ServerRPC()
	for name, pinned := range map[string]*signer{"root": root, "middle": middle, "node": node} {
		client := Pinned(PinOf(pinned.certificate.Raw))
		client.Time = atNoon
		if m := meet(t, server, client); m.err() != nil {
			t.Errorf("%s pinned: %v", name, m.err())
		}
	}
	// To show the pinned authority is not to have its signature.
	imposter := (*signer)(nil).forge(nil)
	imposter.chain = append(imposter.chain, root.certificate.Raw)
	client := Pinned(PinOf(root.certificate.Raw))
	client.Time = atNoon
	if m := meet(t, answering(imposter), client); m.clientErr == nil || !strings.Contains(m.clientErr.Error(), "not signed by the authority that is meant") {
		t.Errorf("got %v, want that it is not signed by the authority", m.clientErr)
	}
}

func TestNoPinMatchesNothing(t *testing.T) {
	server := keeping(enrol(found("paris"), n1("paris"), noon)).ServerRPC()
	if m := meet(t, server, Pinned(Pin{})); m.clientErr == nil {
		t.Error("a client without a pin was content")
	}
}

func TestAnEmptyKeeperRefuses(t *testing.T) {
	var empty Keeper
	if empty.Current() != nil || !empty.Expires().IsZero() || !empty.RenewAt().IsZero() || empty.Subject() != (Subject{}) || !empty.Pin().IsZero() {
		t.Errorf("an empty Keeper has something: %+v", empty.load())
	}
	other := keeping(enrol(found("paris"), n1("paris"), noon))
	for name, m := range map[string]*meeting{
		"RPC":  meet(t, empty.ServerRPC(), other.DialNode("")),
		"Raft": meet(t, empty.ServerRaft(), other.DialNode("")),
		"dial": meet(t, other.ServerRPC(), empty.DialNode("")),
	} {
		if err := m.err(); err == nil || !strings.Contains(err.Error(), "has no certificate yet: let it join a site first") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, known := empty.PeerIdentity(m.server.ConnectionState()); known {
			t.Errorf("%s: an empty Keeper knows somebody", name)
		}
	}
}

// TestRenewalWhileConnectionsRun: those that exist live on, new ones show the
// new certificate, and who did not renew is refused once its time is over.
func TestRenewalWhileConnectionsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paris := must(NewAuthority("paris", "0b5e", time.Now()))
		var a, b Keeper
		first := enrol(paris, n1("paris"), time.Now())
		if err := a.Set(first); err != nil {
			t.Fatal(err)
		}
		if err := b.Set(enrol(paris, Subject{"paris", Node, "n2"}, time.Now())); err != nil {
			t.Fatal(err)
		}
		rpc, raft, dial := a.ServerRPC(), a.ServerRaft(), b.DialNode("n1")
		old := meet(t, raft, dial)
		if old.err() != nil {
			t.Fatal(old.err())
		}

		time.Sleep(time.Until(a.RenewAt()))
		if left := time.Until(a.Expires()); left < day-time.Minute*5 || left > day+time.Minute*5 {
			t.Errorf("renewed when %s of 3 days are left, want a third", left)
		}
		second := enrol(paris, n1("paris"), time.Now())
		if err := a.Set(second); err != nil {
			t.Fatal(err)
		}
		if a.Current() != second {
			t.Error("the second certificate is not the current one")
		}
		for _, server := range []*tls.Config{rpc, raft} {
			m := meet(t, server, dial)
			if m.err() != nil {
				t.Fatal(m.err())
			}
			if shown := m.client.ConnectionState().PeerCertificates[0].Raw; string(shown) != string(second.Certificate) {
				t.Error("a new connection shows the first certificate")
			}
			if m.client.ConnectionState().DidResume {
				t.Error("a session was resumed")
			}
		}

		time.Sleep(time.Until(b.Expires()) + time.Second)
		if err := old.talks(); err != nil {
			t.Errorf("the connection from before the renewal: %v", err)
		}
		if m := meet(t, raft, dial); m.serverErr == nil || !strings.Contains(m.serverErr.Error(), "the certificate of node n2 of site paris expired on") {
			t.Errorf("n2 never renewed: got %v, want that it expired", m.serverErr)
		}
		if _, known := a.PeerIdentity(old.server.ConnectionState()); known {
			t.Error("n2's certificate is over, and still its identity is believed")
		}
	})
}

// A site's authority is exchanged: nothing that the old one vouched for lives on.
func TestAnExchangedAuthorityIsTheOnlyOne(t *testing.T) {
	was, is := found("paris"), found("paris")
	k := keeping(enrol(was, n1("paris"), noon))
	server := k.ServerRPC()
	client := showing(was.signer().forge(nil))
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	if m := meet(t, server, client); m.err() != nil {
		t.Fatal(m.err())
	}
	if err := k.Set(enrol(is, n1("paris"), noon)); err != nil {
		t.Fatal(err)
	}
	if m := meet(t, server, client); m.serverErr == nil {
		t.Error("the old authority's node was taken in")
	}
	if m := meet(t, server, showing(is.signer().forge(nil))); m.err() != nil {
		t.Errorf("the new authority's node: %v", m.err())
	}
}

func TestANodeStaysWhoItIs(t *testing.T) {
	paris := found("paris")
	first := enrol(paris, n1("paris"), noon)
	k := keeping(first)
	for want, c := range map[string]*Credentials{
		"use a certificate: it is that of node n2 of site paris, and this is node n1 of site paris": enrol(paris, Subject{"paris", Node, "n2"}, noon),
		"use a certificate: it is that of node n1 of site oslo, and this is node n1 of site paris":  enrol(found("oslo"), n1("oslo"), noon),
		"is not yet valid": enrol(paris, n1("paris"), noon.Add(day)),
	} {
		if err := k.Set(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if k.Current() != first {
			t.Error("a refused certificate is in use")
		}
	}
}
