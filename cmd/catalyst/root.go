package main

import (
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// takes is an annotation of commands that ask no node: which of the client
// flags they take all the same.
const takes = "takes"

// newRoot composes the command tree. A later command is one constructor in its
// own file and one line here.
func newRoot(in io.Reader, out, errs io.Writer, files nodeFiles) *cobra.Command {
	c := &client{}
	root := &cobra.Command{
		Use:   "catalyst",
		Short: "Run and operate a Catalyst site",
		Long: `Run and operate a Catalyst site: a few nodes that keep one table of services
and drive a GraphQL gateway from it.

Try it out with:  catalyst dev --nodes 3
For real:         catalyst node on each machine, catalyst init on the first,
                  and on the others the join line that it prints

Every flag that names a variable is also read from the environment, then from
.env in the working directory. Exit status: 0 done, 1 refused, 2 wrong usage,
3 no node or no leader could be reached.`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		PersistentPreRunE:          c.prepare,
	}
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(helpCommand(root))
	c.addFlags(root.PersistentFlags())
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))

	together(root, "Run", devCommand(), nodeCommand(), gatewayCommand())
	together(root, "Site", initCommand(c), joinCommand(c), leaveCommand(c), statusCommand(c), membersCommand(c), memberCommand(c))
	together(root, "Routes", serviceCommand(c), peerCommand(c), routeCommand(c), queryCommand(c), applyCommand(c), metricsCommand(c))
	together(root, "Security", tokenCommand(c), keysCommand(c), auditCommand(c))
	together(root, "Backup and repair", snapshotCommand(c, files), doctorCommand(c, files), recoverCommand(c, files))
	together(root, "This program", versionCommand(c))
	root.SetCompletionCommandGroupID("This program")
	root.InitDefaultCompletionCmd("completion")
	completion, _, _ := root.Find([]string{"completion"})
	offline(completion)
	asksForOne(completion)
	asksForOne(root)
	return root
}

// helpCommand is cobra's, with an answer to what does not exist.
func helpCommand(root *cobra.Command) *cobra.Command {
	return offline(&cobra.Command{
		Use:    "help [COMMAND]",
		Hidden: true, // every list of commands would start with it
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unusable("catalyst --help lists the commands", "there is no command %q", strings.Join(args, " "))
			}
			return cmd.Help()
		},
	})
}

// together adds commands that help lists under one title.
func together(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = title
		root.AddCommand(cmd)
	}
}

// offline marks a command, and those below it, as asking no node.
func offline(cmd *cobra.Command, flags ...string) *cobra.Command {
	cmd.Annotations = map[string]string{takes: strings.Join(flags, " ") + " "}
	for _, below := range cmd.Commands() {
		offline(below, flags...)
	}
	return cmd
}

// group is a command that only holds others.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, SuggestionsMinimumDistance: 2}
	cmd.AddCommand(below...)
	asksForOne(cmd)
	return cmd
}

// asksForOne makes a command that only holds others answer a wrong or a
// missing name; cobra itself takes those for a wish for help. The root alone
// does give help when nothing is asked of it.
func asksForOne(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !cmd.HasParent() {
			return cmd.Help()
		}
		var names []string
		for _, below := range cmd.Commands() {
			if below.IsAvailableCommand() {
				names = append(names, below.Name())
			}
		}
		hint := cmd.CommandPath() + " has " + strings.Join(names, ", ")
		if len(args) == 0 {
			return unusable(hint, "%s needs one of its commands", cmd.CommandPath())
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + cmd.CommandPath() + " " + strings.Join(near, " or ") + "?"
		}
		return unusable(hint, "%s has no command %q", cmd.CommandPath(), args[0])
	}
}

// want names the arguments of a command, all of them needed.
func want(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return misused(cmd, "%s: %s is missing", cmd.CommandPath(), names[len(args)])
		case len(args) > len(names):
			return misused(cmd, "%s: %q is one argument too many", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// wantMore is want for a command that takes several of its last argument.
func wantMore(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return want(names...)(cmd, args[:min(len(args), len(names))])
	}
}

// prepare reads the settings of whatever command runs, and checks those that
// all client commands share.
func (c *client) prepare(cmd *cobra.Command, _ []string) error {
	if allowed, is := cmd.Annotations[takes]; is {
		if err := refuseForeign(cmd, allowed); err != nil {
			return err
		}
	}
	if err := readSettings(cmd); err != nil {
		return err
	}
	if _, is := cmd.Annotations[takes]; is {
		return nil
	}
	if c.timeout < time.Millisecond {
		return unusable("give a duration such as 10s", "--timeout is %s: want more than nothing", c.timeout)
	}
	if err := c.secure(cmd); err != nil {
		return err
	}
	var err error
	if c.addresses, err = parseAddresses(c.address, c.scheme); err != nil {
		return err
	}
	for _, address := range c.addresses {
		if err := c.refusePlain(address); err != nil {
			return err
		}
	}
	return nil
}

// refuseForeign refuses client flags on commands that would ignore them.
func refuseForeign(cmd *cobra.Command, allowed string) (err error) {
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		if err == nil && f.Changed && !strings.Contains(allowed, f.Name) {
			err = misused(cmd, "%s takes no --%s: it asks no node", cmd.CommandPath(), f.Name)
		}
	})
	return err
}

const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{$below := .Commands}}{{range $group := .Groups}}

{{$group.Title}}:{{range $below}}{{if and .IsAvailableCommand (eq .GroupID $group.ID)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if and .HasAvailableSubCommands (not .Groups)}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

{{if .HasParent}}Flags{{else}}Flags of every command that asks a node{{end}}:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}{{if not .Annotations.takes}}

Flags of every command that asks a node:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{end}}
`
