package memory

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Map returns size bytes of zeros outside of Go's heap, for what is large and needed for a while: they do not make the heap grow to twice their
// size, and unmap gives them back to the kernel at once. Nothing may use them afterwards.
func Map(size int) (b []byte, unmap func() error, err error) {
	if size == 0 {
		return nil, func() error { return nil }, nil
	}
	b, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, fmt.Errorf("map %d bytes of memory: %w", size, err)
	}
	return b, func() error { return unix.Munmap(b) }, nil
}
