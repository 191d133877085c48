package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func recoverCommand(c *client, files nodeFiles) *cobra.Command {
	r := &recovery{client: c, files: files}
	cmd := offline(&cobra.Command{
		Use:   "recover --data-dir DIR",
		Short: "Make a site of the one node that is left, when its majority is lost for good",
		Long: `Make a site of the one node that is left, when its majority is lost for good.
This is the last resort: what the lost nodes had acknowledged and this one had
not received is gone. While a majority can come back, start those nodes instead:
the site then recovers by itself and loses nothing. Where a snapshot is newer
than what this node holds, found the site anew and restore it.

Run it on the machine of that node while no node of the site runs. Without --yes
it shows what would be done, and changes nothing. Of several nodes that are
left, take the one with the highest last entry.`,
		Example: `  catalyst recover --data-dir /var/lib/catalyst
  catalyst recover --data-dir /var/lib/catalyst --yes`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}, "output")
	cmd.Flags().StringVar(&r.dir, "data-dir", "", "data `directory` of the node that is left (CATALYST_DATA_DIR)")
	fromEnv(cmd.Flags(), "data-dir", "CATALYST_DATA_DIR")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do it")
	return cmd
}

// recovery is one `recover`.
type recovery struct {
	*client
	files nodeFiles
	dir   string
	yes   bool
}

// recoveryReport is what -o json gives.
type recoveryReport struct {
	Recovered bool         `json:"recovered"`
	Plan      recoveryPlan `json:"plan"`
}

func (r *recovery) run(cmd *cobra.Command) error {
	if r.dir == "" {
		return misused(cmd, "catalyst recover: --data-dir is missing: the data directory of the node that is left")
	}
	plan, recover, err := r.files.Survey(r.dir)
	if err != nil {
		return refused("catalyst doctor --data-dir "+r.dir+" says more about the files", "survey %s: %s; nothing was changed", r.dir, oneLine(err.Error()))
	}
	if r.output != "json" {
		plan.print(cmd.OutOrStdout())
	}
	if r.yes {
		if err := recover(); err != nil {
			return refused("the plan above still holds: correct that and run it again", "recover %s: %s", r.dir, oneLine(err.Error()))
		}
	}
	if r.output == "json" {
		return printJSON(cmd.OutOrStdout(), recoveryReport{r.yes, plan})
	}
	if !r.yes {
		fmt.Fprintln(cmd.OutOrStdout(), "\nNothing was changed.")
		hint(cmd, "to do it: catalyst recover --data-dir %s --yes", r.dir)
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\nDone: %s is site %s now.\n", plan.Node, plan.Site)
	hint(cmd, "start the node as before, look at catalyst status, and then join the others anew")
	return nil
}

func (p recoveryPlan) print(w io.Writer) {
	fields(w, [][2]string{
		{"site", p.Site}, {"node", p.Node}, {"last entry", fmt.Sprintf("index %d, term %d", p.Index, p.Term)},
		{"routes", p.Routes.String()}, {"peers", fmt.Sprint(p.Peers)},
	})
	fmt.Fprintln(w, "\nThe members that the site had, as far as this node knows:")
	var rows [][]string
	for _, m := range p.Members {
		rows = append(rows, []string{m.ID, m.Role, m.Raft})
	}
	table(w, "ID ROLE RAFT", rows)
	fmt.Fprintln(w, "\nWhat is lost, or may be:")
	fmt.Fprintf(w, "  whatever the other nodes acknowledged after index %d: it was never seen here\n", p.Index)
	for _, loss := range p.Losses {
		fmt.Fprintf(w, "  %s\n", oneLine(loss))
	}
	fmt.Fprintln(w, "\nWhat --yes does, and what follows:")
	fmt.Fprintf(w, "  %s becomes the only member, under a new epoch, and leads with what it holds\n", p.Node)
	fmt.Fprintln(w, "  peer sites believe the new epoch, and no longer a node of the old one")
	fmt.Fprintln(w, "  the other nodes must not come back with their data: empty their data directories and join them anew")
}
