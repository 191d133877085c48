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
func (c *Credentials) Check(now time.Time) error {
	_, err := c.open(inMemory, now)
	return err
}

// sources name the parts of credentials in errors, and remedy ends these.
type sources struct{ key, certificate, authority, remedy string }

var inMemory = sources{key: "key", certificate: "certificate", authority: "authority", remedy: "issue a new certificate for it"}

// identity is Credentials taken apart and found good.
type identity struct {
	credentials  *Credentials
	subject      Subject
	begins, ends time.Time
	pair         tls.Certificate // with all of the chain, so that a client can find its pin there
	roots        *x509.CertPool
	pin          Pin // of the authority that the leaf leads to
}

// open takes credentials apart. Each error names the part, what is wrong with
// it and the way out.
func (c *Credentials) open(from sources, now time.Time) (*identity, error) {
	key, err := parseKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("read %s: the key cannot be used: %w; %s", from.key, err, from.remedy)
	}
	chain, err := parseCertificates(from.certificate, c.Certificate, from.remedy)
	if err != nil {
		return nil, err
	}
	roots, err := parseAuthorities(from.authority, c.Authority, from.remedy)
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if !belongs(key, leaf) {
		return nil, fmt.Errorf("read %s: the key does not belong to the first certificate of %s; put the two together that were made together, or %s", from.key, from.certificate, from.remedy)
	}
	subject, err := nodeSubject(leaf)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; %s", from.certificate, err, from.remedy)
	}
	whole, err := leadsTo(roots, "an authority in "+from.authority, chain, now)
	if errors.Is(err, ErrNotYetValid) { // waiting or a right clock mends it
		return nil, fmt.Errorf("read %s: %w", from.certificate, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; %s", from.certificate, err, from.remedy)
	}
	pair := tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, c := range whole {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return &identity{credentials: c, subject: subject, begins: leaf.NotBefore, ends: leaf.NotAfter,
		pair: pair, roots: roots, pin: PinOf(whole[len(whole)-1].Raw)}, nil
}

func nodeSubject(leaf *x509.Certificate) (Subject, error) {
	s, err := SubjectOf(leaf)
	if err != nil {
		return s, fmt.Errorf("the certificate is not a node's: %w", err)
	}
	if s.Role != Node {
		return s, fmt.Errorf("it is %s, and must be that of a node", whose(leaf))
	}
	return s, nil
}

// leadsTo verifies a node's own chain for both of its uses: it answers, and it dials.
func leadsTo(roots *x509.CertPool, names string, chain []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	t := trusted{roots: roots, names: names, now: now}
	if _, err := t.verify(chain, x509.ExtKeyUsageClientAuth); err != nil {
		return nil, err
	}
	return t.verify(chain, x509.ExtKeyUsageServerAuth)
}

// member returns whom certificates speak for, if they are of this node's site.
func (i *identity) member(shown []*x509.Certificate, use x509.ExtKeyUsage, now time.Time) (Subject, error) {
	switch {
	case i.credentials == nil:
		return Subject{}, errNoCredentials
	case len(shown) == 0:
		return Subject{}, errors.New("no certificate was shown")
	}
	t := trusted{roots: i.roots, names: "this site's authority " + i.pin.String(), now: now}
	if _, err := t.verify(shown, use); err != nil {
		return Subject{}, err
	}
	s, err := SubjectOf(shown[0])
	if err != nil {
		return Subject{}, fmt.Errorf("%s is of no use here: %w", whose(shown[0]), err)
	}
	if s.Site != i.subject.Site {
		return Subject{}, fmt.Errorf("%s cannot be used here: this is site %s", whose(shown[0]), i.subject.Site)
	}
	return s, nil
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

func parseAuthorities(name string, der []byte, remedy string) (*x509.CertPool, error) {
	all, err := parseCertificates(name, der, remedy)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range all {
		if !c.IsCA {
			return nil, fmt.Errorf("read %s: %s is not that of an authority; put the authority's own certificate there", name, whose(c))
		}
		pool.AddCert(c)
	}
	return pool, nil
}
