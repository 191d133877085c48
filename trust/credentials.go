package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Credentials are by what a node is known and whom it knows.
type Credentials struct {
	Key         []byte // PKCS#8
	Certificate []byte // DER; certificates between it and the authority may follow
	Authority   []byte // DER; several may stand one after the other, while one replaces another
}

// Check says what is wrong with the credentials at a time, or nothing. About
// dates its error is ErrExpired or ErrNotYetValid.
func (c Credentials) Check(now time.Time) error {
	_, err := c.open(inMemory, now)
	return err
}

// sources name the parts of credentials in errors, and remedy ends these.
type sources struct{ key, certificate, authority, remedy string }

var inMemory = sources{key: "key", certificate: "certificate", authority: "authority", remedy: "issue a new certificate for it"}

// identity is Credentials taken apart and found good.
type identity struct {
	Credentials
	subject Subject
	leaf    *x509.Certificate
	pair    tls.Certificate // with all of the chain, so that a client can find its pin there
	roots   *x509.CertPool
	pin     Pin // of the authority that the leaf leads to
}

// open takes credentials apart. Each error names the part, what is wrong with
// it and the way out.
func (c Credentials) open(from sources, now time.Time) (*identity, error) {
	key, err := parseKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("read %s: the key cannot be used: %w; %s", from.key, err, from.remedy)
	}
	chain, err := parseCertificates(from.certificate, c.Certificate, from.remedy)
	if err != nil {
		return nil, err
	}
	roots, err := parseCertificates(from.authority, c.Authority, from.remedy)
	if err != nil {
		return nil, err
	}
	i := &identity{Credentials: c, leaf: chain[0], roots: x509.NewCertPool()}
	for _, root := range roots {
		if !root.IsCA {
			return nil, fmt.Errorf("read %s: %s is not that of an authority; put the authority's own certificate there", from.authority, whose(root))
		}
		i.roots.AddCert(root)
	}
	if !belongs(key, i.leaf) {
		return nil, fmt.Errorf("read %s: the key does not belong to the first certificate of %s; put the two together that were made together, or %s", from.key, from.certificate, from.remedy)
	}
	if i.subject, err = SubjectOf(i.leaf); err != nil {
		return nil, fmt.Errorf("read %s: the certificate is not a node's: %w", from.certificate, err)
	}
	if i.subject.Role != Node {
		return nil, fmt.Errorf("read %s: it is %s, and must be that of a node; %s", from.certificate, whose(i.leaf), from.remedy)
	}
	way := trusted{roots: i.roots, names: "an authority in " + from.authority, now: now}
	whole, err := way.verify(chain, x509.ExtKeyUsageServerAuth)
	if err == nil {
		_, err = way.verify(chain, x509.ExtKeyUsageClientAuth)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; %s", from.certificate, err, from.remedy)
	}
	i.pair = tls.Certificate{PrivateKey: key, Leaf: i.leaf}
	for _, c := range whole {
		i.pair.Certificate = append(i.pair.Certificate, c.Raw)
	}
	i.pin = PinOf(whole[len(whole)-1].Raw)
	return i, nil
}

func parseCertificates(name string, der []byte, remedy string) ([]*x509.Certificate, error) {
	all, err := x509.ParseCertificates(der)
	if err == nil && len(all) == 0 {
		err = errors.New("there is no certificate in it")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; %s", name, err, remedy)
	}
	return all, nil
}
