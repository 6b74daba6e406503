package block

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// discard is ioctl BLKDISCARD, for which x/sys/unix has no wrapper.
func discard(f *os.File, extent *[2]uint64) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(extent))); errno != 0 {
		return errno
	}
	return nil
}
