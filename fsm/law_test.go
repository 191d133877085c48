package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// follow applies log entries the way a node does.
func follow(t testing.TB, table *Table, log [][]byte) (*Table, []Outcome) {
	t.Helper()
	var all []Outcome
	for _, entry := range log {
		commands, err := DecodeBatch(entry)
		if err != nil {
			t.Fatal(err)
		}
		var outcomes []Outcome
		table, outcomes = table.Apply(commands)
		all = append(all, outcomes...)
	}
	return table, all
}

func logOf(c *choices) [][]byte {
	log := [][]byte{EncodeBatch(nil, []Command{{Op: c.founding()}})}
	for c.more() {
		log = append(log, EncodeBatch(nil, c.batch()))
	}
	return log
}

// lawful holds the law at one place of a log: a node that applied all of it
// and one that restored a snapshot there and applied the rest are the same.
func lawful(t testing.TB, log [][]byte, cut int) {
	t.Helper()
	head, _ := follow(t, new(Table), log[:cut])
	whole, want := follow(t, head, log[cut:])
	rest, got := follow(t, restored(t, snapshotOf(t, head)), log[cut:])
	if !slices.Equal(got, want) {
		t.Fatalf("after a snapshot of entry %d the outcomes differ", cut)
	}
	if !bytes.Equal(snapshotOf(t, rest), snapshotOf(t, whole)) {
		t.Fatalf("after a snapshot of entry %d the tables differ", cut)
	}
	since := head.Version() / 2
	if !slices.EqualFunc(changesOf(t, rest, since), changesOf(t, whole, since), func(a, b Change) bool {
		return a.Index == b.Index && a.Deleted == b.Deleted && alike(a.Route, b.Route)
	}) {
		t.Fatalf("after a snapshot of entry %d the changes since %d differ", cut, since)
	}
}

func changesOf(t testing.TB, table *Table, since uint64) []Change {
	t.Helper()
	changes, ok := table.Changes(since)
	if !ok {
		t.Fatalf("changes since %d are not known at %d", since, table.Version())
	}
	return slices.Collect(changes)
}

func TestASnapshotAndTheTailAreTheLog(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			log := logOf(randomChoices(seed, 3000))
			for cut := 0; cut < len(log); cut += 7 {
				lawful(t, log, cut)
			}
		})
	}
}

func FuzzASnapshotAndTheTailAreTheLog(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(randomChoices(seed, 200).left, uint(seed*3))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint) {
		log := logOf(&choices{left: data, now: 1_000_000})
		lawful(t, log, int(cut%uint(len(log)+1)))
	})
}

// The table after any batch is the same whichever way the commands were
// grouped, outcomes included: group commit changes nothing.
func TestBatchesAreOnlyAWayToCarryCommands(t *testing.T) {
	c := randomChoices(9, 6000)
	table, _ := new(Table).Apply([]Command{{Op: Found{Site: "paris", Level: Level}}})
	var all []Command
	for c.more() {
		all = append(all, c.batch()...)
	}
	together, want := table.Apply(all)
	for i := range all {
		var got []Outcome
		table, got = table.Apply(all[i : i+1])
		if got[0] != want[i] {
			t.Fatalf("command %d: got %+v, want %+v", i, got[0], want[i])
		}
	}
	if !bytes.Equal(snapshotOf(t, table), snapshotOf(t, together)) {
		t.Error("the tables differ")
	}
}
