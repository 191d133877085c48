package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// roles are what a token can be for, and what each may.
var roles = []string{"viewer", "operator", "admin", "peer", "join"}

func rights(role, site string) string {
	switch role {
	case "viewer":
		return "look at everything and change nothing"
	case "operator":
		return "register, change and remove services"
	case "admin":
		return "do everything, tokens and members included"
	case "peer":
		return "exchange routes as site " + site
	case "join":
		return "take nodes into this site"
	}
	return "act as " + role
}

func tokenCommand(c *client) *cobra.Command {
	return group("token", "Who may use this site, and who may join it", tokenCreate(c), tokenList(c), tokenRevoke(c))
}

// tokenWish is the data of token/create.
type tokenWish struct {
	Role        string `json:"role"`
	TTL         int64  `json:"ttl,omitempty"` // seconds
	Uses        int    `json:"uses,omitempty"`
	Site        string `json:"site,omitempty"`
	Description string `json:"description,omitempty"`

	ttl time.Duration
}

// tokenResult is the answer. It holds a secret, and is printed once.
type tokenResult struct {
	verdict
	Data struct {
		ID        string `json:"id"`
		Token     string `json:"token"`
		Role      string `json:"role"`
		ExpiresAt int64  `json:"expiresAt"`
		Join      string `json:"join"`
	} `json:"data"`
}

func tokenCreate(c *client) *cobra.Command {
	t := &tokenWish{}
	cmd := &cobra.Command{
		Use:   "create --role ROLE",
		Short: "Make a token, which is shown this once",
		Long: `Make a token. It is the one line of stdout and is shown this once; the site keeps
only a digest. What it may is its role:

  viewer    look at everything and change nothing
  operator  register, change and remove services
  admin     do everything, tokens and members included
  peer      exchange routes as the site named by --site, which gives it to
            catalyst peer add --secret
  join      take nodes into this site, --uses of them`,
		Example: `  catalyst token create --role viewer --ttl 24h --description "dashboard of team books"
  export CATALYST_TOKEN=$(catalyst token create --role operator)
  catalyst token create --role peer --site oslo
  catalyst token create --role join --uses 2 --ttl 1h`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error { return t.send(cmd, c) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&t.Role, "role", "", "what it may: "+strings.Join(roles, ", "))
	flags.DurationVar(&t.ttl, "ttl", 0, "how long it works, in whole seconds; default a day for role join, until it is revoked for others")
	flags.IntVar(&t.Uses, "uses", 0, "how many nodes may join with it; default one")
	flags.StringVar(&t.Site, "site", "", "`name` of the peer site that it speaks for")
	flags.StringVar(&t.Description, "description", "", "`text` that tells later what it is for")
	cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(roles, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (t *tokenWish) send(cmd *cobra.Command, c *client) (err error) {
	switch {
	case t.Role == "":
		return misused(cmd, "catalyst token create: --role is missing: %s", strings.Join(roles, ", "))
	case !slices.Contains(roles, t.Role):
		return misused(cmd, "--role is %q: want %s", t.Role, strings.Join(roles, ", "))
	case t.Role == "peer" && t.Site == "":
		return misused(cmd, "catalyst token create: --site is missing: it names the site that the token speaks for")
	case t.Role != "peer" && t.Site != "":
		return misused(cmd, "--site is for tokens of role peer, and this one is of role %s", t.Role)
	case t.Role != "join" && cmd.Flags().Changed("uses"):
		return misused(cmd, "--uses is for tokens of role join, and this one is of role %s", t.Role)
	case t.Role == "join" && cmd.Flags().Changed("uses") && t.Uses < 1:
		return misused(cmd, "--uses is %d: want 1 or more", t.Uses)
	}
	if t.TTL, err = wholeSeconds(cmd, "ttl", t.ttl); err != nil {
		return err
	}
	return actAs(c, cmd, action{Resource: "token", Action: "create", Data: t}, func(r tokenResult) error { return r.print(cmd, t.Site) })
}

// print keeps stdout to the token, so that $(…) gives it alone.
func (r tokenResult) print(cmd *cobra.Command, site string) error {
	d := r.Data
	if d.Token == "" {
		return refused("catalyst token revoke "+d.ID+", and make another", "the token %s was made, and its text got lost on the way", d.ID)
	}
	fmt.Fprintln(cmd.OutOrStdout(), d.Token)
	errs := cmd.ErrOrStderr()
	fmt.Fprintf(errs, "token %s may %s, until %s\n", d.ID, rights(d.Role, site), ending(d.ExpiresAt))
	fmt.Fprintln(errs, "it is shown this once: the site cannot show it again")
	if d.Join != "" {
		fmt.Fprintf(errs, "on the machine of a node that waits: %s\n", d.Join)
	}
	return nil
}

func ending(expires int64) string {
	if expires == 0 {
		return "it is revoked"
	}
	return deadline(expires)
}

// tokenView is what a site tells of a token.
type tokenView struct {
	ID          string `json:"id"`
	Role        string `json:"role"`
	Site        string `json:"site"`
	Description string `json:"description"`
	CreatedAt   int64  `json:"createdAt"`
	CreatedBy   string `json:"createdBy"`
	ExpiresAt   int64  `json:"expiresAt"`
	Uses        int    `json:"uses"` // left, of role join
}

func tokenList(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens, without their secrets",
		Args:  want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.ask(cmd.Context(), method("listTokens"))
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l struct {
				Tokens []tokenView `json:"tokens"`
			}) {
				if len(l.Tokens) == 0 {
					hint(cmd, "there is no token; make one with catalyst token create --role ROLE")
					return
				}
				printTokens(cmd.OutOrStdout(), l.Tokens)
			})
		},
	}
}

func printTokens(w io.Writer, tokens []tokenView) {
	var rows [][]string
	for _, t := range tokens {
		uses := ""
		if t.Role == "join" {
			uses = fmt.Sprintf("%d left", t.Uses)
		}
		rows = append(rows, []string{t.ID, t.Role, t.Site, until(t.ExpiresAt), uses, since(t.CreatedAt), oneLine(t.CreatedBy), oneLine(t.Description)})
	}
	table(w, "ID ROLE SITE EXPIRES USES AGE MADE-BY DESCRIPTION", rows)
}

func tokenRevoke(c *client) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a token worthless, at once and for good",
		Long: `Make a token worthless, at once and for good. ID is what catalyst token list
shows, not the token itself. Nodes that joined with a join token stay.`,
		Example: `  catalyst token revoke k7q2mzxa`,
		Args:    want("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			data := map[string]any{"id": args[0]}
			if force {
				data["force"] = true
			}
			return c.act(cmd, action{Resource: "token", Action: "revoke", Data: data}, func(r result) { printResult(cmd, "revoked", r) })
		},
	}
	forceFlag(cmd, &force)
	return cmd
}
