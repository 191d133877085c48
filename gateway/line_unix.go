//go:build unix

package gateway

import (
	"errors"
	"syscall"
)

// quiet says that the service has said nothing on an idle line, and has not
// hung up: what it said before it was asked would pass for its answer.
func (c *line) quiet() bool {
	if c.raw == nil {
		return true
	}
	quiet := false
	err := c.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return quiet && err == nil
}
