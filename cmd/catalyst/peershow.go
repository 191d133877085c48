package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// peer is the contract's Peer.
type peer struct {
	ID          string   `json:"id"`
	Site        string   `json:"site"`
	Configured  bool     `json:"configured"`
	Endpoints   []string `json:"endpoints"`
	State       string   `json:"state"`
	Since       int64    `json:"since"`
	Dialled     bool     `json:"dialled"`
	Endpoint    string   `json:"endpoint"` // in use, or tried last
	Node        string   `json:"node"`
	AS          uint32   `json:"as"`
	Domains     []string `json:"domains"`
	Epoch       string   `json:"epoch"`
	Term        uint64   `json:"term"`
	HoldTime    float64  `json:"holdTime"` // seconds
	RoundTripMS float64  `json:"roundTripMs"`
	RoutesIn    int      `json:"routesIn"`
	RoutesOut   int      `json:"routesOut"`
	Stale       int      `json:"stale"`
	Resumes     int      `json:"resumes"`
	Malformed   int      `json:"malformed"`
	Refused     int      `json:"refused"`
	Healed      int      `json:"healed"`
	RestartTime float64  `json:"restartTime"` // seconds
	MaxRoutes   int      `json:"maxRoutes"`
	LastError   string   `json:"lastError"`
	LastErrorAt int64    `json:"lastErrorAt"`
}

type peerList struct {
	Peers      []peer `json:"peers"`
	Collectors []peer `json:"collectors"` // they only listen
}

func peerListCommand(c *client) *cobra.Command {
	q := &query{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the peer sites, and the programs that collect routes",
		Args:  want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.ask(cmd.Context(), method("listPeers", q.asked()))
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(l peerList) {
				if len(l.Peers) == 0 {
					hint(cmd, "there is no peer site; configure one with catalyst peer add ENDPOINT")
				}
				l.print(cmd.OutOrStdout())
			})
		},
	}
	q.addStale(cmd.Flags())
	return cmd
}

func (l peerList) print(w io.Writer) {
	var rows [][]string
	for _, p := range l.Peers {
		rows = append(rows, []string{p.ID, p.Site, p.State, since(p.Since), thousands(p.RoutesIn), thousands(p.RoutesOut),
			thousands(p.Stale), p.roundTrip(), oneLine(p.LastError)})
	}
	if len(rows) > 0 {
		table(w, "ID SITE STATE SINCE IN OUT STALE RTT LAST-ERROR", rows)
	}
	if len(l.Collectors) == 0 {
		return
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
	}
	rows = nil
	for _, p := range l.Collectors {
		rows = append(rows, []string{p.ID, since(p.Since), thousands(p.RoutesIn), thousands(p.RoutesOut), p.roundTrip()})
	}
	table(w, "COLLECTOR SINCE IN OUT RTT", rows)
}

func peerShow(c *client) *cobra.Command {
	q := &query{}
	cmd := &cobra.Command{
		Use:   "show ID|SITE",
		Short: "Show one peer site in full",
		Args:  want("ID or SITE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			answer, err := c.ask(cmd.Context(), method("listPeers", q.asked()))
			if err != nil {
				return err
			}
			return c.showPeer(cmd, answer, args[0])
		},
	}
	q.addStale(cmd.Flags())
	return cmd
}

// showPeer narrows what listPeers answered to the ones of a name.
func (c *client) showPeer(cmd *cobra.Command, answer any, name string) error {
	whole, _ := answer.(map[string]any)
	found := 0
	for _, kind := range []string{"peers", "collectors"} {
		if all, ok := whole[kind].([]any); ok {
			named := peersNamed(all, name)
			whole[kind] = named
			found += len(named)
		}
	}
	err := show(cmd, c, answer, func(l peerList) {
		for i, p := range append(l.Peers, l.Collectors...) {
			if i > 0 {
				fmt.Fprintln(cmd.OutOrStdout())
			}
			p.print(cmd.OutOrStdout())
		}
	})
	if err == nil && found == 0 {
		return refused("catalyst peer list shows what there is", "this site has no peer %q", name)
	}
	return err
}

// peersNamed are those with an id, or else those that speak for a site.
func peersNamed(all []any, name string) []any {
	for _, key := range []string{"id", "site"} {
		var found []any
		for _, one := range all {
			if p, _ := one.(map[string]any); p[key] == name {
				found = append(found, one)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return []any{}
}

func (p peer) print(w io.Writer) {
	fields(w, [][2]string{
		{"id", p.ID}, {"site", p.Site},
		{"configured", yesNo(p.Configured)}, {"endpoints", strings.Join(p.Endpoints, ", ")},
		{"state", p.state()},
		{"dialled", p.dialler()}, {"node", p.Node},
		{"as", some(uint64(p.AS))}, {"domains", strings.Join(p.Domains, ", ")}, {"epoch", p.Epoch}, {"term", some(p.Term)},
		{"hold time", seconds(p.HoldTime)}, {"round trip", p.roundTrip()},
		{"routes", fmt.Sprintf("%s in, %s out, %s stale", thousands(p.RoutesIn), thousands(p.RoutesOut), thousands(p.Stale))},
		{"resumes", thousands(p.Resumes)}, {"malformed", thousands(p.Malformed)},
		{"refused", thousands(p.Refused)}, {"healed", thousands(p.Healed)},
		{"restart time", seconds(p.RestartTime)}, {"max routes", p.limit()},
		{"last error", p.failure()},
	})
}

// state has no beginning when no leader is there to know it.
func (p peer) state() string {
	if p.Since == 0 {
		return p.State
	}
	return p.State + " for " + since(p.Since)
}

// dialler is which side made the session, or tries to.
func (p peer) dialler() string {
	switch {
	case !p.Dialled && (p.State == "openconfirm" || p.State == "established"):
		return "by the peer"
	case p.Endpoint != "":
		return "by this site, at " + p.Endpoint
	default:
		return ""
	}
}

func (p peer) failure() string {
	if p.LastError == "" {
		return ""
	}
	return fmt.Sprintf("%s (%s)", oneLine(p.LastError), ago(p.LastErrorAt))
}

func (p peer) limit() string {
	if p.MaxRoutes == 0 {
		return "no limit"
	}
	return thousands(p.MaxRoutes)
}

func (p peer) roundTrip() string {
	if p.RoundTripMS == 0 {
		return ""
	}
	return time.Duration(p.RoundTripMS * float64(time.Millisecond)).Round(10 * time.Microsecond).String()
}
