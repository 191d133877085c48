package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// gatewayPage is where commands look for a gateway that are not told of one.
const gatewayPage = "http://127.0.0.1:4000"

// bannerNodes is how many lines the nodes may take, of the banner's twelve.
const bannerNodes = 3

// banner is what `catalyst dev` says when the site is ready: at most 12 lines,
// of which the last are the next commands to try.
type banner struct {
	site   *devSite
	status status
	took   time.Duration
	kept   bool // the data directory stays
}

func (b banner) print(w io.Writer) {
	s := b.site
	place := s.dir + ", removed at the end"
	if b.kept {
		place = s.dir
	}
	var text strings.Builder
	fmt.Fprintf(&text, "site %s is ready after %.1f s: %s, %s\n", b.status.Site, b.took.Seconds(), count(len(s.nodes), "node"), b.status.quorum())
	text.WriteString(b.nodes())
	text.WriteString(b.gateway())
	fmt.Fprintf(&text, "data and logs in %s; Ctrl-C stops the site\n", place)
	fmt.Fprintln(&text, "try in another terminal:")
	for _, command := range b.next() {
		fmt.Fprintln(&text, "  "+command)
	}
	io.WriteString(w, text.String())
}

// nodes lists the nodes, several a line if there are many.
func (b banner) nodes() string {
	perLine := (len(b.site.nodes) + bannerNodes - 1) / bannerNodes
	var text strings.Builder
	for i, n := range b.site.nodes {
		fmt.Fprintf(&text, "  %-7s  ws://%s/rpc", n.id, n.addresses.RPC)
		if n.process != nil {
			fmt.Fprintf(&text, "  pid %d", n.process.Process.Pid)
		}
		if n.id == b.status.Leader {
			text.WriteString("  leader")
		}
		if (i+1)%perLine == 0 || i+1 == len(b.site.nodes) {
			text.WriteString("\n")
		}
	}
	return text.String()
}

// gateway is the line of the site's own gateway, if it has one.
func (b banner) gateway() string {
	beside := &b.site.beside
	if beside.page == "" {
		return ""
	}
	text := "  gateway  " + beside.page + "  GraphQL, in a browser too"
	var names []string
	for _, sample := range beside.samples {
		names = append(names, sample.Name)
	}
	if len(names) > 0 {
		text += "; samples " + strings.Join(names, " and ")
	}
	return text + "\n"
}

// next is the commands to try. They name all nodes, so that they also work when
// one has been killed.
func (b banner) next() []string {
	s := b.site
	var all []string
	var leader *devNode
	for _, n := range s.nodes {
		all = append(all, n.addresses.RPC)
		if n.id == b.status.Leader {
			leader = n
		}
	}
	name := os.Args[0]
	export := "export CATALYST_ADDR=" + strings.Join(all, ",")
	if s.adminToken != "" {
		export += " CATALYST_TOKEN=$CATALYST_ADMIN_TOKEN"
	}
	ask := name + " service add books http://localhost:8080/graphql"
	if s.beside.page != "" && s.beside.page != gatewayPage {
		export += " CATALYST_GATEWAY=" + s.beside.page
	}
	if s.beside.page != "" && len(s.beside.samples) > 0 {
		ask = name + " query '{ books { title } reviews { stars text } }'"
	}
	commands := []string{export, ask, name + " status", name + " route watch"}
	if leader != nil && leader.process != nil && b.status.Tolerates > 0 {
		commands = append(commands, fmt.Sprintf("kill -9 %d   # the leader; then again: %s status", leader.process.Process.Pid, name))
	}
	return commands
}
