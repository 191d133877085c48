package main

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/spf13/cobra"

	"github.com/catalyst/orchestrator/transport"
)

// action is the contract's Action.
type action struct {
	Resource  string `json:"resource"`
	Action    string `json:"action"`
	Data      any    `json:"data"`
	RequestID string `json:"requestId"`
}

// verdict is the part of an ActionResult that all of them have.
type verdict struct {
	Success bool   `json:"success"`
	Code    string `json:"code"`
	Error   string `json:"error"`
	Index   uint64 `json:"index"`
}

func (v verdict) succeeded() bool { return v.Success }

// outcome is an ActionResult, whatever its data.
type outcome interface{ succeeded() bool }

// result is the contract's ActionResult, with the data of most actions.
type result struct {
	verdict
	Data struct {
		ID     string `json:"id"`
		Site   string `json:"site"`
		Role   string `json:"role"`
		DryRun bool   `json:"dryRun"`
		strength
		Before    *strength    `json:"before"`
		Unchanged bool         `json:"unchanged"`
		Gateway   *gatewayData `json:"gateway"`
	} `json:"data"`
}

// gatewayData is what the gateway makes of an action. Only the product's own
// tells the lists: root fields as clients see them, and names that clash.
type gatewayData struct {
	State         string   `json:"state"`
	Error         string   `json:"error"`
	Queries       []string `json:"queries"`
	Mutations     []string `json:"mutations"`
	Subscriptions []string `json:"subscriptions"`
	Warnings      []string `json:"warnings"`
}

// committed is what a site tells of an action that is committed, before the
// gateway has followed.
type committed struct {
	Step      string `json:"step"`
	Index     uint64 `json:"index"`
	ID        string `json:"id"`
	Unchanged bool   `json:"unchanged"`
}

// strength is what a site survives.
type strength struct {
	Voters    *int `json:"voters"`
	Tolerates *int `json:"tolerates"`
}

// act sends an action under a new requestId, which makes it safe to repeat at
// another node, and prints what became of it.
func (c *client) act(cmd *cobra.Command, a action, done func(result)) error {
	return actAs(c, cmd, a, func(r result) error { done(r); return nil })
}

// actTelling is act with told, which is called while the answer is awaited, and
// again when a repeated action gets that far again; not by an older node.
func (c *client) actTelling(cmd *cobra.Command, a action, told func(committed), done func(result)) error {
	a.RequestID = rand.Text()
	answer, err := c.ask(cmd.Context(), func(ctx context.Context, scope *transport.Promise) (any, error) {
		progress := transport.NewFunc(func(_ context.Context, call *transport.Call) (any, error) {
			var e committed
			if err := call.Decode(0, &e); err == nil && e.Step == "replicated" {
				told(e)
			}
			return nil, nil
		})
		return scope.Call("applyAction", a, progress).Await(ctx)
	})
	return c.settle(cmd, answer, err, done)
}

// actAs is act for results whose data is more than most have.
func actAs[T outcome](c *client, cmd *cobra.Command, a action, done func(T) error) error {
	a.RequestID = rand.Text()
	answer, err := c.ask(cmd.Context(), func(ctx context.Context, scope *transport.Promise) (any, error) {
		return scope.Call("applyAction", a).Await(ctx)
	})
	return settleAs(c, cmd, answer, err, done)
}

// settle prints an ActionResult; a refusal becomes the error.
func (c *client) settle(cmd *cobra.Command, answer any, err error, done func(result)) error {
	return settleAs(c, cmd, answer, err, func(r result) error { done(r); return nil })
}

// settleAs is settle for results whose data is more than most have.
func settleAs[T outcome](c *client, cmd *cobra.Command, answer any, err error, done func(T) error) error {
	if err != nil {
		return c.unsettled(cmd, err)
	}
	var ended error
	err = show(cmd, c, answer, func(r T) {
		if r.succeeded() {
			ended = done(r)
		}
	})
	if err == nil {
		err = ended
	}
	if err != nil {
		return err
	}
	var r verdict
	if err := transport.Decode(answer, &r); err != nil || r.Success {
		return err
	}
	return &failure{status: statusRefused, message: oneLine(r.Error), hint: refusalHint(cmd, r.Code), code: r.Code}
}

// unsettled completes the error of an action that got no result. A rejection
// has the shape of a refusal on stdout, so that programs read one shape.
func (c *client) unsettled(cmd *cobra.Command, err error) error {
	var (
		f *failure
		u *unanswered
	)
	switch {
	case errors.As(err, &u) && u.unsure:
		u.message += "; it may have been done all the same"
		u.hint = "look with " + looking(cmd) + " before doing it again"
		if cmd.Name() == "init" {
			u.hint += "; if the site was founded, its admin token is lost: stop the node, empty its data directory and begin anew"
		}
	case errors.As(err, &f) && f.code != "" && c.output == "json":
		if err := printJSON(cmd.OutOrStdout(), map[string]any{"success": false, "code": f.code, "error": f.message}); err != nil {
			return err
		}
	case errors.Is(err, context.Canceled):
		return &failure{status: statusInterrupted, message: "interrupted; it may have been done all the same"}
	}
	return err
}

// refusalHint is the next command after a refusal, where the node cannot know it.
func refusalHint(cmd *cobra.Command, code string) string {
	group := cmd.Parent().CommandPath()
	switch {
	case code == "conflict" && cmd.Name() == "add":
		return "replace its definition with " + group + " update"
	case code == "not_found" && cmd.Name() == "update":
		return "add it with " + group + " add; " + looking(cmd) + " shows what there is"
	case code == "not_found":
		return looking(cmd) + " shows what there is"
	case code == "forbidden" && cmd.Name() != "join":
		return "use another token with --token (CATALYST_TOKEN), of a role that may do this"
	}
	return ""
}

// looking is the command that shows what cmd changes.
func looking(cmd *cobra.Command) string {
	for _, beside := range cmd.Parent().Commands() {
		if beside.Name() == "list" && cmd.Name() != "list" {
			return beside.CommandPath()
		}
	}
	switch cmd.Name() {
	case "init", "restore":
		return "catalyst status"
	}
	return "catalyst members"
}
