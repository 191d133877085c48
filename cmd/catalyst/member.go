package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// member is the contract's Member.
type member struct {
	ID      string `json:"id"`
	Role    string `json:"role"`
	State   string `json:"state"`
	RPC     string `json:"rpc"`
	Raft    string `json:"raft"`
	Gossip  string `json:"gossip"`
	Version string `json:"version"`
}

type memberList struct {
	Members []member `json:"members"`
}

func membersCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "members",
		Short: "The nodes of the site",
		Args:  want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.ask(cmd.Context(), method("listMembers"))
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l memberList) {
				if len(l.Members) == 0 {
					hint(cmd, "this node is in no site: catalyst join GOSSIP_ADDR takes it into one")
					return
				}
				var rows [][]string
				for _, m := range l.Members {
					rows = append(rows, []string{m.ID, m.Role, m.State, m.RPC, m.Raft, m.Gossip, m.Version})
				}
				table(cmd.OutOrStdout(), "ID ROLE STATE RPC RAFT GOSSIP VERSION", rows)
			})
		},
	}
}

func memberCommand(c *client) *cobra.Command {
	return group("member", "Change who belongs to the site and who votes",
		memberVerb(c, "remove", "Take a node out of the site", "removed", `A node that cannot be reached is taken out as well: that is what to do with a
machine that will not come back. A node that runs does better with catalyst leave.`),
		memberVerb(c, "promote", "Make a non-voter a voter", "votes now", ""),
		memberVerb(c, "demote", "Make a voter a non-voter", "no longer votes", "It stays a non-voter until it is promoted by hand."))
}

func memberVerb(c *client, verb, short, done, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Args:  want("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := action{Resource: "member", Action: verb, Data: map[string]any{"id": args[0]}}
			return c.act(cmd, a, func(r result) {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s%s\n", args[0], done, r.quorum())
			})
		},
	}
	if long != "" {
		cmd.Long = short + ". " + long
	}
	return cmd
}

// quorum is what the site survives after a change of its members.
func (r result) quorum() string {
	if r.Data.Voters == nil || r.Data.Tolerates == nil {
		return ""
	}
	return "; " + status{Leader: "some", Voters: *r.Data.Voters, Tolerates: *r.Data.Tolerates}.quorum()
}

func joinCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:     "join GOSSIP_ADDR",
		Short:   "Tell the waiting node at --address to join a site",
		Example: `  catalyst join 10.0.0.1:3002 --address 10.0.0.4:3000`,
		Args:    want("GOSSIP_ADDR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.theOne("join"); err != nil {
				return err
			}
			answer, err := c.ask(cmd.Context(), method("join", args[0]))
			return c.settle(cmd, answer, err, func(r result) {
				fmt.Fprintf(cmd.OutOrStdout(), "%s joined site %s; it votes when it has caught up\n", r.Data.ID, r.Data.Site)
			})
		},
	}
}

func leaveCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "leave",
		Short: "Take the node at --address out of its site, gracefully",
		Long: `Take the node at --address out of its site, gracefully: it hands over, the site
goes on without it, and its process ends. To end a process for a while, stop it instead.`,
		Example: `  catalyst leave --address 10.0.0.4:3000`,
		Args:    want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.theOne("leave"); err != nil {
				return err
			}
			answer, err := c.ask(cmd.Context(), method("leave"))
			return c.settle(cmd, answer, err, func(r result) {
				fmt.Fprintf(cmd.OutOrStdout(), "%s left%s\n", r.Data.ID, r.quorum())
			})
		},
	}
}
