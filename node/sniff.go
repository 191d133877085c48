package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// sniffed looks at the first byte that comes, so that who speaks TLS to a
// plain port, or plainly to a TLS port, is told so instead of cut off.
type sniffed struct {
	net.Conn
	tls    bool   // what this end speaks
	answer string // to plain text where TLS is spoken; may be empty
	once   sync.Once
	first  []byte
	err    error
}

const (
	tlsHandshake = 0x16 // the type of a TLS connection's first record
	answerTime   = time.Second
	// notTLS is what shows a TLS client that it does not speak to TLS.
	notTLS = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)

var (
	errPlainToTLS = errors.New("the other end does not speak TLS, and this site does")
	errTLSToPlain = errors.New("the other end speaks TLS, and this node does not: it is in no secured site")
)

func (s *sniffed) Read(p []byte) (int, error) {
	s.once.Do(s.look)
	if s.err != nil {
		return 0, s.err
	}
	if len(s.first) > 0 && len(p) > 0 {
		p[0], s.first = s.first[0], nil
		return 1, nil
	}
	return s.Conn.Read(p)
}

func (s *sniffed) look() {
	var b [1]byte
	if _, s.err = s.Conn.Read(b[:]); s.err != nil {
		return
	}
	answer := s.answer
	switch speaks := b[0] == tlsHandshake; {
	case speaks == s.tls:
		s.first = b[:]
		return
	case s.tls:
		s.err = errPlainToTLS
	default:
		s.err = errTLSToPlain
		answer = notTLS
	}
	_ = s.Conn.SetWriteDeadline(time.Now().Add(answerTime)) // it may not listen
	_, _ = s.Conn.Write([]byte(answer))
	_ = s.Conn.Close()
}

// rpcListener serves TLS from the moment this node has credentials, and plain
// text before.
type rpcListener struct {
	net.Listener
	n *Node
}

func (l *rpcListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !l.n.secured() {
		return &sniffed{Conn: c}, nil
	}
	return tls.Server(&sniffed{Conn: c, tls: true, answer: plainAnswer(l.n.addresses.RPC)}, l.n.keeper.ServerRPC()), nil
}

// plainAnswer is for clients that speak plain HTTP to a site with TLS.
func plainAnswer(address string) string {
	text := fmt.Sprintf("this node speaks TLS: use wss://%s/rpc (or https://), and trust the site's certificate authority: its ca.pem, or a token that carries its fingerprint\n", address)
	return fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}
