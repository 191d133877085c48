package fsm

import (
	"fmt"
	"strings"
)

// edit derives a table from another. What it holds is private to it until
// Apply returns the table, and the base is never written to.
type edit struct {
	Table
	own *owner
	now int64  // ms, of the command under way
	by  string // whom it is done for; a part of the log entry
}

// Apply carries out the commands in order and returns the table they lead to,
// with one outcome each. A command that is refused, or that panics, leaves the
// table as it was before that command.
func (t *Table) Apply(commands []Command) (*Table, []Outcome) {
	outcomes := make([]Outcome, len(commands))
	e := &edit{Table: *t, own: new(owner)}
	if !e.run(commands, outcomes) {
		// Something panicked half-way, and one edit for all cannot be undone
		// in part. Once more, each command with an edit of its own.
		e = &edit{Table: *t}
		for i := range commands {
			before := e.Table
			e.own = new(owner)
			if !e.run(commands[i:i+1], outcomes[i:i+1]) {
				e = &edit{Table: before}
			}
		}
	}
	return &e.Table, outcomes
}

// run stops at the first panic, with an outcome that reports it.
func (e *edit) run(commands []Command, outcomes []Outcome) (finished bool) {
	i := 0
	version := e.version
	defer func() {
		if p := recover(); p != nil {
			outcomes[i] = Outcome{Code: Internal, Message: fmt.Sprintf("apply the command: %v", p), Index: version}
		}
	}()
	for ; i < len(commands); i++ {
		version = e.version
		outcomes[i] = e.command(&commands[i])
	}
	return true
}

func (e *edit) command(c *Command) Outcome {
	e.now, e.by = c.At, c.By
	if c.RequestID == "" {
		return e.op(c.Op)
	}
	if len(c.RequestID) > MaxRequestID {
		return e.refuse(Invalid, "", fmt.Sprintf("requestId: has %d bytes; use at most %d", len(c.RequestID), MaxRequestID))
	}
	if outcome, ok := e.memory.recall(c.RequestID, c.At); ok {
		return outcome
	}
	outcome := e.op(c.Op)
	e.memory.remember(e.own, request{id: c.RequestID, at: c.At, outcome: outcome}, e.bounds().outcomes)
	return outcome
}

func (e *edit) op(op Op) Outcome {
	_, founding := op.(Found)
	switch {
	case op == nil, e.site != "" && e.level < needs(op):
		return e.refuse(Invalid, "", "this node does not know the operation; upgrade every node of the site to one version")
	case e.site == "" && !founding:
		return e.refuse(Conflict, "", "the site is not founded yet; bootstrap it first")
	}
	return op.apply(e)
}

func (e *edit) done(id string, changed bool) Outcome {
	return Outcome{ID: id, Index: e.version, Changed: changed}
}

func (e *edit) refuse(code Code, id, message string) Outcome {
	return Outcome{Code: code, Message: message, ID: strings.Clone(id), Index: e.version}
}

func (p Put) apply(e *edit) Outcome {
	service, err := p.Service.Validate()
	if err != nil {
		return e.refuse(Invalid, "", err.Error())
	}
	r := Route{Service: service}
	id := service.ID()
	old, exists := e.local.get(id)
	switch {
	case exists && r.definedAs(old):
		return e.done(id, false)
	case exists && p.Mode == Create:
		return e.refuse(Conflict, id, fmt.Sprintf("%s is already registered with another definition; update it, or remove it first", id))
	case !exists && p.Mode == Update:
		return e.refuse(NotFound, id, fmt.Sprintf("%s is not registered; create it first", id))
	case !exists && e.full():
		return e.refuse(TooLarge, id, e.fullMessage())
	}
	e.local.put(e.own, e.stamp(&r, old))
	e.enter(either(exists, "dataChannel/update", "dataChannel/create"), id, "")
	return e.done(id, true)
}

func (d Delete) apply(e *edit) Outcome {
	id := NormalID(d.ID)
	old, exists := e.local.get(id)
	if !exists {
		return e.refuse(NotFound, shorten(id), fmt.Sprintf("%s is not registered at this site", quote(id)))
	}
	e.local.remove(e.own, id)
	e.note(old, true)
	e.enter("dataChannel/delete", strings.Clone(old.id()), "")
	return e.done(old.id(), true)
}

func either(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}

// shorten keeps what a client sent from filling the memory of outcomes.
func shorten(id string) string {
	return id[:min(len(id), MaxName+len(":http:graphql"))]
}

func (e *edit) full() bool { return e.local.len+e.learned.len >= e.bounds().routes }

func (e *edit) fullMessage() string {
	return fmt.Sprintf("the table holds %d routes, the most it may; remove some first", e.bounds().routes)
}

// stamp gives a route its times and its number, notes the change, and packs
// the route. old is what it replaces, or empty.
func (e *edit) stamp(r *Route, old record) record {
	r.ModifiedAt, r.ModifiedIndex = e.now, e.version+1
	r.CreatedAt, r.CreatedIndex = r.ModifiedAt, r.ModifiedIndex
	if old != "" {
		h := old.head()
		r.CreatedAt, r.CreatedIndex = h.createdAt, h.createdIndex
	}
	var room [512]byte
	packed := record(r.pack(room[:0]))
	e.note(packed, false)
	return packed
}

// definedAs tells whether a route says the same as an earlier state of it.
func (r *Route) definedAs(old record) bool {
	var room [512]byte
	h := old.head()
	return h.stale == r.Stale && h.definition == string(r.packDefinition(room[:0]))
}
