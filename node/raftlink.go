package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// raftLink is the network beneath Raft: TCP, over TLS from the moment this node
// has credentials, and in either case greeted (greet.go).
type raftLink struct {
	net.Listener
	n        *Node
	tell     net.Addr // what others are told, if not what is bound
	received atomic.Int64
}

var _ raft.StreamLayer = (*raftLink)(nil)

func (l *raftLink) Addr() net.Addr {
	if l.tell != nil {
		return l.tell
	}
	return l.Listener.Addr()
}

func (l *raftLink) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", string(address), timeout)
	if err != nil {
		return nil, err
	}
	if l.n.secured() {
		c = tls.Client(c, l.n.keeper.DialNode(""))
	}
	_ = c.SetDeadline(time.Now().Add(timeout))
	if err := l.n.greet(c); err != nil {
		l.n.complain("refused a Raft connection", string(address), err)
		return nil, errors.Join(fmt.Errorf("%s: %w", address, err), c.Close())
	}
	_ = c.SetDeadline(time.Time{})
	return &counted{c, &l.received}, nil
}

// Accept does not wait for what the other end has to say: it may say nothing,
// and others are waiting.
func (l *raftLink) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &counted{&greeted{Conn: c, raw: c, n: l.n}, &l.received}, nil
}

// greeted is a connection that was accepted. Its first Read shakes hands.
type greeted struct {
	net.Conn // over TLS once hands are shaken
	raw      net.Conn
	n        *Node
	once     sync.Once
	err      error
}

func (g *greeted) Read(p []byte) (int, error) {
	g.once.Do(func() {
		if g.err = g.shake(); g.err != nil {
			if !errors.Is(g.err, io.EOF) { // who says nothing only looked whether someone is here
				g.n.complain("refused a Raft connection", g.raw.RemoteAddr().String(), g.err)
			}
			_ = g.raw.Close()
		}
	})
	if g.err != nil {
		return 0, g.err
	}
	return g.Conn.Read(p)
}

func (g *greeted) shake() error {
	_ = g.raw.SetDeadline(time.Now().Add(greetingTime))
	var vouched string
	switch {
	case g.n.secured():
		c := tls.Server(&sniffed{Conn: g.raw, tls: true}, g.n.keeper.ServerRaft())
		if err := c.Handshake(); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		subject, _ := g.n.keeper.PeerIdentity(c.ConnectionState())
		g.Conn, vouched = c, subject.Name
	case g.n.locked():
		return errors.New("this node waits to be taken into a site and replicates with nobody until then")
	default:
		g.Conn = &sniffed{Conn: g.raw}
	}
	if err := g.n.answer(g.Conn, vouched); err != nil {
		return err
	}
	return g.raw.SetDeadline(time.Time{})
}

// counted counts the bytes that come in: a joining node shows them.
type counted struct {
	net.Conn
	in *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	k, err := c.Conn.Read(p)
	c.in.Add(int64(k))
	return k, err
}
