package node

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-sockaddr"
	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/catalyst/orchestrator/fsm"
	"github.com/catalyst/orchestrator/storage"
	"github.com/catalyst/orchestrator/transport"
	"github.com/catalyst/orchestrator/trust"
)

// ground is what a node stands on: disks and networks. The machine gives real
// ones, a simulation gives memory; nothing above knows which.
type ground interface {
	// openRaft opens log, stable store, snapshots and the Raft network.
	openRaft(n *Node) (*raftGround, error)
	// gossip sets where memberlist listens, or its whole transport.
	gossip(*memberlist.Config) error
	// listenRPC opens the RPC listener; serveRPC then serves on it until ctx
	// ends, and returns when the last request has been answered.
	listenRPC(n *Node) (address string, err error)
	serveRPC(ctx context.Context, n *Node) error
	// remember and recall keep small named files.
	remember(name string, data []byte) error
	recall(name string) ([]byte, error)
	// keepCredentials keeps what makes this node one of its site, for
	// recallCredentials; fs.ErrNotExist is that there is nothing. authorityFile
	// is where clients find the site's authority.
	keepCredentials(c *trust.Credentials) error
	recallCredentials() (*trust.Credentials, error)
	authorityFile() string
	// holdsLog says whether there is a log, whoever's; table is what it leads
	// to, before Raft has it.
	holdsLog() bool
	table() (*fsm.Table, error)
	// space is how much of the disk is free; a total of 0 is that it is not known.
	space() (free, total uint64, err error)
	// touch writes to the disk and waits for it.
	touch() error
	// forgetLog sets aside the log of a site that this node has left.
	forgetLog() error
}

// raftGround is what Raft needs of the ground.
type raftGround struct {
	logs      raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	transport raftTransport
	close     func() error
	bolt      func() bbolt.Stats // nil in a simulation
	damaged   func() uint64      // how often a file was not what was written; nil in a simulation
	link      *raftLink          // nil in a simulation
}

// received is how many bytes have come in for Raft.
func (g *raftGround) received() int64 {
	if g.link == nil {
		return 0
	}
	return g.link.received.Load()
}

// last is the index of the newest entry, in the log or in a snapshot.
func (g *raftGround) last() uint64 {
	last, _ := g.logs.LastIndex()
	if all, err := g.snapshots.List(); err == nil && len(all) > 0 {
		last = max(last, all[0].Index)
	}
	return last
}

// snapshotBytes is the size of the newest snapshot; 0 where there is none.
func (g *raftGround) snapshotBytes() int64 {
	all, err := g.snapshots.List()
	if err != nil || len(all) == 0 {
		return 0
	}
	return all[0].Size
}

// addressBook knows where a server is now, which may not be where Raft's
// configuration remembers it: nodes come back on new addresses.
type addressBook func(raft.ServerID) (raft.ServerAddress, error)

func (b addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) { return b(id) }

const (
	raftTransportTimeout = 2 * time.Second
	raftPool             = 4 // connections to each peer
	snapshotsKept        = 2
	// drainTime is how long open requests may take to finish at shutdown.
	drainTime = 2 * time.Second
)

// machine is the ground of a real node: files in the data directory, TCP, UDP.
type machine struct {
	cfg *Config
	rpc net.Listener
}

func (m *machine) openRaft(n *Node) (*raftGround, error) {
	dir := filepath.Join(m.cfg.DataDir, "raft")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	store, err := storage.Open(dir, storage.Options{Snapshots: snapshotsKept, Log: n.lines()})
	if err != nil {
		return nil, err
	}
	g, err := m.openNetwork(n, store)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return g, nil
}

func (m *machine) openNetwork(n *Node, store *storage.Store) (*raftGround, error) {
	bind, err := net.ResolveTCPAddr("tcp", m.cfg.RaftAddr)
	if err != nil {
		return nil, fmt.Errorf("--raft-addr %s: %w", m.cfg.RaftAddr, err)
	}
	var advertise net.Addr // nil: what is bound
	if bind.IP == nil || bind.IP.IsUnspecified() {
		ip, err := reachableIP()
		if err != nil {
			return nil, err
		}
		if bind.Port == 0 {
			return nil, fmt.Errorf("--raft-addr %s: a port of 0 needs an address other than the unspecified one", m.cfg.RaftAddr)
		}
		advertise = &net.TCPAddr{IP: ip, Port: bind.Port}
	}
	listener, err := net.Listen("tcp", m.cfg.RaftAddr)
	if err != nil {
		return nil, fmt.Errorf("listen on --raft-addr %s: %w", m.cfg.RaftAddr, err)
	}
	link := &raftLink{Listener: listener, n: n, tell: advertise}
	trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: addressBook(n.raftAddress),
		Stream:                link,
		MaxPool:               raftPool,
		Timeout:               raftTransportTimeout,
		Logger:                raftLogger(n.lines()),
	})
	return &raftGround{
		logs: store, stable: store, snapshots: store.Snapshots(), transport: trans, bolt: store.Stats, damaged: store.ChecksumFailures, link: link,
		close: func() error { return errors.Join(trans.Close(), store.Close()) },
	}, nil
}

