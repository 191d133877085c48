package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

// devFlags are the settings of `catalyst dev`.
type devFlags struct {
	nodes           int
	port            int
	dataDir         string
	gatewayEndpoint string
	adminToken      string
	logLevel        string
}

func devCommand() *cobra.Command {
	f := &devFlags{}
	cmd := offline(&cobra.Command{
		Use:   "dev",
		Short: "A whole site on loopback, for trying it out",
		Long: `A whole site on loopback, for trying it out, with nothing else installed: real
node processes, on ports 3000 (RPC), 3001 (Raft), 3002 (gossip), 3010, 3011, …
Ctrl-C stops all of them.`,
		Example: `  catalyst dev --nodes 3
  catalyst dev --nodes 3 --data-dir site   # keeps what it knows for the next time`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.nodes, "nodes", 1, "number of nodes, 1 to 9; 3 survive the loss of one")
	flags.IntVar(&f.port, "port", 3000, "first port; 0 is any free ones")
	flags.StringVar(&f.dataDir, "data-dir", "", "directory for data and logs; default a temporary one, removed at the end")
	flags.StringVar(&f.gatewayEndpoint, "gateway-endpoint", gatewayDefault, "GraphQL gateway; empty turns it off (CATALYST_GQL_GATEWAY_ENDPOINT)")
	fromEnv(flags, "gateway-endpoint", "CATALYST_GQL_GATEWAY_ENDPOINT")
	flags.SetAnnotation("gateway-endpoint", emptyIsSet, []string{""})
	flags.StringVar(&f.adminToken, "admin-token", "", "token that clients must show (CATALYST_ADMIN_TOKEN)")
	fromEnv(flags, "admin-token", "CATALYST_ADMIN_TOKEN")
	flags.StringVar(&f.logLevel, "log-level", "info", "of the nodes: debug, info, warn or error (CATALYST_LOG_LEVEL)")
	fromEnv(flags, "log-level", "CATALYST_LOG_LEVEL")
	return cmd
}

func (f *devFlags) validate() error {
	switch last := f.port + nodePorts*(f.nodes-1) + 2; {
	case f.nodes < 1 || f.nodes > 9:
		return unusable("3 nodes survive the loss of one, 5 that of two", "--nodes is %d: want 1 to 9", f.nodes)
	case f.port < 0 || last > 65535:
		return unusable("the default is --port 3000", "--port is %d: want 0, or a port with %d more behind it", f.port, last-f.port)
	}
	return nil
}

// run runs a site until Ctrl-C, or until all of its nodes have ended.
func (f *devFlags) run(cmd *cobra.Command) error {
	begun := time.Now()
	runtime.LockOSThread() // see spawn
	defer runtime.UnlockOSThread()
	if err := f.validate(); err != nil {
		return err
	}
	dir, remove, err := f.directory()
	if err != nil {
		return err
	}
	defer remove()
	program, err := os.Executable()
	if err != nil {
		return refused("", "find this program: %v", err)
	}
	s := &devSite{devFlags: f, program: program, dir: dir, errs: cmd.ErrOrStderr(), ended: make(chan *child, f.nodes)}
	defer s.stop()
	ctx := cmd.Context()
	switch err := s.start(ctx); {
	case ctx.Err() != nil:
		return nil // Ctrl-C is how a site ends
	case err != nil:
		return err
	}
	st, _, err := s.look(ctx)
	if err != nil {
		return err
	}
	b := banner{site: s, status: st, took: time.Since(begun), kept: f.dataDir != ""}
	b.print(cmd.OutOrStdout())
	return s.attend(ctx)
}

// directory is where the site's data and logs go; remove removes it if it is
// temporary.
func (f *devFlags) directory() (dir string, remove func(), err error) {
	if f.dataDir == "" {
		dir, err = os.MkdirTemp("", "catalyst-dev-")
		if err != nil {
			return "", nil, refused("name a directory with --data-dir", "make a temporary directory: %v", err)
		}
		return dir, func() { os.RemoveAll(dir) }, nil
	}
	dir, err = filepath.Abs(f.dataDir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", nil, unusable("name a directory that may be written", "--data-dir: %v", err)
	}
	return dir, func() {}, nil
}

// start starts the nodes and waits until all are members of one site.
func (s *devSite) start(ctx context.Context) error {
	for n := 1; n <= s.nodes; n++ {
		s.children = append(s.children, s.child(n))
	}
	if err := s.checkPorts(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, errNotReady)
	defer cancel()
	first := s.children[0]
	if err := s.spawn(first); err != nil {
		return err
	}
	if err := first.listening(ctx); err != nil {
		return s.notStarted(first, err)
	}
	for _, c := range s.children[1:] {
		c.join = first.addresses.Gossip
		if err := s.spawn(c); err != nil {
			return err
		}
	}
	for _, c := range s.children {
		if err := c.listening(ctx); err != nil {
			return s.notStarted(c, err)
		}
	}
	return s.ready(ctx)
}

// readyTime is how long a site may take to start, with whatever it has to
// replay. An empty one takes a second.
const readyTime = time.Minute

var errNotReady = errors.New("not ready within " + readyTime.String())

// attend reports nodes that end, until Ctrl-C or the last of them.
func (s *devSite) attend(ctx context.Context) error {
	for alive := len(s.children); alive > 0; {
		select {
		case c := <-s.ended:
			alive--
			fmt.Fprintf(s.errs, "%s (pid %d) ended: %s; %d of %d nodes are left\n", c.id, c.process.Process.Pid, c.fate(), alive, len(s.children))
			if alive > 0 {
				fmt.Fprintf(s.errs, "to start it again: %s\n", s.commandLine(c))
			}
		case <-ctx.Done():
			return nil
		}
	}
	return refused("their logs tell why: "+filepath.Join(s.dir, "node-*.log"), "all nodes have ended")
}
