package xfs

import (
	"testing"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/layouttest"
)

// TestLayout has the structures' lengths in the kernel: of the types of the same names in xfs_format.h and xfs_log_format.h, less what
// a compiler pads, and up to the last field used here.
func TestLayout(t *testing.T) {
	layouttest.Check(t, ".", map[any]int{
		superblock{}:    264,
		freeSpace{}:     224,
		inodeIndex{}:    344,
		spareHeader{}:   36,
		extent{}:        8,
		treeHeader{}:    56,
		inodeRecord{}:   16,
		inode{}:         176,
		shortFolder{}:   6,
		recordHeader{}:  324,
		unmountRecord{}: 20,
	})
}
