// Package packaging_test holds the packaging to the program: the settings that
// the example names are those that there are, and the steps that set up a site
// may run again. packaging itself is files, and no package.
package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestTheExampleNamesEverySetting(t *testing.T) {
	example, err := os.ReadFile("catalyst.env.example")
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.Command("go", "run", "../cmd/catalyst", "node", "--help").Output()
	if err != nil {
		t.Fatalf("catalyst node --help: %v", err)
	}
	got := names(t, example, `(?m)^#(CATALYST_[A-Z_]+)=`)
	want := names(t, help, `\((CATALYST_[A-Z_]+)`)
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is missing in catalyst.env.example", name)
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s of catalyst.env.example is no setting of catalyst node", name)
		}
	}
}

// names lists what the pattern's group finds.
func names(t *testing.T, text []byte, pattern string) (found []string) {
	t.Helper()
	for _, match := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
		found = append(found, string(match[1]))
	}
	if len(found) == 0 {
		t.Fatalf("there is nothing like %s in\n%s", pattern, text)
	}
	return found
}

// TestSteps runs testdata/script. In testdata/bin stand a catalyst that says
// what it is told to, by files, and a systemctl and a sleep that do nothing;
// catalyst and systemctl write down in the file calls what was asked of them.
func TestSteps(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PACKAGING", here)
			e.Setenv("STEPS", filepath.Join(here, "vagrant"))
			e.Setenv("PATH", filepath.Join(here, "testdata", "bin")+":"+e.Getenv("PATH"))
			return nil
		},
	})
}
