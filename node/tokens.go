package node

import (
	"context"
	"time"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/pipeline"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// mostTTL is the longest life that can be asked of a token.
const mostTTL = 10 * 365 * 24 * time.Hour

// tokensPlugin decides the actions on resource token. The secret is made here,
// shown once in the answer, and never stored.
type tokensPlugin struct{ n *Node }

func (tokensPlugin) Name() string { return "TokensPlugin" }

func (tokensPlugin) Handles() []string { return []string{"token/create", "token/revoke"} }

func (p tokensPlugin) Apply(ctx context.Context, c *pipeline.Context) (pipeline.Result, error) {
	if c.Action.Resource != "token" {
		return c.Result, nil
	}
	if refusal := p.n.needs(levelMembership, c.Action.String()); refusal != nil {
		return *refusal, nil
	}
	if c.Action.Action == "revoke" {
		return p.revoke(ctx, c)
	}
	return p.create(ctx, c)
}

type tokenData struct {
	ID          string `json:"id"`
	Role        string `json:"role"`
	TTL         int64  `json:"ttl"` // seconds; 0 is for good
	Uses        int    `json:"uses"`
	Site        string `json:"site"`
	Description string `json:"description"`
	Force       bool   `json:"force"`
}

func readData(a pipeline.Action, into any) *pipeline.Result {
	if err := transport.Decode(a.Data, into); err != nil {
		r := pipeline.Refuse(fsm.Invalid, "data: %v", err)
		return &r
	}
	return nil
}

func (p tokensPlugin) create(ctx context.Context, c *pipeline.Context) (pipeline.Result, error) {
	var d tokenData
	if refusal := readData(c.Action, &d); refusal != nil {
		return *refusal, nil
	}
	if first := p.n.machine.Table().NumTokens() == 0 && !p.n.secured() && p.n.cfg.AdminToken == ""; first && d.Role != fsm.RoleAdmin {
		return pipeline.Refuse(fsm.Conflict, "role: this site takes every caller for an admin, and its first token ends that: make one of the role admin first"), nil
	}
	kind := trust.ClientToken
	if d.Role == fsm.RoleJoin {
		kind = trust.JoinToken
		if d.Uses == 0 {
			d.Uses = 1
		}
		if d.TTL == 0 {
			d.TTL = int64(joinTTL / time.Second)
		}
	}
	if d.TTL < 0 || d.TTL > int64(mostTTL/time.Second) {
		return pipeline.Refuse(fsm.Invalid, "ttl: is %d seconds; give 1 to %d, or 0 for a token that does not expire", d.TTL, int64(mostTTL/time.Second)), nil
	}
	var expires time.Time
	var expiresAt int64
	if d.TTL > 0 {
		expires = time.Now().Add(time.Duration(d.TTL) * time.Second).Truncate(time.Second)
		expiresAt = expires.UnixMilli()
	}
	var pin trust.Pin
	if p.n.secured() {
		pin = p.n.keeper.Pin()
	}
	if authority, _ := p.n.machine.Table().Authority(); kind == trust.JoinToken && authority == nil {
		return pipeline.Refuse(fsm.Conflict, "role: this site has no certificate authority, so there is nothing that a join token could give: nodes join it by --join"), nil
	}
	token := trust.NewToken(kind, pin, expires, d.Uses)
	hash := token.Hash()
	result, err := c.Propose(ctx, fsm.PutToken{Token: fsm.Token{
		ID: token.ID, Role: d.Role, Site: d.Site, Hash: hash[:], Description: d.Description, ExpiresAt: expiresAt, Uses: d.Uses,
	}})
	if err != nil {
		return result, err
	}
	if made := result.Data.(pipeline.RouteData).ID; made != token.ID {
		return pipeline.Refuse(fsm.Conflict, "requestId: an earlier try made the token %s, and its secret went with the answer that was lost: revoke it and make another", made), nil
	}
	data := map[string]any{"id": token.ID, "token": token.Text(), "role": d.Role}
	if expiresAt != 0 {
		data["expiresAt"] = expiresAt
	}
	if kind == trust.JoinToken {
		data["join"], data["uses"] = p.n.joinLine(token), d.Uses
	}
	result.Data = data
	return result, nil
}

func (p tokensPlugin) revoke(ctx context.Context, c *pipeline.Context) (pipeline.Result, error) {
	var d tokenData
	if refusal := readData(c.Action, &d); refusal != nil {
		return *refusal, nil
	}
	return c.Propose(ctx, fsm.RevokeToken{ID: d.ID, Force: d.Force})
}

func (s *cliScope) listTokens(ctx context.Context, c *transport.Call) (any, error) {
	_, t, err := s.n.queried(ctx, c)
	if err != nil {
		return nil, err
	}
	tokens := []fsm.Token{}
	for k := range t.Tokens() {
		tokens = append(tokens, k)
	}
	return map[string]any{"tokens": tokens, "index": t.Version()}, nil
}

const maxAudited = 1000 // entries of one answer

// listAudit shows who changed what, the newest first.
func (s *cliScope) listAudit(ctx context.Context, c *transport.Call) (any, error) {
	var page struct {
		Limit  int    `json:"limit"`
		Before uint64 `json:"before"`
	}
	if err := c.Decode(0, &page); err != nil {
		return nil, err
	}
	if page.Limit < 1 || page.Limit > maxAudited {
		page.Limit = maxAudited
	}
	t, err := s.n.table(ctx, query{})
	if err != nil {
		return nil, edge(err)
	}
	entries, more := []fsm.AuditEntry{}, false
	for e := range t.Audit(page.Before) {
		if len(entries) == page.Limit {
			more = true
			break
		}
		entries = append(entries, e)
	}
	return map[string]any{"entries": entries, "index": t.Version(), "more": more}, nil
}
