package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

// bannerNodes is how many lines the nodes may take, of the banner's twelve.
const bannerNodes = 4

// look asks the last node for the site's state.
func (s *devSite) look(ctx context.Context) (status, []member, error) {
	last := s.children[len(s.children)-1]
	c := &client{security: security{shown: s.adminToken}, timeout: 5 * time.Second, addresses: []string{"ws://" + last.addresses.RPC + "/rpc"}}
	var (
		st  status
		all memberList
	)
	_, err := c.ask(ctx, func(ctx context.Context, scope *transport.Promise) (any, error) {
		var err error
		members := scope.Call("listMembers")
		if st, err = transport.Await[status](ctx, scope.Call("status")); err != nil {
			return nil, err
		}
		all, err = transport.Await[memberList](ctx, members)
		return nil, err
	})
	return st, all.Members, err
}

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
	fmt.Fprintf(&text, "site %s is ready after %.1f s: %s, %s\n", b.status.Site, b.took.Seconds(), count(s.nodes, "node"), b.status.quorum())
	text.WriteString(b.nodes())
	fmt.Fprintf(&text, "data and logs in %s; Ctrl-C stops the site\n", place)
	fmt.Fprintln(&text, "try in another terminal:")
	for _, command := range b.next() {
		fmt.Fprintln(&text, "  "+command)
	}
	io.WriteString(w, text.String())
}

// nodes lists the nodes, several a line if there are many.
func (b banner) nodes() string {
	perLine := (b.site.nodes + bannerNodes - 1) / bannerNodes
	var text strings.Builder
	for i, c := range b.site.children {
		fmt.Fprintf(&text, "  %s  ws://%s/rpc  pid %d", c.id, c.addresses.RPC, c.process.Process.Pid)
		if c.id == b.status.Leader {
			text.WriteString("  leader")
		}
		if (i+1)%perLine == 0 || i+1 == b.site.nodes {
			text.WriteString("\n")
		}
	}
	return text.String()
}

// next is the commands to try. They name a follower, so that they also work
// when the leader has been killed.
func (b banner) next() []string {
	var all []string
	var follower, leader *child
	for _, c := range b.site.children {
		all = append(all, c.addresses.RPC)
		if c.id == b.status.Leader {
			leader = c
		} else if follower == nil {
			follower = c
		}
	}
	name := os.Args[0]
	commands := []string{"export CATALYST_ADDR=" + strings.Join(all, ",")}
	if b.site.adminToken != "" {
		commands[0] += " CATALYST_TOKEN=$CATALYST_ADMIN_TOKEN"
	}
	add := name + " service add books http://localhost:8080/graphql"
	if follower != nil {
		add += " --address " + follower.addresses.RPC
	}
	commands = append(commands, add, name+" status", name+" route watch")
	if follower != nil && leader != nil && b.status.Tolerates > 0 {
		commands = append(commands, fmt.Sprintf("kill -9 %d   # the leader; then again: %s status", leader.process.Process.Pid, name))
	}
	return commands
}
