package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ErrExpired and ErrNotYetValid are what an error about a certificate's dates is.
var (
	ErrExpired     = errors.New("expired")
	ErrNotYetValid = errors.New("not yet valid")
)

// dated is a sentence about a certificate's dates.
type dated struct {
	sentence string
	kind     error
}

func (d dated) Error() string { return d.sentence }
func (d dated) Unwrap() error { return d.kind }

const dateForm = "2006-01-02 15:04:05 UTC"

// dateFault compares a certificate's dates with a clock.
func dateFault(whose string, c *x509.Certificate, now time.Time) error {
	here := now.UTC().Format(dateForm)
	switch {
	case now.Before(c.NotBefore):
		return dated{fmt.Sprintf("%s is not yet valid: it begins on %s, and here it is %s; check the clocks of both machines",
			whose, c.NotBefore.UTC().Format(dateForm), here), ErrNotYetValid}
	case now.After(c.NotAfter):
		return dated{fmt.Sprintf("%s expired on %s, and here it is %s; it must be renewed, unless this clock is wrong",
			whose, c.NotAfter.UTC().Format(dateForm), here), ErrExpired}
	}
	return nil
}

// whose names a certificate that may be a stranger's.
func whose(c *x509.Certificate) string {
	if s, err := SubjectOf(c); err == nil {
		return "the certificate of " + s.String()
	}
	return "the certificate " + short(c.Subject.CommonName)
}

// trusted is who a verifier takes an authority's word from.
type trusted struct {
	roots *x509.CertPool
	names string // for sentences: "this site's authority sha256:…"
	now   time.Time
}

// verify returns the chain from the first certificate to a trusted root. The
// rest of the certificates may be of help on the way.
func (t trusted) verify(certificates []*x509.Certificate, use x509.ExtKeyUsage) ([]*x509.Certificate, error) {
	leaf := certificates[0]
	helpers := x509.NewCertPool()
	for _, c := range certificates[1:] {
		helpers.AddCert(c)
	}
	options := x509.VerifyOptions{Roots: t.roots, Intermediates: helpers, CurrentTime: t.now, KeyUsages: []x509.ExtKeyUsage{use}}
	chains, err := leaf.Verify(options)
	if err != nil {
		return nil, t.explain(leaf, err)
	}
	return chains[0], nil
}

// explain turns x509's error into a sentence with a way out.
func (t trusted) explain(leaf *x509.Certificate, err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%s is not signed by %s: it is of another site, or this site was founded anew since", whose(leaf), t.names)
	case !errors.As(err, &invalid):
	case invalid.Reason == x509.Expired && invalid.Cert.Equal(leaf):
		return orElse(dateFault(whose(leaf), leaf, t.now), err)
	case invalid.Reason == x509.Expired:
		return fmt.Errorf("%s: %w", whose(leaf), orElse(dateFault(whose(invalid.Cert)+" that signed it", invalid.Cert, t.now), err))
	case invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("%s may not be used for this: its extended key usage must allow serverAuth and clientAuth for a node, clientAuth for a client", whose(leaf))
	case invalid.Reason == x509.CANotAuthorizedForThisName:
		return fmt.Errorf("%s is signed by an authority that may not speak for it: %w", whose(leaf), err)
	}
	return fmt.Errorf("%s: %w", whose(leaf), err)
}

// orElse keeps a refusal a refusal, should there be no better words for it.
func orElse(better, err error) error {
	if better != nil {
		return better
	}
	return err
}
