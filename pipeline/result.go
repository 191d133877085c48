package pipeline

import (
	"errors"
	"fmt"

	"github.com/catalyst/orchestrator/fsm"
)

// Result is what a plugin, and in the end the pipeline, makes of an action:
// the ActionResult of the contract. It is a success, or it has a Code and an
// Error that says what was wrong and what to do.
type Result struct {
	Success bool       `json:"success"`
	Stop    bool       `json:"stop,omitempty"` // a plugin halted the pipeline here
	Code    fsm.Code   `json:"code,omitempty"`
	Error   string     `json:"error,omitempty"`
	Data    any        `json:"data,omitempty"`
	State   *fsm.Table `json:"-"` // a table that shows the outcome; set by a commit
	Index   uint64     `json:"index,omitempty"`
}

// RouteData is the Data of an action on a dataChannel or a peer.
type RouteData struct {
	ID        string       `json:"id"`
	Gateway   *GatewayData `json:"gateway,omitempty"`   // nil without a gateway, or where it has no part
	Unchanged bool         `json:"unchanged,omitempty"` // it was so before
}

// GatewayData says whether the gateway serves the action's outcome yet.
type GatewayData struct {
	State string `json:"state"` // GatewayApplied, GatewayPending or GatewayRejected
	Error string `json:"error,omitempty"`

	// From a gateway that tells: the service's root fields as clients see them,
	// and the names that it does not have as it wanted.
	Queries       []string `json:"queries,omitempty"`
	Mutations     []string `json:"mutations,omitempty"`
	Subscriptions []string `json:"subscriptions,omitempty"`
	Warnings      []string `json:"warnings,omitempty"`
}

func (r Result) committed() bool { return r.Success && r.State != nil }

// Refuse makes the Result of a refusal: one sentence that says what was wrong
// with which field, and what to do.
func Refuse(code fsm.Code, format string, args ...any) Result {
	return Result{Code: code, Error: fmt.Sprintf(format, args...)}
}

// refusal makes a Result of an error that is a refusal; nil of any other.
func refusal(err error) *Result {
	var r *fsm.Refusal
	if !errors.As(err, &r) || r.Code == fsm.Internal {
		return nil
	}
	return &Result{Code: r.Code, Error: r.Message}
}

func invalid(format string, args ...any) *fsm.Refusal {
	return &fsm.Refusal{Code: fsm.Invalid, Message: fmt.Sprintf(format, args...)}
}
