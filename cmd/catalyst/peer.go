package main

import (
	"time"

	"github.com/spf13/cobra"
)

// peerConfig is the data of an action that configures a peer site.
type peerConfig struct {
	ID          string   `json:"id,omitempty"`
	Endpoints   []string `json:"endpoints"`
	Secret      string   `json:"secret,omitempty"`
	RestartTime int64    `json:"restartTime,omitempty"` // seconds
	MaxRoutes   uint32   `json:"maxRoutes,omitempty"`

	restart time.Duration
}

func peerCommand(c *client) *cobra.Command {
	return group("peer", "Peer sites that this site exchanges routes with",
		peerAdd(c), peerListCommand(c), peerShow(c), peerUpdate(c), peerRemove(c))
}

func peerAdd(c *client) *cobra.Command {
	p := &peerConfig{}
	cmd := &cobra.Command{
		Use:   "add ENDPOINT...",
		Short: "Configure a peer site",
		Long: `Configure a peer site. ENDPOINT is the WebSocket URL of any node of that site;
several are tried in turn. Doing it again with the same definition changes
nothing; another definition under the same ID is refused.`,
		Example: `  catalyst peer add ws://rome-1:3000/rpc ws://rome-2:3000/rpc --id rome
  CATALYST_PEER_SECRET=$(cat rome.secret) catalyst peer add ws://rome-1:3000/rpc --restart-time 10m`,
		Args: wantMore("ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Endpoints = args
			return p.send(cmd, c, "create", "configured")
		},
	}
	cmd.Flags().StringVar(&p.ID, "id", "", "`name` of the peer here; default from the first ENDPOINT")
	p.addFlags(cmd)
	return cmd
}

func peerUpdate(c *client) *cobra.Command {
	p := &peerConfig{}
	cmd := &cobra.Command{
		Use:   "update ID ENDPOINT...",
		Short: "Replace the definition of a peer site",
		Long: `Replace the definition of a peer site that is configured. What is not given is
not kept: name the secret and the other flags again.`,
		Example: `  catalyst peer update rome ws://rome-3:3000/rpc --max-routes 50000`,
		Args:    wantMore("ID", "ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.ID, p.Endpoints = args[0], args[1:]
			return p.send(cmd, c, "update", "updated")
		},
	}
	p.addFlags(cmd)
	return cmd
}

func (p *peerConfig) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.Secret, "secret", "", "`secret` shown to the peer, default this site's own; as a flag other users can read it (CATALYST_PEER_SECRET)")
	fromEnv(flags, "secret", "CATALYST_PEER_SECRET")
	flags.DurationVar(&p.restart, "restart-time", 2*time.Minute, "how long its routes stay while it is away, in whole seconds")
	flags.Uint32Var(&p.MaxRoutes, "max-routes", 0, "take at most `N` routes from it; 0 sets no limit")
}

// send leaves a restart time that was not asked for to the site: the default
// is the site's to change.
func (p *peerConfig) send(cmd *cobra.Command, c *client, verb, done string) error {
	if cmd.Flags().Changed("restart-time") {
		if p.restart < time.Second || p.restart%time.Second != 0 {
			return misused(cmd, "--restart-time is %s: want whole seconds, such as 90s or 2m", p.restart)
		}
		p.RestartTime = int64(p.restart / time.Second)
	}
	return c.act(cmd, action{Resource: "peer", Action: verb, Data: p}, func(r result) {
		printResult(cmd, done, r)
		hint(cmd, "catalyst peer list shows whether it is established")
	})
}

func peerRemove(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "remove ID|SITE",
		Short: "Remove a peer site and what was learned from it",
		Long: `Remove a peer site and what was learned from it. The session ends for good, and
the peer withdraws what it was told. This is no ban: a peer that has this site
configured dials again, and is let in while it knows this site's secret.`,
		Args: want("ID or SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := action{Resource: "peer", Action: "delete", Data: map[string]any{"id": args[0]}}
			return c.act(cmd, a, func(r result) { printResult(cmd, "removed", r) })
		},
	}
}
