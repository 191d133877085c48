package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// dataChannel is the contract's DataChannel.
type dataChannel struct {
	Name     string            `json:"name"`
	Endpoint string            `json:"endpoint"`
	Protocol string            `json:"protocol"`
	Region   string            `json:"region,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
}

func serviceCommand(c *client) *cobra.Command {
	return group("service", "Services registered at this site",
		serviceAdd(c), serviceList(c), serviceShow(c), serviceUpdate(c), serviceRemove(c))
}

func serviceAdd(c *client) *cobra.Command {
	d := &definition{}
	cmd := &cobra.Command{
		Use:   "add NAME ENDPOINT",
		Short: "Register a service",
		Long: `Register a service, and tell each step as it happens. First the service is
looked at, from where this command runs: what is clearly a mistake (a wrong
path, no GraphQL, a schema that no gateway can serve) is refused unless --force
is given. One that does not answer yet is registered all the same.

Doing it again with the same definition changes nothing; another definition
under the same name and protocol is refused.`,
		Example: `  catalyst service add books http://books:8080/graphql
  catalyst service add ledger tcp://ledger:9000 -p tcp --region eu --tag team=money`,
		Args: want("NAME", "ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.send(cmd, c, "create", args, "registered")
		},
	}
	d.addFlags(cmd)
	return cmd
}

func serviceUpdate(c *client) *cobra.Command {
	d := &definition{}
	cmd := &cobra.Command{
		Use:   "update NAME ENDPOINT",
		Short: "Replace the definition of a service",
		Long: `Replace the definition of a service that is registered. What is not given is
not kept: name region and tags again. The service is looked at first, as by
catalyst service add.`,
		Example: `  catalyst service update books http://books-2:8080/graphql --region eu`,
		Args:    want("NAME", "ENDPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.send(cmd, c, "update", args, "updated")
		},
	}
	d.addFlags(cmd)
	return cmd
}

func serviceRemove(c *client) *cobra.Command {
	var protocol string
	cmd := &cobra.Command{
		Use:   "remove NAME|ID",
		Short: "Remove a service",
		Example: `  catalyst service remove books
  catalyst service remove ledger:tcp`,
		Args: want("NAME or ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a := action{Resource: "dataChannel", Action: "delete", Data: map[string]any{"id": routeID(args[0], protocol)}}
			return c.act(cmd, a, func(r result) { printResult(cmd, "removed", r) })
		},
	}
	protocolFlag(cmd, &protocol)
	return cmd
}

// definition is a service as the command line gives it.
type definition struct {
	dataChannel
	tags  []string
	force bool
}

func (d *definition) addFlags(cmd *cobra.Command) {
	protocolFlag(cmd, &d.Protocol)
	cmd.Flags().StringVar(&d.Region, "region", "", "`region` it runs in")
	cmd.Flags().StringArrayVar(&d.tags, "tag", nil, "a label, as `key=value`; may be given several times")
	cmd.Flags().BoolVar(&d.force, "force", false, "register it also when it looks like a mistake")
}

func protocolFlag(cmd *cobra.Command, protocol *string) {
	cmd.Flags().StringVarP(protocol, "protocol", "p", "http:graphql", "`protocol`: tcp, udp, http, http:graphql, http:grpc or tcp:graphql")
	cmd.RegisterFlagCompletionFunc("protocol", cobra.FixedCompletions(
		[]string{"tcp", "udp", "http", "http:graphql", "http:grpc", "tcp:graphql"}, cobra.ShellCompDirectiveNoFileComp))
}

func (d *definition) send(cmd *cobra.Command, c *client, verb string, args []string, done string) error {
	d.Name, d.Endpoint = args[0], args[1]
	for _, tag := range d.tags {
		key, value, ok := strings.Cut(tag, "=")
		if !ok || key == "" {
			return misused(cmd, "--tag is %q: want key=value", tag)
		}
		if d.Tags == nil {
			d.Tags = map[string]string{}
		}
		d.Tags[key] = value
	}
	t := c.ticks(cmd)
	switch err := d.look(cmd, c, t); {
	case cmd.Context().Err() != nil:
		return cmd.Context().Err() // nothing was asked of the site
	case err != nil:
		return c.unsettled(cmd, err)
	}
	r := &registration{ticks: t, word: done}
	a := action{Resource: "dataChannel", Action: verb, Data: d.dataChannel}
	return c.actTelling(cmd, a, r.replicated, r.settled)
}

// routeID completes a name to an id; what has a protocol already is one.
func routeID(name, protocol string) string {
	if strings.Contains(name, ":") {
		return name
	}
	return name + ":" + protocol
}

// printResult words what became of a service or a peer, and what the gateway
// makes of it where it has a part.
func printResult(cmd *cobra.Command, done string, r result) {
	line := fmt.Sprintf("%s %s (index %d)", r.Data.ID, done, r.Index)
	g := r.Data.Gateway
	if g == nil {
		fmt.Fprintln(cmd.OutOrStdout(), line)
		return
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s; gateway: %s\n", line, g.State)
	switch {
	case g.State == "rejected":
		hint(cmd, "the gateway refuses it: %s; it is tried again, see catalyst status", oneLine(g.Error))
	case g.State == "pending":
		hint(cmd, "the gateway follows as soon as it answers, see catalyst status")
	}
}

func serviceList(c *client) *cobra.Command {
	q := &query{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the services registered at this site",
		Args:  want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.list(cmd.Context(), "listLocalRoutes", *q)
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l routeList) {
				if len(l.Routes) == 0 {
					hint(cmd, "no service matches; register one with catalyst service add NAME ENDPOINT")
					return
				}
				printServices(cmd.OutOrStdout(), l.Routes)
			})
		},
	}
	q.addFlags(cmd.Flags())
	return cmd
}

func printServices(w io.Writer, routes []route) {
	var rows [][]string
	for _, r := range routes {
		rows = append(rows, []string{r.ID, r.Service.Endpoint, r.Service.Region, tagText(r.Service.Tags), since(r.ModifiedAt)})
	}
	table(w, "ID ENDPOINT REGION TAGS CHANGED", rows)
}

func tagText(tags map[string]string) string {
	var all []string
	for key, value := range tags {
		all = append(all, key+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

func serviceShow(c *client) *cobra.Command {
	q := &query{}
	cmd := &cobra.Command{
		Use:   "show NAME|ID",
		Short: "Show one service in full",
		Args:  want("NAME or ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Name, q.Protocol, _ = strings.Cut(args[0], ":")
			answer, err := c.list(cmd.Context(), "listLocalRoutes", *q)
			if err != nil {
				return err
			}
			err = show(cmd, c, answer, func(l routeList) { printServiceDetails(cmd.OutOrStdout(), l.Routes) })
			if found, _ := answer["routes"].([]any); err == nil && len(found) == 0 {
				return refused("catalyst service list shows what there is", "this site has no service %q", args[0])
			}
			return err
		},
	}
	q.addStale(cmd.Flags())
	return cmd
}

func printServiceDetails(w io.Writer, routes []route) {
	for i, r := range routes {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fields(w, [][2]string{
			{"id", r.ID}, {"endpoint", r.Service.Endpoint}, {"region", r.Service.Region}, {"tags", tagText(r.Service.Tags)},
			{"site", r.Site}, {"created", r.created()}, {"changed", r.changed()},
		})
	}
}
