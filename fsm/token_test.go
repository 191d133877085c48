package fsm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func tokenOf(id, role string) Token { return Token{ID: id, Role: role, Hash: hash(id)} }

func TestATokenIsCreatedOnceAndKnowsByWhom(t *testing.T) {
	s := beginAtLevel2(t)
	if s.table.TokensVersion() != 0 {
		t.Error("tokens have a version before there are any")
	}
	ops := tokenOf("ops-1", RoleOperator)
	ops.Description, ops.CreatedBy, ops.CreatedIndex = "for the night shift", "a liar", 99
	s.now += 1000
	s.sends(Command{At: s.now, By: "ann", Op: PutToken{ops}})
	want := ops
	want.CreatedAt, want.CreatedBy, want.CreatedIndex = s.now, "ann", 2
	got, ok := s.table.Token("ops-1")
	if !ok || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, %t, want %+v", got, ok, want)
	}
	if s.table.TokensVersion() != 2 || s.table.NumTokens() != 1 {
		t.Errorf("%d tokens of version %d", s.table.NumTokens(), s.table.TokensVersion())
	}
	s.says(Conflict, PutToken{ops}, "token ops-1 exists already")
	text, err := json.Marshal(got)
	if want := fmt.Sprintf(`{"id":"ops-1","role":"operator","description":"for the night shift","createdAt":%d,"createdBy":"ann","createdIndex":2}`, want.CreatedAt); err != nil || string(text) != want {
		t.Errorf("as JSON %s, %v, want %s", text, err, want)
	}
}

func TestWhatIsWrongWithATokenIsSaid(t *testing.T) {
	s := beginAtLevel2(t)
	join := func(change func(*Token)) Token {
		token := tokenOf("j", RoleJoin)
		token.Uses, token.ExpiresAt = 1, s.now+1_000_000
		change(&token)
		return token
	}
	for _, c := range []struct {
		token Token
		want  string
	}{
		{join(func(t *Token) { t.ID = "" }), `id: is empty; use 1 to 64 of letters, digits, ".", "_", "-"`},
		{join(func(t *Token) { t.ID = "a b" }), `id: "a b" has a space; use 1 to 64`},
		{join(func(t *Token) { t.ID = strings.Repeat("x", 65) }), "id: has 65 characters"},
		{join(func(t *Token) { t.Role = "root" }), `role: "root" is unknown; use one of viewer, operator, admin, peer, join`},
		{join(func(t *Token) { t.Hash = t.Hash[:31] }), "hash: has 31 bytes"},
		{join(func(t *Token) { t.Uses = 0 }), "uses: is 0; give 1 to 1000"},
		{join(func(t *Token) { t.Uses = 1001 }), "uses: is 1001; give 1 to 1000"},
		{join(func(t *Token) { t.ExpiresAt = 0 }), "must expire"},
		{join(func(t *Token) { t.ExpiresAt = 1000 }), "expiresAt: 1000 is not after"},
		{join(func(t *Token) { t.ExpiresAt = -1 }), "expiresAt: -1 is not after"},
		{join(func(t *Token) { t.Site = "oslo" }), "site: is set; leave it out, role join has none"},
		{join(func(t *Token) { t.Description = strings.Repeat("x", 201) }), "description: has 201 bytes; use at most 200"},
		{join(func(t *Token) { t.Description = "\x1b[2J" }), "control character"},
		{join(func(t *Token) { t.Role = RoleAdmin }), "uses: is 1; leave it out, role admin is not used up"},
		{tokenOf("p", RolePeer), "site: is empty"},
		{Token{ID: "p", Role: RolePeer, Site: "paris", Hash: hash("p")}, "this site itself"},
	} {
		s.says(Invalid, PutToken{c.token}, c.want)
	}
	s.does(PutToken{Token{ID: "p", Role: RolePeer, Site: "oslo", Hash: hash("p")}})
}

