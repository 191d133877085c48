package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func routeCommand(c *client) *cobra.Command {
	return group("route", "Every path known to a service, here and at peer sites", routeListCommand(c), routeWatch(c))
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
	best, state := "", "fresh"
	if r.Best {
		best = "*"
	}
	if r.Stale {
		state = "stale"
	}
	return []string{best, r.ID, r.Service.Endpoint, r.Site, r.from(), strings.Join(r.Path, ">"), state, since(r.ModifiedAt)}
}

// from is whom the path was learned from.
func (r route) from() string {
	if r.Peer != "" {
		return fmt.Sprintf("peer %s", r.Peer)
	}
	return r.Source
}
