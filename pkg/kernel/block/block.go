// Package block asks the kernel about block devices and writes to them past the page cache.
package block

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Alignment is what offset, length and memory of a direct write are multiples of: the page, which no sector in use is larger than.
const Alignment = 4096

// Size returns the size of the block device, or file, at path, in bytes.
func Size(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}

// A Writer writes to a device from its beginning, with O_DIRECT: what is written to a RAM disk lies in memory once, where the
// page cache would hold it a second time.
type Writer struct{ file *os.File }

// OpenWriter opens the block device, or for tests the file, at path. It is opened exclusively: a device that is mounted is
// refused with EBUSY.
func OpenWriter(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT|unix.O_EXCL, 0)
	if err != nil {
		return nil, err
	}
	return &Writer{f}, nil
}

// WriteAt writes p, from a buffer that Buffer returned, at offset; both its length and the offset are multiples of Alignment.
func (w *Writer) WriteAt(p []byte, offset int64) (int, error) { return w.file.WriteAt(p, offset) }

// Close makes sure that everything arrived and closes the device.
func (w *Writer) Close() error {
	syncErr := w.file.Sync()
	if err := w.file.Close(); err != nil {
		return err
	}
	return syncErr
}

// Buffer returns memory that can be written directly, of size bytes, a multiple of Alignment. It is given back with Free.
func Buffer(size int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map a buffer of %d bytes: %w", size, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // what is copied and hashed in it costs a few per cent less; a kernel without such pages says no
	return b, nil
}

// Free gives back what Buffer returned.
func Free(b []byte) error { return unix.Munmap(b) }
