// Package ext4 makes ext4 file systems, as mkfs.ext4 does, with no help of a program or of the kernel.
//
//	f, err := os.OpenFile("/dev/sda4", os.O_WRONLY|os.O_EXCL, 0)
//	…
//	err = ext4.Format(f, size, ext4.Options{Label: "data"})
//
// The file system has a journal and the features extents, 64bit, flex_bg, metadata_csum, dir_index, ext_attr, resize_inode, sparse_super,
// filetype, large_file, huge_file, dir_nlink and extra_isize, inodes of 256 bytes, and a folder lost+found: the defaults of mkfs.ext4
// 1.47, which Linux 3.18 and all later kernels know. Its geometry is the one that mkfs.ext4 chooses for that size.
//
// # What is on the device
//
// The device is cut into groups of as many blocks as a bitmap of one block has bits: 128 MiB with blocks of 4 KiB. Sixteen groups make
// a flexible group, whose bitmaps and inode tables all lie at its beginning:
//
//	superblock        1024 bytes; at offset 1024 of the device the one in use, copies at the beginning of groups 1 and those
//	                  whose number is a power of 3, 5 or 7
//	group descriptors of all groups; a copy behind every copy of the superblock
//	reserved          for more descriptors, when the file system grows; belongs to the resize inode
//	block bitmaps     of the groups in the flexible group
//	inode bitmaps     of the same
//	inode tables      of the same
//	root, lost+found  in the first flexible group, as is the block of the resize inode
//	journal           in the middle of the device
//
// Not written are the inode tables and the inode bitmaps, but for the inodes in use, and the block bitmaps of the groups in which
// nothing is used but copies of the superblock: the descriptors say so (lazy initialisation), and the kernel writes the tables in the
// background when the file system is mounted.
//
// mkfs.ext4 puts everything at the same places, with three exceptions: on a device of one group it leaves room for the bitmaps of 16;
// where no blocks are to be reserved for descriptors (on the smallest devices with blocks of 4 KiB, and on the largest) it
// makes an empty resize inode, and here that feature is left out; and from 1 TiB on the block with the journal's extents is not behind
// the journal here, but with the other blocks of inodes, so that the journal's flexible group keeps one run of free blocks.
//
// All numbers are little-endian, but for those of the journal, which are big-endian. The types of this package are the structures as
// they are on the disk; the number before each field's comment is its offset in bytes. They follow the kernel's
// Documentation/filesystems/ext4 and fs/ext4/ext4.h. The checksums are CRC32C without the inversion at its end, over the UUID first.
//
// Why this is not github.com/diskfs/go-diskfs: that writes every inode table, 1.6 % of the device, and lays the rest of the groups out by
// itself too, so that lazy initialisation would have to change most of it.
package ext4

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
	// MinSize and MaxSize bound the device, in bytes: below, a journal would leave too little; above, block numbers have more
	// than 32 bits, which the resize inode cannot hold.
	MinSize = 8 << 20
	MaxSize = 16 << 40
	// MaxLabel is the length of the longest label, in bytes.
	MaxLabel = 16
	// NoReserve is Options.Reserve for a file system that anybody may fill.
	NoReserve = -1
)

// ErrOptions says that a file system of that size, or with these options, cannot be made.
var ErrOptions = errors.New("not possible for ext4")

// Options are what may be chosen. The zero value is what mkfs.ext4 does with no options.
type Options struct {
	// Label has up to MaxLabel bytes, none of them 0. Empty means no label.
	Label string
	// UUID identifies the file system. All zeros mean a random one.
	UUID [16]byte
	// HashSeed makes the order of names in large folders unpredictable. All zeros mean a random one.
	HashSeed [16]byte
	// SectorSize is the size of the device's logical sectors, in bytes: 512 or 4096; 0 means 512.
	SectorSize int
	// BlockSize is 1024 or 4096 bytes, and at least SectorSize. 0 means 1024 on devices below 512 MiB, else 4096.
	BlockSize int
	// Reserve is the part of the space that only root may use, in percent, up to 50. 0 means 5; NoReserve means none.
	Reserve int
	// Time is given to the superblock and to the folders, in whole seconds. The zero Time means now.
	Time time.Time
}

