// Package xfs makes XFS file systems, version 5, as mkfs.xfs does, with no help of a program or of the kernel.
//
//	f, err := os.OpenFile("/dev/sda4", os.O_WRONLY|os.O_EXCL, 0)
//	…
//	err = xfs.Format(f, size, xfs.Options{Label: "data"})
//
// The file system has blocks of 4 KiB, inodes of 512 bytes, an internal log, and the features crc, finobt, sparse inodes, reflink,
// bigtime, inobtcount, ftype and lazy-count: those that Linux 5.10 and all later kernels know. Its geometry is the one that mkfs.xfs
// 6.1 chooses for a single disk of that size.
//
// # What is on the device
//
// The device is cut into allocation groups (AGs) of equal length; the last may be shorter. Every structure of a group has its place
// and its number relative to the group:
//
//	sector 0          superblock; group 0 has the one in use, the others are copies of it
//	sector 1          AGF: free space
//	sector 2          AGI: inodes
//	sector 3          AGFL: blocks set aside for the trees below to grow into
//	next block        root of the tree of free extents by place (bnobt)
//	+ 1               root of the tree of free extents by length (cntbt)
//	+ 2               root of the tree of inode chunks (inobt)
//	+ 3               root of the tree of inode chunks with free inodes (finobt)
//	+ 4               root of the tree of shared extents (refcount)
//	+ 5               the log, in the group in the middle; then
//	+ 5               the four blocks in the AGFL
//	multiple of 8     the first chunk of 64 inodes, in group 0: the root folder, two inodes of the realtime device, 61 free
//
// mkfs.xfs writes the same bytes for the same size, with three exceptions: times, and how many changes an inode counts; the time of access,
// which it leaves out; and the copies of the superblock, in which it leaves some numbers of inodes and free blocks as they were when it
// wrote them. Here all copies are equal.
//
// All numbers are big-endian, but for CRC32C checksums, which are little-endian. The types of this package are the structures as they
// are on the disk; the number before each field's comment is its offset in bytes. They follow the XFS Algorithms & Data Structures
// document (kernel.org) and the kernel's fs/xfs/libxfs/xfs_format.h and xfs_log_format.h.
package xfs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/output"
)

const (
	// MinSize is the smallest device, in bytes. Below that mkfs.xfs refuses too: the log would leave too little.
	MinSize = 300 << 20
	// MaxSize is the largest, in bytes. The format would allow more.
	MaxSize = 1 << 50
	// MaxLabel is the length of the longest label, in bytes.
	MaxLabel = 12
)

// ErrOptions says that a file system of that size, or with these options, cannot be made.
var ErrOptions = errors.New("not possible for xfs")

// Options are what may be chosen. The zero value is a file system with no label.
type Options struct {
	// Label has up to MaxLabel bytes, none of them 0. Empty means no label.
	Label string
	// UUID identifies the file system. All zeros mean a random one.
	UUID [16]byte
	// SectorSize is the size of the device's logical sectors, in bytes: what it reads and writes in one piece. It is 512 or 4096; 0
	// means 512. A file system with sectors of 4096 bytes can be used on a device with 512, not the other way around.
	SectorSize int
	// Time is given to the root folder. The zero Time means now.
	Time time.Time
}

// Format makes a file system of size bytes on w, which is a device, a file or a part of one. What is there is lost.
//
// Every write is a whole number of blocks of 4 KiB at a multiple of 4 KiB. If w has a method ZeroRange(offset, length int64) error, the
// log, 64 MiB to 2 GiB, is zeroed by it; else zeros are written. If w has a method Sync() error it is called so that
// the old superblock is gone before, and the new one comes after, all else: what an interruption leaves behind is not taken for a file
// system.
//
// Old signatures outside of what is written (of a RAID member or a partition table at the end of the device, for instance) stay; see
// mkfs.WipeSignatures. An error about size or options wraps ErrOptions; nothing was written then.
func Format(w io.WriterAt, size int64, o Options) error {
	if err := o.complete(); err != nil {
		return fmt.Errorf("make xfs: %w", err)
	}
	g, err := newGeometry(size, o.SectorSize)
	if err != nil {
		return fmt.Errorf("make xfs: %w", err)
	}
	if err := write(output.New(w), g, o); err != nil {
		return fmt.Errorf("make xfs: %w", err)
	}
	return nil
}

// complete checks o and puts what its zero values mean in their place.
func (o *Options) complete() error {
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if o.SectorSize != 512 && o.SectorSize != 4096 {
		return fmt.Errorf("%w: sectors of %d bytes: give 512 or 4096", ErrOptions, o.SectorSize)
	}
	if len(o.Label) > MaxLabel {
		return fmt.Errorf("%w: label %q has %d bytes: give at most %d", ErrOptions, o.Label, len(o.Label), MaxLabel)
	}
	if strings.Contains(o.Label, "\x00") {
		return fmt.Errorf("%w: label %q: leave out the zero byte", ErrOptions, o.Label)
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	if _, err := bigtime(o.Time); err != nil {
		return err
	}
	if o.UUID == [16]byte{} {
		if _, err := rand.Read(o.UUID[:]); err != nil {
			return fmt.Errorf("choose a uuid: %w", err)
		}
		o.UUID[6] = o.UUID[6]&0x0f | 0x40 // version 4: random
		o.UUID[8] = o.UUID[8]&0x3f | 0x80 // the variant of RFC 9562
	}
	return nil
}
