package fsm

import (
	"fmt"
	"strings"
	"testing"
)

func TestANodeThatLostItsDataIsNotTheSameMember(t *testing.T) {
	s := beginAtLevel2(t)
	s.does(Admit{ID: "n1", Instance: "i1"})
	if o := s.does(Admit{ID: "n1", Instance: "i1"}); o.Changed {
		t.Errorf("the same again: %+v", o)
	}
	s.says(Conflict, Admit{ID: "n1", Instance: "i2"},
		"node n1 is known as another incarnation", "its data was lost, or it is another machine", "`catalyst member remove n1`", "join it anew")
	s.says(Invalid, Admit{ID: "n 1", Instance: "i1"}, `id: "n 1" has a space`)
	s.says(Invalid, Admit{ID: "n2"}, "instance: is empty")
	s.says(Invalid, Admit{ID: "n2", Instance: strings.Repeat("x", 65)}, "instance: has 65 characters")
	if instance, ok := s.table.Instance("n1"); !ok || instance != "i1" {
		t.Errorf("n1 is %q, %t", instance, ok)
	}

	if o := s.does(Expel{ID: "n2"}); o.Changed {
		t.Errorf("expelled whom nobody knows: %+v", o)
	}
	s.says(Invalid, Expel{ID: ""}, "id: is empty")
	s.does(Expel{ID: "n1"})
	s.does(Admit{ID: "n1", Instance: "i2"})
	if instance, _ := s.table.Instance("n1"); instance != "i2" {
		t.Errorf("n1 is %q", instance)
	}
	s.wants("audit", s.audit(), []string{"member/admit n1 i2", "member/expel n1", "member/admit n1 i1", "site/found paris"})
}

func TestASiteKnowsSoManyMembers(t *testing.T) {
	s := beginAtLevel2(t)
	for i := range MaxMembers {
		s.does(Admit{ID: fmt.Sprint("n", i), Instance: "i"})
	}
	s.says(TooLarge, Admit{ID: "more", Instance: "i"}, "1024 members", "remove one first")
	s.does(Admit{ID: "n7", Instance: "i"})
	for range s.table.Instances() {
		break
	}
}

// Who was expelled stays known for a while: what its machine still says must
// not be heard. One that is admitted again after all is no longer among them.
func TestTheExpelledAreKnown(t *testing.T) {
	s := beginAtLevel2(t)
	for i := range MaxExpelled + 2 {
		s.does(Admit{ID: "n1", Instance: fmt.Sprint("i", i)})
		s.does(Expel{ID: "n1"})
	}
	before := s.table
	s.does(Admit{ID: "n1", Instance: "i9"})
	for instance, want := range map[string]bool{"i0": false, "i1": false, "i2": true, "i9": false, "i10": true, fmt.Sprint("i", MaxExpelled+1): true, "never": false} {
		if got := s.table.Expelled(instance); got != want {
			t.Errorf("%s is expelled: %t, want %t", instance, got, want)
		}
	}
	if !before.Expelled("i9") {
		t.Error("an older table has changed")
	}
	if again := restored(t, snapshotOf(t, s.table)); !again.Expelled("i10") || again.Expelled("i9") {
		t.Error("a snapshot forgets who was expelled")
	}
	s.does(Admit{ID: "n2", Instance: "j"})
	s.does(Renew{Epoch: "epoch-2", ID: "another", Keep: []string{"n1"}})
	if !s.table.Expelled("j") || s.table.Expelled("i9") {
		t.Error("a recovery expels whom it does not keep, and nobody else")
	}
}
