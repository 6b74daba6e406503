package mkfs

import (
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/output"
)

const (
	// headBytes holds every signature at the beginning of a device. The farthest are the second header of LUKS2, at 4 MiB at most, and
	// that of VMFS, at 2 MiB.
	headBytes = 8 << 20
	// tailBytes holds every signature that is placed by the end of the device. The farthest are those of Promise RAID, up to 3087
	// sectors of 512 bytes before the end, and of ZFS, whose last two labels of 256 KiB end at a multiple of 256 KiB.
	tailBytes = 4 << 20
	// alignment of what is zeroed, but for the end of the device, in bytes.
	alignment = 4096
)

// copies returns where signatures lie between the two: the copies of the superblock of btrfs.
func copies() []int64 { return []int64{64 << 20, 256 << 30} }

// WipeSignatures zeroes the places on w, a device of size bytes, by which programs recognise what a device holds: file systems,
// partition tables, members of RAID, LVM, ZFS and LUKS. They are the first 8 MiB, the last 4 MiB, and the copies of the
// superblock of btrfs at 64 MiB and 256 GiB. What was there is lost.
//
// Superblocks that only repair programs search for, in groups all over the device, stay.
//
// Methods ZeroRange(offset, length int64) error and Sync() error of w are used where it has them.
func WipeSignatures(w io.WriterAt, size int64) error {
	if size < 0 {
		return fmt.Errorf("wipe signatures: a device of %d bytes: give its size", size)
	}
	out := output.New(w)
	head := min(size, headBytes)
	tail := max(head, (size-tailBytes)/alignment*alignment)
	out.Zero(0, head)
	for _, at := range copies() {
		if at >= head && at < tail {
			out.Zero(at, alignment)
		}
	}
	out.Zero(tail, size-tail)
	out.Sync()
	if err := out.Err(); err != nil {
		return fmt.Errorf("wipe signatures: %w", err)
	}
	return nil
}