// Format makes a file system of size bytes on w, which is a device, a file or a part of one. What is there is lost.
//
// Every write is a whole number of blocks at a multiple of the block size. If w has a method ZeroRange(offset, length int64) error, the
// journal, 1 MiB to 1 GiB, is zeroed by it; else zeros are written. If w has a method Sync() error it is called so that
// the old superblock is gone before, and the new one comes after, all else: what an interruption leaves behind is not taken for a file
// system.
//
// Old signatures outside of what is written (of a RAID member or a partition table at the end of the device, for instance) stay; see
// mkfs.WipeSignatures. An error about size or options wraps ErrOptions; nothing was written then.
func Format(w io.WriterAt, size int64, o Options) error {
	if err := o.complete(size); err != nil {
		return fmt.Errorf("make ext4: %w", err)
	}
	f := &formatter{layout: newLayout(size, o), options: o, w: output.New(w)}
	if err := f.write(); err != nil {
		return fmt.Errorf("make ext4: %w", err)
	}
	return nil
}

// complete checks o and puts what its zero values mean in their place.
func (o *Options) complete(size int64) error {
	if size < MinSize || size > MaxSize {
		return fmt.Errorf("%w: %d bytes: give %d to %d", ErrOptions, size, int64(MinSize), int64(MaxSize))
	}
	if len(o.Label) > MaxLabel {
		return fmt.Errorf("%w: label %q has %d bytes: give at most %d", ErrOptions, o.Label, len(o.Label), MaxLabel)
	}
	if strings.Contains(o.Label, "\x00") {
		return fmt.Errorf("%w: label %q: leave out the zero byte", ErrOptions, o.Label)
	}
	if err := o.completeSizes(size); err != nil {
		return err
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	if s := o.Time.Unix(); s < -1<<31 || s > lastTime {
		return fmt.Errorf("%w: time %v: give one from 1901 to 2446", ErrOptions, o.Time)
	}
	for _, id := range []*[16]byte{&o.UUID, &o.HashSeed} {
		if *id != [16]byte{} {
			continue
		}
		if _, err := rand.Read(id[:]); err != nil {
			return fmt.Errorf("choose a uuid: %w", err)
		}
		id[6] = id[6]&0x0f | 0x40 // version 4: random
		id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	}
	return nil
}

func (o *Options) completeSizes(size int64) error {
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if o.SectorSize != 512 && o.SectorSize != 4096 {
		return fmt.Errorf("%w: sectors of %d bytes: give 512 or 4096", ErrOptions, o.SectorSize)
	}
	if o.BlockSize == 0 {
		o.BlockSize = 4096
		if size < smallDevice && o.SectorSize == 512 {
			o.BlockSize = 1024
		}
	}
	if o.BlockSize != 1024 && o.BlockSize != 4096 || o.BlockSize < o.SectorSize {
		return fmt.Errorf("%w: blocks of %d bytes on sectors of %d: give 1024 or 4096, and no less than a sector",
			ErrOptions, o.BlockSize, o.SectorSize)
	}
	if o.BlockSize == 1024 && size > maxSmallBlocks {
		return fmt.Errorf("%w: %d bytes with blocks of 1024: give blocks of 4096", ErrOptions, size)
	}
	switch {
	case o.Reserve == 0:
		o.Reserve = 5
	case o.Reserve == NoReserve:
		o.Reserve = 0
	case o.Reserve < 0 || o.Reserve > 50:
		return fmt.Errorf("%w: %d percent reserved: give up to 50", ErrOptions, o.Reserve)
	}
	return nil
}
