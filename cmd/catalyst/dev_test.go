package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/node"
)

// running is a `catalyst dev` of the test's own.
type running struct {
	*exec.Cmd
	banner string
	pids   []int // of its nodes
	stderr *strings.Builder
}

// startDev starts a site on free ports and waits for its banner.
func startDev(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.Command("catalyst", append([]string{"dev", "--port", "0", "--gateway-endpoint="}, args...)...), stderr: &strings.Builder{}}
	r.Dir = t.TempDir()
	r.Env = append(os.Environ(), "TMPDIR="+r.Dir, "GORACE=atexit_sleep_ms=0")
	r.Stderr = r.stderr
	out, err := r.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Process.Kill() // it has ended, as a rule
		_ = r.Wait()
	})
	lines := bufio.NewScanner(out)
	for !strings.Contains(r.banner, "route watch") && lines.Scan() {
		r.banner += lines.Text() + "\n"
	}
	for _, pid := range regexp.MustCompile(`pid (\d+)`).FindAllStringSubmatch(r.banner, -1) {
		n, _ := strconv.Atoi(pid[1])
		r.pids = append(r.pids, n)
	}
	if len(r.pids) == 0 {
		_ = r.Wait()
		t.Fatalf("no site: %s%s", r.banner, r.stderr)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
	return r
}

// awaitEnd waits until a process is gone.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("pid %d goes on", pid)
		}
	}
}

func TestCtrlCStopsASiteAndLeavesNothing(t *testing.T) {
	r := startDev(t, "--nodes", "2")
	if !strings.HasPrefix(r.banner, "site default is ready after ") || !strings.Contains(r.banner, "2 nodes, 2 voters") {
		t.Errorf("banner:\n%s", r.banner)
	}
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(); err != nil {
		t.Errorf("dev ended with %v: %s", err, r.stderr)
	}
	for _, pid := range r.pids {
		awaitEnd(t, pid)
	}
	if left, _ := filepath.Glob(filepath.Join(r.Dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestALostNodeIsReported(t *testing.T) {
	r := startDev(t, "--data-dir", "kept")
	if err := syscall.Kill(r.pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := r.Wait()
	if r.ProcessState.ExitCode() != statusRefused {
		t.Errorf("dev ended with %v, want status 1", err)
	}
	for _, want := range []string{fmt.Sprintf("node-1 (pid %d) ended: signal: killed; 0 of 1 nodes are left", r.pids[0]), "error: all nodes have ended"} {
		if !strings.Contains(r.stderr.String(), want) {
			t.Errorf("stderr %q, want %q", r.stderr, want)
		}
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "kept", "node-1.log")); err != nil {
		t.Errorf("the log of a named directory: %v", err)
	}
}

func TestNodesDoNotOutliveDev(t *testing.T) {
	if attributes() == nil {
		t.Logf("only Linux ends children with their parent")
		return
	}
	r := startDev(t)
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, r.pids[0])
}

func TestATakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	var said strings.Builder
	root := newRoot(strings.NewReader(""), io.Discard, &said, nil)
	root.SetArgs([]string{"dev", "--port", fmt.Sprint(port)})
	status := report(&said, root.ExecuteContext(t.Context()))
	want := fmt.Sprintf("RPC of node-1 needs tcp 127.0.0.1:%d: address already in use\nhint: stop what listens there, or move the site with --port", port)
	if status != statusUsage || !strings.Contains(said.String(), want) {
		t.Errorf("status %d, %q; want 2 and %q", status, said.String(), want)
	}
}

func TestBannerHasAtMostTwelveLines(t *testing.T) {
	for n := 1; n <= 9; n++ {
		s := &devSite{devFlags: &devFlags{nodes: n, port: 3000}, dir: "/data"}
		for i := 1; i <= n; i++ {
			c := s.child(i)
			c.addresses = node.Addresses{RPC: c.rpc}
			c.process = &exec.Cmd{Process: &os.Process{Pid: 1000 + i}}
			s.children = append(s.children, c)
		}
		var out strings.Builder
		banner{site: s, status: status{Site: "default", Leader: "node-1", Voters: n, Tolerates: (n - 1) / 2}, took: time.Second}.print(&out)
		if lines := strings.Count(out.String(), "\n"); lines > 12 {
			t.Errorf("%d nodes: %d lines\n%s", n, lines, out.String())
		}
		if pids := strings.Count(out.String(), "  pid "); pids != n {
			t.Errorf("%d nodes: %d listed", n, pids)
		}
	}
}
