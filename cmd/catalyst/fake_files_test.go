package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// fakeFiles takes for a snapshot what begins with SNAPSHOT and ends with END,
// and for a data directory one that has a file paris.
type fakeFiles struct{}

func (fakeFiles) Inspect(r io.Reader) (snapshotInfo, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return snapshotInfo{}, err
	}
	text := strings.TrimSpace(string(data))
	switch {
	case !strings.HasPrefix(text, "SNAPSHOT"):
		return snapshotInfo{}, errors.New("it does not begin as one")
	case !strings.HasSuffix(text, "END"):
		return snapshotInfo{}, errors.New("it ends too early")
	}
	return fakeInfo(), nil
}

func fakeInfo() snapshotInfo {
	i := snapshotInfo{Site: "paris", ID: "5f0c", Epoch: "e1", Level: 2, Version: 4711, Peers: 2, Tokens: 3}
	i.Routes.Local, i.Routes.Learned = 1200, 34
	return i
}

func (fakeFiles) Examine(dir string) []check {
	if _, err := os.Stat(filepath.Join(dir, "paris")); err != nil {
		return []check{{"data", "fail", dir + " is no data directory", "name the one of catalyst node --data-dir"}}
	}
	return []check{
		{"data", "ok", "log and snapshots are whole, last index 4711", ""},
		{"certificate", "warn", "ends in 2 days", "start the node: it renews by itself"},
	}
}

func (fakeFiles) Survey(dir string) (recoveryPlan, error) {
	if _, err := os.Stat(filepath.Join(dir, "paris")); err != nil {
		return recoveryPlan{}, err
	}
	return recoveryPlan{
		Node: "n1", Site: "paris", Last: 6000, Term: 7, Table: fakeInfo(),
		Members: []recoveryMember{{"n1", "voter", "10.0.0.1:3001", true}, {"n2", "voter", "10.0.0.2:3001", false}, {"n3", "nonvoter", "10.0.0.3:3001", false}},
		Lost:    []string{"every change that never reached n1", "the memberships of all other nodes"},
		Next:    []string{"start n1 again; it leads alone at once", "empty the data directories of all other nodes"},
	}, nil
}

func (fakeFiles) Recover(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "locked")); err == nil {
		return errors.New("the node runs: stop it first")
	}
	return os.WriteFile(filepath.Join(dir, "recovered"), nil, 0o600)
}
