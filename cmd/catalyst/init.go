package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

// founding is what a node is told that founds a site. What is not given is the
// node's to choose.
type founding struct {
	Site     string   `json:"site,omitempty"`
	AS       uint32   `json:"as,omitempty"`
	Hosts    []string `json:"hosts,omitempty"`
	JoinUses int      `json:"joinUses,omitempty"`
	JoinTTL  int64    `json:"joinTTL,omitempty"` // seconds

	ttl time.Duration
}

// founded is the answer. It holds secrets, and is printed once.
type founded struct {
	verdict
	Data struct {
		ID          string `json:"id"`
		Site        string `json:"site"`
		SiteID      string `json:"siteId"`
		Fingerprint string `json:"fingerprint"`
		AdminToken  string `json:"adminToken"`
		Join        string `json:"join"`
		Address     string `json:"address"`
		ExpiresAt   int64  `json:"expiresAt"`
		Uses        int    `json:"uses"`
		CAFile      string `json:"caFile"`
	} `json:"data"`
}

// beginPatience is how long a node may take to found a site, or to be let into
// one, without a word.
const beginPatience = 30 * time.Second

func initCommand(c *client) *cobra.Command {
	f := &founding{}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Found a secured site with the waiting node at --address",
		Long: `Found a secured site with the waiting node at --address: it makes the site's
certificate authority, speaks TLS from then on, and answers only to tokens. Run
it once a site, on the machine of its first node; the others join with the line
that it prints. The admin token is shown this once: keep it.`,
		Example: `  catalyst init --site paris
  catalyst init --site paris --host paris-1.example.com --join-uses 4 --join-ttl 2h`,
		Args:        want(),
		Annotations: map[string]string{toWaiting: "init"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return f.run(cmd, c) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.Site, "site", "", "name of the site; default that of the node's --site")
	flags.Uint32Var(&f.AS, "as", 0, "autonomous system, the same at all peer sites; default that of the node's --as")
	flags.StringArrayVar(&f.Hosts, "host", nil, "`name` or address by which clients reach the node, beside those that it knows; may be given several times")
	flags.IntVar(&f.JoinUses, "join-uses", 0, "how many nodes may join with the join token; default 10")
	flags.DurationVar(&f.ttl, "join-ttl", 0, "how long they may, in whole seconds; default a day")
	return cmd
}

func (f *founding) run(cmd *cobra.Command, c *client) (err error) {
	if err := c.theOne("init"); err != nil {
		return err
	}
	if cmd.Flags().Changed("join-uses") && f.JoinUses < 1 {
		return misused(cmd, "--join-uses is %d: want 1 or more", f.JoinUses)
	}
	if f.JoinTTL, err = wholeSeconds(cmd, "join-ttl", f.ttl); err != nil {
		return err
	}
	answer, err := c.patient(beginPatience).ask(cmd.Context(), once(func(ctx context.Context, scope *transport.Promise) (any, error) {
		return scope.Call("init", f).Await(ctx)
	}))
	return settleAs(c, cmd, answer, err, func(r founded) error {
		r.print(cmd.OutOrStdout())
		return nil
	})
}

// wholeSeconds is a duration that was given, as the contract has them.
func wholeSeconds(cmd *cobra.Command, flag string, d time.Duration) (int64, error) {
	if !cmd.Flags().Changed(flag) {
		return 0, nil
	}
	if d < time.Second || d%time.Second != 0 {
		return 0, misused(cmd, "--%s is %s: want whole seconds, such as 90s or 24h", flag, d)
	}
	return int64(d / time.Second), nil
}

func (r founded) print(w io.Writer) {
	d := r.Data
	fmt.Fprintf(w, "site %s is founded, with %s as its first node\n", d.Site, d.ID)
	fields(w, [][2]string{{"site id", d.SiteID}, {"authority", d.Fingerprint}, {"ca file", d.CAFile}})
	fmt.Fprintf(w, "\nThe admin token, which may do everything and is shown this once:\n  %s\n", d.AdminToken)
	fmt.Fprintf(w, "\nTo use it here and on other machines:\n  export CATALYST_ADDR=wss://%s CATALYST_TOKEN=%s\n", d.Address, d.AdminToken)
	fmt.Fprintf(w, "\nTo let further nodes join, on each one's machine while catalyst node waits there\n(%s, until %s):\n  %s\n",
		count(d.Uses, "time"), deadline(d.ExpiresAt), d.Join)
}
