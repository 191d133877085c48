package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

// status is the contract's Status.
type status struct {
	Node      string         `json:"node"`
	Site      string         `json:"site"`
	AS        uint32         `json:"as"`
	Epoch     string         `json:"epoch"`
	Version   string         `json:"version"`
	Level     int            `json:"level"`
	Role      string         `json:"role"`
	Leader    string         `json:"leader"`
	Term      uint64         `json:"term"`
	Index     uint64         `json:"index"`
	Voters    int            `json:"voters"`
	Tolerates int            `json:"tolerates"`
	Gateway   *gatewayStatus `json:"gateway"`
	Secured   *bool          `json:"secured"`              // nodes before security do not say
	Expires   int64          `json:"certificateExpiresAt"` // of the node that answered
	ReadOnly  string         `json:"readOnly"`             // why it refuses changes
	Peers     struct {
		Established int `json:"established"`
		Configured  int `json:"configured"`
	} `json:"peers"`
	Routes struct {
		Local   int `json:"local"`
		Learned int `json:"learned"`
	} `json:"routes"`
}

type gatewayStatus struct {
	Endpoint    string           `json:"endpoint"`
	State       string           `json:"state"`
	Error       string           `json:"error"` // why nothing gets through
	Services    int              `json:"services"`
	LastPush    int64            `json:"lastPush"`
	Quarantined []gatewayTrouble `json:"quarantined"`
	Waiting     []gatewayTrouble `json:"waiting"`  // accepted, but not served as they are now
	Warnings    []gatewayTrouble `json:"warnings"` // names that are not as they were wanted
}

// gatewayTrouble is what there is to say about a service at the gateway.
type gatewayTrouble struct {
	ID      string `json:"id"`
	Error   string `json:"error"`
	Warning string `json:"warning"`
}

func statusCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "The site at a glance",
		Args:  want(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := c.ask(cmd.Context(), method("status"))
			if err != nil {
				return err
			}
			return show(cmd, c, answer, func(s status) {
				s.print(cmd.OutOrStdout())
				if next := s.next(); next != "" {
					hint(cmd, "%s", next)
				}
			})
		},
	}
}

// method asks for a method without arguments.
func method(name string, args ...any) question {
	return func(ctx context.Context, scope *transport.Promise) (any, error) {
		return scope.Call(name, args...).Await(ctx)
	}
}

func (s status) print(w io.Writer) {
	lines := [][2]string{
		{"site", fmt.Sprintf("%s (AS %d)", s.Site, s.AS)},
		{"node", s.node()},
		{"leader", s.leader()},
		{"quorum", s.quorum()},
		{"index", fmt.Sprintf("%d", s.Index)},
		{"routes", routeWords(s.Routes.Local, s.Routes.Learned)},
		{"peers", s.peers()},
		{"gateway", s.gateway()},
	}
	if s.Gateway != nil {
		for _, trouble := range s.Gateway.troubles() {
			lines = append(lines, [2]string{"", trouble})
		}
	}
	if s.Secured != nil {
		lines = append(lines, [2]string{"security", s.security()})
	}
	if s.ReadOnly != "" {
		lines = append(lines, [2]string{"warning", s.Node + " refuses changes: " + oneLine(s.ReadOnly)})
	}
	fields(w, lines)
}

// shownTroubles is how many lines there are of one kind.
const shownTroubles = 20

// troubles are what keeps services from being what they want to be at the
// gateway, a line each, what is worst first.
func (g *gatewayStatus) troubles() (lines []string) {
	if g.Error != "" {
		lines = append(lines, oneLine(g.Error))
	}
	for _, kind := range []struct {
		troubles []gatewayTrouble
		says     string
	}{{g.Quarantined, " is held back: "}, {g.Waiting, " waits: "}, {g.Warnings, ": "}} {
		for _, t := range kind.troubles[:min(shownTroubles, len(kind.troubles))] {
			lines = append(lines, t.ID+kind.says+oneLine(t.Error+t.Warning))
		}
		if more := len(kind.troubles) - shownTroubles; more > 0 {
			lines = append(lines, fmt.Sprintf("and %d more: catalyst status -o json", more))
		}
	}
	return lines
}

