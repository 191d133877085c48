package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Pinned is for a client that knows a site by its authority's fingerprint. The
// far end must be a node whose chain, as it shows it, leads to a certificate
// with that fingerprint. The config's Time, if set before its first use, is the clock.
func Pinned(pin Pin) *tls.Config {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // of host names; what follows verifies all else
	}
	config.VerifyConnection = func(c tls.ConnectionState) error {
		now := time.Now
		if config.Time != nil {
			now = config.Time
		}
		return verifyPinned(pin, c.PeerCertificates, now())
	}
	return config
}

func verifyPinned(pin Pin, shown []*x509.Certificate, now time.Time) error {
	if len(shown) == 0 {
		return errors.New("no certificate was shown")
	}
	at := slices.IndexFunc(shown, func(c *x509.Certificate) bool { return PinOf(c.Raw) == pin })
	if at < 0 {
		return fmt.Errorf("this is not the site that is meant: its authority has the fingerprint %s, and %s is expected. "+
			"The address may be another site's, the site may have been founded anew, or someone is in between. "+
			"Send nothing there until an operator of the site has confirmed the fingerprint, and take a token that carries it", PinOf(shown[len(shown)-1].Raw), pin)
	}
	t := trusted{roots: x509.NewCertPool(), names: "the authority that is meant, " + pin.String(), now: now}
	t.roots.AddCert(shown[at])
	if _, err := t.verify(shown, x509.ExtKeyUsageServerAuth); err != nil {
		return err
	}
	s, err := SubjectOf(shown[0])
	if err != nil {
		return fmt.Errorf("%s is of no use here: %w", whose(shown[0]), err)
	}
	if s.Role != Node {
		return fmt.Errorf("%s answered, and a node is needed", s)
	}
	return nil
}

// WithRoots is for a client that has a file of authorities and verifies host
// names, as a browser does. What answers may then also be a proxy.
func WithRoots(pem []byte) (*tls.Config, error) {
	der, err := certificatesOf("the file of authorities", pem)
	if err != nil {
		return nil, err
	}
	all, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fmt.Errorf("read the file of authorities: %w", err)
	}
	roots := x509.NewCertPool()
	for _, c := range all {
		roots.AddCert(c)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, nil
}
