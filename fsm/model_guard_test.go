package fsm

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// guard is the part of the model that says who is who.
type guard struct {
	epoch, id                  string
	level                      int
	certificate, secret        string
	keys                       [][]byte
	keysVersion, tokensVersion uint64
	tokens                     map[string]Token
	members                    map[string]string
	audit                      []AuditEntry
}

func newGuard() guard {
	return guard{tokens: map[string]Token{}, members: map[string]string{}}
}

// describe is what the audit should say of an operation that will change
// something.
func (m *model) describe(op Op) AuditEntry {
	either := func(update bool, resource string) string {
		if update {
			return resource + "/update"
		}
		return resource + "/create"
	}
	switch op := op.(type) {
	case Found:
		return AuditEntry{Action: "site/found", ID: op.Site}
	case Put:
		_, exists := m.routes[[3]string{op.Service.ID(), m.site, ""}]
		return AuditEntry{Action: either(exists, "dataChannel"), ID: op.Service.ID()}
	case Delete:
		return AuditEntry{Action: "dataChannel/delete", ID: NormalID(op.ID)}
	case PutPeer:
		_, exists := m.configs[op.Peer.ID]
		return AuditEntry{Action: either(exists, "peer"), ID: op.Peer.ID}
	case DeletePeer:
		c, ok := m.configs[op.ID]
		if !ok {
			c, _ = m.configured(op.ID)
		}
		return AuditEntry{Action: "peer/delete", ID: c.ID}
	case HoldBack:
		if op.Held {
			return AuditEntry{Action: "member/hold", ID: op.ID}
		}
		return AuditEntry{Action: "member/release", ID: op.ID}
	}
	return m.describeGuarded(op)
}

func (m *model) describeGuarded(op Op) AuditEntry {
	switch op := op.(type) {
	case Raise:
		return AuditEntry{Action: "site/raise", ID: m.site, Detail: "level " + string(rune('0'+op.Level))}
	case Renew:
		return AuditEntry{Action: "site/renew", ID: m.site, Detail: "epoch " + op.Epoch}
	case SetAuthority:
		return AuditEntry{Action: "authority/set", ID: m.site}
	case SetGossipKeys:
		return AuditEntry{Action: "keys/set", ID: m.site, Detail: string(rune('0'+len(op.Keys))) + " in use"}
	case PutToken:
		return AuditEntry{Action: "token/create", ID: op.Token.ID, Detail: op.Token.Role}
	case RevokeToken:
		return AuditEntry{Action: "token/revoke", ID: op.ID, Detail: m.tokens[op.ID].Role}
	case UseToken:
		return AuditEntry{Action: "token/use", ID: op.ID, Detail: op.For}
	case Admit:
		return AuditEntry{Action: "member/admit", ID: op.ID, Detail: op.Instance}
	case Expel:
		return AuditEntry{Action: "member/expel", ID: op.ID}
	case Note:
		return AuditEntry{Action: op.Action, ID: op.ID, Detail: op.Detail}
	}
	return AuditEntry{}
}

// guarded is for the operations of level 2, and the way there.
func (m *model) guarded(c Command) Code {
	if r, ok := c.Op.(Raise); ok {
		switch {
		case r.Level < 1:
			return Invalid
		case r.Level < m.level:
			return Conflict
		case r.Level > m.level:
			m.level = r.Level
			m.version++
		}
		return ""
	}
	if m.level < 2 {
		return Invalid
	}
	switch op := c.Op.(type) {
	case PutToken:
		return m.putToken(c, op.Token)
	case RevokeToken:
		return m.revokeToken(c.At, op)
	case UseToken:
		return m.useToken(c.At, op)
	case Admit:
		known, exists := m.members[op.ID]
		if exists && known != op.Instance {
			return Conflict
		}
		if !exists {
			m.members[op.ID] = op.Instance
			m.version++
		}
	case Expel:
		if _, exists := m.members[op.ID]; exists {
			delete(m.members, op.ID)
			m.version++
		}
	case SetAuthority:
		return m.setAuthority(op)
	case SetGossipKeys:
		return m.setGossipKeys(op)
	case Renew:
		if op.ID == "" {
			return Invalid
		}
		if op.Epoch <= m.epoch || op.ID == m.id {
			return Conflict
		}
		m.epoch, m.id = op.Epoch, op.ID
		maps.DeleteFunc(m.members, func(id, _ string) bool { return !slices.Contains(op.Keep, id) })
		m.version++
	case Note:
		if op.Action == "" {
			return Invalid
		}
		m.version++
	default:
		return Invalid
	}
	return ""
}

