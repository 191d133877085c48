package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func routeCommand(c *client) *cobra.Command {
	return group("route", "Every path known to a service, here and at peer sites",
		routeListCommand(c), routeShow(c), routeWatch(c))
}

func routeListCommand(c *client) *cobra.Command {
	q := &query{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List every path known",
		Long: `List every path known. The best one of each id, marked *, is the one that is
used. A stale path was learned from a peer site whose session is down.`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.list(cmd.Context(), "listRoutes", *q)
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l routeList) {
				if len(l.Routes) == 0 {
					hint(cmd, "no route matches; register a service with catalyst service add NAME ENDPOINT")
					return
				}
				var rows [][]string
				for _, r := range l.Routes {
					rows = append(rows, r.row())
				}
				table(cmd.OutOrStdout(), "BEST ID ENDPOINT SITE SOURCE PATH STATE CHANGED", rows)
			})
		},
	}
	q.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&q.Site, "site", "", "only services registered at this `site`")
	return cmd
}

func (r route) row() []string {
	return []string{mark(r.Best), r.ID, r.Service.Endpoint, r.Site, r.from(), strings.Join(r.Path, ">"), freshness(r.Stale), since(r.ModifiedAt)}
}

func mark(best bool) string {
	if best {
		return "*"
	}
	return ""
}

func freshness(stale bool) string {
	if stale {
		return "stale"
	}
	return "fresh"
}

func (r route) created() string {
	return fmt.Sprintf("%s (index %d)", ago(r.CreatedAt), r.CreatedIndex)
}

func (r route) changed() string {
	return fmt.Sprintf("%s (index %d)", ago(r.ModifiedAt), r.ModifiedIndex)
}

// from is whom the path was learned from.
func (r route) from() string {
	if r.Peer != "" {
		return fmt.Sprintf("peer %s", r.Peer)
	}
	return r.Source
}

// path is a route as showRoute explains it.
type path struct {
	Route  route    `json:"route"`
	Why    string   `json:"why"`
	SentTo []string `json:"sentTo"` // peer sites
}

type pathList struct {
	Paths []path `json:"paths"` // the best first
}

func routeShow(c *client) *cobra.Command {
	q, protocol := &query{}, ""
	cmd := &cobra.Command{
		Use:   "show NAME|ID",
		Short: "Show every path to one service, and why the best one is",
		Example: `  catalyst route show books
  catalyst route show ledger:tcp`,
		Args: want("NAME or ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := routeID(args[0], protocol)
			answer, err := c.ask(cmd.Context(), method("showRoute", id, q.asked()))
			if err != nil {
				return err
			}
			err = show(cmd, c, answer, func(l pathList) { l.print(cmd.OutOrStdout()) })
			whole, _ := answer.(map[string]any)
			if found, _ := whole["paths"].([]any); err == nil && len(found) == 0 {
				return refused("catalyst route list shows what there is", "no path is known to %q", id)
			}
			return err
		},
	}
	protocolFlag(cmd, &protocol)
	q.addStale(cmd.Flags())
	return cmd
}

func (l pathList) print(w io.Writer) {
	for i, p := range l.Paths {
		if i > 0 {
			fmt.Fprintln(w)
		}
		r := p.Route
		fields(w, [][2]string{
			{"id", r.ID}, {"best", yesNo(r.Best)}, {"why", oneLine(p.Why)},
			{"site", r.Site}, {"source", r.from()}, {"path", strings.Join(r.Path, ">")},
			{"endpoint", r.Service.Endpoint}, {"state", freshness(r.Stale)}, {"sent to", strings.Join(p.SentTo, ", ")},
			{"created", r.created()}, {"changed", r.changed()},
		})
	}
}
