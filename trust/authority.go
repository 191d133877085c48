package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"time"
)

const (
	authorityYears = 10
	// clockSkew is by how much the clock of who verifies a new certificate may
	// be behind that of who signed it.
	clockSkew = 5 * time.Minute
	maxHosts  = 64
)

// Authority is a site's certificate authority.
type Authority struct {
	Certificate []byte // DER
	Key         []byte // PKCS#8; who has it can be any node of the site
}

// NewAuthority founds the authority of a site, for 10 years. siteID is the
// site's own UUID: it tells apart sites of one name.
//
// The authority may sign certificates of clients and servers and no further
// authority, and only for subjects of its site.
func NewAuthority(site, siteID string, now time.Time) (Authority, error) {
	s := Subject{Site: site, Role: authority, Name: siteID}
	if fault := s.fault(); fault != "" {
		return Authority{}, fmt.Errorf("found an authority: %s", fault)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, fmt.Errorf("found an authority: %w", err)
	}
	template := s.template(now, now.AddDate(authorityYears, 0, 0))
	template.Subject.CommonName = "Catalyst authority"
	template.Subject.SerialNumber = siteID
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	// Nodes may have any host name, so only the subject can be constrained. An
	// address as a site's name cannot be: x509 then refuses all of its URIs.
	if _, err := netip.ParseAddr(site); err != nil {
		template.PermittedDNSDomainsCritical, template.PermittedURIDomains = true, []string{site}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return Authority{}, fmt.Errorf("found an authority: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Authority{}, fmt.Errorf("found an authority: %w", err)
	}
	return Authority{Certificate: der, Key: pkcs8}, nil
}

// template is what all certificates have in common.
func (s Subject) template(now, end time.Time) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial)
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{Organization: []string{s.Site}, CommonName: s.Name},
		URIs:         urls(s),
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     end,
	}
}

// Pin is the fingerprint by which others know the authority.
func (a Authority) Pin() Pin { return PinOf(a.Certificate) }

// Issue certifies that the request's key is the subject's. Of the request it
// takes the public key alone, and that only with proof that its sender holds
// the private one. Hosts are the DNS names and addresses under which the
// subject can be reached. Validity is cut to the authority's own.
//
// It returns the certificate in DER.
func (a Authority) Issue(request []byte, s Subject, hosts []string, now time.Time, validity time.Duration) ([]byte, error) {
	der, err := a.issue(request, s, hosts, now, validity)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", s, err)
	}
	return der, nil
}

func (a Authority) issue(request []byte, s Subject, hosts []string, now time.Time, validity time.Duration) ([]byte, error) {
	public, err := requested(request)
	if err != nil {
		return nil, err
	}
	own, key, err := a.open(now)
	if err != nil {
		return nil, err
	}
	if fault := s.fault(); fault != "" {
		return nil, errors.New(fault)
	}
	if validity <= 0 {
		return nil, fmt.Errorf("validity: is %s, and must be more than nothing", validity)
	}
	end := now.Add(validity)
	if end.After(own.NotAfter) {
		end = own.NotAfter
	}
	template := s.template(now, end)
	template.KeyUsage, template.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	switch home, _ := carried(own); {
	case home.Site != s.Site:
		return nil, fmt.Errorf("site: this is the authority of site %s, which certifies no other's nodes", home.Site)
	case s.Role == Node:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	case s.Role == Client:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	default:
		return nil, fmt.Errorf("role: %q cannot be issued; node and client can", s.Role)
	}
	if template.DNSNames, template.IPAddresses, err = alternatives(hosts); err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, template, own, public, key)
}

// open returns the authority's certificate and key, once they are found to be
// one authority's, and to be in force.
func (a Authority) open(now time.Time) (*x509.Certificate, crypto.Signer, error) {
	certificate, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	if s, err := carried(certificate); err != nil || s.Role != authority || !certificate.IsCA {
		return nil, nil, errors.New("read the authority's certificate: it is not that of a site's authority")
	}
	key, err := parseKey(a.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("read the authority's key: %w", err)
	}
	if !belongs(key, certificate) {
		return nil, nil, errors.New("read the authority's key: it does not belong to the authority's certificate")
	}
	if err := dateFault("the site's authority", certificate, now); err != nil {
		return nil, nil, err
	}
	return certificate, key, nil
}

// alternatives sorts hosts into DNS names and addresses.
func alternatives(hosts []string) (names []string, addresses []net.IP, err error) {
	if len(hosts) > maxHosts {
		return nil, nil, fmt.Errorf("hosts: are %d, and at most %d fit into a certificate", len(hosts), maxHosts)
	}
	for _, host := range hosts {
		address, notAddress := netip.ParseAddr(host)
		switch {
		case notAddress == nil && (address.IsUnspecified() || address.Zone() != ""):
			return nil, nil, fmt.Errorf("hosts: nobody else can dial %s; name the address or host name that others use", host)
		case notAddress == nil:
			addresses = append(addresses, address.Unmap().AsSlice())
		case !isHostName(host):
			return nil, nil, fmt.Errorf("hosts: %s is neither a host name nor an address; give it without scheme and port", short(host))
		default:
			names = append(names, host)
		}
	}
	return names, addresses, nil
}

func isHostName(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || nameFault("", label) != "" {
			return false
		}
	}
	return true
}
