// Package pipeline decides what becomes of an action. An action passes an
// ordered list of plugins; each may refuse it, answer it, or let it pass.
// Routes move only through the Proposer, which commits a command to the site's
// log. Until that commit a plugin can refuse; from then on nothing is undone,
// a caller who gives up changes nothing, and what comes late is reported in
// the result's data, never as a failure.
//
// The package knows nothing of sockets, of Raft, or of how an action arrived.
// It starts no goroutine outside GatewayIntegrationPlugin.Run.
package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/catalyst/orchestrator/fsm"
)

// Plugin takes its part in every action. One that has nothing to say returns
// c.Result as it found it. A *fsm.Refusal as the error is an answer, the same
// as a Result with its code; any other error means that the site could not
// answer.
type Plugin interface {
	Name() string
	Apply(ctx context.Context, c *Context) (Result, error)
}

// Handler is a Plugin that answers actions, and lists them as
// "resource/action". What no plugin of a pipeline lists is refused before the
// first of them runs. Plugins that only observe or deny need no list.
type Handler interface {
	Plugin
	Handles() []string
}

// Proposer commits commands to the site's log. The table shows the outcome.
// It stamps the command's time.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (fsm.Outcome, *fsm.Table, error)
}

// Context is one action on its way through the plugins.
type Context struct {
	Action   Action
	Identity Identity
	Proposer Proposer
	Result   Result       // what the plugins so far made of it
	Log      *slog.Logger // nil discards
	// Committed is told once of what has been committed, before anything waits
	// for what follows from it; nil wants no news. It must not block.
	Committed func(Result)
}

// Propose commits op in the name of the action. The Result says what became
// of it, with a RouteData; an outcome that is a refusal is a *fsm.Refusal.
func (c *Context) Propose(ctx context.Context, op fsm.Op) (Result, error) {
	_, result, err := c.commit(ctx, op)
	return result, err
}

func (c *Context) commit(ctx context.Context, op fsm.Op) (fsm.Outcome, Result, error) {
	outcome, table, err := c.Proposer.Propose(ctx, fsm.Command{
		RequestID: c.Action.RequestID,
		By:        c.Identity.Name,
		Op:        op,
	})
	switch {
	case err != nil:
		return outcome, Result{}, err
	case outcome.Code == fsm.Internal:
		return outcome, Result{}, fmt.Errorf("apply %s: %s", c.Action, outcome.Message)
	case outcome.Code != "":
		return outcome, Result{}, &fsm.Refusal{Code: outcome.Code, Message: outcome.Message}
	}
	return outcome, Result{Success: true, Data: RouteData{ID: outcome.ID, Unchanged: !outcome.Changed}, State: table, Index: outcome.Index}, nil
}

// Pipeline is the plugins in the order in which they see an action.
type Pipeline []Plugin

// Apply runs the plugins until one refuses, one stops, or all have run. An
// error means that the site could not answer, never that it refused.
func (p Pipeline) Apply(ctx context.Context, c *Context) (Result, error) {
	if unknown := p.unknown(c.Action); unknown != nil {
		return *unknown, nil
	}
	for _, plugin := range p {
		result, err := plugin.Apply(ctx, c)
		if r := refusal(err); r != nil {
			result, err = *r, nil
		}
		switch {
		case c.Result.committed() && (err != nil || !result.Success):
			c.log().Error("a plugin objects to what is committed", "plugin", plugin.Name(), "action", c.Action, "err", err, "refusal", result.Error)
			continue
		case err != nil:
			return Result{}, fmt.Errorf("%s: %w", plugin.Name(), err)
		}
		first := result.committed() && !c.Result.committed()
		c.Result = complete(result, plugin)
		if first && c.Committed != nil {
			c.Committed(c.Result)
		}
		if c.Result.Stop || c.Result.Code != "" {
			return c.Result, nil
		}
		if result.committed() {
			ctx = context.WithoutCancel(ctx)
		}
	}
	if !c.Result.Success {
		return Refuse(fsm.Invalid, "action: no plugin took %s; check its data", c.Action), nil
	}
	return c.Result, nil
}

// complete gives a refusal what a client may rely on: a code and a sentence.
func complete(r Result, by Plugin) Result {
	if r.Success || !r.Stop && r.Error == "" && r.Code == "" {
		return r
	}
	r.Code = cmp.Or(r.Code, fsm.Invalid)
	if r.Error == "" {
		r.Error = "action: " + by.Name() + " halted it and gave no reason"
	}
	return r
}

func (c *Context) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// unknown refuses an action that no plugin lists, and says what exists.
func (p Pipeline) unknown(a Action) *Result {
	for _, plugin := range p {
		if h, ok := plugin.(Handler); ok && a.in(h.Handles()) {
			return nil
		}
	}
	resources, actions := p.listed(a.Resource)
	r := Refuse(fsm.Invalid, "resource: %s; use one of %s", oddity(a.Resource), strings.Join(resources, ", "))
	if len(actions) > 0 {
		r = Refuse(fsm.Invalid, "action: %s for %s; use one of %s", oddity(a.Action), a.Resource, strings.Join(actions, ", "))
	}
	return &r
}

// listed is every resource there is and the actions of one of them, in order.
func (p Pipeline) listed(resource string) (resources, actions []string) {
	for _, plugin := range p {
		h, ok := plugin.(Handler)
		if !ok {
			continue
		}
		for _, kind := range h.Handles() {
			r, action, _ := strings.Cut(kind, "/")
			resources = append(resources, r)
			if r == resource {
				actions = append(actions, action)
			}
		}
	}
	slices.Sort(resources)
	slices.Sort(actions)
	return slices.Compact(resources), slices.Compact(actions)
}

func oddity(word string) string {
	if word == "" {
		return "is missing"
	}
	return quote(word) + " does not exist"
}
