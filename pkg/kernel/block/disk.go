package block

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/mkfs/blockdev"
)

// A Disk is a block device, or for tests a file, that is open exclusively for reading and writing. It is written in two ways: through the
// kernel's page cache, in pieces of any size, by the methods of blockdev.Device; and past it.
type Disk struct {
	*blockdev.Device
	direct *os.File
}

// OpenDisk opens the device at path. One that is mounted, or that another device is made from, is refused with EBUSY.
func OpenDisk(path string) (*Disk, error) {
	device, err := blockdev.Open(path)
	if err != nil {
		return nil, err
	}
	// Only the first of the two is exclusive: the kernel would take a second claim for somebody else's.
	direct, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return nil, errors.Join(err, device.Close())
	}
	return &Disk{device, direct}, nil
}

// WriteDirect writes p, from a buffer that Buffer returned, past the page cache. Its length and the offset are multiples of the sector.
func (d *Disk) WriteDirect(p []byte, offset int64) error {
	_, err := d.direct.WriteAt(p, offset)
	return err
}

// ReadDirect fills p, a buffer that Buffer returned, from the device itself. Its length and the offset are multiples of the sector.
func (d *Disk) ReadDirect(p []byte, offset int64) error {
	_, err := d.direct.ReadAt(p, offset)
	return err
}

// Discard tells the device that length bytes at offset are not needed any more (BLKDISCARD). What is read there afterwards is not
// known. A device that cannot do it answers with EOPNOTSUPP.
func (d *Disk) Discard(offset, length int64) error {
	if err := discard(d.File, &[2]uint64{uint64(offset), uint64(length)}); err != nil {
		return fmt.Errorf("discard %d bytes at %d: %w", length, offset, err)
	}
	return nil
}

// Close closes the device. It does not wait for what was written, see Sync.
func (d *Disk) Close() error { return errors.Join(d.direct.Close(), d.Device.Close()) }

// ReadPartitions makes the kernel read the partition table of the disk at path again. It is refused with EBUSY while a partition
// is mounted.
func ReadPartitions(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0); err != nil {
		return fmt.Errorf("read the partition table of %s: %w", path, err)
	}
	return nil
}
