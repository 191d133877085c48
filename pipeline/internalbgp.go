package pipeline

import (
	"context"
	"fmt"

	"github.com/catalyst/orchestrator/fsm"
)

// MaxUpdates is how many items one internalBGP/updateRoutes may carry: they
// become one entry of the log.
const MaxUpdates = 8192

// InternalBGPPlugin takes in what peer sites announce, and keeps the
// configuration of the peer sites. It sends nothing: sessions follow the
// table. The data of the internalBGP actions:
//
//	open          { peer?, resume? }       what the peer announced before is stale until it says it
//	                                       again; with resume it sends only what changed, and it is not
//	updateRoutes  { peer?, epoch?, term?, resume?, updates: Update[] }
//	close         { peer?, lost? }         withdraws its routes; lost, they stay, stale
//
// Update is the contract's, section 5. peer is the site that speaks; the
// session's own if it is left out.
type InternalBGPPlugin struct{}

// UpdateData is the Data of internalBGP/updateRoutes.
type UpdateData struct {
	ID        string `json:"id"`        // of the peer
	Malformed int    `json:"malformed"` // items taken as withdrawals
	Refused   int    `json:"refused"`   // routes over a bound
	Note      string `json:"note,omitempty"`
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
	case "internalBGP":
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
	if why, err := denial(c.Identity, c.Action); err != nil || why != "" {
		return Refuse(fsm.Forbidden, "%s", why), err
	}
	o, err := objectAt("data", c.Action.Data)
	if err != nil {
		return Result{}, err
	}
	peer := c.Identity.Site
	switch c.Action.Action {
	case "open":
		resume, err := o.flag("resume")
		if err != nil {
			return Result{}, err
		}
		if resume {
			return Result{Success: true, Data: RouteData{ID: peer}}, nil
		}
		return c.Propose(ctx, fsm.MarkStale{Peer: peer})
	case "close":
		lost, err := o.flag("lost")
		if err != nil {
			return Result{}, err
		}
		if lost {
			return c.Propose(ctx, fsm.MarkStale{Peer: peer})
		}
		return c.Propose(ctx, fsm.Withdraw{Peer: peer})
	default:
		return c.learn(ctx, peer, o)
	}
}

func (c *Context) learn(ctx context.Context, peer string, o object) (Result, error) {
	learn, malformed, err := o.learn(peer)
	if err != nil {
		return Result{}, err
	}
	outcome, result, err := c.commit(ctx, learn)
	if err != nil {
		return Result{}, err
	}
	malformed += outcome.Malformed
	if malformed > 0 {
		c.log().Warn("malformed updates were taken as withdrawals", "peer", peer, "items", malformed)
	}
	result.Data = UpdateData{ID: peer, Malformed: malformed, Refused: outcome.Refused, Note: outcome.Message}
	return result, nil
}

// learn reads updateRoutes. What is wrong with the envelope is refused; an
// item that is wrong withdraws the route it names (RFC 7606 §2), and counts.
func (o object) learn(peer string) (l fsm.Learn, malformed int, err error) {
	l.Peer = peer
	if l.Epoch, err = o.optionalText("epoch"); err != nil {
		return l, 0, err
	}
	if l.Term, err = o.count("term"); err != nil {
		return l, 0, err
	}
	if l.Resumed, err = o.flag("resume"); err != nil {
		return l, 0, err
	}
	items, err := o.list("updates")
	if err != nil {
		return l, 0, err
	}
	if len(items) > MaxUpdates {
		return l, 0, &fsm.Refusal{
			Code:    fsm.TooLarge,
			Message: fmt.Sprintf("%s: has %d items; send at most %d at a time", o.at("updates"), len(items), MaxUpdates),
		}
	}
	malformed = takeUpdates(&l, items)
	return l, malformed, nil
}

// takeUpdates sorts the items into a Learn. Of several for one route only the
// last counts, as a Learn does not keep their order.
func takeUpdates(l *fsm.Learn, items []any) (malformed int) {
	updates := make([]update, len(items))
	last := make(map[fsm.LearnedKey]int, len(items))
	for i, v := range items {
		updates[i] = readUpdate(v)
		last[updates[i].key()] = i
	}
	for i, u := range updates {
		if u.malformed {
			malformed++
		}
		l.Version = max(l.Version, u.version)
		l.EndOfRIB = l.EndOfRIB || u.kind == "endOfRib"
		switch {
		case u.id == "" || last[u.key()] != i:
		case u.kind == "add" && !u.malformed:
			l.Add = append(l.Add, fsm.LearnedRoute{ID: u.id, Service: u.service, Site: u.site, Path: u.path, Version: u.version})
		default:
			l.Remove = append(l.Remove, fsm.LearnedKey{ID: u.id, Site: u.site, Version: u.version})
		}
	}
	return malformed
}
