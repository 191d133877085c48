package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/catalyst/orchestrator/node"
)

const (
	nodePorts = 10               // between the ports of one node and the next
	grace     = 10 * time.Second // for a node to end by itself
	devPoll   = 20 * time.Millisecond
	mostVotes = 5 // nodes beyond these do not vote
)

// devSite is the node processes of `catalyst dev`. It ends those it started:
// when asked to stop, and on Linux by the kernel when this process is killed.
type devSite struct {
	*devFlags
	program  string
	dir      string
	errs     io.Writer
	children []*child

	ended    chan *child // those that ended unasked
	stopping atomic.Bool
	waits    sync.WaitGroup
}

// child is one node process.
type child struct {
	id                string
	dir, logFile      string
	rpc, raft, gossip string // as asked for
	join              string // a gossip address; none for the node that starts the site

	addresses node.Addresses // as it got them
	process   *exec.Cmd
	done      chan struct{} // closed when it has ended
}

func (s *devSite) child(n int) *child {
	id := fmt.Sprintf("node-%d", n)
	at := func(offset int) string {
		port := 0
		if s.port != 0 {
			port = s.port + nodePorts*(n-1) + offset
		}
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	}
	return &child{
		id: id, dir: filepath.Join(s.dir, id), logFile: filepath.Join(s.dir, id+".log"),
		rpc: at(0), raft: at(1), gossip: at(2), done: make(chan struct{}),
	}
}

// args is the child's command line. It is complete: children inherit no
// CATALYST_ variables, which are about other nodes.
func (s *devSite) args(c *child) []string {
	args := []string{
		"node", "--id", c.id, "--data-dir", c.dir,
		"--rpc-addr", c.rpc, "--raft-addr", c.raft, "--gossip-addr", c.gossip,
		"--gateway-endpoint", s.gatewayEndpoint, "--log-level", s.logLevel, "--log-format", "text",
	}
	if c.join == "" {
		return append(args, "--bootstrap")
	}
	return append(args, "--join", c.join)
}

// environment is this process's without settings of nodes. The token goes in
// here because everyone can see command lines.
func (s *devSite) environment() []string {
	var clean []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CATALYST_") && !strings.HasPrefix(e, "PORT=") {
			clean = append(clean, e)
		}
	}
	return append(clean, "CATALYST_ADMIN_TOKEN="+s.adminToken)
}

// commandLine is what a person types to start c again.
func (s *devSite) commandLine(c *child) string {
	var words []string
	for _, w := range append([]string{os.Args[0]}, s.args(c)...) {
		if w == "" || strings.ContainsAny(w, " '\"$&;*?") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// spawn starts a child. All children are started from one locked thread: the
// kernel ends them with the thread that started them (see attributes).
func (s *devSite) spawn(c *child) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return unusable("name a directory that may be written with --data-dir", "%v", err)
	}
	os.Remove(c.addressesFile()) // of an earlier run
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return unusable("name a directory that may be written with --data-dir", "%v", err)
	}
	defer log.Close()
	c.process = exec.Command(s.program, s.args(c)...)
	c.process.Dir = c.dir // not where a .env may be
	c.process.Env = s.environment()
	c.process.Stdout, c.process.Stderr = log, log
	c.process.SysProcAttr = attributes()
	if err := c.process.Start(); err != nil {
		return refused("", "start %s: %v", c.id, err)
	}
	s.waits.Go(func() {
		_ = c.process.Wait() // its state tells
		close(c.done)
		if !s.stopping.Load() {
			s.ended <- c
		}
	})
	return nil
}

// stop ends all children: gracefully, then not.
func (s *devSite) stop() {
	s.stopping.Store(true)
	late := time.AfterFunc(grace, func() { s.signal(syscall.SIGKILL) })
	defer late.Stop()
	s.signal(syscall.SIGTERM)
	s.waits.Wait()
}

func (s *devSite) signal(sig os.Signal) {
	for _, c := range s.children {
		if c.process != nil && c.process.Process != nil {
			_ = c.process.Process.Signal(sig) // it may have ended
		}
	}
}

func (c *child) addressesFile() string { return filepath.Join(c.dir, "addresses.json") }

// listening waits until the child has written where it listens.
func (c *child) listening(ctx context.Context) error {
	return c.until(ctx, func() bool {
		text, err := os.ReadFile(c.addressesFile())
		return err == nil && json.Unmarshal(text, &c.addresses) == nil && c.addresses.RPC != ""
	})
}

// until waits for a condition while the child lives.
func (c *child) until(ctx context.Context, met func() bool) error {
	tick := time.NewTicker(devPoll)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-c.done:
			return fmt.Errorf("it ended: %s", c.fate())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// fate is how the child's process ended.
func (c *child) fate() string {
	<-c.done
	return c.process.ProcessState.String()
}

// notStarted explains why a child did not come up, in the words of its log.
func (s *devSite) notStarted(c *child, err error) error {
	text, _ := os.ReadFile(c.logFile)
	last := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	said := ""
	for _, line := range last[max(0, len(last)-3):] {
		said += "\n  " + string(line)
	}
	return refused("", "%s did not start: %v; the end of its log:%s", c.id, err, said)
}

// ready waits until every node is ready and a member that counts.
func (s *devSite) ready(ctx context.Context) error {
	for _, c := range s.children {
		if err := c.until(ctx, func() bool { return isReady(ctx, c.addresses.RPC) }); err != nil {
			return s.notStarted(c, err)
		}
	}
	last := s.children[len(s.children)-1]
	err := last.until(ctx, func() bool {
		st, members, err := s.look(ctx)
		alive := 0
		for _, m := range members {
			if m.State == "alive" {
				alive++
			}
		}
		return err == nil && st.Leader != "" && alive == s.nodes && st.Voters == min(s.nodes, mostVotes)
	})
	if err != nil {
		return s.notStarted(last, err)
	}
	return nil
}

// isReady asks a node's /ready.
func isReady(ctx context.Context, rpc string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+rpc+"/ready", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
