package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnAuthorityIsOfItsSite(t *testing.T) {
	a := must(NewAuthority("paris", "0b5e", noon))
	c := must(x509.ParseCertificate(a.Certificate))
	if !c.IsCA || !c.MaxPathLenZero || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("it is no authority of nodes alone: %+v", c)
	}
	if !slices.Equal(c.PermittedURIDomains, []string{"paris"}) || !c.PermittedDNSDomainsCritical {
		t.Errorf("it may speak for %q", c.PermittedURIDomains)
	}
	if want := noon.AddDate(10, 0, 0); !c.NotAfter.Equal(want) {
		t.Errorf("it ends at %s, want %s", c.NotAfter, want)
	}
	if b := must(NewAuthority("paris", "0b5e", noon)); b.Pin() == a.Pin() {
		t.Error("two authorities are one")
	}
	for _, site := range []string{"", "a b", "päris", ".paris", "paris.", "pa..ris", strings.Repeat("p", 65)} {
		if _, err := NewAuthority(site, "0b5e", noon); err == nil || !strings.Contains(err.Error(), "found an authority: site: ") {
			t.Errorf("site %q: got %v", site, err)
		}
	}
}

// A site's name may look like an address, which no URI constraint can hold.
func TestASiteNamedLikeAnAddress(t *testing.T) {
	for _, site := range []string{"10.0.0.1", "Paris_1.example", "x", strings.Repeat("p", 64)} {
		a := must(NewAuthority(site, "0b5e", noon))
		if err := enrol(a, n1(site), noon).Check(noon); err != nil {
			t.Errorf("%s: %v", site, err)
		}
	}
}

func TestWhatIsIssued(t *testing.T) {
	paris := found("paris")
	_, request, err := NewRequest("whoever")
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"10.0.0.1", "::1", "n1.paris.example", "localhost"}
	c := must(x509.ParseCertificate(must(paris.Issue(request, n1("paris"), hosts, noon, 3*day))))
	if s, err := SubjectOf(c); err != nil || s != n1("paris") || len(c.URIs) != 1 || c.URIs[0].String() != "catalyst://paris/node/n1" {
		t.Errorf("the subject is %v, %v in %v", s, err, c.URIs)
	}
	if want := []string{"n1.paris.example", "localhost"}; !slices.Equal(c.DNSNames, want) {
		t.Errorf("DNS names %q, want %q", c.DNSNames, want)
	}
	if len(c.IPAddresses) != 2 || !c.IPAddresses[0].Equal(net.IPv4(10, 0, 0, 1)) || !c.IPAddresses[1].Equal(net.IPv6loopback) {
		t.Errorf("addresses %v", c.IPAddresses)
	}
	if want := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}; !slices.Equal(c.ExtKeyUsage, want) {
		t.Errorf("a node's usage is %v, want %v", c.ExtKeyUsage, want)
	}
	if !c.NotBefore.Equal(noon.Add(-5*time.Minute)) || !c.NotAfter.Equal(noon.Add(3*day)) || c.IsCA {
		t.Errorf("from %s to %s, authority %v", c.NotBefore, c.NotAfter, c.IsCA)
	}
	ops := must(x509.ParseCertificate(must(paris.Issue(request, Subject{"paris", Client, "ops"}, nil, noon, day))))
	if want := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}; !slices.Equal(ops.ExtKeyUsage, want) {
		t.Errorf("a client's usage is %v, want %v", ops.ExtKeyUsage, want)
	}
	if bits := c.SerialNumber.BitLen(); bits < 100 || c.SerialNumber.Cmp(ops.SerialNumber) == 0 {
		t.Errorf("serial numbers are %v and %v", c.SerialNumber, ops.SerialNumber)
	}
}

func TestACertificateEndsWithItsAuthority(t *testing.T) {
	a := must(NewAuthority("paris", "0b5e", noon))
	_, request, _ := NewRequest("n1")
	late := noon.AddDate(10, 0, 0).Add(-time.Hour)
	c := must(x509.ParseCertificate(must(a.Issue(request, n1("paris"), nil, late, 3*day))))
	if want := late.Add(time.Hour); !c.NotAfter.Equal(want) {
		t.Errorf("it ends at %s, want %s", c.NotAfter, want)
	}
	if _, err := a.Issue(request, n1("paris"), nil, late.Add(2*time.Hour), day); err == nil || !strings.Contains(err.Error(), "the site's authority expired on") {
		t.Errorf("after its end: got %v", err)
	}
}

