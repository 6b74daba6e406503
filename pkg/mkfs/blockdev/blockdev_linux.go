// Package blockdev opens a block device, or a file that stands for one, to have a file system made on it.
//
//	d, err := blockdev.Open("/dev/sda4")
//	…
//	err = xfs.Format(d, d.Size(), xfs.Options{SectorSize: d.SectorSize()})
package blockdev

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Device is an open block device or file.
type Device struct {
	*os.File
	size       int64
	sectorSize int
}

// Open opens the block device or regular file for reading and writing. A device that is mounted, or that another one is made from, is
// refused with EBUSY.
func Open(path string) (*Device, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return nil, err
	}
	d := &Device{File: f, sectorSize: 512}
	if err := d.measure(); err != nil {
		return nil, errors.Join(fmt.Errorf("measure %s: %w", path, err), f.Close())
	}
	return d, nil
}

func (d *Device) measure() error {
	info, err := d.Stat()
	if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
	case mode.Type() == os.ModeDevice:
		if d.sectorSize, err = unix.IoctlGetInt(int(d.Fd()), unix.BLKSSZGET); err != nil {
			return fmt.Errorf("sector size: %w", err)
		}
	default:
		return fmt.Errorf("%w: it is neither a block device nor a file", errors.ErrUnsupported)
	}
	d.size, err = d.Seek(0, io.SeekEnd)
	return err
}

// Size is the length of the device, in bytes.
func (d *Device) Size() int64 { return d.size }

// SectorSize is the length of its logical sectors, in bytes; 512 for a file.
func (d *Device) SectorSize() int { return d.sectorSize }

// ZeroRange fills length bytes at offset, both multiples of the sector, with zeros by the shortest way there is: the device is told
// that they are not needed and must read as zeros, or it, or the kernel in its stead, writes them. On a file whose file system can do
// neither the error is an errors.ErrUnsupported.
func (d *Device) ZeroRange(offset, length int64) error {
	if length == 0 {
		return nil
	}
	var err error
	for _, mode := range []uint32{unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE} {
		if err = unix.Fallocate(int(d.Fd()), mode|unix.FALLOC_FL_KEEP_SIZE, offset, length); err == nil {
			return nil
		}
	}
	return fmt.Errorf("zero %d bytes at %d: %w", length, offset, err)
}
