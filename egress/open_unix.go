//go:build unix

package egress

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// open tells whether an idle connection is still good: nothing has come on it, neither bytes, which nobody asked for, nor
// its end.
func open(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = err == unix.EAGAIN
	})
	return err == nil && quiet
}
