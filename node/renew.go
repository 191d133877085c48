package node

import (
	"context"
	"errors"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

const (
	renewInterval = time.Minute    // of looking whether it is time, and of trying again
	renewWarning  = 24 * time.Hour // before the end, from where each failed try is an error
)

// keepCertified renews this node's certificate long before it ends. One of the
// operator's own is read again when its files have changed.
func (n *Node) keepCertified(ctx context.Context) {
	tick := time.NewTicker(min(renewInterval, max(time.Second, n.cfg.CertificateLife/20)))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !n.secured() {
			continue
		}
		var err error
		if n.cfg.TLSCert != "" {
			err = n.reloadOwn()
		} else if time.Now().After(n.keeper.RenewAt()) {
			err = n.renew(ctx)
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		log := n.log.Warn
		if time.Until(n.keeper.Expires()) < renewWarning {
			log = n.log.Error
		}
		log("this node's certificate could not be renewed: it will not be heard after its end", "site", n.site(), "node", n.cfg.ID,
			"expires", n.keeper.Expires().UTC(), "err", err)
	}
}

func (n *Node) renew(ctx context.Context) error {
	key, request, err := trust.NewRequest(n.cfg.ID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, enrolTime)
	defer cancel()
	issued, err := n.certificateFor(ctx, recertification{Request: request, Hosts: n.hosts()})
	if err != nil {
		return err
	}
	c := &trust.Credentials{Key: key, Certificate: issued, Authority: n.keeper.Current().Authority}
	if err := n.ground.keepCredentials(c); err != nil {
		return err
	}
	if err := n.keeper.Set(c); err != nil {
		return err
	}
	n.log.Info("the certificate is renewed", "site", n.site(), "node", n.cfg.ID, "expires", n.keeper.Expires().UTC())
	return nil
}

// recertification asks for a certificate like the one that the caller shows.
type recertification struct {
	Request []byte   `json:"request"`
	Hosts   []string `json:"hosts"`
}

func (n *Node) certificateFor(ctx context.Context, r recertification) ([]byte, error) {
	if n.leadership.current.Load() != nil {
		return n.issue(n.cfg.ID, r.Request, r.Hosts)
	}
	leader, err := n.leaderScope(ctx)
	if err != nil {
		return nil, err
	}
	return transport.Await[[]byte](ctx, leader.Call("renew", r))
}

// renewAtLeader gives a node what it has already: the certificate with which
// it came says who it is.
func (n *Node) renewAtLeader(from caller) transport.Method {
	return transport.Method1(func(_ context.Context, r recertification) (any, error) {
		if n.leadership.current.Load() == nil {
			return nil, failure(leaderChanged, "%s does not lead (any more)", n.cfg.ID)
		}
		if _, member := (electorate{servers: n.configuration()}).find(from.node); !member {
			return nil, failure(forbidden, "%s is no member of site %s", from.node, n.site())
		}
		issued, err := n.issue(from.node, r.Request, r.Hosts)
		return issued, edge(err)
	})
}

// issue certifies a node in the name of the site's authority.
func (n *Node) issue(id string, request []byte, hosts []string) ([]byte, error) {
	certificate, key := n.machine.Table().Authority()
	if certificate == nil {
		return nil, failure(forbidden, "this site has no certificate authority")
	}
	authority := trust.Authority{Certificate: certificate, Key: key}
	return authority.Issue(request, trust.Subject{Site: n.site(), Role: trust.Node, Name: id}, hosts, time.Now(), n.cfg.CertificateLife)
}

// reissue makes this node a certificate where its own is expired, damaged or
// gone: it holds the site's authority in its log, and a whole site that was
// down for long would find no other.
func (n *Node) reissue(why error) (*trust.Credentials, error) {
	t, err := n.ground.table()
	if err != nil {
		return nil, why
	}
	certificate, authorityKey := t.Authority()
	if certificate == nil {
		return nil, why
	}
	c, err := n.certified(trust.Authority{Certificate: certificate, Key: authorityKey}, n.site())
	if err != nil {
		return nil, errors.Join(why, err)
	}
	if err := n.ground.keepCredentials(c); err != nil {
		return nil, errors.Join(why, err)
	}
	n.log.Warn("this node has made itself a new certificate", "site", n.site(), "node", n.cfg.ID, "why", why)
	return c, nil
}

// certified makes this node a key and a certificate, where it has the
// authority at hand.
func (n *Node) certified(authority trust.Authority, site string) (*trust.Credentials, error) {
	key, request, err := trust.NewRequest(n.cfg.ID)
	if err != nil {
		return nil, err
	}
	subject := trust.Subject{Site: site, Role: trust.Node, Name: n.cfg.ID}
	issued, err := authority.Issue(request, subject, n.hosts(), time.Now(), n.cfg.CertificateLife)
	if err != nil {
		return nil, err
	}
	return &trust.Credentials{Key: key, Certificate: issued, Authority: authority.Certificate}, nil
}

// reloadOwn takes over the operator's certificate when it has changed.
func (n *Node) reloadOwn() error {
	c, err := trust.LoadFiles(n.cfg.TLSCA, n.cfg.TLSCert, n.cfg.TLSKey, time.Now())
	if err != nil {
		return err
	}
	if string(c.Certificate) == string(n.keeper.Current().Certificate) {
		return nil
	}
	if err := n.keeper.Set(c); err != nil {
		return err
	}
	n.log.Info("the certificate has changed", "site", n.site(), "node", n.cfg.ID, "expires", n.keeper.Expires().UTC())
	return nil
}
