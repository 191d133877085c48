package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

func joinCommand(c *client) *cobra.Command {
	return &cobra.Command{
		Use:   "join ADDR",
		Short: "Tell the waiting node at --address to join a site",
		Long: `Tell the waiting node at --address to join a site. With a join token, which
catalyst init and catalyst token create print, ADDR is HOST:PORT of the RPC
address of any node of that site: the waiting node verifies by the token that it
speaks with that site, gets its certificate, catches up and votes. Without a
token ADDR is the gossip address of a node of a site that is not secured.

The command ends when the node votes, or stands by because the site has voters
enough. --timeout, and at least half a minute, is how long nothing may be heard
of the node, not how long it may take.`,
		Example: `  catalyst join 10.0.0.1:3000 --token catjoin_…
  catalyst join 10.0.0.1:3002 --address 10.0.0.4:3000   # not secured`,
		Args:        want("ADDR"),
		Annotations: map[string]string{toWaiting: "join"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.theOne("join"); err != nil {
				return err
			}
			if c.joins == nil {
				answer, err := c.ask(cmd.Context(), method("join", args[0]))
				return c.settle(cmd, answer, err, func(r result) { r.printJoined(cmd) })
			}
			return c.join(cmd, args[0])
		},
	}
}

// join joins a secured site, and tells of the progress.
func (c *client) join(cmd *cobra.Command, address string) error {
	options := map[string]any{"token": c.token}
	p := newProgress(cmd)
	answer, err := c.patient(beginPatience).converse(cmd.Context(), func(ctx context.Context, scope *transport.Promise, heard func()) (any, error) {
		var begun atomic.Bool
		told := transport.NewFunc(func(_ context.Context, call *transport.Call) (any, error) {
			var e joinEvent
			if err := call.Decode(0, &e); err != nil {
				return nil, err
			}
			begun.Store(true)
			heard()
			p.joining(e)
			return nil, nil
		})
		answer, err := scope.Call("join", address, options, told).Await(ctx)
		if begun.Load() {
			err = halfway(err)
		}
		return answer, err
	})
	p.clear()
	return c.settle(cmd, answer, err, func(r result) { r.printJoined(cmd) })
}

// halfway keeps a join that has begun from being asked for again: the node
// goes on by itself, and would only say so.
func halfway(err error) error {
	if code := codeOf(err); code != "" && transient(err) {
		return &failure{status: statusUnreachable, message: oneLine(err.Error()), code: code, hint: "catalyst members shows when it votes"}
	}
	_, err = final(nil, err)
	return err
}

// printJoined says what the node is now, and what the site survives with it.
func (r result) printJoined(cmd *cobra.Command) {
	how := "; it votes when it has caught up"
	switch r.Data.Role {
	case "voter", "leader":
		how = " and votes" + r.quorum()
	case "nonvoter":
		how = " and stands by as a non-voter" + r.quorum()
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s joined site %s%s\n", r.Data.ID, r.Data.Site, how)
}

// joinEvent is what a node tells while it joins.
type joinEvent struct {
	Phase        string `json:"phase"`
	Fingerprint  string `json:"fingerprint"`
	Bytes        int64  `json:"bytes"`
	Total        int64  `json:"total"`
	Entries      int64  `json:"entries"`
	TotalEntries int64  `json:"totalEntries"`
}

// joining shows an event.
func (p *progress) joining(e joinEvent) {
	switch e.Phase {
	case "verified":
		p.say("the site is the one that the token names: its authority is %s", oneLine(e.Fingerprint))
	case "certified":
		p.say("the node has its certificate")
	case "nonvoter":
		p.say("the node is a member, without a vote until it has caught up")
	case "catching_up":
		if e.TotalEntries == 0 || e.Bytes > 0 && e.Bytes < e.Total {
			p.moved("taking in the snapshot", e.Bytes, e.Total, size)
		} else { // there was none to take in, or it is in
			p.moved("catching up", e.Entries, e.TotalEntries, entries)
		}
	case "voter":
		if e.Bytes > 0 { // a fast node has shown nothing else of it
			p.say("the node votes, with %s taken in", size(e.Bytes))
			return
		}
		p.say("the node votes")
	default:
		p.say("%s", oneLine(e.Phase)) // of a newer node
	}
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return thousands(int(n)) + " entries"
}
