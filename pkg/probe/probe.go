// Package probe says what a device holds, by reading it. It believes magic numbers at their fixed places, as libblkid does, and nothing else.
package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A signature is a magic number and its place.
type signature struct {
	name   string
	offset int64
	magic  string
}

// signatures returns the file systems that can hold a live system. The places are those of the kernel's headers: squashfs_fs.h,
// erofs_fs.h, ext4.h (superblock at 1024, s_magic at 56), xfs_format.h, btrfs_tree.h (superblock at 64 KiB, magic at 64), ECMA-119.
func signatures() []signature {
	return []signature{
		{"squashfs", 0, "hsqs"},
		{"erofs", 1024, "\xe2\xe1\xf5\xe0"},
		{"ext4", 1024 + 56, "\x53\xef"},
		{"xfs", 0, "XFSB"},
		{"btrfs", 64<<10 + 64, "_BHRfS_M"},
		{"iso9660", 32<<10 + 1, "CD001"},
	}
}

// ErrUnknown says that nothing known was found.
var ErrUnknown = errors.New("no known file system")

// FileSystem returns the name under which the kernel mounts what r holds: "ext4" stands for ext2 and ext3 too. Its error wraps
// ErrUnknown when nothing known is there.
func FileSystem(r io.ReaderAt) (string, error) {
	for _, s := range signatures() {
		magic := make([]byte, len(s.magic))
		if _, err := r.ReadAt(magic, s.offset); err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("probe for %s: %w", s.name, err)
		}
		if bytes.Equal(magic, []byte(s.magic)) {
			return s.name, nil
		}
	}
	return "", ErrUnknown
}
