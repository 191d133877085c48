package fsm

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares bytes that are on disks in the field: a difference means
// that a new build no longer reads, or no longer writes, what an old one does.
func golden(t *testing.T, name string, data []byte) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	got := hex.Dump(data)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: the bytes are not those of %s; if that is meant, run the tests with -update\n%s", name, file, got)
	}
}

// goldenBytes reads a golden file back.
func goldenBytes(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for line := range strings.Lines(string(text)) {
		digits := strings.Map(func(r rune) rune {
			if r == ' ' {
				return -1
			}
			return r
		}, line[10:58])
		part, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, part...)
	}
	return data
}

func TestTheBytesOfABatch(t *testing.T) { golden(t, "batch", EncodeBatch(nil, everyOp())) }

func TestTheBytesOfASnapshot(t *testing.T) {
	table, _ := new(Table).Apply(everyOp()[:2])
	table, _ = table.Apply(everyOp()[2:6])
	table, _ = table.Apply([]Command{
		{Op: Put{Service: service("films")}},
		{Op: PutPeer{Peer: PeerConfig{ID: "rome", Endpoints: []string{"ws://rome:3000/rpc"}, MaxRoutes: 7}}},
		{Op: HoldBack{ID: "node-3", Held: true}},
	})
	golden(t, "snapshot", snapshotOf(t, table))
}

func TestTheBytesOfASnapshotOfLevel2(t *testing.T) {
	golden(t, "snapshot-2", snapshotOf(t, everything()))
}

// everything is a site of the second level with each operation done to it.
func everything() *Table {
	commands := everyOp()
	table, _ := new(Table).Apply(commands[len(commands)-1:]) // its founding
	table, _ = table.Apply(commands[:len(commands)-1])
	return table
}

// What an older build wrote, when there were no levels, is a site of the first.
func TestAnOlderSnapshotIsReadAsOfLevel1(t *testing.T) {
	data := goldenBytes(t, "snapshot")
	table := restored(t, data)
	if table.Level() != 1 || table.ID() != "" || table.Site() != "paris" || !table.HeldBack("node-3") || table.NumPeers() != 1 {
		t.Errorf("level %d, id %q, site %s, %d peers", table.Level(), table.ID(), table.Site(), table.NumPeers())
	}
	if table.NumTokens()+table.NumAudit() != 0 || table.GossipKeys() != nil {
		t.Errorf("%d tokens, %d audit entries, keys %q", table.NumTokens(), table.NumAudit(), table.GossipKeys())
	}
	if !bytes.Equal(snapshotOf(t, table), data) {
		t.Error("as long as the site is at level 1, the bytes must be those that older nodes write")
	}
}
