package stream

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/kernel/block"
	"github.com/liveboot/liveboot/pkg/kernel/nbd"
)

// A DevicePlace is a Place on a block device, or for tests a file, from an offset on. It is read and written past the page cache, in which
// everything that is on a RAM disk would be in memory a second time.
type DevicePlace struct {
	// Number is what the kernel knows the device by, Offset where the image begins in bytes.
	Number uint64
	Offset int64

	file    *os.File
	aligned chan []byte // memory for reads that are not of whole pages
}

// scratch is how much is read at a time through memory of a DevicePlace, in bytes; two such reads go on at a time.
const scratch = 128 << 10

// OpenPlace opens the device at path. Offset is a multiple of block.Alignment.
func OpenPlace(path string, offset int64) (*DevicePlace, error) {
	if offset < 0 || offset%block.Alignment != 0 {
		return nil, fmt.Errorf("open %s: the offset %d is no multiple of %d", path, offset, block.Alignment)
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return nil, errors.Join(fmt.Errorf("look at %s: %w", path, err), f.Close())
	}
	if err := checkSectors(f, &stat); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	d := &DevicePlace{Number: stat.Rdev, Offset: offset, file: f, aligned: make(chan []byte, 2)}
	for range cap(d.aligned) {
		b, err := block.Buffer(scratch)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.aligned <- b
	}
	return d, nil
}

// checkSectors makes sure that what is mounted from a device of the Store can be moved to this one, of which nothing smaller than a sector
// can be read.
func checkSectors(f *os.File, stat *unix.Stat_t) error {
	if stat.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil
	}
	size, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("ask for the size of its sectors: %w", err)
	}
	if size != nbd.BlockSize {
		return fmt.Errorf("it has sectors of %d bytes, and an image can only be streamed to a device with %d: download it as a whole", size, nbd.BlockSize)
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (d *DevicePlace) ReadAt(p []byte, offset int64) (int, error) {
	if len(p) > 0 && isAligned(p, offset) {
		return d.file.ReadAt(p, d.Offset+offset)
	}
	b := <-d.aligned
	defer func() { d.aligned <- b }()
	done := 0
	for done < len(p) {
		skip := int((offset + int64(done)) % block.Alignment)
		want := min(len(p)-done, scratch-skip)
		n, err := d.file.ReadAt(b[:(skip+want+block.Alignment-1)/block.Alignment*block.Alignment], d.Offset+offset+int64(done-skip))
		if n < skip+want {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return done + copy(p[done:], b[min(skip, n):n]), err
		}
		done += copy(p[done:], b[skip:skip+want])
	}
	return done, nil
}

// isAligned tells whether the kernel can read p directly.
func isAligned(p []byte, offset int64) bool {
	return (uintptr(unsafe.Pointer(&p[0]))|uintptr(len(p))|uintptr(offset))%block.Alignment == 0
}

// WriteAt implements Place.
func (d *DevicePlace) WriteAt(p []byte, offset int64) (int, error) {
	return d.file.WriteAt(p, d.Offset+offset)
}

// Sync implements Place.
func (d *DevicePlace) Sync() error { return d.file.Sync() }

// Close closes the device, which nobody must be using any more.
func (d *DevicePlace) Close() error {
	errs := []error{d.file.Close()}
	for {
		select {
		case b := <-d.aligned:
			errs = append(errs, block.Free(b))
		default:
			return errors.Join(errs...)
		}
	}
}
