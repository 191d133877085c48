package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/catalyst/orchestrator/transport"
)

// FailureCode says why the site could not answer. It travels as the own
// property `code` of the Error that rejects a call (contract, section 3).
type FailureCode string

const (
	unauthenticated FailureCode = "unauthenticated"
	forbidden       FailureCode = "forbidden" // of a read: an action is answered
	noLeader        FailureCode = "no_leader"
	leaderChanged   FailureCode = "leader_changed"  // definitely not applied
	unknownOutcome  FailureCode = "unknown_outcome" // may or may not be applied
	overloaded      FailureCode = "overloaded"
	unavailable     FailureCode = "unavailable"
	tooLarge        FailureCode = "too_large"
	internal        FailureCode = "internal"
)

var (
	errLeadershipLost = errors.New("leadership lost")
	errShutdown       = errors.New("node is shutting down")
)

// failure is an Error that rejects a call with a code.
func failure(code FailureCode, format string, args ...any) *transport.Error {
	return &transport.Error{
		Name:    "Error",
		Message: fmt.Sprintf(format, args...),
		Props:   map[string]any{"code": string(code)},
	}
}

// codeOf returns the FailureCode that an error carries, or internal.
func codeOf(err error) FailureCode {
	var e *transport.Error
	if errors.As(err, &e) && e.Code() != "" {
		return FailureCode(e.Code())
	}
	return internal
}

// proposalFailure is the one table from raft's errors to what they say about
// the fate of an entry (raft-notes, "Outcome of Apply").
func proposalFailure(err error) *transport.Error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return failure(leaderChanged, "the leader changed before the action was recorded: it was not applied; send it again")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return failure(overloaded, "the leader could not take the action in time: it was not applied; send it again later")
	default:
		return failure(unknownOutcome, "the leader was lost while the action was being recorded (%v): it may or may not be applied; "+
			"send it again with the same requestId, or read the table", err)
	}
}

// edge turns whatever a handler ended with into something fit to leave the
// process: coded errors pass, a caller that gave up is told so, and anything
// else is internal, without its inner text being taken for advice.
func edge(err error) error {
	if err == nil {
		return nil
	}
	var e *transport.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failure(unavailable, "the node ended the call before it had an answer: %v", err)
	default:
		return failure(internal, "internal error: %v", err)
	}
}

// typeError rejects a call whose arguments cannot be read.
func typeError(format string, args ...any) *transport.Error {
	return &transport.Error{Name: "TypeError", Message: fmt.Sprintf(format, args...)}
}
