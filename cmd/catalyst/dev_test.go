package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
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

// startNodes starts a site of nothing but nodes.
func startNodes(t *testing.T, args ...string) *running {
	t.Helper()
	r := startDev(t, append(args, "--gateway-endpoint=")...)
	if len(r.pids) == 0 {
		t.Fatalf("no nodes: %s%s", r.banner, r.stderr)
	}
	return r
}

// startDev starts a site on free ports and waits for its banner.
func startDev(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.Command("catalyst", append([]string{"dev", "--port", "0"}, args...)...), stderr: &strings.Builder{}}
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
	if !strings.Contains(r.banner, "route watch") {
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
	r := startNodes(t, "--nodes", "2")
	if !strings.HasPrefix(r.banner, "site default is ready after ") || !strings.Contains(r.banner, "2 nodes, 2 voters") {
		t.Errorf("banner:\n%s", r.banner)
	}
	r.interrupt(t)
	for _, pid := range r.pids {
		awaitEnd(t, pid)
	}
	if left, _ := filepath.Glob(filepath.Join(r.Dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestALostNodeIsReported(t *testing.T) {
	r := startNodes(t, "--nodes", "2", "--data-dir", "kept")
	for _, pid := range r.pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	err := r.Wait()
	if r.ProcessState.ExitCode() != statusRefused {
		t.Errorf("dev ended with %v, want status 1", err)
	}
	for _, want := range []string{fmt.Sprintf("node-2 (pid %d) ended: signal: killed; ", r.pids[1]), "; 0 of 2 nodes are left", "error: all nodes have ended"} {
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
	r := startNodes(t, "--nodes", "2")
	if err := r.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range r.pids {
		awaitEnd(t, pid)
	}
}

// A site of one node is one process: node, gateway and samples.
func TestASiteInOneProcess(t *testing.T) {
	kept := filepath.Join(t.TempDir(), "kept")
	for _, life := range []string{"first", "second, at other ports"} {
		r := startDev(t, "--data-dir", kept, "--site", "paris")
		if !strings.HasPrefix(r.banner, "site paris is ready after ") || len(r.pids) > 0 {
			t.Errorf("%s: banner:\n%s", life, r.banner)
		}
		if got, want := r.query(t, `{ books(author: \"Mary Shelley\") { title } reviews(book: \"rur\") { stars } }`), `{"data":{"books":[{"title":"Frankenstein"}],"reviews":[{"stars":4}]}}`; got != want {
			t.Errorf("%s: %s, want %s", life, got, want)
		}
		r.interrupt(t)
	}
	r := startDev(t, "--no-samples")
	if got := r.query(t, "{ __typename books { title } }"); !strings.Contains(got, "errors") {
		t.Errorf("without samples: %s", got)
	}
	r.interrupt(t)
	if left, _ := filepath.Glob(filepath.Join(r.Dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// query asks the gateway that the banner names.
func (r *running) query(t *testing.T, document string) string {
	t.Helper()
	page := regexp.MustCompile(`gateway +(http://\S+)`).FindStringSubmatch(r.banner)
	if page == nil {
		t.Fatalf("no gateway:\n%s", r.banner)
	}
	response, err := http.Post(page[1]+"/graphql", "application/json", strings.NewReader(`{"query":"`+document+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// interrupt is Ctrl-C.
func (r *running) interrupt(t *testing.T) {
	t.Helper()
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(); err != nil {
		t.Errorf("dev ended with %v: %s", err, r.stderr)
	}
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
	for count := 1; count <= 9; count++ {
		f := &devFlags{nodeCount: count, port: 3000, gatewayEndpoint: ownGateway}
		s, err := f.newSite("/data", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range s.nodes {
			n.addresses = node.Addresses{RPC: n.rpc}
			n.process = &exec.Cmd{Process: &os.Process{Pid: 1000 + i}}
		}
		s.beside.page, s.beside.samples = gatewayPage, []dataChannel{{Name: "books"}, {Name: "reviews"}}
		var out strings.Builder
		banner{site: s, status: status{Site: "default", Leader: "node-1", Voters: count, Tolerates: (count - 1) / 2}, took: time.Second}.print(&out)
		if lines := strings.Count(out.String(), "\n"); lines > 12 {
			t.Errorf("%d nodes: %d lines\n%s", count, lines, out.String())
		}
		if pids := strings.Count(out.String(), "  pid "); pids != count {
			t.Errorf("%d nodes: %d listed", count, pids)
		}
	}
}

func TestTheLastPortOfASiteIsOne(t *testing.T) {
	for port, want := range map[int]bool{0: true, 3000: true, 64533: true, 64534: false, -1: false} {
		if err := (&devFlags{nodeCount: 9, port: port}).validate(); (err == nil) != want {
			t.Errorf("--port %d: %v, taken should be %v", port, err, want)
		}
	}
}
