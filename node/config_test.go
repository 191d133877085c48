package node

import (
	"context"
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/transport"
)

func valid() Config {
	return Config{
		ID: "a", Site: "paris", DataDir: "data",
		RPCAddr: "127.0.0.1:3000", RaftAddr: "127.0.0.1:3001", GossipAddr: "127.0.0.1:3002",
		Dial:    func(context.Context, string, *tls.Config) (transport.Conn, error) { return nil, nil },
		Upgrade: func(http.ResponseWriter, *http.Request) (transport.Conn, error) { return nil, nil },
	}
}

func TestABadSettingIsNamedWithTheWayOut(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*Config)
		want  []string
	}{
		"id":              {func(c *Config) { c.ID = "a b" }, []string{"--id", "CATALYST_NODE_ID", "letters"}},
		"site":            {func(c *Config) { c.Site = "a/b" }, []string{"--site", "CATALYST_SITE"}},
		"data dir":        {func(c *Config) { c.DataDir = "" }, []string{"--data-dir", "CATALYST_DATA_DIR"}},
		"address":         {func(c *Config) { c.RaftAddr = "3001" }, []string{"--raft-addr", "CATALYST_RAFT_ADDR", "host:port"}},
		"half of a pair":  {func(c *Config) { c.TLSCert = "node.pem" }, []string{"--tls-ca", "--tls-cert", "--tls-key"}},
		"gossip key":      {func(c *Config) { c.GossipKey = "short" }, []string{"--gossip-key", "CATALYST_GOSSIP_KEY", "base64"}},
		"certificates":    {func(c *Config) { c.CertificateLife = 1 }, []string{"--certificate-life", "10s"}},
		"two beginnings":  {func(c *Config) { c.Bootstrap, c.BootstrapExpect = true, 3 }, []string{"--bootstrap", "--bootstrap-expect"}},
		"found and join":  {func(c *Config) { c.Bootstrap, c.Join = true, []string{"10.0.0.1:3002"} }, []string{"--bootstrap", "--join"}},
		"negative expect": {func(c *Config) { c.BootstrapExpect = -1 }, []string{"--bootstrap-expect", "-1"}},
		"join":            {func(c *Config) { c.Join = []string{"paris"} }, []string{"--join", "CATALYST_JOIN", "host:port"}},
		"gateway":         {func(c *Config) { c.GatewayEndpoint = "http://localhost:4000" }, []string{"--gateway-endpoint", "ws://"}},
		"gateway's token": {func(c *Config) { c.GatewayToken = "two words" }, []string{"--gateway-token", "CATALYST_GQL_GATEWAY_TOKEN"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid()
			c.alter(&cfg)
			err := cfg.Validate()
			if err == nil {
				t.Fatal("it was accepted")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// A site in the open needs credentials. A node that waits for one obeys only
// its own machine, and may wait anywhere.
func TestASiteInTheOpenNeedsCredentials(t *testing.T) {
	everywhere := func(c *Config) { c.RPCAddr, c.Bootstrap = "0.0.0.0:3000", true }
	for name, c := range map[string]struct {
		alter           func(*Config)
		secured, member bool
		want            []string // of the refusal; none: it starts
	}{
		"founded without":         {everywhere, false, false, []string{"--rpc-addr", "CATALYST_RPC_ADDR", "0.0.0.0:3000", "--admin-token", "--insecure", "catalyst init"}},
		"gossip alone":            {func(c *Config) { c.GossipAddr, c.Bootstrap = ":3002", true }, false, false, []string{"--gossip-addr"}},
		"joins without":           {func(c *Config) { c.RaftAddr, c.Join = "0.0.0.0:1", []string{"10.0.0.1:3002"} }, false, false, []string{"--raft-addr"}},
		"was a member":            {func(c *Config) { c.RPCAddr = "0.0.0.0:3000" }, false, true, []string{"--rpc-addr"}},
		"certificates of its own": {func(c *Config) { everywhere(c); c.TLSCert = "node.pem" }, true, false, []string{"--admin-token"}},
		"waits":                   {func(c *Config) { c.RPCAddr = "0.0.0.0:3000" }, false, false, nil},
		"with a token":            {func(c *Config) { everywhere(c); c.AdminToken = "secret" }, false, false, nil},
		"insecure":                {func(c *Config) { everywhere(c); c.Insecure = true }, false, false, nil},
		"certificates of a site":  {func(c *Config) { c.RPCAddr = "0.0.0.0:3000" }, true, true, nil},
		"on loopback":             {func(c *Config) { c.Bootstrap = true }, false, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid()
			c.alter(&cfg)
			err := cfg.checkOpen(c.secured, c.member)
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want words of %v", err, c.want)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}
