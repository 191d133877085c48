// Package interop holds this module's Cap'n Web against the reference, npm's
// capnweb: its client against the Go server, and the Go client against its
// server.
package interop

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/transport/ws"
)

// TestMain sees to the reference: it installs the versions in the lock file
// unless they are there. It is also the way into a benchmark's processes.
func TestMain(m *testing.M) {
	if run, ok := processes[os.Getenv(processVariable)]; ok {
		if err := run(os.Args[1:]); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	if _, err := os.Stat("node_modules/.package-lock.json"); err != nil {
		install := exec.Command("npm", "ci", "--omit=dev", "--no-audit", "--no-fund")
		install.Stdout, install.Stderr = os.Stderr, os.Stderr
		if err := install.Run(); err != nil {
			println("npm ci:", err.Error(), "(the tests need node and npm)")
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// TestReferenceClient runs client.mjs's scenarios against a Go server.
func TestReferenceClient(t *testing.T) {
	server := httptest.NewServer(serveAPI(t))
	defer server.Close()
	client := exec.CommandContext(t.Context(), "node", "client.mjs", server.URL)
	client.Stderr = os.Stderr
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	scenarios := 0
	for lines := bufio.NewScanner(out); lines.Scan(); scenarios++ {
		var result struct{ Name, Error string }
		if err := json.Unmarshal(lines.Bytes(), &result); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		t.Run(result.Name, func(t *testing.T) {
			if result.Error != "" {
				t.Error(result.Error)
			}
		})
	}
	if err := client.Wait(); err != nil {
		t.Fatal(err)
	}
	if want := 17; scenarios != want {
		t.Errorf("%d scenarios ran, want %d", scenarios, want)
	}
}

// serveAPI serves a new api to each session, over WebSocket and HTTP batch.
func serveAPI(t *testing.T) http.Handler {
	ctx, cancel := context.WithCancel(context.Background())
	var sessions sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		sessions.Wait()
	})
	batch := transport.BatchHandler(func(*http.Request) *transport.Target { return newAPI(nil) }, transport.Config{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			batch.ServeHTTP(w, r)
			return
		}
		c, err := ws.Accept(w, r, ws.Options{})
		if err != nil {
			return
		}
		var s *transport.Session
		ready := make(chan struct{})
		s = transport.NewSession(c, transport.Config{Main: newAPI(func() transport.Stats {
			<-ready
			return s.Stats()
		})})
		close(ready)
		sessions.Go(func() { _ = s.Run(ctx) })
	})
}

// referenceServer starts server.mjs and returns its address.
func referenceServer(t *testing.T) string {
	t.Helper()
	server := exec.Command("node", "server.mjs")
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := server.Wait(); err != nil {
			t.Error(err)
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

// connect runs a session with the reference until the test ends.
func connect(t *testing.T, address string) *transport.Session {
	t.Helper()
	c, err := ws.Dial(t.Context(), "ws://"+address, ws.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := transport.NewSession(c, transport.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-s.Done()
	})
	return s
}

// eventually asks until ok, for what the other process does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		if ok() {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}
