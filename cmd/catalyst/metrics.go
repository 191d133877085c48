package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// routeMetrics is what the node knows of one path beside the path itself.
type routeMetrics struct {
	ID      string `json:"id"`
	Site    string `json:"site"`
	Peer    string `json:"peer"`
	AgeMS   int64  `json:"ageMs"`
	Paths   int    `json:"paths"`
	Best    bool   `json:"best"`
	Stale   bool   `json:"stale"`
	Gateway string `json:"gateway"`
}

func metricsCommand(c *client) *cobra.Command {
	return group("metrics", "Figures about routes", metricsShow(c))
}

func metricsShow(c *client) *cobra.Command {
	q := &query{}
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Figures of each route",
		Long: `Figures of each route. Those of a node as a whole (traffic, Raft, memory) are at
its /metrics, in the format of Prometheus.`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.ask(cmd.Context(), method("listMetrics", q.asked()))
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l struct {
				Metrics []routeMetrics `json:"metrics"`
			}) {
				if len(l.Metrics) == 0 {
					hint(cmd, "no route matches; register a service with catalyst service add NAME ENDPOINT")
					return
				}
				printMetrics(cmd, l.Metrics)
			})
		},
	}
	q.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&q.Site, "site", "", "only services registered at this `site`")
	return cmd
}

func printMetrics(cmd *cobra.Command, metrics []routeMetrics) {
	var rows [][]string
	for _, m := range metrics {
		rows = append(rows, []string{mark(m.Best), m.ID, m.Site, m.Peer, fmt.Sprint(m.Paths), span(ms(m.AgeMS)), freshness(m.Stale), m.Gateway})
	}
	table(cmd.OutOrStdout(), "BEST ID SITE PEER PATHS AGE STATE GATEWAY", rows)
}
