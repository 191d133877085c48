package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/catalyst/orchestrator/fsm"
)

// TestASnapshotIsReadAsNodeReadsIt, and a damaged one is not taken for whole.
func TestASnapshotIsReadAsNodeReadsIt(t *testing.T) {
	var file bytes.Buffer
	if err := fsm.WriteSnapshot(&file, fsm.NewMachine().Table()); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	if got, err := (onDisk{}).Inspect(bytes.NewReader(whole)); err != nil || got != (snapshotInfo{}) {
		t.Errorf("an empty table: got %+v, %v", got, err)
	}
	if got, err := (onDisk{}).Inspect(bytes.NewReader(whole[:len(whole)-1])); err == nil {
		t.Errorf("one that is cut off is taken for %+v", got)
	}
}

// TestNoDataDirectoryIsNone: whoever names the wrong one is told so, and
// nothing is made of it.
func TestNoDataDirectoryIsNone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nothing")
	if plan, err := (onDisk{}).Survey(dir); err == nil || !strings.Contains(err.Error(), "is no data directory of a node") {
		t.Errorf("survey: got %+v, %v", plan, err)
	}
	if err := (onDisk{}).Recover(dir); err == nil {
		t.Error("it is recovered")
	}
	checks := onDisk{}.Examine(dir)
	if len(checks) == 0 || checks[0].State != "fail" || checks[0].Remedy == "" {
		t.Errorf("examine: got %+v, want a failure with a remedy", checks)
	}
}
