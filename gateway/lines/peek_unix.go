//go:build unix

package lines

import (
	"errors"
	"net"
	"syscall"
)

// peek looks at what has come on a connection, without taking it.
type peek struct {
	conn  syscall.RawConn // nil for what is no socket
	look  func(fd uintptr) bool
	quiet bool
}

func (p *peek) at(conn net.Conn) {
	if s, ok := conn.(syscall.Conn); ok {
		p.conn, _ = s.SyscallConn()
	}
	p.look = func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.quiet = errors.Is(err, syscall.EAGAIN)
		return true
	}
}

// quiet says that the service has said nothing on an idle line, and has not
// hung up: what it said before it was asked would pass for its answer.
func (c *line) quiet() bool {
	if c.peek.conn == nil {
		return true
	}
	err := c.peek.conn.Read(c.peek.look)
	return c.peek.quiet && err == nil
}