func TestTheLastAdminStaysUnlessForced(t *testing.T) {
	s := beginAtLevel2(t)
	soon := tokenOf("b", RoleAdmin)
	soon.ExpiresAt = s.now + 10_000
	s.does(PutToken{tokenOf("a", RoleAdmin)})
	s.does(PutToken{soon})
	s.does(PutToken{tokenOf("v", RoleViewer)})
	s.says(NotFound, RevokeToken{ID: "nobody"}, `"nobody" is unknown`)
	s.does(RevokeToken{ID: "v"})
	s.does(RevokeToken{ID: "a"}) // b is valid still
	s.says(Conflict, RevokeToken{ID: "b"}, "the last of role admin", "create another first")
	s.does(PutToken{tokenOf("c", RoleAdmin)})
	s.now += 10_000
	s.says(Conflict, RevokeToken{ID: "c"}, "the last of role admin") // b has expired
	s.does(RevokeToken{ID: "b"})
	s.does(RevokeToken{ID: "c", Force: true})
	if s.table.NumTokens() != 0 || s.table.TokensVersion() != s.table.Version() {
		t.Errorf("%d tokens, of version %d at %d", s.table.NumTokens(), s.table.TokensVersion(), s.table.Version())
	}
}

func TestAJoinTokenIsUsedUp(t *testing.T) {
	s := beginAtLevel2(t)
	join := tokenOf("j", RoleJoin)
	join.Uses, join.ExpiresAt = 2, s.now+100_000
	s.does(PutToken{join})
	s.does(PutToken{tokenOf("a", RoleAdmin)})
	s.says(NotFound, UseToken{ID: "nobody"}, "unknown")
	s.says(Forbidden, UseToken{ID: "a"}, "is of role admin", "create another, of role join")
	s.says(Invalid, UseToken{ID: "j", For: strings.Repeat("x", MaxDetail+1)}, "for: has 501 bytes")
	before := s.table

	// A retry with its request id takes no second use.
	use := Command{RequestID: "r1", At: s.now, By: "n4", Op: UseToken{ID: "j", For: "n4 00ff"}}
	if first, again := s.sends(use), s.sends(use); first != again || !first.Changed {
		t.Errorf("got %+v, then %+v", first, again)
	}
	if token, _ := s.table.Token("j"); token.Uses != 1 {
		t.Errorf("%d uses are left, want 1", token.Uses)
	}
	s.does(UseToken{ID: "j", For: "n5 00fe"})
	s.says(Forbidden, UseToken{ID: "j", For: "n6"}, "token j is used up")
	s.now += 100_000
	s.says(Forbidden, UseToken{ID: "j", For: "n6"}, "token j has expired")
	if token, ok := s.table.Token("j"); !ok || token.Uses != 0 {
		t.Errorf("got %+v, %t", token, ok)
	}
	if token, _ := before.Token("j"); token.Uses != 2 {
		t.Error("an older table changed")
	}
	s.wants("audit", s.audit()[:2], []string{"token/use j n5 00fe", "token/use j n4 00ff"})
}

func TestExpiredTokensMakeRoom(t *testing.T) {
	s := beginAtLevel2(t)
	for i := range MaxTokens {
		token := tokenOf(fmt.Sprintf("t%04d", i), RoleViewer)
		if i%2 == 1 {
			token.ExpiresAt = s.now + 10_000_000
		}
		s.does(PutToken{token})
	}
	s.says(TooLarge, PutToken{tokenOf("more", RoleViewer)}, "1024 tokens", "revoke one first")
	s.now += 10_000_000
	s.does(PutToken{tokenOf("more", RoleViewer)})
	if n := s.table.NumTokens(); n != MaxTokens/2+1 {
		t.Errorf("%d tokens, want those that have not expired and the new one", n)
	}
	ids := []string{}
	for token := range s.table.Tokens() {
		ids = append(ids, token.ID)
	}
	if !slices.IsSorted(ids) || ids[0] != "more" {
		t.Errorf("tokens %q", ids[:3])
	}
	for range s.table.Tokens() {
		break
	}
}