func (m *machine) gossip(c *memberlist.Config) error {
	addr, err := net.ResolveUDPAddr("udp", m.cfg.GossipAddr)
	if err != nil {
		return fmt.Errorf("--gossip-addr %s: %w", m.cfg.GossipAddr, err)
	}
	c.BindPort, c.AdvertisePort = addr.Port, addr.Port
	c.BindAddr = "0.0.0.0"
	if addr.IP != nil {
		c.BindAddr = addr.IP.String()
	}
	return nil
}

func (m *machine) listenRPC(n *Node) (string, error) {
	l, err := net.Listen("tcp", m.cfg.RPCAddr)
	if err != nil {
		return "", fmt.Errorf("listen on --rpc-addr %s: %w", m.cfg.RPCAddr, err)
	}
	m.rpc = &rpcListener{Listener: l, n: n}
	addr := l.Addr().(*net.TCPAddr)
	if !addr.IP.IsUnspecified() {
		return addr.String(), nil
	}
	ip, err := reachableIP()
	if err != nil {
		return "", err
	}
	return (&net.TCPAddr{IP: ip, Port: addr.Port}).String(), nil
}

func (m *machine) serveRPC(ctx context.Context, n *Node) error {
	server := &http.Server{
		Handler:           n.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(n.lines(), "", 0),
		// A hijacked WebSocket is no longer the server's: its context must
		// come from here for the session to end with the node.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		_ = server.Shutdown(drain)
		_ = server.Close()
	})
	defer stop()
	if err := server.Serve(m.rpc); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", m.rpc.Addr(), err)
	}
	return nil
}

// remember replaces a file whole, or leaves it as it was.
func (m *machine) remember(name string, data []byte) error {
	path := filepath.Join(m.cfg.DataDir, name)
	f, err := os.CreateTemp(m.cfg.DataDir, name+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (m *machine) recall(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(m.cfg.DataDir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (m *machine) credentialsDir() string { return filepath.Join(m.cfg.DataDir, "tls") }

func (m *machine) authorityFile() string {
	if m.cfg.TLSCA != "" {
		return m.cfg.TLSCA
	}
	return filepath.Join(m.credentialsDir(), trust.AuthorityFile)
}

func (m *machine) keepCredentials(c *trust.Credentials) error { return c.Store(m.credentialsDir()) }

func (m *machine) recallCredentials() (*trust.Credentials, error) {
	if m.cfg.TLSCert != "" {
		return trust.LoadFiles(m.cfg.TLSCA, m.cfg.TLSCert, m.cfg.TLSKey, time.Now())
	}
	return trust.Load(m.credentialsDir(), time.Now())
}

func (m *machine) table() (*fsm.Table, error) {
	report, err := storage.Survey(raftDir(m.cfg.DataDir))
	if err != nil {
		return nil, err
	}
	return tableIn(m.cfg.DataDir, report)
}

func (m *machine) holdsLog() bool {
	entries, _ := os.ReadDir(raftDir(m.cfg.DataDir))
	return len(entries) > 0
}

func (m *machine) space() (free, total uint64, err error) { return storage.Space(m.cfg.DataDir) }

func (m *machine) touch() error {
	f, err := os.OpenFile(filepath.Join(m.cfg.DataDir, "pulse"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(time.Now().Format(time.RFC3339Nano)), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

// forgetLog sets aside all that belongs to the site that was left.
func (m *machine) forgetLog() error {
	aside := filepath.Join(m.cfg.DataDir, fmt.Sprintf("left-%d", time.Now().Unix()))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return fmt.Errorf("set aside what belonged to the site: %w", err)
	}
	for _, name := range []string{"raft", "tls", identityFile, keysFile} {
		err := os.Rename(filepath.Join(m.cfg.DataDir, name), filepath.Join(aside, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("set aside what belonged to the site: %w", err)
		}
	}
	return nil
}

// reachableIP is the address that others are told when a listener is bound to
// all of them.
func reachableIP() (net.IP, error) {
	s, err := sockaddr.GetPrivateIP()
	if err != nil || s == "" {
		s, err = sockaddr.GetPublicIP()
	}
	if err != nil || s == "" {
		return nil, fmt.Errorf("no address of this machine to tell the other nodes: bind to a specific one instead of 0.0.0.0 (%v)", err)
	}
	return net.ParseIP(s), nil
}

// serveConn runs one Cap'n Web session as a server.
func (n *Node) serveConn(ctx context.Context, c transport.Conn, from caller) {
	n.counts.sessions.Add(1)
	defer n.counts.sessions.Add(-1)
	s := transport.NewSession(c, transport.Config{Limits: n.limits(), Log: n.log})
	s.Offer(n.publicAPI(from, s.Abort))
	if err := s.Run(ctx); err != nil {
		n.log.Debug("session ended", "err", err)
	}
}
