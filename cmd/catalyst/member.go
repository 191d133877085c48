package main

import (
	"fmt"
	"io"

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
	Level   int    `json:"level"`
	Problem string `json:"problem"`
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
					hint(cmd, "this node is in no site: catalyst join ADDR takes it into one, catalyst init founds one")
					return
				}
				l.print(cmd.OutOrStdout())
			})
		},
	}
}

func (l memberList) print(w io.Writer) {
	header, mixed := "ID ROLE STATE RPC RAFT GOSSIP VERSION", l.mixed()
	if mixed {
		header += " LEVEL"
	}
	var rows [][]string
	for _, m := range l.Members {
		row := []string{m.ID, m.Role, m.State, m.RPC, m.Raft, m.Gossip, m.Version}
		if mixed {
			row = append(row, some(uint64(m.Level)))
		}
		rows = append(rows, row)
	}
	table(w, header, rows)
	for _, m := range l.Members {
		if m.Problem != "" {
			fmt.Fprintf(w, "%s: %s\n", m.ID, oneLine(m.Problem))
		}
	}
}

// mixed tells whether the nodes are of different feature levels, as in the
// middle of an upgrade.
func (l memberList) mixed() bool {
	levels := map[int]bool{}
	for _, m := range l.Members {
		if m.Level != 0 {
			levels[m.Level] = true
		}
	}
	return len(levels) > 1
}

func memberCommand(c *client) *cobra.Command {
	return group("member", "Change who belongs to the site and who votes",
		memberVerb(c, "remove", "Take a node out of the site", verb{"removed", "would be removed"}, `A node that cannot be reached is taken out as
well: that is what to do with a machine that will not come back, or has lost its
data. A node that runs does better with catalyst leave.`),
		memberVerb(c, "promote", "Make a non-voter a voter", verb{"votes now", "would vote"}, ""),
		memberVerb(c, "demote", "Make a voter a non-voter", verb{"no longer votes", "would no longer vote"}, "It stays a non-voter until it is promoted by hand."))
}

// change is what a command that changes the site's members was told.
type change struct {
	dryRun, force bool
}

func (f *change) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would become of the site, and change nothing")
	forceFlag(cmd, &f.force)
}

func forceFlag(cmd *cobra.Command, force *bool) {
	cmd.Flags().BoolVar(force, "force", false, "do it in spite of a refusal that names this flag")
}

// data is what the node is told, beside whom it is about.
func (f change) data() map[string]any {
	data := map[string]any{}
	if f.dryRun {
		data["dryRun"] = true
	}
	if f.force {
		data["force"] = true
	}
	return data
}

// print says what was done to id, or would be.
func (f change) print(cmd *cobra.Command, id string, v verb, r result) {
	if r.Data.DryRun {
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s%s; nothing was changed\n", id, v.would, r.effect())
		return
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s %s%s\n", id, v.done, r.effect())
	if f.dryRun {
		hint(cmd, "it was done, in spite of --dry-run: the node is of a version that knows none")
	}
}

// verb is what a member's change is called when it is done, and before.
type verb struct{ done, would string }

func memberVerb(c *client, name, short string, v verb, long string) *cobra.Command {
	f := &change{}
	cmd := &cobra.Command{
		Use:     name + " ID",
		Short:   short,
		Example: "  catalyst member " + name + " n3 --dry-run",
		Args:    want("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data := f.data()
			data["id"] = args[0]
			return c.act(cmd, action{Resource: "member", Action: name, Data: data}, func(r result) { f.print(cmd, args[0], v, r) })
		},
	}
	if long != "" {
		cmd.Long = short + ". " + long
	}
	f.addFlags(cmd)
	return cmd
}

// effect is what the site survives after a change of its members, and what it
// survived before.
func (r result) effect() string {
	text := r.quorum()
	if b := r.Data.Before; text != "" && b != nil && b.Voters != nil && b.Tolerates != nil {
		text += fmt.Sprintf(" (before: %s, %s)", count(*b.Voters, "voter"), failures(*b.Tolerates))
	}
	return text
}

func failures(n int) string {
	if n == 0 {
		return "no failure"
	}
	return count(n, "failure")
}

func (r result) quorum() string {
	switch {
	case r.Data.Voters == nil || r.Data.Tolerates == nil:
		return ""
	case *r.Data.Voters == 0 && r.Data.DryRun:
		return "; no voter would be left, the site would end"
	case *r.Data.Voters == 0:
		return "; no voter is left, the site has ended"
	}
	return "; " + status{Leader: "some", Voters: *r.Data.Voters, Tolerates: *r.Data.Tolerates}.quorum()
}

func leaveCommand(c *client) *cobra.Command {
	f := &change{}
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take the node at --address out of its site, gracefully",
		Long: `Take the node at --address out of its site, gracefully: it hands over, the site
goes on without it, and its process ends. To end a process for a while, stop it
instead. --dry-run shows first what the site would survive.`,
		Example: `  catalyst leave --address 10.0.0.4:3000 --dry-run
  catalyst leave --address 10.0.0.4:3000`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.theOne("leave"); err != nil {
				return err
			}
			answer, err := c.ask(cmd.Context(), method("leave", f.data()))
			return c.settle(cmd, answer, err, func(r result) { f.print(cmd, r.Data.ID, verb{"left", "would leave"}, r) })
		},
	}
	f.addFlags(cmd)
	return cmd
}
