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
