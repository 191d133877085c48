package clustertests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs are what the tests run: the catalyst binary just built, and the folder of the npm peers.
var programs struct{ catalyst, js string }

func TestMain(m *testing.M) {
	os.Exit(prepareAndRun(m))
}

func prepareAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "catalyst-cluster-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func prepare(dir string) error {
	js, err := filepath.Abs("js")
	if err != nil {
		return err
	}
	programs.js = js
	if err := installPackages(js); err != nil {
		return err
	}
	if given := os.Getenv("CATALYST_BINARY"); given != "" { // one built with -race, or of another version
		programs.catalyst = given
		return nil
	}
	programs.catalyst = filepath.Join(dir, "catalyst")
	return command("..", "go", "build", "-o", programs.catalyst, "./cmd/catalyst")
}

// installPackages runs npm ci unless what it installed last is as new as the lock file.
func installPackages(js string) error {
	lock, err := os.Stat(filepath.Join(js, "package-lock.json"))
	if err != nil {
		return err
	}
	installed, err := os.Stat(filepath.Join(js, "node_modules", ".package-lock.json"))
	if err == nil && !installed.ModTime().Before(lock.ModTime()) {
		return nil
	}
	return command(js, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
}

func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", name, args, err, out)
	}
	return nil
}
