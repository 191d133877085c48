package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/trust"
)

// toWaiting is an annotation of commands for a node that waits for a site.
// Such a node can have issued no token: it is shown none of a site.
const toWaiting = "to waiting"

// security is what the client shows to a node, and demands of it.
type security struct {
	scheme string       // of addresses without one
	tls    *tls.Config  // for wss; nil trusts the system's authorities
	pinned bool         // the token says whom to trust, so that it is shown to nobody else
	shown  string       // token given to connectionFromCli, if any
	joins  *trust.Token // a token with which nodes join
	waits  bool         // the command is for a node that waits for a site
}

// secure settles what the token and --ca-file mean for the connections.
func (c *client) secure(cmd *cobra.Command) error {
	c.security = security{scheme: "ws", shown: c.token, waits: cmd.Annotations[toWaiting] != ""}
	if err := c.readAuthorities(); err != nil || !trust.IsToken(c.token) {
		return err
	}
	token, err := trust.ParseToken(c.token)
	if err != nil {
		return unusable("it is one word, from cat_ or catjoin_ to its last letter; nothing was sent", "--token (CATALYST_TOKEN): %v", err)
	}
	switch {
	case token.Kind == trust.JoinToken && c.waits:
		c.shown, c.joins = "", &token
	case token.Kind == trust.JoinToken:
		return unusable("give a client's token, such as the one that catalyst init or catalyst token create printed",
			"--token (CATALYST_TOKEN) holds a join token: it lets nodes join the site and opens nothing else")
	case c.waits && cmd.Name() == "init":
		c.shown = ""
	case c.waits && !token.Pin.IsZero():
		return unusable("give the join token (catjoin_…) that catalyst init or catalyst token create --role join printed",
			"--token (CATALYST_TOKEN) holds a client's token: it opens a site, and takes no node into it")
	case !token.Pin.IsZero():
		c.scheme, c.pinned, c.tls = "wss", true, trust.Pinned(token.Pin)
	}
	return nil
}

// readAuthorities trusts what is in --ca-file beside the system's authorities.
func (c *client) readAuthorities() error {
	if c.caFile == "" {
		return nil
	}
	way := "name the PEM file with the site's authority, ca.pem in a node's data directory"
	pem, err := os.ReadFile(c.caFile)
	if err != nil {
		return unusable(way, "--ca-file (CATALYST_CA_FILE): %v", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a machine without authorities of its own
	}
	if !roots.AppendCertsFromPEM(pem) {
		return unusable(way, "--ca-file (CATALYST_CA_FILE): %s holds no certificate in PEM form", c.caFile)
	}
	c.scheme, c.tls = "wss", &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return nil
}

// refusePlain keeps a token from an address where anyone could read it, when
// it belongs to a site that speaks TLS.
func (s security) refusePlain(address string) error {
	if !s.pinned || strings.HasPrefix(address, "wss://") {
		return nil
	}
	return unusable("use "+strings.Replace(address, "ws://", "wss://", 1)+", or host:port without a scheme",
		"the token belongs to a site that speaks TLS, and %s is plain: nothing was sent", address)
}

// web makes the connections; nil does so as the system trusts.
func (s security) web() *http.Client {
	if s.tls == nil {
		return nil
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls}}
}

// distrust words what TLS, or the lack of it, kept from becoming a session,
// and the way out. Both are empty for other troubles.
func (s security) distrust(address string, err error) (said, way string) {
	if strings.HasPrefix(address, "ws://") {
		said, way = plainTrouble(err)
		if said != "" && s.waits {
			return "it speaks TLS, as a node does that is in a secured site already",
				"catalyst status, with a token of its site, shows which; for another site, stop it and start it with an empty --data-dir"
		}
		return said, way
	}
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		request *url.Error
	)
	_, alert, alerted := strings.Cut(err.Error(), ": tls: ") // of the other end, if nothing here says it better
	switch {
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "it speaks no TLS", useWS
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "it ends the connection when TLS begins, as a node does that speaks none", useWS
	case isNetwork(err):
		return "", ""
	case s.pinned && errors.As(err, &request):
		return oneLine(request.Err.Error()), "catalyst keys list, at a node of the site, shows its fingerprint and until when its certificates are valid"
	case errors.As(err, &unknown):
		return "its certificate is signed by an authority that is not trusted here",
			"give the site's authority with --ca-file (CATALYST_CA_FILE), or a token that carries its fingerprint (cat_…)"
	case errors.As(err, &name):
		return oneLine(name.Error()), "use an address that the certificate names, or a token that carries the fingerprint of the site's authority (cat_…)"
	case errors.As(err, &invalid):
		return oneLine(invalid.Error()), "compare the clocks of both machines; if they agree, that node does not renew its certificate: see catalyst doctor there"
	case errors.As(err, &request) && strings.Contains(request.Err.Error(), "tls: "):
		return oneLine(request.Err.Error()), ""
	case alerted:
		return "it refuses TLS with this client: " + oneLine(alert), "give the node's RPC address: at the Raft address, for one, nodes are among themselves"
	}
	return "", ""
}

const useWS = "if its site is not secured use ws://, and no token of another site; catalyst init founds a secured one"

// plainTrouble recognises a node that wants TLS by its answer to a plain request.
func plainTrouble(err error) (said, way string) {
	_, answer, refused := strings.Cut(oneLine(err.Error()), "the server answered 400 Bad Request: ")
	if refused && (strings.Contains(answer, "TLS") || strings.Contains(answer, "HTTPS")) {
		return "it speaks TLS, and says: " + answer, "use wss://, with a token that carries the authority's fingerprint (cat_…) or with --ca-file"
	}
	return "", ""
}

// dialFailed words why no session came about.
func (c *client) dialFailed(address string, err error) error {
	said, way := c.distrust(address, err)
	return &dialError{err: err, said: said, way: way}
}

// dialError says that no session came about, so nothing was asked.
type dialError struct {
	err  error
	said string // for a person, where TLS is the reason
	way  string // out of it
}

func (e *dialError) Error() string { return fmt.Sprintf("dial: %s", cmp.Or(e.said, e.err.Error())) }
func (e *dialError) Unwrap() error { return e.err }
