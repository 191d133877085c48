package fsm

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// backedUp is a site that went on after its backup was taken.
func backedUp(t *testing.T) (s *story, backup *Table) {
	s = beginAtLevel2(t)
	s.puts("a", "b")
	s.does(PutPeer{Peer: PeerConfig{ID: "10-0-0-2", Endpoints: []string{"ws://oslo"}, Secret: "s"}})
	s.does(BindPeer{ID: "10-0-0-2", Peer: "oslo"})
	s.does(OpenPeer{Peer: "oslo", Epoch: "e", Term: 1})
	s.learns("oslo", "x", "y")
	s.does(SetGossipKeys{Keys: [][]byte{hash("old")}})
	s.does(PutToken{tokenOf("stolen", RoleAdmin)})
	backup = restored(t, snapshotOf(t, s.table))

	s.does(PutToken{tokenOf("admin", RoleAdmin)})
	s.does(RevokeToken{ID: "stolen"})
	s.does(SetGossipKeys{Was: s.table.GossipKeysVersion(), Keys: [][]byte{hash("new")}})
	s.does(SetAuthority{Certificate: []byte("c"), Key: []byte("k")})
	s.does(Admit{ID: "n1", Instance: "i1"})
	s.does(HoldBack{ID: "n2", Held: true})
	s.does(Delete{ID: "a:http:graphql"})
	s.does(PutPeer{Peer: PeerConfig{ID: "rome", Endpoints: []string{"ws://rome"}}})
	s.sends(Command{RequestID: "r1", At: s.now, Op: Put{Service: service("c")}})
	return s, backup
}

func TestARestoredSiteHasTheRoutesOfTheBackupAndItsOwnGuard(t *testing.T) {
	s, backup := backedUp(t)
	was := s.table
	got, err := was.Restored(backup, "epoch-2", 9, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if got.Site() != "paris" || got.AS() != 64512 || got.ID() != "id-1" || got.Level() != 2 || got.Epoch() != "epoch-2" || got.Version() != was.Version()+1 {
		t.Errorf("%s %d %s, level %d, epoch %s, version %d", got.Site(), got.AS(), got.ID(), got.Level(), got.Epoch(), got.Version())
	}
	if !slices.EqualFunc(slices.Collect(got.All()), slices.Collect(backup.Locals()), alike) {
		t.Error("the routes are not the backup's own")
	}
	peers := slices.Collect(got.Peers())
	if want := (PeerConfig{ID: "10-0-0-2", Endpoints: []string{"ws://oslo"}, Secret: "s", CreatedIndex: 4}); len(peers) != 1 || !reflect.DeepEqual(peers[0], want) {
		t.Errorf("peers %+v, want %+v", peers, want)
	}
	for id, held := range got.Holding() {
		t.Errorf("it holds %+v from %s", held, id)
	}
	if got.NumLearned() != 0 || got.NumPeers() != 1 || got.PeersVersion() != got.Version() {
		t.Errorf("%d learned routes, %d peers of version %d", got.NumLearned(), got.NumPeers(), got.PeersVersion())
	}

	if _, ok := got.Token("stolen"); ok || got.NumTokens() != 1 || got.TokensVersion() != was.TokensVersion() {
		t.Error("the tokens are not the site's present ones")
	}
	if !reflect.DeepEqual(got.GossipKeys(), [][]byte{hash("new")}) || got.GossipKeysVersion() != was.GossipKeysVersion() {
		t.Error("the gossip keys are not the present ones")
	}
	if c, k := got.Authority(); string(c) != "c" || string(k) != "k" {
		t.Errorf("authority %q, %q", c, k)
	}
	if !maps.Equal(maps.Collect(got.Instances()), map[string]string{"n1": "i1"}) || !got.HeldBack("n2") {
		t.Error("the members are not the present ones")
	}
	audit := slices.Collect(got.Audit(0))
	if want := (AuditEntry{Index: got.Version(), At: 9, By: "ann", Action: "site/restore", ID: "paris", Detail: "version 8"}); audit[0] != want {
		t.Errorf("got %+v, want %+v", audit[0], want)
	}
	if !slices.Equal(audit[1:], slices.Collect(was.Audit(0))) {
		t.Error("the audit of before is gone")
	}
}

func TestAfterARestoreWatchersStartOverAndNothingIsRemembered(t *testing.T) {
	s, backup := backedUp(t)
	was := s.table
	got, err := was.Restored(backup, "epoch-2", 9, "ann")
	if err != nil {
		t.Fatal(err)
	}
	for since := range got.Version() {
		if _, ok := got.Changes(since); ok {
			t.Errorf("changes since %d are told", since)
		}
	}
	if _, ok := got.Outcome("r1"); ok {
		t.Error("a request of another history is remembered")
	}
	for _, table := range []*Table{got, restored(t, snapshotOf(t, got))} {
		s.table = table
		s.wants("since then", s.told(table.Version()), nil)
		s.puts("d")
		s.does(Delete{ID: "b:http:graphql"})
		s.wants("and on", s.told(table.Version()), []string{"+d", "-b"})
		if data := snapshotOf(t, s.table); !bytes.Equal(snapshotOf(t, restored(t, data)), data) {
			t.Error("the snapshot differs")
		}
	}
	if was.Local("a:http:graphql") != nil || was.Local("c:http:graphql") == nil || backup.NumLearned() != 2 {
		t.Error("the tables that it was made of changed")
	}
}

// A backup can be newer than what is left of the site.
func TestNothingThatWaitsForANewerTableIsStranded(t *testing.T) {
	s, backup := backedUp(t)
	young := beginAtLevel2(t).table
	got, err := young.Restored(s.table, "epoch-2", 9, "ann")
	if err != nil || got.Version() != s.table.Version()+1 {
		t.Errorf("version %d, %v, want %d", got.Version(), err, s.table.Version()+1)
	}
	old := begin(t).table // of the first level
	got, err = old.Restored(backup, "epoch-2", 9, "ann")
	if err != nil || got.Level() != 1 || got.NumAudit() != 0 || got.NumLocal() != 2 {
		t.Errorf("level %d, %d entries, %d routes, %v", got.Level(), got.NumAudit(), got.NumLocal(), err)
	}
}

func TestABackupOfAnotherSiteIsRefused(t *testing.T) {
	paris := beginAtLevel2(t).table
	london, _ := new(Table).Apply([]Command{{Op: Found{Site: "london", Epoch: "e"}}})
	far := *paris
	far.version = mostVersion
	for _, c := range []struct {
		site, backup *Table
		epoch        string
		code         Code
		want         string
	}{
		{paris, london, "epoch-2", Conflict, `the backup is of site "london", and this is site "paris"; give a backup of "paris", or restore this one at a site that was founded as "london"`},
		{paris, new(Table), "epoch-2", Conflict, `the backup is of site ""`},
		{new(Table), new(Table), "epoch-2", Conflict, "not founded yet"},
		{paris, paris, "epoch-1", Conflict, `"epoch-1" is not later`},
		{paris, &far, "epoch-2", Invalid, "no site reaches"},
	} {
		table, err := c.site.Restored(c.backup, c.epoch, 1, "ann")
		var refusal *Refusal
		if table != nil || !errors.As(err, &refusal) || refusal.Code != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, %v, want %q", table, err, c.want)
		}
	}
}
