package main

import (
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

// devFlags are the settings of `catalyst dev`.
type devFlags struct {
	nodeCount       int
	site            string
	port            int
	dataDir         string
	noSamples       bool
	gatewayEndpoint string
	adminToken      string
	peeringSecret   string
	logLevel        string
}

func devCommand() *cobra.Command {
	f := &devFlags{}
	cmd := offline(&cobra.Command{
		Use:   "dev",
		Short: "A whole site on loopback, for trying it out",
		Long: `A whole site on loopback, for trying it out, with nothing else installed: a node
on port 3000, a GraphQL gateway on 4000, and two sample services registered. All
that is in this one process; with --nodes, each node is a process of its own, on
ports 3000 (RPC), 3001 (Raft), 3002 (gossip), 3010, 3011, …, so that it can be
killed. Ctrl-C stops all of it.`,
		Example: `  catalyst dev
  catalyst dev --nodes 3 --data-dir site         # keeps what it knows for the next time
  catalyst dev --site rome --port 3100           # another site beside it, its gateway on 4100`,
		Args: want(),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.nodeCount, "nodes", 1, "number of nodes, 1 to 9; 3 survive the loss of one")
	flags.StringVar(&f.site, "site", "", "name of the site; default what the data directory says, else default (CATALYST_SITE)")
	fromEnv(flags, "site", "CATALYST_SITE")
	flags.IntVar(&f.port, "port", 3000, "first port of the nodes; the gateway and the samples are 1000 above; 0 is any free ones")
	flags.StringVar(&f.dataDir, "data-dir", "", "directory for data and logs; default a temporary one, removed at the end")
	flags.BoolVar(&f.noSamples, "no-samples", false, "run and register no sample services")
	flags.StringVar(&f.gatewayEndpoint, "gateway-endpoint", ownGateway, "GraphQL gateway; own is one in this process, empty is none (CATALYST_GQL_GATEWAY_ENDPOINT)")
	fromEnv(flags, "gateway-endpoint", "CATALYST_GQL_GATEWAY_ENDPOINT")
	flags.SetAnnotation("gateway-endpoint", emptyIsSet, []string{""})
	flags.StringVar(&f.adminToken, "admin-token", "", "token that clients must show (CATALYST_ADMIN_TOKEN)")
	fromEnv(flags, "admin-token", "CATALYST_ADMIN_TOKEN")
	flags.StringVar(&f.peeringSecret, "peering-secret", "catalyst-dev", "secret that peer sites must show, and that is shown to them (CATALYST_PEERING_SECRET)")
	fromEnv(flags, "peering-secret", "CATALYST_PEERING_SECRET")
	flags.StringVar(&f.logLevel, "log-level", "info", "of the nodes and the gateway: debug, info, warn or error (CATALYST_LOG_LEVEL)")
	fromEnv(flags, "log-level", "CATALYST_LOG_LEVEL")
	return cmd
}

// ownGateway is the endpoint that stands for a gateway in this process.
const ownGateway = "own"

func (f *devFlags) validate() error {
	const above = gatewayAbove + 2 // of the second sample; nine nodes end long before
	switch {
	case f.nodeCount < 1 || f.nodeCount > 9:
		return unusable("3 nodes survive the loss of one, 5 that of two", "--nodes is %d: want 1 to 9", f.nodeCount)
	case f.port < 0 || f.port+above > 65535:
		return unusable("the default is --port 3000", "--port is %d: want 0, or a port with %d more behind it", f.port, above)
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
	s, err := f.newSite(dir, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
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
