package node

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/transport"
)

func valid() Config {
	return Config{
		ID: "a", Site: "paris", DataDir: "data",
		RPCAddr: "127.0.0.1:3000", RaftAddr: "127.0.0.1:3001", GossipAddr: "127.0.0.1:3002",
		Dial:    func(context.Context, string) (transport.Conn, error) { return nil, nil },
		Upgrade: func(http.ResponseWriter, *http.Request) (transport.Conn, error) { return nil, nil },
	}
}

func TestABadSettingIsNamedWithTheWayOut(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*Config)
		want  []string
	}{
		"id":              {func(c *Config) { c.ID = "a b" }, []string{"--id", "CATALYST_NODE_ID", "letters"}},
		"site":            {func(c *Config) { c.Site = "" }, []string{"--site", "CATALYST_SITE"}},
		"data dir":        {func(c *Config) { c.DataDir = "" }, []string{"--data-dir", "CATALYST_DATA_DIR"}},
		"address":         {func(c *Config) { c.RaftAddr = "3001" }, []string{"--raft-addr", "CATALYST_RAFT_ADDR", "host:port"}},
		"open listener":   {func(c *Config) { c.RPCAddr = "0.0.0.0:3000" }, []string{"--rpc-addr", "--admin-token", "--insecure"}},
		"open gossip":     {func(c *Config) { c.GossipAddr = ":3002" }, []string{"--gossip-addr", "--insecure"}},
		"two beginnings":  {func(c *Config) { c.Bootstrap, c.BootstrapExpect = true, 3 }, []string{"--bootstrap", "--bootstrap-expect"}},
		"found and join":  {func(c *Config) { c.Bootstrap, c.Join = true, []string{"10.0.0.1:3002"} }, []string{"--bootstrap", "--join"}},
		"negative expect": {func(c *Config) { c.BootstrapExpect = -1 }, []string{"--bootstrap-expect", "-1"}},
		"join":            {func(c *Config) { c.Join = []string{"paris"} }, []string{"--join", "CATALYST_JOIN", "host:port"}},
		"gateway":         {func(c *Config) { c.GatewayEndpoint = "http://localhost:4000" }, []string{"--gateway-endpoint", "ws://"}},
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

func TestATokenOrTheWordInsecureOpensListeners(t *testing.T) {
	for _, open := range []func(*Config){
		func(c *Config) { c.AdminToken = "secret" },
		func(c *Config) { c.Insecure = true },
	} {
		cfg := valid()
		cfg.RPCAddr = "0.0.0.0:3000"
		open(&cfg)
		if err := cfg.Validate(); err != nil {
			t.Error(err)
		}
	}
}
