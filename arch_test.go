// Package orchestrator_test holds the architecture: which package may import
// which. ARCHITECTURE.md says why.
package orchestrator_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/catalyst/orchestrator"

// rooms lists, for each package, what it may import of ours.
var rooms = map[string][]string{
	"fsm":                  {},
	"pipeline":             {"fsm"},
	"peering":              {"fsm"},
	"transport":            {},
	"transport/ws":         {"transport"},
	"transport/redial":     {"transport"},
	"transport/interop":    {}, // tests with the npm package
	"transport/relay":      {"transport", "transport/ws"},
	"transport/testtarget": {"transport", "transport/ws"},
	"gateway":              {"transport", "transport/ws", "gateway/lines"},
	"gateway/lines":        {},
	"gateway/graphiql":     {},
	"trust":                {},
	"storage":              {},
	"gossip":               {},
	"node":                 {"fsm", "pipeline", "peering", "transport", "trust", "storage", "gossip"},
	"cmd/catalyst":         {"node", "transport", "transport/ws", "gateway", "gateway/graphiql", "trust", "cmd/catalyst/samples"},
	"cmd/catalyst/samples": {},
	"cluster-tests":        {},
	"packaging":            {}, // tests only: files, and the steps that use them
	"":                     {},
}

// homes lists the packages in which a third-party library lives.
var homes = map[string][]string{
	"github.com/hashicorp/raft":           {"fsm", "node", "storage"},
	"github.com/hashicorp/raft-boltdb/v2": {"storage"},
	"github.com/hashicorp/memberlist":     {"gossip", "node"},
	"github.com/coder/websocket":          {"transport/ws"},
	"github.com/spf13/cobra":              {"cmd/catalyst"},
	"github.com/vektah/gqlparser/v2":      {"gateway"},
	"github.com/99designs/gqlgen":         {"gateway"},
	"github.com/graph-gophers/graphql-go": {"cmd/catalyst/samples"},
}

type goPackage struct {
	ImportPath string
	GoFiles    []string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,GoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func room(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func TestEveryImportIsAllowed(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 6 {
		t.Fatalf("go list shows %d packages; is this the root of the module?", len(packages))
	}
	for _, p := range packages {
		from := room(p.ImportPath)
		allowed, known := rooms[from]
		if !known {
			t.Errorf("package %q is in no room: add it to ARCHITECTURE.md and here", from)
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, module) && !slices.Contains(allowed, room(imported)) {
				t.Errorf("%s imports %s; it may import %v", from, room(imported), allowed)
			}
			for library, home := range homes {
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !slices.Contains(home, from) {
					t.Errorf("%s imports %s, which lives in %v", from, library, home)
				}
			}
		}
	}
}

// Only one file of fsm knows Raft: the table and its commands must stay
// testable, and replaceable, without it.
func TestOneFileOfFsmImportsRaft(t *testing.T) {
	out, err := exec.Command("grep", "-l", `"github.com/hashicorp/raft"`, "-r", "fsm", "--include=*.go", "--exclude=*_test.go").Output()
	if err != nil {
		t.Fatalf("grep: %v", err)
	}
	if files := strings.Fields(string(out)); len(files) != 1 {
		t.Errorf("raft is imported by %v, want one file", files)
	}
}