// request asks with any key for more than its sender is.
func request(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:        pkix.Name{CommonName: "n2", Organization: []string{"oslo"}},
		DNSNames:       []string{"bank.example"},
		URIs:           urls(Subject{"paris", Node, "n2"}),
		EmailAddresses: []string{"root@bank.example"},
		IPAddresses:    []net.IP{net.IPv4(9, 9, 9, 9)},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestARequestGivesItsKeyAndNoName(t *testing.T) {
	paris := found("paris")
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, key := range map[string]crypto.Signer{
		"P-256":   must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"P-521":   must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)),
		"Ed25519": ed,
		"RSA":     must(rsa.GenerateKey(rand.Reader, 2048)),
	} {
		issued, err := paris.Issue(request(t, key), n1("paris"), nil, noon, day)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := must(x509.ParseCertificate(issued))
		if !belongs(key, c) {
			t.Errorf("%s: the certificate is for another key", name)
		}
		if s, err := SubjectOf(c); err != nil || s != n1("paris") {
			t.Errorf("%s: it speaks for %v, %v", name, s, err)
		}
		if len(c.DNSNames)+len(c.EmailAddresses)+len(c.IPAddresses) > 0 || c.Subject.CommonName != "n1" || c.Subject.Organization[0] != "paris" {
			t.Errorf("%s: the request's names are in it: %+v", name, c.Subject)
		}
	}
}

func TestWhatIsNotIssued(t *testing.T) {
	paris := found("paris")
	_, good, err := NewRequest("n1")
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	_, other, _ := NewRequest("n1")
	// The key of one request in the place of another's.
	ours, theirs := must(x509.ParseCertificateRequest(good)), must(x509.ParseCertificateRequest(other))
	swapped := bytes.Replace(good, ours.RawSubjectPublicKeyInfo, theirs.RawSubjectPublicKeyInfo, 1)
	p224 := request(t, must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)))
	weak := request(t, must(rsa.GenerateKey(rand.Reader, 1024)))
	long := slices.Repeat([]string{"n1"}, 65)
	mixed := Authority{Certificate: paris.Certificate, Key: found("paris").Key}
	leaf := enrol(paris, n1("paris"), noon)

	for _, test := range []struct {
		name      string
		authority Authority
		request   []byte
		subject   Subject
		hosts     []string
		validity  time.Duration
		want      string
	}{
		{"a forged signature", paris, forged, n1("paris"), nil, day, "request: its signature is not that of its key"},
		{"somebody else's key", paris, swapped, n1("paris"), nil, day, "request: its signature is not that of its key"},
		{"P-224", paris, p224, n1("paris"), nil, day, "request: its key is weak: ECDSA with 224 bits; use P-256"},
		{"RSA with 1024 bits", paris, weak, n1("paris"), nil, day, "request: its key is weak: RSA with 1024 bits; use 2048 or more"},
		{"nonsense", paris, []byte("nonsense"), n1("paris"), nil, day, "request: cannot be read"},
		{"nothing", paris, nil, n1("paris"), nil, day, "request: cannot be read"},
		{"a request and more", paris, append(bytes.Clone(good), 0), n1("paris"), nil, day, "request: cannot be read"},
		{"very much", paris, make([]byte, 1<<20), n1("paris"), nil, day, "request: has 1048576 bytes"},
		{"another site", paris, good, n1("oslo"), nil, day, "site: this is the authority of site paris, which certifies no other's nodes"},
		{"an authority", paris, good, Subject{"paris", authority, "n1"}, nil, day, `role: "authority" cannot be issued; node and client can`},
		{"no name", paris, good, Subject{"paris", Node, ""}, nil, day, "node: is empty"},
		{"a name that is none", paris, good, Subject{"paris", Node, "n1/../n2"}, nil, day, "is not a name"},
		{"no validity", paris, good, n1("paris"), nil, 0, "validity: is 0s"},
		{"a URL for a host", paris, good, n1("paris"), []string{"http://n1"}, day, "hosts: \"http://n1\" is neither a host name nor an address; give it without scheme and port"},
		{"a port", paris, good, n1("paris"), []string{"n1:3000"}, day, "hosts: \"n1:3000\" is neither"},
		{"a wildcard", paris, good, n1("paris"), []string{"*.example"}, day, "hosts: \"*.example\" is neither"},
		{"an empty label", paris, good, n1("paris"), []string{"n1..example"}, day, "hosts: \"n1..example\" is neither"},
		{"any address", paris, good, n1("paris"), []string{"0.0.0.0"}, day, "hosts: nobody else can dial 0.0.0.0"},
		{"a zone", paris, good, n1("paris"), []string{"fe80::1%eth0"}, day, "hosts: nobody else can dial fe80::1%eth0"},
		{"many hosts", paris, good, n1("paris"), long, day, "hosts: are 65, and at most 64"},
		{"another authority's key", mixed, good, n1("paris"), nil, day, "the authority's key: it does not belong to the authority's certificate"},
		{"a leaf for an authority", Authority{leaf.Certificate, leaf.Key}, good, n1("paris"), nil, day, "it is not that of a site's authority"},
		{"no authority", Authority{}, good, n1("paris"), nil, day, "read the authority's certificate"},
	} {
		_, err := test.authority.Issue(test.request, test.subject, test.hosts, noon, test.validity)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "issue a certificate for "+test.subject.String()+": ") {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
	if fault := keyFault("a key of another kind"); !strings.Contains(fault, "not known") {
		t.Errorf("a key of another kind: %q", fault)
	}
}