func (s status) node() string {
	text := fmt.Sprintf("%s, %s, version %s", s.Node, s.Role, s.Version)
	if s.Level > 0 {
		text += fmt.Sprintf(", level %d", s.Level)
	}
	return text
}

func (s status) security() string {
	switch {
	case !*s.Secured:
		return "none: plain ws://, see catalyst init"
	case s.Expires == 0:
		return "TLS"
	case s.Expires < time.Now().UnixMilli():
		return "TLS; the certificate of " + s.Node + " EXPIRED " + ago(s.Expires) + ", see catalyst doctor"
	}
	return "TLS; certificate renews by itself, valid until " + deadline(s.Expires)
}

func (s status) leader() string {
	if s.Leader == "" {
		return "none: changes are refused until there is one"
	}
	return fmt.Sprintf("%s (term %d)", s.Leader, s.Term)
}

func (s status) quorum() string {
	switch {
	case s.Voters == 0:
		return "in no site yet"
	case s.Leader == "":
		return count(s.Voters, "voter") + ", too few of them alive"
	case s.Tolerates == 0:
		return count(s.Voters, "voter") + ", tolerates no failure"
	default:
		return count(s.Voters, "voter") + ", tolerates " + count(s.Tolerates, "failure")
	}
}

func (s status) peers() string {
	if s.Peers.Configured == 0 {
		return "none configured"
	}
	return fmt.Sprintf("%d of %d established", s.Peers.Established, s.Peers.Configured)
}

func (s status) gateway() string {
	if s.Gateway == nil {
		return "off, or not known without the leader"
	}
	text := []string{s.Gateway.State, count(s.Gateway.Services, "service")}
	if s.Gateway.LastPush != 0 {
		text = append(text, "accepted "+ago(s.Gateway.LastPush))
	}
	if n := len(s.Gateway.Quarantined); n > 0 {
		text = append(text, fmt.Sprintf("%d quarantined", n))
	}
	if n := len(s.Gateway.Waiting); n > 0 {
		text = append(text, fmt.Sprintf("%d waiting", n))
	}
	return s.Gateway.Endpoint + ": " + strings.Join(text, ", ")
}

// next is the step that the status calls for, if any.
func (s status) next() string {
	switch {
	case s.Role == "waiting":
		return "this node waits: catalyst init founds a site with it, catalyst join ADDR takes it into one"
	case s.ReadOnly != "":
		return "catalyst doctor says what to do; other nodes of the site take changes meanwhile"
	case s.Leader == "":
		return "start the missing nodes, the site recovers by itself; catalyst members shows which"
	case s.Voters < 3:
		return "three nodes survive the loss of one: catalyst join takes more in"
	case s.Tolerates == 0:
		return "bring back nodes that are down (catalyst members), or add some with catalyst join"
	case s.Gateway == nil:
	case s.Gateway.Error != "":
		return "nothing gets through to the gateway; the leader keeps trying"
	case s.Gateway.State == "pending":
		return "the gateway does not answer yet; the site keeps trying"
	case len(s.Gateway.Waiting) > 0:
		return "services that wait are served as soon as they answer the gateway: is " + s.Gateway.Waiting[0].ID + " running?"
	}
	return ""
}

// fields prints names and values, one a line; an empty value shows as a dash.
func fields(w io.Writer, pairs [][2]string) {
	width := 9
	for _, p := range pairs {
		width = max(width, len(p[0]))
	}
	for _, p := range pairs {
		if p[1] == "" {
			p[1] = "-"
		}
		fmt.Fprintf(w, "%-*s %s\n", width, p[0], p[1])
	}
}
