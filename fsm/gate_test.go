package fsm

import (
	"slices"
	"strings"
	"testing"
)

// beginAtLevel2 founds the site paris with all that this build knows.
func beginAtLevel2(t *testing.T) *story {
	s := &story{T: t, table: new(Table), now: 1_000_000}
	s.does(Found{Site: "paris", AS: 64512, Epoch: "epoch-1", ID: "id-1", Level: 2})
	return s
}

// says is refuses, of a message that must hold some words.
func (s *story) says(code Code, op Op, words ...string) {
	s.Helper()
	o := s.refuses(code, op)
	for _, word := range words {
		if !strings.Contains(o.Message, word) {
			s.Errorf("%T: got %q, want something about %q", op, o.Message, word)
		}
	}
}

// audit is the audit, the newest first, without its times.
func (s *story) audit() (lines []string) {
	for a := range s.table.Audit(0) {
		lines = append(lines, strings.TrimSpace(a.Action+" "+a.ID+" "+a.Detail))
	}
	return lines
}

func TestASiteIsRaisedAndNeverLowered(t *testing.T) {
	if level := new(Table).Level(); level != 0 {
		t.Errorf("before it is founded a site is at level %d", level)
	}
	s := begin(t)
	if s.table.Level() != 1 {
		t.Errorf("a log that says nothing of levels is at %d, want 1", s.table.Level())
	}
	if o := s.does(Raise{Level: 1}); o.Changed {
		t.Errorf("the level that it is at: %+v", o)
	}
	s.says(Invalid, Raise{Level: 0}, "level: is 0; give 1 to 65536")
	s.says(Invalid, Raise{Level: MaxLevel + 1}, "level: is 65537")
	if o := s.does(Raise{Level: 2}); !o.Changed || s.table.Level() != 2 {
		t.Errorf("raised to %d: %+v", s.table.Level(), o)
	}
	s.does(Raise{Level: 9}) // a newer build leads
	s.says(Conflict, Raise{Level: 2}, "at 9 already", "never goes back to 2")
	s.wants("audit", s.audit(), []string{"site/raise paris level 9", "site/raise paris level 2"})
}

// A site where some nodes are older: what they do not know, nobody may do.
func TestALowerLevelRefusesAsAnOlderNodeDoes(t *testing.T) {
	newer, older := begin(t), begin(t)
	ops := []Op{
		Note{Action: "member/remove"}, SetAuthority{Certificate: []byte("c"), Key: []byte("k")},
		SetGossipKeys{Keys: [][]byte{hash("k")}}, PutToken{Token{ID: "t", Role: RoleAdmin, Hash: hash("t")}},
		RevokeToken{ID: "t"}, UseToken{ID: "t"}, Admit{ID: "n1", Instance: "i"}, Expel{ID: "n1"}, Renew{Epoch: "f", ID: "g"},
	}
	for i, op := range ops {
		id := string(rune('a' + i))
		got := newer.sends(Command{RequestID: id, At: 5, Op: op})
		want := older.sends(Command{RequestID: id, At: 5}) // an operation that it skipped
		if got != want || got.Code != Invalid {
			t.Errorf("%T: got %+v, want %+v", op, got, want)
		}
	}
	newer.puts("books")
	older.puts("books")
	if !slices.Equal(snapshotOf(t, newer.table), snapshotOf(t, older.table)) || newer.table.NumAudit() != 0 {
		t.Error("the tables differ, or something was audited")
	}
	newer.does(Raise{Level: 2})
	newer.does(ops[0])
}

func TestAnOperationOfTheSecondLevelNeedsASite(t *testing.T) {
	s := &story{T: t, table: new(Table)}
	s.says(Conflict, Raise{Level: 2}, "not founded")
	s.says(Conflict, Admit{ID: "n1", Instance: "i"}, "not founded")
}
