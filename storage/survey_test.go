package storage

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

func servers(ids ...raft.ServerID) raft.Configuration {
	var c raft.Configuration
	for _, id := range ids {
		c.Servers = append(c.Servers, raft.Server{ID: id, Address: raft.ServerAddress(id) + ":7000"})
	}
	return c
}

// stopped is the directory of a node that was stopped.
func stopped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s.StoreLogs(records(1, 100, 1)))
	snapshot(t, s, 90, 1, "state")
	must(t, s.DeleteRange(1, 80))
	must(t, s.StoreLog(&raft.Log{Index: 101, Term: 4, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(servers("a", "b"))}))
	must(t, s.StoreLogs(records(102, 110, 4)))
	must(t, s.SetUint64(keyCurrentTerm, 5))
	must(t, s.SetUint64(keyVoteTerm, 5))
	must(t, s.Set(keyVotedFor, []byte("b")))
	must(t, s.Close())
	return dir
}

// sizes are all files of a directory, with when they were written.
func sizes(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		must(t, err)
		info, err := e.Info()
		must(t, err)
		b.WriteString(strings.Join([]string{path, info.ModTime().String(), info.Mode().String()}, " ") + "\n")
		return nil
	}))
	return b.String()
}

func TestASurveyTellsWhatAStoppedNodeHolds(t *testing.T) {
	dir := stopped(t)
	before := sizes(t, dir)
	r, err := Survey(dir)
	must(t, err)
	if r.First != 81 || r.Last != 110 || r.LastTerm != 4 || len(r.Damage) != 0 {
		t.Errorf("got records %d..%d of term %d, damage %v; want 81..110 of term 4", r.First, r.Last, r.LastTerm, r.Damage)
	}
	if r.CurrentTerm != 5 || r.VoteTerm != 5 || r.VotedFor != "b" {
		t.Errorf("got term %d, vote in %d for %q; want 5, 5, b", r.CurrentTerm, r.VoteTerm, r.VotedFor)
	}
	if len(r.Snapshots) != 1 || r.Snapshots[0].Index != 90 {
		t.Errorf("got snapshots %v, want one of record 90", r.Snapshots)
	}
	if r.ConfigurationIndex != 101 || len(r.Configuration.Servers) != 2 {
		t.Errorf("got configuration %v of %d, want a and b of 101", r.Configuration, r.ConfigurationIndex)
	}
	var indexes []uint64
	must(t, r.Entries(func(log *raft.Log) bool {
		indexes = append(indexes, log.Index)
		return log.Index < 100
	}))
	if len(indexes) != 20 || indexes[0] != 81 {
		t.Errorf("got records %v, want 81..100", indexes)
	}
	if after := sizes(t, dir); after != before {
		t.Errorf("the survey changed the directory:\n%s\nwant\n%s", after, before)
	}
}

func TestASurveyOfADamagedNodeTellsWhatIsLeft(t *testing.T) {
	dir := stopped(t)
	path := filepath.Join(dir, boltName)
	b, err := os.ReadFile(path)
	must(t, err)
	at := strings.LastIndex(string(b), "record 100 of term 1")
	for ; at >= 0; at = strings.LastIndex(string(b[:at]), "record 100 of term 1") {
		b[at] ^= 4 // in every copy that the file has of it
	}
	must(t, os.WriteFile(path, b, 0o600))
	r, err := Survey(dir)
	must(t, err)
	if len(r.Damage) != 1 || !strings.Contains(r.Damage[0].Error(), "raft.db has a bad record 100") {
		t.Errorf("got damage %v, want record 100", r.Damage)
	}
	if r.Last != 110 || r.VotedFor != "b" {
		t.Errorf("got last record %d and a vote for %q; want 110, b", r.Last, r.VotedFor)
	}
	count := 0
	if err := r.Entries(func(*raft.Log) bool { count++; return true }); !IsDamage(err) || count != 19 {
		t.Errorf("got %d records and %v, want the 19 before the damage", count, err)
	}

	must(t, os.Remove(path))
	r, err = Survey(dir)
	must(t, err)
	if len(r.Damage) != 1 || r.Damage[0].What != "is missing" || len(r.Snapshots) != 1 {
		t.Errorf("got damage %v and snapshots %v, want a missing log and one snapshot", r.Damage, r.Snapshots)
	}
}

func TestThereIsNothingToSurvey(t *testing.T) {
	if _, err := Survey(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}
