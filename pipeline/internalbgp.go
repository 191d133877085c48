package pipeline

import (
	"context"

	"github.com/catalyst/orchestrator/fsm"
)

// InternalBGPPlugin takes in what peer sites announce, and keeps the
// configuration of the peer sites. It sends nothing: sessions follow the
// table. The data of an internalBGP action is the command that a session made
// of what its peer said:
//
//	open          fsm.OpenPeer; fsm.BindPeer where a configured peer has answered
//	updateRoutes  fsm.Learn
//	close         fsm.MarkStale when the session was lost, fsm.Withdraw when it was ended for good
type InternalBGPPlugin struct{}

// UpdateData is the Data of internalBGP/updateRoutes.
type UpdateData struct {
	ID        string `json:"id"`        // of the peer
	Malformed int    `json:"malformed"` // items taken as withdrawals
	Refused   int    `json:"refused"`   // routes over a bound
	Note      string `json:"note,omitempty"`
}

// PeerAction is the action that carries a session's command; false for a
// command that is none.
func PeerAction(op fsm.Op) (Action, bool) {
	verb, _ := sessionVerb(op)
	return Action{Resource: internalBGP, Action: verb, Data: op}, verb != ""
}

const internalBGP = "internalBGP"

// sessionVerb says which action carries a command, and for which site it
// speaks.
func sessionVerb(op any) (verb, site string) {
	switch op := op.(type) {
	case fsm.OpenPeer:
		return "open", op.Peer
	case fsm.BindPeer:
		return "open", op.Peer
	case fsm.Learn:
		return "updateRoutes", op.Peer
	case fsm.MarkStale:
		return "close", op.Peer
	case fsm.Withdraw:
		return "close", op.Peer
	}
	return "", ""
}

// Name returns "InternalBGPPlugin".
func (InternalBGPPlugin) Name() string { return "InternalBGPPlugin" }

// Handles lists the actions of a peer and those on peers.
func (InternalBGPPlugin) Handles() []string {
	return []string{
		"internalBGP/open", "internalBGP/updateRoutes", "internalBGP/close",
		"peer/create", "peer/update", "peer/delete",
	}
}

// Apply commits what concerns peers and lets the rest pass.
func (p InternalBGPPlugin) Apply(ctx context.Context, c *Context) (Result, error) {
	switch c.Action.Resource {
	case internalBGP:
		return p.session(ctx, c)
	case "peer":
		op, err := c.Action.peerOp()
		if err != nil {
			return Result{}, err
		}
		return c.Propose(ctx, op)
	}
	return c.Result, nil
}

// session is an action from a peer's session; from anyone else it is refused,
// also where no AuthPlugin ran.
func (InternalBGPPlugin) session(ctx context.Context, c *Context) (Result, error) {
	if why := denial(c.Identity, c.Action); why != "" {
		return Refuse(fsm.Forbidden, "%s", why), nil
	}
	outcome, result, err := c.commit(ctx, c.Action.Data.(fsm.Op))
	if err == nil {
		result.Data = UpdateData{ID: outcome.ID, Malformed: outcome.Malformed, Refused: outcome.Refused, Note: outcome.Message}
	}
	return result, err
}
