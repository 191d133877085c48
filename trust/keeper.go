package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Keeper holds the credentials that a node uses now. Its tls.Configs ask it in
// each handshake, so that Set is all there is to a renewal.
type Keeper struct {
	now     func() time.Time
	current atomic.Pointer[identity]
}

// NewKeeper checks the credentials. A nil clock is time.Now; handshakes are
// judged by it too.
func NewKeeper(c Credentials, now func() time.Time) (*Keeper, error) {
	if now == nil {
		now = time.Now
	}
	i, err := c.open(inMemory, now())
	if err != nil {
		return nil, err
	}
	k := &Keeper{now: now}
	k.current.Store(i)
	return k, nil
}

// Set replaces the credentials, once they are found good and to be the same
// node's. Connections that exist are not touched.
func (k *Keeper) Set(c Credentials) error {
	i, err := c.open(inMemory, k.now())
	if err != nil {
		return fmt.Errorf("replace the certificate: %w", err)
	}
	if was := k.Subject(); i.subject != was {
		return fmt.Errorf("replace the certificate: it is that of %s, and this is %s", i.subject, was)
	}
	k.current.Store(i)
	return nil
}

// Current returns what is in use. It must not be altered.
func (k *Keeper) Current() *Credentials { return &k.current.Load().Credentials }

// Subject is who this node is. It never changes.
func (k *Keeper) Subject() Subject { return k.current.Load().subject }

// Pin is the fingerprint by which clients know the site: that of the authority
// at the end of the chain that this node shows.
func (k *Keeper) Pin() Pin { return k.current.Load().pin }

// Expires is when the certificate ends.
func (k *Keeper) Expires() time.Time { return k.current.Load().leaf.NotAfter }

// RenewAt is when it should be replaced: when two thirds of its life are over.
func (k *Keeper) RenewAt() time.Time {
	leaf := k.current.Load().leaf
	return leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 3 * 2)
}

// ServerRPC is for what clients and nodes dial. The chain that it shows ends
// with the authority, which a client may have pinned. Who shows a certificate
// must be of this site; PeerIdentity tells who it is.
func (k *Keeper) ServerRPC() *tls.Config {
	return k.server(func(t trusted, presented []*x509.Certificate) error {
		if len(presented) == 0 {
			return nil
		}
		_, err := k.member(t, presented, x509.ExtKeyUsageClientAuth)
		return err
	})
}

// ServerRaft is for what only nodes of this site may dial.
func (k *Keeper) ServerRaft() *tls.Config {
	return k.server(func(t trusted, presented []*x509.Certificate) error {
		if len(presented) == 0 {
			return fmt.Errorf("who dials showed no certificate, and only nodes of site %s speak Raft: let a client use the RPC address, and a node join the site first", k.Subject().Site)
		}
		s, err := k.member(t, presented, x509.ExtKeyUsageClientAuth)
		if err == nil && s.Role != Node {
			err = fmt.Errorf("certificate of %s %s cannot speak Raft: it has the role %s, and %s is needed", s.Role, s.Name, s.Role, Node)
		}
		return err
	})
}

// DialNode is for dialling a node of this site, id or with "" any. What it must
// show is a certificate of that name: its host name does not matter.
func (k *Keeper) DialNode(id string) *tls.Config {
	return &tls.Config{
		Time:       k.now,
		MinVersion: tls.VersionTLS13,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &k.current.Load().pair, nil
		},
		InsecureSkipVerify: true, // of host names; what follows verifies all else
		VerifyConnection: func(c tls.ConnectionState) error {
			s, err := k.member(k.trusted(), c.PeerCertificates, x509.ExtKeyUsageServerAuth)
			switch {
			case err != nil:
				return err
			case s.Role != Node:
				return fmt.Errorf("%s answered, and a node is needed", s)
			case id != "" && s.Name != id:
				return fmt.Errorf("node %s answered where node %s was dialled: the address has passed to it, or two nodes are told the same address", s.Name, id)
			}
			return nil
		},
	}
}

// PeerIdentity returns who is at the far end of a connection, if that showed a
// certificate which is good, at this site and now. It verifies it again, and
// therefore does not depend on which tls.Config the connection was made with.
func (k *Keeper) PeerIdentity(c tls.ConnectionState) (Subject, bool) {
	if len(c.PeerCertificates) == 0 {
		return Subject{}, false
	}
	s, err := k.member(k.trusted(), c.PeerCertificates, x509.ExtKeyUsageClientAuth)
	return s, err == nil
}

// server makes a config whose answers are those of the moment.
func (k *Keeper) server(admit func(t trusted, presented []*x509.Certificate) error) *tls.Config {
	one := func(*tls.ClientHelloInfo) (*tls.Config, error) {
		i := k.current.Load()
		return &tls.Config{
			Time:         k.now,
			MinVersion:   tls.VersionTLS13,
			NextProtos:   []string{"http/1.1"}, // WebSockets need it
			Certificates: []tls.Certificate{i.pair},
			ClientAuth:   tls.RequestClientCert, // admit verifies it, with better words than crypto/tls
			ClientCAs:    i.roots,
			VerifyConnection: func(c tls.ConnectionState) error {
				return admit(k.trustedBy(i), c.PeerCertificates)
			},
			// A ticket would outlive the authority that its holder was judged by.
			SessionTicketsDisabled: true,
		}, nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true, GetConfigForClient: one}
}

func (k *Keeper) trusted() trusted { return k.trustedBy(k.current.Load()) }

func (k *Keeper) trustedBy(i *identity) trusted {
	return trusted{roots: i.roots, names: "this site's authority " + i.pin.String(), now: k.now()}
}

// member returns whom certificates speak for, if they are of this site.
func (k *Keeper) member(t trusted, certificates []*x509.Certificate, use x509.ExtKeyUsage) (Subject, error) {
	if len(certificates) == 0 {
		return Subject{}, errors.New("no certificate was shown")
	}
	if _, err := t.verify(certificates, use); err != nil {
		return Subject{}, err
	}
	s, err := SubjectOf(certificates[0])
	if err != nil {
		return Subject{}, fmt.Errorf("%s: %w", whose(certificates[0]), err)
	}
	if site := k.Subject().Site; s.Site != site {
		return Subject{}, fmt.Errorf("%s cannot be used here: this is site %s", whose(certificates[0]), site)
	}
	return s, nil
}
