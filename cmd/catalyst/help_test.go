package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write goldens anew")

// TestHelpOfEveryCommand compares every --help with testdata/help. Cobra words
// what is below completion.
func TestHelpOfEveryCommand(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		t.Run(name, func(t *testing.T) { compareHelp(t, name, strings.Fields(cmd.CommandPath())[1:]) })
		for _, below := range cmd.Commands() {
			if below.IsAvailableCommand() && cmd.Name() != "completion" {
				walk(below)
			}
		}
	}
	walk(newRoot(nil, nil, nil, nil))
}

func compareHelp(t *testing.T, name string, path []string) {
	var out, errs bytes.Buffer
	root := newRoot(strings.NewReader(""), &out, &errs, nil)
	root.SetArgs(append(path, "--help"))
	if err := root.Execute(); err != nil || errs.Len() > 0 {
		t.Fatalf("help: %v, stderr %q", err, errs.String())
	}
	golden := filepath.Join("testdata", "help", name+".txt")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v (write it with go test -update)", err)
	}
	if out.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
