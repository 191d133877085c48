package fsm

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
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
