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
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/catalyst/orchestrator/node"
)

// nodePorts is between the ports of one node and the next.
const nodePorts = 10

// devNode is one node: a process of its own, so that it can be killed, or part
// of this one if it is the only one.
type devNode struct {
	id                string
	dir, logFile      string
	rpc, raft, gossip string // as asked for
	join              string // a gossip address; none for the node that starts the site

	addresses node.Addresses // as it got them
	process   *exec.Cmd      // nil in this process
	cancel    context.CancelFunc
	done      chan struct{} // closed when it has ended
	err       error         // why it ended in this process
}

func (s *devSite) node(n int) *devNode {
	id := fmt.Sprintf("node-%d", n)
	at := func(offset int) string { return s.at(nodePorts*(n-1) + offset) }
	return &devNode{
		id: id, dir: filepath.Join(s.dir, id), logFile: id + ".log",
		rpc: at(0), raft: at(1), gossip: at(2), done: make(chan struct{}),
	}
}

// at is an address on loopback so far above the site's first port, or at any
// free port.
func (f *devFlags) at(above int) string {
	port := 0
	if f.port != 0 {
		port = f.port + above
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
}

// args is the node's command line. It is complete: nodes take no CATALYST_
// variables, which are about other nodes.
func (s *devSite) args(n *devNode) []string {
	args := []string{
		"node", "--id", n.id, "--data-dir", n.dir,
		"--rpc-addr", n.rpc, "--raft-addr", n.raft, "--gossip-addr", n.gossip,
		"--gateway-endpoint", s.beside.endpoint, "--log-level", s.logLevel, "--log-format", "text",
	}
	if s.site != "" {
		args = append(args, "--site", s.site)
	}
	if s.peeringSecret != "" {
		args = append(args, "--peering-secret", s.peeringSecret)
	}
	if n.join == "" {
		return append(args, "--bootstrap")
	}
	return append(args, "--join", n.join)
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

// commandLine is what a person types to start n again.
func (s *devSite) commandLine(n *devNode) string {
	var words []string
	for _, w := range append([]string{os.Args[0]}, s.args(n)...) {
		if w == "" || strings.ContainsAny(w, " '\"$&;*?") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// spawn starts a node.
func (s *devSite) spawn(n *devNode) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return unusable("name a directory that may be written with --data-dir", "%v", err)
	}
	os.Remove(n.addressesFile()) // of an earlier run
	log, err := s.openLog(n.logFile)
	if err != nil {
		return err
	}
	ended := func() {
		close(n.done)
		log.Close()
		if !s.stopping.Load() {
			s.ended <- n
		}
	}
	if len(s.nodes) == 1 {
		return s.runHere(n, log, ended)
	}
	return s.runApart(n, log, ended)
}

// runHere runs a node in this process.
func (s *devSite) runHere(n *devNode, log io.Writer, ended func()) error {
	f := &nodeFlags{}
	flags := pflag.NewFlagSet("node", pflag.ContinueOnError)
	f.addFlags(flags)
	if err := flags.Parse(s.args(n)[1:]); err != nil {
		return refused("", "start %s: %v", n.id, err)
	}
	f.AdminToken = s.adminToken
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	s.waits.Go(func() {
		n.err = f.run(ctx, log)
		ended()
	})
	return nil
}

// runApart runs a node in a process of its own. All are started from one locked
// thread: the kernel ends them with the thread that started them (see
// attributes).
func (s *devSite) runApart(n *devNode, log *os.File, ended func()) error {
	n.process = exec.Command(s.program, s.args(n)...)
	n.process.Dir = n.dir // not where a .env may be
	n.process.Env = s.environment()
	n.process.Stdout, n.process.Stderr = log, log
	n.process.SysProcAttr = attributes()
	if err := n.process.Start(); err != nil {
		return refused("", "start %s: %v", n.id, err)
	}
	s.waits.Go(func() {
		_ = n.process.Wait() // its state tells
		ended()
	})
	return nil
}

// end has the node end.
func (n *devNode) end(sig syscall.Signal) {
	if n.cancel != nil {
		n.cancel()
	}
	if n.process != nil && n.process.Process != nil {
		_ = n.process.Process.Signal(sig) // it may have ended
	}
}

// name is what to call the node, with the pid if it has one of its own.
func (n *devNode) name() string {
	if n.process == nil {
		return n.id
	}
	return fmt.Sprintf("%s (pid %d)", n.id, n.process.Process.Pid)
}

// fate is how the node ended.
func (n *devNode) fate() string {
	<-n.done
	switch {
	case n.process != nil:
		return n.process.ProcessState.String()
	case n.err != nil:
		return oneLine(n.err.Error())
	}
	return "it has left the site"
}

func (n *devNode) addressesFile() string { return filepath.Join(n.dir, "addresses.json") }

// listening waits until the node has written where it listens.
func (n *devNode) listening(ctx context.Context) error {
	return n.until(ctx, func() bool {
		text, err := os.ReadFile(n.addressesFile())
		return err == nil && json.Unmarshal(text, &n.addresses) == nil && n.addresses.RPC != ""
	})
}

// until waits for a condition while the node lives.
func (n *devNode) until(ctx context.Context, met func() bool) error {
	tick := time.NewTicker(devPoll)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-n.done:
			return fmt.Errorf("it ended: %s", n.fate())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// notStarted explains why a node did not come up, in the words of its log.
func (s *devSite) notStarted(n *devNode, err error) error {
	text, _ := os.ReadFile(filepath.Join(s.dir, n.logFile))
	last := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	said := ""
	for _, line := range last[max(0, len(last)-3):] {
		said += "\n  " + string(line)
	}
	return refused("", "%s did not start: %v; the end of its log:%s", n.id, err, said)
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
