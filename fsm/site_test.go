package fsm

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestASiteIsFoundedWithItsIDAndLevel(t *testing.T) {
	s := &story{T: t, table: new(Table)}
	s.says(Invalid, Found{Site: "paris", ID: "no id"}, `id: "no id" has a space`)
	s.says(Invalid, Found{Site: "paris", ID: strings.Repeat("x", 65)}, "id: has 65 characters")
	s.says(Invalid, Found{Site: "paris", Level: -1}, "level: is -1")
	s.does(Found{Site: "paris", Epoch: "e", ID: "2f1c-77", Level: 3})
	if s.table.ID() != "2f1c-77" || s.table.Level() != 3 {
		t.Errorf("founded as %q at level %d", s.table.ID(), s.table.Level())
	}
	s.wants("audit", s.audit(), []string{"site/found paris"})
}

func TestARenewedSiteForgetsWhoIsNotKept(t *testing.T) {
	s := beginAtLevel2(t)
	for _, id := range []string{"n1", "n2", "n3"} {
		s.does(Admit{ID: id, Instance: "i-" + id})
	}
	before := s.table
	s.says(Conflict, Renew{Epoch: "epoch-1", ID: "id-2"}, `"epoch-1" is not later than the present one`, "clock")
	s.says(Conflict, Renew{Epoch: "epoch-2", ID: "id-1"}, "mint another")
	s.says(Invalid, Renew{Epoch: "epoch-2"}, "id: is empty")
	s.says(Invalid, Renew{Epoch: "epoch-2\n", ID: "id-2"}, "control character")
	s.says(Invalid, Renew{Epoch: "epoch-2", ID: "id-2", Keep: make([]string, MaxMembers+1)}, "keep: has 1025 entries")
	s.does(Renew{Epoch: "epoch-2", ID: "id-2", Keep: []string{"n2", "stranger"}})
	if s.table.Epoch() != "epoch-2" || s.table.ID() != "id-2" {
		t.Errorf("renewed as %s of epoch %s", s.table.ID(), s.table.Epoch())
	}
	if got := maps.Collect(s.table.Instances()); !maps.Equal(got, map[string]string{"n2": "i-n2"}) {
		t.Errorf("known members %v, want n2 alone", got)
	}
	if got := len(slices.Collect(maps.Keys(maps.Collect(before.Instances())))); got != 3 {
		t.Errorf("the older table has %d members", got)
	}
	s.wants("audit", s.audit()[:1], []string{"site/renew paris epoch epoch-2"})
}
