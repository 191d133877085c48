package fsm

import (
	"fmt"
	"strings"
)

// PutToken creates a token. What it says of its creation is filled in from the
// command.
type PutToken struct{ Token Token }

// RevokeToken ends a token. That of the last administrator takes Force: with
// it nobody could make another.
type RevokeToken struct {
	ID    string
	Force bool
}

// UseToken takes one use of a token of role join. It is Forbidden with one
// whose time or uses are over.
type UseToken struct {
	ID  string
	For string // who uses it, for the audit; at most MaxDetail bytes
}

func (p PutToken) apply(e *edit) Outcome {
	if fault := p.Token.fault(e.now); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	own := p.Token.clone()
	if own.Site == e.site {
		return e.refuse(Invalid, own.ID, fmt.Sprintf("site: %q is this site itself; name the other site", e.site))
	}
	if _, exists := e.tokens.get(own.ID); exists {
		return e.refuse(Conflict, own.ID, fmt.Sprintf("token %s exists already; give another id, or revoke it first", own.ID))
	}
	if e.tokens.len >= MaxTokens {
		e.dropExpired()
	}
	if e.tokens.len >= MaxTokens {
		return e.refuse(TooLarge, own.ID, fmt.Sprintf("the site has %d tokens, the most it may, and none has expired; revoke one first", MaxTokens))
	}
	own.CreatedAt, own.CreatedBy, own.CreatedIndex = e.now, e.author(), e.version+1
	e.tokens.put(e.own, own)
	return e.tokenChanged("token/create", own.ID, own.Role)
}

// dropExpired makes room. Until there is need of it, tokens that are over stay,
// so that whoever still uses one can be told what became of it.
func (e *edit) dropExpired() {
	var over []string
	for token := range e.tokens.all() {
		if token.Expired(e.now) {
			over = append(over, token.ID)
		}
	}
	for _, id := range over {
		e.tokens.remove(e.own, id)
	}
}

func (r RevokeToken) apply(e *edit) Outcome {
	token, ok := e.tokens.get(r.ID)
	switch {
	case !ok:
		return e.refuse(NotFound, shorten(r.ID), fmt.Sprintf("token %s is unknown; list the tokens to see their ids", quote(r.ID)))
	case !r.Force && e.lastAdmin(token):
		return e.refuse(Conflict, token.ID, fmt.Sprintf("token %s is the last of role admin that is valid; create another first, or force it", token.ID))
	}
	e.tokens.remove(e.own, token.ID)
	return e.tokenChanged("token/revoke", token.ID, token.Role)
}

// lastAdmin tells whether a token is valid for an administrator, and no other
// is.
func (e *edit) lastAdmin(token *Token) bool {
	valid := func(t *Token) bool { return t.Role == RoleAdmin && !t.Expired(e.now) }
	if !valid(token) {
		return false
	}
	for other := range e.tokens.all() {
		if other.ID != token.ID && valid(other) {
			return false
		}
	}
	return true
}

func (u UseToken) apply(e *edit) Outcome {
	if fault := textFault("for", u.For, MaxDetail); fault != "" {
		return e.refuse(Invalid, "", fault)
	}
	token, ok := e.tokens.get(u.ID)
	if !ok {
		return e.refuse(NotFound, shorten(u.ID), fmt.Sprintf("token %s is unknown: it was revoked, or is of another site; create another", quote(u.ID)))
	}
	if why := token.unusable(e.now); why != "" {
		return e.refuse(Forbidden, token.ID, fmt.Sprintf("token %s %s; create another, of role join", token.ID, why))
	}
	left := *token
	left.Uses--
	e.tokens.put(e.own, &left)
	return e.tokenChanged("token/use", token.ID, strings.Clone(u.For))
}

// unusable is why nobody can join with the token, or empty.
func (t *Token) unusable(now int64) string {
	switch {
	case t.Role != RoleJoin:
		return "is of role " + t.Role
	case t.Expired(now):
		return "has expired"
	case t.Uses <= 0:
		return "is used up"
	}
	return ""
}

func (e *edit) tokenChanged(action, id, detail string) Outcome {
	e.amend(action, id, detail)
	e.tokensVersion = e.version
	return e.done(id, true)
}

func (p PutToken) encode(b []byte) []byte { return appendMessage(b, 1, p.Token.encode) }

func decodePutToken(s *scanner) (p PutToken) {
	for s.next() {
		if s.field == 1 {
			p.Token = decodeToken(s)
		}
	}
	return p
}

func (r RevokeToken) encode(b []byte) []byte { return appendBool(appendText(b, 1, r.ID), 2, r.Force) }

func decodeRevokeToken(s *scanner) (r RevokeToken) {
	for s.next() {
		switch s.field {
		case 1:
			r.ID = s.text()
		case 2:
			r.Force = s.uint() != 0
		}
	}
	return r
}

func (u UseToken) encode(b []byte) []byte { return appendText(appendText(b, 1, u.ID), 2, u.For) }

func decodeUseToken(s *scanner) (u UseToken) {
	for s.next() {
		switch s.field {
		case 1:
			u.ID = s.text()
		case 2:
			u.For = s.text()
		}
	}
	return u
}
