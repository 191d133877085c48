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
	plan, err := r.files.Survey(r.dir)
	if err != nil {
		return refused("catalyst doctor --data-dir "+r.dir+" says more about the files", "survey %s: %s; nothing was changed", r.dir, oneLine(err.Error()))
	}
	if r.output != "json" {
		plan.print(cmd.OutOrStdout())
	}
	if r.yes {
		if err := r.files.Recover(r.dir); err != nil {
			return refused("correct that and run it again; what was said of it still holds", "recover %s: %s", r.dir, oneLine(err.Error()))
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
	t := p.Table
	fields(w, [][2]string{
		{"site", p.Site}, {"node", p.Node}, {"last entry", fmt.Sprintf("%d of term %d", p.Last, p.Term)},
		{"index", fmt.Sprint(t.Version)}, {"routes", routeWords(t.Routes.Local, t.Routes.Learned)}, {"peers", fmt.Sprint(t.Peers)}, {"tokens", fmt.Sprint(t.Tokens)},
	})
	fmt.Fprintln(w, "\nThe members that the site had, as far as this node knows:")
	var rows [][]string
	for _, m := range p.Members {
		rows = append(rows, []string{m.ID, m.Role, m.Raft, yesNo(m.Stays)})
	}
	table(w, "ID ROLE RAFT STAYS", rows)
	items(w, "What is lost, or may be:", p.Lost)
	items(w, "What follows, and what is then to be done:", p.Next)
}

func items(w io.Writer, title string, all []string) {
	fmt.Fprintf(w, "\n%s\n", title)
	for _, one := range all {
		fmt.Fprintf(w, "- %s\n", oneLine(one))
	}
}
