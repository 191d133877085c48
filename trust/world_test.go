package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares sentences that people act on.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant, as in %s:\n%s", got, file, want)
	}
}

// noon is when these tests take place.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

const day = 24 * time.Hour

func n1(site string) Subject { return Subject{Site: site, Role: Node, Name: "n1"} }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func found(site string) Authority {
	return must(NewAuthority(site, "0b5e-"+site, noon.AddDate(-1, 0, 0)))
}

// enrol takes a node in, as a site does.
func enrol(a Authority, s Subject, now time.Time) *Credentials {
	key, request, err := NewRequest(s.Name)
	if err != nil {
		panic(err)
	}
	issued := must(a.Issue(request, s, []string{"127.0.0.1", "paris.example"}, now, 3*day))
	return &Credentials{Key: key, Certificate: issued, Authority: a.Certificate}
}

func keeping(c *Credentials) *Keeper {
	k := &Keeper{Time: atNoon}
	if err := k.Set(c); err != nil {
		panic(err)
	}
	return k
}

// signer has a certificate that need not be any good.
type signer struct {
	certificate *x509.Certificate
	key         crypto.Signer
	chain       [][]byte
}

func (a Authority) signer() *signer {
	c, key, err := a.open(noon)
	if err != nil {
		panic(err)
	}
	return &signer{c, key, [][]byte{a.Certificate}}
}

// forge makes a certificate as a node's, but for what edit changes. A nil
// signer signs itself.
func (s *signer) forge(edit func(c *x509.Certificate)) *signer {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := n1("paris").template(noon, noon.Add(day))
	template.BasicConstraintsValid, template.KeyUsage = true, x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if edit != nil {
		edit(template)
	}
	if s == nil {
		s = &signer{certificate: template, key: key}
	}
	der := must(x509.CreateCertificate(rand.Reader, template, s.certificate, key.Public(), s.key))
	return &signer{must(x509.ParseCertificate(der)), key, append([][]byte{der}, s.chain...)}
}

func (s *signer) pair() tls.Certificate {
	return tls.Certificate{Certificate: s.chain, PrivateKey: s.key}
}

// credentials are the signer's with an authority that it says it has.
func (s *signer) credentials(authority ...[]byte) *Credentials {
	c := &Credentials{Key: must(x509.MarshalPKCS8PrivateKey(s.key))}
	for _, der := range s.chain {
		c.Certificate = append(c.Certificate, der...)
	}
	for _, der := range authority {
		c.Authority = append(c.Authority, der...)
	}
	return c
}

// authorities makes the template of a certificate that of an authority.
func authorities(c *x509.Certificate) {
	c.IsCA, c.KeyUsage, c.URIs, c.ExtKeyUsage = true, x509.KeyUsageCertSign, nil, nil
	c.Subject.CommonName = "Example authority"
	c.NotAfter = noon.AddDate(1, 0, 0)
}

// showing is a client that takes any server and shows any certificate.
func showing(s *signer) *tls.Config {
	c := &tls.Config{Time: atNoon, InsecureSkipVerify: true}
	if s != nil {
		pair := s.pair()
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return c
}

// answering is a server that takes any client and shows any certificate.
func answering(s *signer) *tls.Config {
	return &tls.Config{Time: atNoon, Certificates: []tls.Certificate{s.pair()}, ClientAuth: tls.RequestClientCert}
}

// meeting is a connection that both ends made, or what they say of it.
type meeting struct {
	server, client       *tls.Conn
	serverErr, clientErr error
}

// meet lets two ends shake hands and exchange a byte: in TLS 1.3 a client
// learns that it was refused only when it reads.
func meet(t *testing.T, server, client *tls.Config) *meeting {
	t.Helper()
	a, b := pipe()
	m := &meeting{server: tls.Server(a, server), client: tls.Client(b, client)}
	t.Cleanup(func() { m.close() })
	var wg sync.WaitGroup
	wg.Go(func() {
		if m.serverErr = m.server.Handshake(); m.serverErr == nil {
			_, m.serverErr = m.server.Write([]byte("h"))
		}
	})
	var b1 [1]byte
	if m.clientErr = m.client.Handshake(); m.clientErr == nil {
		_, m.clientErr = m.client.Read(b1[:])
	}
	wg.Wait()
	return m
}

func (m *meeting) close() {
	_ = m.server.NetConn().Close()
	_ = m.client.NetConn().Close()
}

// talks tells whether a byte still gets through.
func (m *meeting) talks() error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = m.server.Write([]byte("h")) })
	_, err := m.client.Read(make([]byte, 1))
	return err
}

func (m *meeting) err() error { return errors.Join(m.serverErr, m.clientErr) }

// pipe is net.Pipe with room: an end that refuses says so while the other may
// still be writing.
func pipe() (net.Conn, net.Conn) {
	a, b := net.Pipe()
	return &roomy{Conn: a, out: queue(a)}, &roomy{Conn: b, out: queue(b)}
}

type roomy struct {
	net.Conn
	out    chan []byte
	closed sync.Once
}

func queue(c net.Conn) chan []byte {
	out := make(chan []byte, 100)
	go func() { // ends with the connection, which the test closes
		for p := range out {
			if _, err := c.Write(p); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				return
			}
		}
	}()
	return out
}

func (r *roomy) Write(p []byte) (int, error) {
	r.out <- append([]byte(nil), p...)
	return len(p), nil
}

func (r *roomy) Close() error {
	r.closed.Do(func() { close(r.out) })
	return r.Conn.Close()
}

// names replaces fingerprints, which differ in each run.
func names(pins map[string]Pin, text string) string {
	for name, pin := range pins {
		text = strings.ReplaceAll(text, pin.String(), "sha256:<"+name+">")
	}
	return text
}
