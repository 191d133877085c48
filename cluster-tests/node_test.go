package clustertests

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// web asks nodes and gateways; it reuses no connection, so that each answer shows who listens now.
var web = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// addresses are where a node listens, as it wrote them to its data directory.
type addresses struct{ RPC, Raft, Gossip string }

var anyPort = addresses{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}

// node is one `catalyst node`, across its restarts. It belongs to the test that made it.
type node struct {
	owner testing.TB
	id    string
	dir   string
	flags []string // given at every start
	env   []string
	under []string // the command that runs it, if not the test itself does
	build string   // another catalyst than the one just built
	log   *os.File
	at    addresses    // of the last start
	trust *http.Client // asks it once it speaks TLS; nil while it speaks none
	*process
}

func newNode(owner testing.TB, id string, flags ...string) *node {
	owner.Helper()
	return &node{owner: owner, id: id, dir: filepath.Join(owner.TempDir(), id), flags: flags, log: newLog(owner, id)}
}

// start runs the node at the given addresses and waits until it listens.
func (n *node) start(t testing.TB, at addresses, flags ...string) {
	t.Helper()
	written := filepath.Join(n.dir, "addresses.json")
	if err := os.Remove(written); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	n.begin(t, at, flags...)
	eventually(t, n.id+" listens", func() error {
		if !n.running() {
			t.Fatalf("%s ended at its start: %v\n%s", n.id, n.cmd.ProcessState, tail(n.log.Name(), 4<<10))
		}
		text, err := os.ReadFile(written)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &n.at)
	})
}

// begin runs the node and waits for nothing.
func (n *node) begin(t testing.TB, at addresses, flags ...string) {
	t.Helper()
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	args := []string{"--id", n.id, "--data-dir", n.dir, "--rpc-addr", at.RPC, "--raft-addr", at.Raft, "--gossip-addr", at.Gossip}
	args = slices.Concat(n.under, []string{cmp.Or(n.build, programs.catalyst), "node"}, args, n.flags, flags)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = n.dir
	cmd.Env = cleanEnvironment(n.env...)
	cmd.Stdout, cmd.Stderr = n.log, n.log
	n.process = launch(t, n.owner, cmd)
}

func (n *node) ws() string   { return n.url("ws", "/rpc") }
func (n *node) http() string { return n.url("http", "/rpc") }

// url is one of the node's endpoints, by the secure scheme once it speaks TLS.
func (n *node) url(scheme, path string) string {
	if n.trust != nil {
		scheme += "s"
	}
	return scheme + "://" + n.at.RPC + path
}

// web asks this node.
func (n *node) web() *http.Client {
	if n.trust != nil {
		return n.trust
	}
	return web
}

// ready is nil when GET /ready answers 200.
func (n *node) ready() error { return n.answers("/ready", http.StatusOK) }

func (n *node) healthy() error { return n.answers("/health", http.StatusOK) }

// page is what GET path answers.
func (n *node) page(t testing.TB, path string) string {
	t.Helper()
	response, err := n.web().Get(n.url("http", path))
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

// answers is nil when GET path is answered with one of the wanted states.
func (n *node) answers(path string, want ...int) error {
	return answersTo(n.web(), http.MethodGet, n.url("http", path), want...)
}

// answers is nil when a request without a body is answered with one of the wanted states.
func answers(method, url string, want ...int) error { return answersTo(web, method, url, want...) }

func answersTo(client *http.Client, method, url string, want ...int) error {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return err
	}
	for _, state := range want {
		if response.StatusCode == state {
			return nil
		}
	}
	return fmt.Errorf("%s %s: %s, want %v: %s", method, url, response.Status, want, text)
}

// crash is kill -9, and asserts that nothing answers there any more.
func (n *node) crash(t testing.TB) {
	t.Helper()
	n.kill(t)
	n.gone(t)
}

func (n *node) gone(t testing.TB) {
	t.Helper()
	if conn, err := net.Dial("tcp", n.at.RPC); err == nil {
		conn.Close()
		t.Fatalf("%s was stopped and something still listens at %s", n.id, n.at.RPC)
	}
}

// stop is SIGTERM, which a node obeys with exit status 0.
func (n *node) stop(t testing.TB) {
	t.Helper()
	n.signal(t, syscall.SIGTERM)
	if status := n.await(t); status != 0 {
		t.Fatalf("%s after SIGTERM: exit status %d, want 0", n.id, status)
	}
	n.gone(t)
}

// freePort is a loopback port on which nothing listens.
func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
