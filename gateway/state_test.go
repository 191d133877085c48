package gateway

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAKilledGatewayLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gateway.json")
	if err := os.WriteFile(path+".new", []byte(`{"version":1,"serv`), 0o644); err != nil { // it was killed while it wrote
		t.Fatal(err)
	}
	if err := writeState(path, kept{Version: keptVersion}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "gateway.json" {
		t.Errorf("got %v, %v, want the state file alone", files, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a file for its owner", info.Mode(), err)
	}
}
