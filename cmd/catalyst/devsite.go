package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/catalyst/orchestrator/transport"
)

const (
	grace     = 10 * time.Second // for a node to end by itself
	devPoll   = 20 * time.Millisecond
	mostVotes = 5 // nodes beyond these do not vote
)

// devSite is all that `catalyst dev` runs. It ends what it started: when asked
// to stop, and on Linux by the kernel when this process is killed.
type devSite struct {
	*devFlags
	program string
	dir     string
	errs    io.Writer
	nodes   []*devNode
	beside  devBeside

	ended    chan *devNode // those that ended unasked
	stopping atomic.Bool
	waits    sync.WaitGroup // for the nodes
}

func (f *devFlags) newSite(dir string, errs io.Writer) (*devSite, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, refused("", "find this program: %v", err)
	}
	s := &devSite{devFlags: f, program: program, dir: dir, errs: errs, ended: make(chan *devNode, f.nodeCount)}
	for n := 1; n <= f.nodeCount; n++ {
		s.nodes = append(s.nodes, s.node(n))
	}
	return s, nil
}

// start returns when the nodes are one site and the samples are served.
func (s *devSite) start(ctx context.Context) error {
	if err := s.checkPorts(); err != nil {
		return err
	}
	if err := s.startBeside(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, errNotReady)
	defer cancel()
	if err := s.startNodes(ctx); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	return s.registerSamples(ctx)
}

// readyTime is how long a site may take to start, with whatever it has to
// replay. An empty one takes a fraction of a second.
const readyTime = time.Minute

var errNotReady = errors.New("not ready within " + readyTime.String())

// startNodes starts all nodes, and returns when they listen.
func (s *devSite) startNodes(ctx context.Context) error {
	for i, n := range s.nodes {
		if i > 0 {
			n.join = s.nodes[0].addresses.Gossip
		}
		if err := s.spawn(n); err != nil {
			return err
		}
		if i > 0 {
			continue
		}
		if err := n.listening(ctx); err != nil {
			return s.notStarted(n, err)
		}
	}
	for _, n := range s.nodes[1:] {
		if err := n.listening(ctx); err != nil {
			return s.notStarted(n, err)
		}
	}
	return nil
}

// ready waits until every node is ready and a member that counts.
func (s *devSite) ready(ctx context.Context) error {
	for _, n := range s.nodes {
		if err := n.until(ctx, func() bool { return isReady(ctx, n.addresses.RPC) }); err != nil {
			return s.notStarted(n, err)
		}
	}
	last := s.nodes[len(s.nodes)-1]
	err := last.until(ctx, func() bool {
		st, members, err := s.look(ctx)
		alive := 0
		for _, m := range members {
			if m.State == "alive" {
				alive++
			}
		}
		return err == nil && st.Leader != "" && alive == len(s.nodes) && st.Voters == min(len(s.nodes), mostVotes)
	})
	if err != nil {
		return s.notStarted(last, err)
	}
	return nil
}

// client asks the last node.
func (s *devSite) client() *client {
	last := s.nodes[len(s.nodes)-1]
	return &client{security: security{shown: s.adminToken}, timeout: 10 * time.Second, addresses: []string{"ws://" + last.addresses.RPC + "/rpc"}}
}

// look asks for the site's state.
func (s *devSite) look(ctx context.Context) (status, []member, error) {
	var (
		st  status
		all memberList
	)
	_, err := s.client().ask(ctx, func(ctx context.Context, scope *transport.Promise) (any, error) {
		var err error
		members := scope.Call("listMembers")
		if st, err = transport.Await[status](ctx, scope.Call("status")); err != nil {
			return nil, err
		}
		all, err = transport.Await[memberList](ctx, members)
		return nil, err
	})
	return st, all.Members, err
}

// attend reports nodes that end, until Ctrl-C or the last of them.
func (s *devSite) attend(ctx context.Context) error {
	for alive := len(s.nodes); alive > 0; {
		select {
		case n := <-s.ended:
			alive--
			fmt.Fprintf(s.errs, "%s ended: %s; %d of %d nodes are left\n", n.name(), n.fate(), alive, len(s.nodes))
			if alive > 0 {
				fmt.Fprintf(s.errs, "to start it again: %s\n", s.commandLine(n))
			}
		case <-ctx.Done():
			return nil
		}
	}
	return refused("their logs tell why: "+filepath.Join(s.dir, "node-*.log"), "all nodes have ended")
}

// stop ends all nodes, gracefully, then not; and after them what serves them.
func (s *devSite) stop() {
	s.stopping.Store(true)
	late := time.AfterFunc(grace, func() { s.endNodes(syscall.SIGKILL) })
	defer late.Stop()
	s.endNodes(syscall.SIGTERM)
	s.waits.Wait()
	s.beside.stop()
}

func (s *devSite) endNodes(sig syscall.Signal) {
	for _, n := range s.nodes {
		n.end(sig)
	}
}

// openLog opens a log in the site's directory.
func (s *devSite) openLog(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, unusable("name a directory that may be written with --data-dir", "%v", err)
	}
	return f, nil
}
