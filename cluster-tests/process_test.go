package clustertests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must come: far beyond what it takes on a busy machine.
const patience = 30 * time.Second

// eventually asks until check is content, and fails the test with check's last word when patience ends.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	within(t, patience, what, check)
}

func within(t testing.TB, limit time.Duration, what string, check func() error) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(limit); ; <-ticker.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %v", what, limit, err)
		}
	}
}

// process is a program that runs beside the test. It ends with its owner at the latest, by its own pid.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// launch starts cmd for owner; cmd dies with the test binary too, however that ends.
func launch(t, owner testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	dieWithParent(cmd.SysProcAttr)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd, err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // ProcessState tells
	}()
	owner.Cleanup(func() {
		_ = cmd.Process.Kill() // gone already is as good
		<-p.exited
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill is kill -9. It fails the test unless it was this that ended the process.
func (p *process) kill(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	p.await(t)
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Fatalf("kill -9 of pid %d: it ended otherwise: %v", p.cmd.Process.Pid, p.cmd.ProcessState)
	}
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v to pid %d: %v", s, p.cmd.Process.Pid, err)
	}
}

// await waits for the process to end and returns its exit status.
func (p *process) await(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.signal(t, syscall.SIGQUIT) // its goroutines go to its log
		<-p.exited
		t.Fatalf("pid %d runs on after %v", p.cmd.Process.Pid, patience)
		return -1
	}
}

// memory is the most that the process ever held resident, in MiB; 0 where the system does not tell.
func (p *process) memory() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0
	}
	return kib >> 10
}

// newLog is a file for what programs print; its end is shown when owner fails.
func newLog(owner testing.TB, name string) *os.File {
	owner.Helper()
	file, err := os.Create(filepath.Join(owner.TempDir(), name+".log"))
	if err != nil {
		owner.Fatal(err)
	}
	owner.Cleanup(func() {
		defer file.Close()
		if owner.Failed() {
			owner.Logf("---- the end of what %s printed\n%s", name, tail(file.Name(), 32<<10))
		}
	})
	return file
}

func tail(path string, limit int64) []byte {
	file, err := os.Open(path)
	if err != nil {
		return []byte(err.Error())
	}
	defer file.Close()
	if size, _ := file.Seek(0, io.SeekEnd); size > limit {
		_, err = file.Seek(-limit, io.SeekEnd)
	} else {
		_, err = file.Seek(0, io.SeekStart)
	}
	text, readErr := io.ReadAll(file)
	if err := errors.Join(err, readErr); err != nil {
		return []byte(err.Error())
	}
	return text
}

// cleanEnvironment is this process's without what configures catalyst, plus more.
func cleanEnvironment(more ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !slices.ContainsFunc([]string{"CATALYST_", "PORT=", "MAKE", "MFLAGS="}, func(start string) bool { return strings.HasPrefix(entry, start) }) {
			env = append(env, entry)
		}
	}
	return append(env, more...)
}

// ran is what one run of the catalyst CLI left.
type ran struct {
	stdout, stderr string
	status         int
}

// cli runs catalyst to its end in an empty directory.
func cli(t testing.TB, env []string, args ...string) ran {
	t.Helper()
	return run(t, env, append([]string{programs.catalyst}, args...)...)
}

// run is cli for any command.
func run(t testing.TB, env []string, command ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = t.TempDir()
	cmd.Env = cleanEnvironment(env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	status := launch(t, t, cmd).await(t)
	return ran{stdout.String(), stderr.String(), status}
}
