// Package ext4 reads an ext2, ext3 or ext4 in user space, on anything that can be read at an offset.
//
// The format is the kernel's (Documentation/filesystems/ext4). Read are folders (htree ones too, whose blocks are laid out
// so that they can be read as a list), files by extents, by block maps and in the inode, and symbolic links. The journal
// is not replayed: the file system is to be one that was unmounted, as those in images are. Checksums, extended
// attributes and owners are not looked at.
package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/liveboot/liveboot/pkg/fstree"
)

// ErrFormat says that something else than an ext4 is there, or that it is damaged.
var ErrFormat = errors.New("not a sound ext4")

const (
	superblockAt   = 1024
	superblockSize = 1024
	magic          = 0xef53
	rootInode      = 2

	// Incompatible features, of which the reader has to know.
	featureFiletype   = 0x2 // directory entries have the type
	featureRecover    = 0x4 // the journal is to be replayed
	featureMetaGroups = 0x10
	feature64bit      = 0x80
	featureInlineData = 0x8000
	// features is all that are known: those above, extents, flex_bg, mmp, csum_seed, large_dir, ea_inode, casefold (names are
	// compared as they are).
	features = featureFiletype | featureMetaGroups | feature64bit | featureInlineData |
		0x40 | 0x200 | 0x100 | 0x2000 | 0x4000 | 0x400 | 0x20000
)

// image is an open ext4.
type image struct {
	r              io.ReaderAt
	blockSize      int64
	inodeSize      int64
	inodes         uint32 // how many
	inodesPerGroup uint32
	firstBlock     int64 // that holds data: 1 with blocks of 1 KiB, else 0
	descriptorSize int64
	firstMetaGroup int64
	blocksPerGroup int64
	features       uint32
}

// Open reads the superblock:
//
//	offset  length  field
//	0       4       number of inodes
//	20      4       first data block
//	24      4       block size, as log2 less 10
//	32, 40  4       blocks and inodes in a group
//	56      2       magic
//	76      4       revision; inodes of 128 bytes in revision 0
//	88      2       size of an inode
//	96      4       incompatible features
//	254     2       size of a group descriptor, with feature 64bit
//	260     4       first meta group
//
// The files of the result implement io.ReaderAt.
func Open(r io.ReaderAt) (fs.FS, error) {
	b := make([]byte, superblockSize)
	if _, err := r.ReadAt(b, superblockAt); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends in the superblock", ErrFormat)
		}
		return nil, fmt.Errorf("read ext4: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint16(b[56:]) != magic {
		return nil, fmt.Errorf("read ext4: %w", ErrFormat)
	}
	i := &image{
		r: r, blockSize: 1 << 10 << min(le.Uint32(b[24:]), 10), inodes: le.Uint32(b), inodesPerGroup: le.Uint32(b[40:]),
		firstBlock: int64(le.Uint32(b[20:])), blocksPerGroup: int64(le.Uint32(b[32:])), features: le.Uint32(b[96:]),
		inodeSize: 128, descriptorSize: 32, firstMetaGroup: int64(le.Uint32(b[260:])),
	}
	if le.Uint32(b[76:]) > 0 {
		i.inodeSize = int64(le.Uint16(b[88:]))
	} else {
		i.features = 0
	}
	if i.features&feature64bit != 0 {
		i.descriptorSize = int64(le.Uint16(b[254:]))
	}
	switch {
	case i.features&featureRecover != 0:
		return nil, fmt.Errorf("read ext4: %w: it was not unmounted, and its journal is to be replayed: run e2fsck on it", errors.ErrUnsupported)
	case i.features&^features != 0:
		return nil, fmt.Errorf("read ext4: %w: it has features %#x that are not known", errors.ErrUnsupported, i.features&^features)
	case i.blockSize > 64<<10, i.inodesPerGroup == 0, i.inodeSize < 128, i.inodeSize > i.blockSize,
		i.descriptorSize < 32, i.descriptorSize > i.blockSize, i.features&feature64bit != 0 && i.descriptorSize < 64:
		return nil, fmt.Errorf("read ext4: %w: its superblock contradicts itself", ErrFormat)
	}
	root, err := i.inode(rootInode)
	if err != nil {
		return nil, fmt.Errorf("read ext4: root: %w", err)
	}
	if !root.mode.IsDir() {
		return nil, fmt.Errorf("read ext4: %w: its root is no folder", ErrFormat)
	}
	return fstree.New(root), nil
}

// inodeTable is the block in which a group's inodes begin, from its descriptor (at 8, the upper half at 40). Descriptors are
// one array behind the superblock; with meta_bg, from the first meta group on, each block of them is in the first group of
// those it describes.
func (i *image) inodeTable(group int64) (int64, error) {
	perBlock := i.blockSize / i.descriptorSize
	block := i.firstBlock + 1 + group/perBlock
	if meta := group / perBlock; i.features&featureMetaGroups != 0 && meta >= i.firstMetaGroup {
		first := meta * perBlock
		block = first*i.blocksPerGroup + i.firstBlock
		if hasSuper(first) {
			block++
		}
	}
	d := make([]byte, i.descriptorSize)
	if err := i.read(d, block*i.blockSize+group%perBlock*i.descriptorSize); err != nil {
		return 0, err
	}
	table := uint64(binary.LittleEndian.Uint32(d[8:]))
	if i.features&feature64bit != 0 {
		table |= uint64(binary.LittleEndian.Uint32(d[40:])) << 32
	}
	return int64(table), nil
}

// hasSuper says whether a group has a copy of the superblock, with feature sparse_super: 0, 1 and the powers of 3, 5 and 7.
func hasSuper(group int64) bool {
	if group <= 1 {
		return true
	}
	for _, base := range []int64{3, 5, 7} {
		power := base
		for power < group {
			power *= base
		}
		if power == group {
			return true
		}
	}
	return false
}

func (i *image) read(b []byte, at int64) error {
	if at < 0 {
		return fmt.Errorf("%w: offset %#x", ErrFormat, at)
	}
	if n, err := i.r.ReadAt(b, at); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends before byte %d", ErrFormat, at+int64(len(b)))
		}
		return err
	}
	return nil
}
