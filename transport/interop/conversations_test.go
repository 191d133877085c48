package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// conversation is what both ends of one saw, in the words of conversations/talk.mjs.
type conversation struct {
	Name       string
	Transcript json.RawMessage
}

// TestTheRelayIsNotNoticed holds conversations between two programs of the
// reference directly and through the relay, and compares the transcripts.
func TestTheRelayIsNotNoticed(t *testing.T) {
	relay := build(t, "relay")
	direct := hold(t, "main.mjs")
	relayed := hold(t, "main.mjs", relay)
	compare(t, direct(), relayed(), unlike)
}

// TestTheTestTarget compares our TestTarget, and the same through the relay,
// with one that the reference serves.
func TestTheTestTarget(t *testing.T) {
	target := start(t, build(t, "testtarget"))
	relay := start(t, build(t, "relay"), "--target", "ws://"+target)
	reference := hold(t, "target.mjs")()
	for name, address := range map[string]string{"direct": target, "relayed": relay} {
		t.Run(name, func(t *testing.T) {
			compare(t, reference, hold(t, "target.mjs", address)(), unlikeTheTarget)
		})
	}
}

// compare wants equal transcripts, except where a difference is known: there
// it wants one, so that the list gets shorter.
func compare(t *testing.T, want, got []conversation, known map[string]string) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d conversations, want %d", len(got), len(want))
	}
	for name := range known {
		if !has(want, name) {
			t.Errorf("%s is known to differ, and is not held", name)
		}
	}
	for i, w := range want {
		t.Run(w.Name, func(t *testing.T) {
			difference := differ(w.Transcript, got[i].Transcript)
			switch why := known[w.Name]; {
			case why == "" && difference != "":
				t.Error(difference)
			case why != "" && difference == "":
				t.Errorf("no difference any more: take it off the list (%s)", why)
			}
		})
	}
}

func has(list []conversation, name string) bool {
	for _, c := range list {
		if c.Name == name {
			return true
		}
	}
	return false
}

// differ shows the first lines that are not the same, or nothing.
func differ(want, got json.RawMessage) string {
	if string(want) == string(got) {
		return ""
	}
	w, g := lines(want), lines(got)
	for i := range max(len(w), len(g)) {
		if a, b := at(w, i), at(g, i); a != b {
			return fmt.Sprintf("got  %.300s\nwant %.300s", b, a)
		}
	}
	return fmt.Sprintf("got %s, want %s", got, want)
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "(nothing)"
}

// lines lists what the client saw and then what the server did.
func lines(transcript json.RawMessage) []string {
	var both struct{ Client, Server []string }
	if json.Unmarshal(transcript, &both) != nil {
		return nil
	}
	list := []string{}
	for _, line := range both.Client {
		list = append(list, "client: "+line)
	}
	for _, line := range both.Server {
		list = append(list, "server: "+line)
	}
	return list
}

// hold starts a script of conversations; the function that it returns waits
// for the transcripts.
func hold(t *testing.T, script string, args ...string) func() []conversation {
	t.Helper()
	command := exec.CommandContext(t.Context(), "node", append([]string{filepath.Join("conversations", script)}, args...)...)
	command.Stderr = os.Stderr
	out := &bytes.Buffer{} // taken in at once: a full pipe would hold the conversations up
	command.Stdout = out
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (all []conversation) {
		if err := command.Wait(); err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(out); d.More(); {
			var c conversation
			if err := d.Decode(&c); err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		return all
	}
}

// build builds a program of package transport.
func build(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", path, "../"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// start runs a program that listens until the test ends, in good order, and
// returns its address.
func start(t *testing.T, path string, args ...string) string {
	t.Helper()
	command := exec.Command(path, append([]string{"--listen", "127.0.0.1:0"}, args...)...)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on "))
}
