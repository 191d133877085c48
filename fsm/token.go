package fsm

import (
	"fmt"
	"iter"
	"strings"
)

// Bounds of tokens, in bytes unless said otherwise.
const (
	MaxTokens      = 1024 // entries
	MaxUses        = 1000
	MaxDescription = 200
	HashSize       = 32
)

// Role is what the bearer of a token may do.
const (
	RoleViewer   = "viewer"
	RoleOperator = "operator"
	RoleAdmin    = "admin"
	RolePeer     = "peer" // speak for one other site
	RoleJoin     = "join" // become a node of this one
)

// Token is what the site knows of a token: enough to recognize it, not to
// make one.
type Token struct {
	ID          string `json:"id"`
	Role        string `json:"role"`
	Site        string `json:"site,omitempty"` // that a peer speaks for
	Hash        []byte `json:"-"`              // of the secret; not to be written to
	Description string `json:"description,omitempty"`

	CreatedAt    int64  `json:"createdAt"` // ms, stamped by the leader
	CreatedBy    string `json:"createdBy"`
	CreatedIndex uint64 `json:"createdIndex"`
	ExpiresAt    int64  `json:"expiresAt,omitempty"` // ms; 0 is never
	Uses         int    `json:"uses,omitempty"`      // that are left, of role join; 0 for the others
}

// Expired tells whether the token's time is over, by ms since the epoch.
func (t *Token) Expired(now int64) bool { return t.ExpiresAt != 0 && now >= t.ExpiresAt }

func (t *Token) key() string { return t.ID }

// Token returns the token of an id, be it expired or used up.
func (t *Table) Token(id string) (Token, bool) {
	if found, ok := t.tokens.get(id); ok {
		return *found, true
	}
	return Token{}, false
}

// Tokens yields the tokens by id.
func (t *Table) Tokens() iter.Seq[Token] {
	return func(yield func(Token) bool) {
		for token := range t.tokens.all() {
			if !yield(*token) {
				return
			}
		}
	}
}

// NumTokens counts the tokens, expired ones included.
func (t *Table) NumTokens() int { return t.tokens.len }

// TokensVersion is the version that last changed a token; 0 while there never
// was one.
func (t *Table) TokensVersion() uint64 { return t.tokensVersion }

// fault is what keeps a token from being created at a time, or empty.
func (t *Token) fault(now int64) string {
	if f := wordFault("id", t.ID); f != "" {
		return f
	}
	if f := t.roleFault(); f != "" {
		return f
	}
	if n := len(t.Hash); n != HashSize {
		return fmt.Sprintf("hash: has %d bytes; give the %d of a SHA-256", n, HashSize)
	}
	if t.ExpiresAt != 0 && t.ExpiresAt <= now {
		return fmt.Sprintf("expiresAt: %d is not after %d, the time of the leader; give a later one, or 0 for a token that never expires", t.ExpiresAt, now)
	}
	return textFault("description", t.Description, MaxDescription)
}

// roleFault looks at the role and what goes with it.
func (t *Token) roleFault() string {
	switch t.Role {
	case RoleViewer, RoleOperator, RoleAdmin:
	case RolePeer:
		if f := nameFault("site", t.Site); f != "" {
			return f
		}
	case RoleJoin:
		if t.Uses < 1 || t.Uses > MaxUses {
			return fmt.Sprintf("uses: is %d; give 1 to %d", t.Uses, MaxUses)
		}
		if t.ExpiresAt == 0 {
			return "expiresAt: is not set; a token of role join must expire"
		}
	default:
		return fmt.Sprintf("role: %s is unknown; use one of viewer, operator, admin, peer, join", quote(t.Role))
	}
	if t.Role != RolePeer && t.Site != "" {
		return fmt.Sprintf("site: is set; leave it out, role %s has none", t.Role)
	}
	if t.Role != RoleJoin && t.Uses != 0 {
		return fmt.Sprintf("uses: is %d; leave it out, role %s is not used up", t.Uses, t.Role)
	}
	return ""
}

// clone makes a copy that shares nothing with a log entry.
func (t *Token) clone() *Token {
	own := *t
	own.ID, own.Role, own.Site = strings.Clone(t.ID), strings.Clone(t.Role), strings.Clone(t.Site)
	own.Description, own.CreatedBy = strings.Clone(t.Description), strings.Clone(t.CreatedBy)
	own.Hash = []byte(string(t.Hash))
	return &own
}

func (t *Token) encode(b []byte) []byte {
	b = appendText(b, 1, t.ID)
	b = appendText(b, 2, t.Role)
	b = appendText(b, 3, t.Site)
	b = appendText(b, 4, string(t.Hash))
	b = appendText(b, 5, t.Description)
	b = appendUint(b, 6, uint64(t.CreatedAt))
	b = appendText(b, 7, t.CreatedBy)
	b = appendUint(b, 8, t.CreatedIndex)
	b = appendUint(b, 9, uint64(t.ExpiresAt))
	return appendUint(b, 10, uint64(t.Uses))
}

func decodeToken(s *scanner) (t Token) {
	inner := s.message()
	for inner.next() {
		switch inner.field {
		case 1:
			t.ID = inner.text()
		case 2:
			t.Role = inner.text()
		case 3:
			t.Site = inner.text()
		case 4:
			t.Hash = []byte(inner.text())
		case 5:
			t.Description = inner.text()
		case 6:
			t.CreatedAt = int64(inner.uint())
		case 7:
			t.CreatedBy = inner.text()
		case 8:
			t.CreatedIndex = inner.uint()
		case 9:
			t.ExpiresAt = int64(inner.uint())
		case 10:
			t.Uses = int(int64(inner.uint()))
		}
	}
	s.absorb(&inner)
	return t
}
