package nbd

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// writeAll writes parts one behind the other, by as few system calls as the socket has room for (writev(2)).
func writeAll(c syscall.RawConn, parts [][]byte) error {
	var failed error
	err := c.Write(func(fd uintptr) (done bool) {
		for len(parts) > 0 {
			n, err := unix.Writev(int(fd), parts)
			switch err {
			case nil:
				parts = behind(parts, n)
			case unix.EINTR:
			case unix.EAGAIN:
				return false // it is called again when there is room
			default:
				failed = err
				return true
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	return failed
}

// behind returns what follows the first n bytes of parts.
func behind(parts [][]byte, n int) [][]byte {
	for len(parts) > 0 && n >= len(parts[0]) {
		n -= len(parts[0])
		parts = parts[1:]
	}
	if n > 0 {
		parts[0] = parts[0][n:]
	}
	return parts
}
