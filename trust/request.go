package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
)

// maxRequest holds a request with the largest key that is taken, and little
// else.
const maxRequest = 8 << 10

// NewRequest makes a node's key (PKCS#8, ECDSA on P-256) and its request for a
// certificate (PKCS#10 DER). The id is only for whoever looks at the request.
func NewRequest(id string) (key, request []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("request a certificate: %w", err)
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: id}}
	if request, err = x509.CreateCertificateRequest(rand.Reader, template, private); err != nil {
		return nil, nil, fmt.Errorf("request a certificate: %w", err)
	}
	if key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, nil, fmt.Errorf("request a certificate: %w", err)
	}
	return key, request, nil
}

// requested returns the public key of a request whose sender holds the private
// one.
func requested(request []byte) (crypto.PublicKey, error) {
	if len(request) > maxRequest {
		return nil, fmt.Errorf("request: has %d bytes, and %d are enough for any", len(request), maxRequest)
	}
	r, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, fmt.Errorf("request: cannot be read: %w", err)
	}
	// The key first: checking a signature with a monstrous key is work.
	if fault := keyFault(r.PublicKey); fault != "" {
		return nil, fmt.Errorf("request: its key %s", fault)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("request: its signature is not that of its key: %w", err)
	}
	return r.PublicKey, nil
}

// keyFault says why a public key is not taken, or nothing.
func keyFault(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		if bits := k.Curve.Params().BitSize; bits < 256 {
			return fmt.Sprintf("is weak: ECDSA with %d bits; use P-256", bits)
		}
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 2048 {
			return fmt.Sprintf("is weak: RSA with %d bits; use 2048 or more, or ECDSA on P-256", bits)
		} else if bits > 8192 {
			return fmt.Sprintf("is too large: RSA with %d bits; use 8192 or fewer, or ECDSA on P-256", bits)
		}
	case ed25519.PublicKey:
	default:
		return fmt.Sprintf("is of a kind that is not known (%T); use ECDSA on P-256, Ed25519 or RSA", public)
	}
	return ""
}

// parseKey reads a private key in PKCS#8, or in the older forms of RSA and
// ECDSA keys.
func parseKey(der []byte) (crypto.Signer, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if ec, ecErr := x509.ParseECPrivateKey(der); ecErr == nil {
			key, err = ec, nil
		} else if pkcs1, rsaErr := x509.ParsePKCS1PrivateKey(der); rsaErr == nil {
			key, err = pkcs1, nil
		}
	}
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it cannot sign; use ECDSA on P-256, Ed25519 or RSA")
	}
	if fault := keyFault(signer.Public()); fault != "" {
		return nil, errors.New("it " + fault)
	}
	return signer, nil
}

func belongs(key crypto.Signer, certificate *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(certificate.PublicKey)
}

func urls(s Subject) []*url.URL { return []*url.URL{s.url()} }
