package main

import (
	"net"
	"slices"
	"testing"
)

// A node's names are those of the gateway in its process, at the gateway's port.
func TestNamesOfANodeAreItsGatewaysToo(t *testing.T) {
	got := alsoAt(&net.TCPAddr{IP: net.IPv4zero, Port: 4000}, []string{"node-1.example:3000", "[fd00::1]:3000", "bare"})
	want := []string{"node-1.example:3000", "[fd00::1]:3000", "bare", "node-1.example:4000", "[fd00::1]:4000"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := alsoAt(&net.TCPAddr{Port: 4000}, nil); len(got) != 0 {
		t.Errorf("of no names: got %v", got)
	}
}

// --embedded-gateway turns the default gateway off, and no other.
func TestAnEmbeddedGatewayIsEnough(t *testing.T) {
	for name, c := range map[string]struct {
		env  string
		args []string
		want string
	}{
		"neither":               {"", nil, gatewayDefault},
		"embedded":              {"", []string{"--embedded-gateway", "127.0.0.1:0"}, ""},
		"both":                  {"", []string{"--embedded-gateway", "127.0.0.1:0", "--gateway-endpoint", gatewayDefault}, gatewayDefault},
		"the other by variable": {gatewayDefault, []string{"--embedded-gateway", "127.0.0.1:0"}, gatewayDefault},
		"turned off":            {"", []string{"--gateway-endpoint="}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.env != "" {
				t.Setenv("CATALYST_GQL_GATEWAY_ENDPOINT", c.env)
			}
			f := &nodeFlags{}
			cmd := nodeCommand()
			cmd.ResetFlags()
			f.addFlags(cmd.Flags())
			if err := cmd.ParseFlags(append(c.args, "--id", "a")); err != nil {
				t.Fatal(err)
			}
			if err := readSettings(cmd); err != nil {
				t.Fatal(err)
			}
			if err := f.complete(t.Output()); err != nil {
				t.Fatal(err)
			}
			if f.GatewayEndpoint != c.want {
				t.Errorf("got %q, want %q", f.GatewayEndpoint, c.want)
			}
		})
	}
}
