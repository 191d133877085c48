package node

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/transport"
)

// Config says who a node is, where it listens and how it finds its site.
// The zero value of a duration or bound means its default.
type Config struct {
	ID      string   // unique in the site, stable over restarts; 1–64 of [A-Za-z0-9._-]
	Site    string   // the site's name, same alphabet; empty is what the data directory says, else "default"
	AS      uint32   // autonomous system of the fabric; peers must agree on it
	Domains []string // announced to peer sites

	DataDir    string // log, snapshots, node.json and addresses.json live here
	RPCAddr    string // host:port; port 0 means any free one, here and below
	RaftAddr   string
	GossipAddr string

	Bootstrap       bool     // this node starts a new site
	BootstrapExpect int      // the first N nodes that find each other start it; 0 is off
	Join            []string // gossip addresses of nodes of the site

	GatewayEndpoint string // Cap'n Web WebSocket of the GraphQL gateway; empty is off
	GatewayToken    string // what it is shown as a bearer token; empty is nothing
	PeeringEndpoint string // what peer sites dial; default from the RPC address
	PeeringSecret   string // what peer sites and collectors must show; empty: none may, unless it is configured with a secret
	RouteReflector  bool   // tell peer sites also what other peer sites announce (RFC 4456)

	AdminToken string // the node's own; empty in a site without credentials: every client is an admin, and only loopback may be listened on
	Insecure   bool   // listen elsewhere without a token all the same

	// An operator's own certificates, PEM: all three, or none for those that the
	// site issues. GossipKey is base64 of 16, 24 or 32 bytes, where init makes none.
	TLSCA, TLSCert, TLSKey string
	GossipKey              string
	Hosts                  []string      // more names and addresses for this node's certificate
	CertificateLife        time.Duration // of those that this node issues as leader; default 30 days

	SnapshotDir   string        // where this node leaves a snapshot from time to time; empty is nowhere
	SnapshotEvery time.Duration // default 1 h
	SnapshotKeep  int           // the newest ones that stay; default 24

	Version string
	Log     *slog.Logger
	// Abandon ends the process at once, without waiting for anything: the disk
	// hangs, and what waits for it would wait too. Nil ends only Run, if it can.
	Abandon func(error)

	// Dial and Upgrade make connections: node knows Cap'n Web, not WebSockets.
	// The configuration is for wss URLs; nil is the system's.
	Dial    func(ctx context.Context, url string, c *tls.Config) (transport.Conn, error)
	Upgrade func(w http.ResponseWriter, r *http.Request) (transport.Conn, error)
	// DialGateway is Dial with headers, for a gateway that wants GatewayToken.
	DialGateway func(ctx context.Context, url string, header http.Header) (transport.Conn, error)
	// Admit says why a batch must not be taken, as Upgrade does for a
	// WebSocket: it came from a foreign web page. Nil takes all.
	Admit func(r *http.Request) error

	// RaftTiming is the election timeout; heartbeats and leases follow from it. Default 300 ms.
	RaftTiming time.Duration
	// LeaderWait is how long a call waits for a leader to appear before it
	// rejects with no_leader. Default 2 s: an election takes about 0.5 s.
	LeaderWait time.Duration

	Level int // the newest feature level to know; 0 is all (fsm.Level)

	ground ground             // nil is the machine; simulations give memory
	tune   func(*raft.Config) // for simulations; may be nil
}

const (
	defaultRaftTiming = 300 * time.Millisecond
	defaultLeaderWait = 2 * time.Second
	defaultCertLife   = 30 * 24 * time.Hour
	leastCertLife     = 10 * time.Second
)

var nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate reports the first setting that cannot work, by flag and variable,
// with the way out, and fills in defaults.
func (c *Config) Validate() error {
	if !nodeName.MatchString(c.ID) {
		return fmt.Errorf(`--id (CATALYST_NODE_ID) is %q: use 1 to 64 of letters, digits, ".", "_", "-", starting with a letter or digit`, c.ID)
	}
	if c.Site != "" && !nodeName.MatchString(c.Site) {
		return fmt.Errorf(`--site (CATALYST_SITE) is %q: use 1 to 64 of letters, digits, ".", "_", "-", starting with a letter or digit`, c.Site)
	}
	if c.DataDir == "" {
		return errors.New("--data-dir (CATALYST_DATA_DIR) is empty: name a directory that this node may write")
	}
	if err := c.validateAddresses(); err != nil {
		return err
	}
	if err := c.validateFounding(); err != nil {
		return err
	}
	if err := c.validateCertificates(); err != nil {
		return err
	}
	if c.GatewayEndpoint != "" {
		u, err := url.Parse(c.GatewayEndpoint)
		if err != nil || u.Host == "" || (u.Scheme != "ws" && u.Scheme != "wss") {
			return fmt.Errorf("--gateway-endpoint (CATALYST_GQL_GATEWAY_ENDPOINT) is %q: give the gateway's WebSocket, as in ws://localhost:4000/api, or leave it empty to turn it off", c.GatewayEndpoint)
		}
	}
	if strings.ContainsFunc(c.GatewayToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("--gateway-token (CATALYST_GQL_GATEWAY_TOKEN) has a character that a header cannot hold: use printable ASCII without spaces")
	}
	if c.Dial == nil || c.Upgrade == nil || c.GatewayToken != "" && c.DialGateway == nil {
		return errors.New("node.Config needs Dial and Upgrade, and DialGateway for a token")
	}
	c.setDefaults()
	return nil
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.RaftTiming == 0 {
		c.RaftTiming = defaultRaftTiming
	}
	if c.LeaderWait == 0 {
		c.LeaderWait = defaultLeaderWait
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = time.Hour
	}
	if c.SnapshotKeep == 0 {
		c.SnapshotKeep = 24
	}
	if c.CertificateLife == 0 {
		c.CertificateLife = defaultCertLife
	}
}

