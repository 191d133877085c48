package clustertests

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const (
	readme    = "../README.md"
	firstPart = "## The first five minutes\n"
)

// TestFirstFiveMinutes does what the README has a newcomer do, in a network of its own where the ports are free, and holds
// every output against what the README shows. go test -run FirstFiveMinutes -update writes it anew.
func TestFirstFiveMinutes(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), firstPart)
	part, after, _ := strings.Cut(rest, "\n## ")
	prompts := promptsIn(part)
	if !ok || len(prompts) < 8 {
		t.Fatalf("the README has %d commands under %q, want at least 8", len(prompts), firstPart)
	}
	if err := command("..", "make", "build"); err != nil { // there is no registry in the network of its own
		t.Fatal(err)
	}
	n := newcomer{namespace: quietNamespace(t)}
	anew := before + firstPart
	for _, p := range prompts {
		words, rest, _ := strings.Cut(part, p.text())
		anew += words + n.do(t, p).text()
		part = rest
	}
	if *updateMessages {
		if err := os.WriteFile(readme, []byte(anew+part+"\n## "+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// prompt is a command of the README with what it prints.
type prompt struct {
	typed, printed string
}

func (p prompt) text() string { return "$ " + p.typed + "\n" + p.printed }

// promptsIn are the commands in a text: lines that begin with a dollar in its console blocks.
func promptsIn(text string) (prompts []prompt) {
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if command, is := strings.CutPrefix(line, "$ "); is {
				prompts = append(prompts, prompt{typed: strings.TrimSuffix(command, "\n")})
			} else if len(prompts) > 0 {
				prompts[len(prompts)-1].printed += line
			}
		}
	}
	return prompts
}

// foreground commands stay in a terminal of their own until Ctrl-C.
func (p prompt) foreground() bool {
	return slices.ContainsFunc([]string{"make ", "bin/catalyst dev"}, func(start string) bool { return strings.HasPrefix(p.typed, start) })
}

// reading commands change nothing. What the site does by itself may need a moment longer than this test, if not longer
// than a person.
func (p prompt) reading() bool {
	return slices.ContainsFunc([]string{"query", "status", "list"}, func(word string) bool { return strings.Contains(p.typed, " "+word) })
}

// newcomer sits at a few terminals.
type newcomer struct {
	namespace string
	exports   []string
	leader    string // its pid, as a banner has it
}

// do runs a command, and returns it with what it printed, which is like what the README shows.
func (n *newcomer) do(t *testing.T, p prompt) prompt {
	t.Helper()
	if strings.HasPrefix(p.typed, "export ") {
		n.exports = append(n.exports, p.typed)
	}
	if p.foreground() {
		return prompt{p.typed, n.start(t, p)}
	}
	if strings.HasPrefix(p.typed, "kill -9 ") {
		p.typed = "kill -9 " + n.leader
	}
	var printed string
	try := func() error {
		out, err := n.bash(p.typed).CombinedOutput()
		printed = string(out)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return p.unlike(printed)
	}
	if p.reading() {
		eventually(t, "$ "+p.typed, try)
	} else if err := try(); err != nil {
		t.Fatalf("$ %s: %v", p.typed, err)
	}
	return prompt{p.typed, printed}
}

// start runs a command until the end of the test, and waits for the last line that the README shows of it.
func (n *newcomer) start(t *testing.T, p prompt) string {
	t.Helper()
	log := newLog(t, strings.ReplaceAll(p.typed, "/", "-"))
	cmd := n.bash(p.typed)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches all that make runs
	running := launch(t, t, cmd)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // it may have ended
		running.await(t)
	})
	lines := strings.Split(strings.TrimSpace(p.printed), "\n")
	var printed string
	within(t, 3*patience, "$ "+p.typed, func() error {
		if !running.running() {
			t.Fatalf("$ %s ended: %s", p.typed, tail(log.Name(), 4<<10))
		}
		printed = string(tail(log.Name(), 1<<20))
		if !strings.Contains(likened(printed), likened(lines[len(lines)-1])) {
			return fmt.Errorf("so far it printed\n%s", printed)
		}
		return p.unlike(printed)
	})
	if found := regexp.MustCompile(`kill -9 (\d+)`).FindStringSubmatch(printed); found != nil {
		n.leader = found[1]
	}
	return printed
}

// bash runs a command in the repository, where the exports were made.
func (n *newcomer) bash(command string) *exec.Cmd {
	cmd := exec.Command("ip", "netns", "exec", n.namespace, "bash", "-c", strings.Join(append(slices.Clone(n.exports), command), "\n"))
	cmd.Dir, cmd.Env = "..", cleanEnvironment()
	return cmd
}

// unlike says how an output differs from the README's, if it does by more than what differs from run to run.
func (p prompt) unlike(printed string) error {
	if *updateMessages || likened(printed) == likened(p.printed) {
		return nil
	}
	return fmt.Errorf("it printed\n%s\nand the README shows\n%s\n(go test -run FirstFiveMinutes -update accepts it)", printed, p.printed)
}

// likened masks what differs from run to run, beside what masked does.
func likened(text string) string {
	for _, m := range []struct{ what, with string }{
		{`\b\d+(\.\d+)? (ms|s)\b`, "DURATION"},
		{`\bpid \d+`, "pid N"},
		{`\bkill -9 \d+`, "kill -9 N"},
		{`\bversion \S+,`, "version V,"},
		{`\bcatalyst-dev-\d+`, "catalyst-dev-N"},
		{`(?m)^(node|leader)( +)node-\d(, (leader|voter))?`, "$1${2}node-N"}, // whoever was elected
	} {
		text = regexp.MustCompile(m.what).ReplaceAllString(text, m.with)
	}
	return masked(text)
}

// quietNamespace is a network of its own, with nothing but loopback.
func quietNamespace(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("cat%d-quiet", os.Getpid())
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
	ip(t, "-n", name, "link", "set", "lo", "up")
	return name
}