func (m *model) setAuthority(s SetAuthority) Code {
	switch {
	case len(s.Key) == 0:
		return Invalid
	case m.certificate == "":
		m.certificate, m.secret = string(s.Certificate), string(s.Key)
		m.version++
	case m.certificate != string(s.Certificate) || m.secret != string(s.Key):
		return Conflict
	}
	return ""
}

func (m *model) setGossipKeys(g SetGossipKeys) Code {
	switch {
	case len(g.Keys) == 0, len(g.Keys) == 2 && bytes.Equal(g.Keys[0], g.Keys[1]):
		return Invalid
	case g.Was != m.keysVersion:
		return Conflict
	case !reflect.DeepEqual(g.Keys, m.keys):
		m.version++
		m.keys, m.keysVersion = g.Keys, m.version
	}
	return ""
}

func (m *model) putToken(c Command, t Token) Code {
	join := t.Role == RoleJoin
	if t.ExpiresAt != 0 && t.ExpiresAt <= c.At || join && (t.Uses == 0 || t.ExpiresAt == 0) || t.Site == m.site {
		return Invalid
	}
	if _, exists := m.tokens[t.ID]; exists {
		return Conflict
	}
	m.version++
	t.CreatedAt, t.CreatedBy, t.CreatedIndex = c.At, c.By, m.version
	m.tokens[t.ID], m.tokensVersion = t, m.version
	return ""
}

func (m *model) revokeToken(now int64, r RevokeToken) Code {
	t, ok := m.tokens[r.ID]
	if !ok {
		return NotFound
	}
	admins := 0
	for _, other := range m.tokens {
		if other.Role == RoleAdmin && (other.ExpiresAt == 0 || other.ExpiresAt > now) {
			admins++
		}
	}
	if !r.Force && admins == 1 && t.Role == RoleAdmin && (t.ExpiresAt == 0 || t.ExpiresAt > now) {
		return Conflict
	}
	delete(m.tokens, r.ID)
	m.version++
	m.tokensVersion = m.version
	return ""
}

func (m *model) useToken(now int64, u UseToken) Code {
	t, ok := m.tokens[u.ID]
	switch {
	case !ok:
		return NotFound
	case t.Role != RoleJoin, t.ExpiresAt <= now, t.Uses == 0:
		return Forbidden
	}
	t.Uses--
	m.version++
	m.tokens[u.ID], m.tokensVersion = t, m.version
	return ""
}

func (m *model) compareGuard(t *testing.T, table *Table) {
	t.Helper()
	tokens, members := map[string]Token{}, maps.Collect(table.Instances())
	for token := range table.Tokens() {
		tokens[token.ID] = token
	}
	certificate, secret := table.Authority()
	got := guard{
		epoch: table.Epoch(), id: table.ID(), level: table.Level(),
		certificate: string(certificate), secret: string(secret),
		keys: table.GossipKeys(), keysVersion: table.GossipKeysVersion(), tokensVersion: table.TokensVersion(),
		tokens: tokens, members: members,
	}
	want := m.guard
	want.audit = nil
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func (m *model) compareAudit(t *testing.T, table *Table) {
	t.Helper()
	got := slices.Collect(table.Audit(0))
	slices.Reverse(got)
	if len(m.audit) == 0 || !slices.Equal(got, m.audit) {
		t.Fatalf("%d entries in the audit, want %d: %+v\n%+v", len(got), len(m.audit), got, m.audit)
	}
}