// setting is a value with the names by which it is set.
type setting struct{ flag, variable, value string }

func (s setting) String() string { return fmt.Sprintf("%s (%s) is %s", s.flag, s.variable, s.value) }

func (c *Config) listeners() []setting {
	return []setting{
		{"--rpc-addr", "CATALYST_RPC_ADDR", c.RPCAddr},
		{"--raft-addr", "CATALYST_RAFT_ADDR", c.RaftAddr},
		{"--gossip-addr", "CATALYST_GOSSIP_ADDR", c.GossipAddr},
	}
}

func (c *Config) validateAddresses() error {
	for _, a := range c.listeners() {
		if _, _, err := net.SplitHostPort(a.value); err != nil {
			return fmt.Errorf("%s (%s) is %q: give host:port, as in 127.0.0.1:3000", a.flag, a.variable, a.value)
		}
	}
	return nil
}

// exposed says whether other machines can reach an address of this node.
func (c *Config) exposed() bool { return c.exposedBy() != nil }

func (c *Config) exposedBy() *setting {
	for _, a := range c.listeners() {
		if host, _, err := net.SplitHostPort(a.value); err == nil && !isLoopback(host) {
			return &a
		}
	}
	return nil
}

// checkOpen refuses a site in the open without credentials. A node that waits
// for one is no danger: it obeys its own machine alone.
func (c *Config) checkOpen(secured, member bool) error {
	by := c.exposedBy()
	waits := !c.Bootstrap && c.BootstrapExpect == 0 && len(c.Join) == 0 && !member
	if by == nil || c.AdminToken != "" || c.Insecure || waits || secured && c.TLSCert == "" {
		return nil
	}
	return badSetting("%s, which other machines can reach, and no admin token is set: anyone there could change the routes. "+
		"Start the node without --bootstrap and --join and found a secured site with `catalyst init`, or set --admin-token (CATALYST_ADMIN_TOKEN), "+
		"or listen on 127.0.0.1, or accept the risk with --insecure", by)
}

func (c *Config) validateCertificates() error {
	for _, file := range []string{c.TLSCA, c.TLSKey} {
		if (file == "") != (c.TLSCert == "") {
			return errors.New("--tls-ca, --tls-cert and --tls-key belong together: give all three, or none and let the site issue certificates (catalyst init)")
		}
	}
	if c.CertificateLife != 0 && c.CertificateLife < leastCertLife {
		return fmt.Errorf("--certificate-life (CATALYST_CERTIFICATE_LIFE) is %s: give at least %s", c.CertificateLife, leastCertLife)
	}
	if c.GossipKey != "" {
		_, err := readGossipKey(c.GossipKey)
		return err
	}
	return nil
}

// readGossipKey never repeats the key: it may be a good one with a slip.
func readGossipKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != 16 && len(key) != 24 && len(key) != 32 {
		return nil, errors.New("--gossip-key (CATALYST_GOSSIP_KEY) is no base64 of 16, 24 or 32 bytes: make one with `head -c 32 /dev/urandom | base64`, and give all nodes the same")
	}
	return key, nil
}

func (c *Config) validateFounding() error {
	switch {
	case c.BootstrapExpect < 0:
		return fmt.Errorf("--bootstrap-expect (CATALYST_BOOTSTRAP_EXPECT) is %d: give the number of nodes that start the site, or 0", c.BootstrapExpect)
	case c.Bootstrap && c.BootstrapExpect > 0:
		return errors.New("--bootstrap and --bootstrap-expect exclude each other: the first starts a site alone, the second together with others")
	case c.Bootstrap && len(c.Join) > 0:
		return errors.New("--bootstrap and --join exclude each other: the first starts a new site, the second joins one")
	}
	for _, a := range c.Join {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("--join (CATALYST_JOIN) has %q: give gossip addresses as host:port, as in 10.0.0.1:3002", a)
		}
	}
	return nil
}

// ErrSetting is what an error of Run is that a setting causes, which only the
// data directory shows to be wrong.
var ErrSetting = errors.New("bad setting")

type settingError struct{ text string }

func (e settingError) Error() string   { return e.text }
func (settingError) Is(err error) bool { return err == ErrSetting }

func badSetting(format string, args ...any) error { return settingError{fmt.Sprintf(format, args...)} }

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
