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
// each handshake, so that Set is all there is to a renewal. The zero Keeper is
// that of a node that was not taken into a site yet: it refuses each handshake.
type Keeper struct {
	// Time is the clock by which certificates are judged; nil is time.Now. It
	// is set before the Keeper is used.
	Time func() time.Time

	current atomic.Pointer[identity]
}

var errNoCredentials = errors.New("this node has no certificate yet: let it join a site first")

// Set replaces the credentials, once they are found good and to be the same
// node's. Connections that exist are not touched. The credentials must not be
// altered after.
func (k *Keeper) Set(c *Credentials) error {
	next, err := c.open(inMemory, k.now())
	if err != nil {
		return fmt.Errorf("use a certificate: %w", err)
	}
	if was := k.current.Load(); was != nil && next.subject != was.subject {
		return fmt.Errorf("use a certificate: it is that of %s, and this is %s", next.subject, was.subject)
	}
	k.current.Store(next)
	return nil
}

// Current returns what is in use, nil before the first Set. It must not be altered.
func (k *Keeper) Current() *Credentials { return k.load().credentials }

// Subject is who this node is, from the first Set on.
func (k *Keeper) Subject() Subject { return k.load().subject }

// Pin is the fingerprint by which clients know the site: that of the authority
// at the end of the chain that this node shows.
func (k *Keeper) Pin() Pin { return k.load().pin }

// Expires is when the certificate ends; zero when there is none.
func (k *Keeper) Expires() time.Time { return k.load().ends }

// RenewAt is when it should be replaced: when two thirds of its life are over.
func (k *Keeper) RenewAt() time.Time {
	i := k.load()
	return i.begins.Add(i.ends.Sub(i.begins) / 3 * 2)
}

// load returns the present identity, or one of nobody.
func (k *Keeper) load() *identity {
	if i := k.current.Load(); i != nil {
		return i
	}
	return new(identity)
}

func (k *Keeper) now() time.Time {
	if k.Time != nil {
		return k.Time()
	}
	return time.Now()
}

// ServerRPC is for what clients and nodes dial. The chain that it shows ends
// with the authority, which a client may have pinned. Who shows a certificate
// must be of this site; PeerIdentity tells who it is.
func (k *Keeper) ServerRPC() *tls.Config {
	return k.server(func(i *identity, presented []*x509.Certificate) error {
		if len(presented) == 0 {
			return nil
		}
		_, err := i.member(presented, x509.ExtKeyUsageClientAuth, k.now())
		return err
	})
}

// ServerRaft is for what only nodes of this site may dial.
func (k *Keeper) ServerRaft() *tls.Config {
	return k.server(func(i *identity, presented []*x509.Certificate) error {
		if len(presented) == 0 {
			return fmt.Errorf("who dialled showed no certificate, and only nodes of site %s speak Raft: a client is to use the RPC address, and a node to join the site first", i.subject.Site)
		}
		s, err := i.member(presented, x509.ExtKeyUsageClientAuth, k.now())
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
			return &k.load().pair, nil
		},
		InsecureSkipVerify: true, // of host names; what follows verifies all else
		VerifyConnection: func(c tls.ConnectionState) error {
			s, err := k.load().member(c.PeerCertificates, x509.ExtKeyUsageServerAuth, k.now())
			switch {
			case err != nil:
				return err
			case s.Role != Node:
				return fmt.Errorf("%s answered, and a node is needed", s)
			case id != "" && s.Name != id:
				return fmt.Errorf("node %s answered where node %s was dialled: the address has passed to it, or both were given the same", s.Name, id)
			}
			return nil
		},
	}
}

// PeerIdentity returns who is at the far end of a connection, if that showed a
// certificate which is good, at this site and now. It verifies it again, and
// so does not depend on which tls.Config the connection was made with.
func (k *Keeper) PeerIdentity(c tls.ConnectionState) (Subject, bool) {
	s, err := k.load().member(c.PeerCertificates, x509.ExtKeyUsageClientAuth, k.now())
	return s, err == nil
}

// server makes a config whose answers are those of the moment.
func (k *Keeper) server(admit func(i *identity, presented []*x509.Certificate) error) *tls.Config {
	// A ticket would outlive the authority that its holder was judged by.
	common := tls.Config{Time: k.now, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
	common.NextProtos = []string{"http/1.1"} // WebSockets need it
	outer := common.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		i := k.current.Load()
		if i == nil {
			return nil, errNoCredentials
		}
		inner := common.Clone()
		inner.Certificates = []tls.Certificate{i.pair}
		// Asked for only: admit verifies, and says more than crypto/tls would.
		inner.ClientAuth, inner.ClientCAs = tls.RequestClientCert, i.roots
		inner.VerifyConnection = func(c tls.ConnectionState) error { return admit(i, c.PeerCertificates) }
		return inner, nil
	}
	return outer
}
