// Package squashfs reads a squashfs 4.0 in user space, on anything that can be read at an offset, and its files at any
// offset: a file system image inside it can be read without unpacking it.
//
// The format is the kernel's (Documentation/filesystems/squashfs.rst, fs/squashfs/squashfs_fs.h). All compressions that
// the kernel knows are read, xz with its filters (KIWI's images have the x86 BCJ filter). Extended attributes, owners and links between files
// are not looked at.
package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"

	"github.com/liveboot/liveboot/pkg/fstree"
)

// ErrFormat says that something else than a squashfs 4.0 is there, or that it is damaged.
var ErrFormat = errors.New("not a sound squashfs 4.0")

const (
	magic          = 0x73717368 // "hsqs"
	superblockSize = 96
	metadataSize   = 8 << 10 // bytes in an unpacked metadata block
	maxBlockSize   = 1 << 20

	// uncompressedMetadata and uncompressedBlock mark, in a size, what is stored as it is.
	uncompressedMetadata = 1 << 15
	uncompressedBlock    = 1 << 24

	noFragment      = 1<<32 - 1
	fragmentEntries = metadataSize / fragmentEntrySize
	// fragmentEntrySize is that of an entry of the fragment table, in bytes.
	fragmentEntrySize = 16

	// cachedBlocks and cachedMetadata are how many unpacked blocks are kept: 16 MiB and 1 MiB at most.
	cachedBlocks   = 16
	cachedMetadata = 128
)

// image is an open squashfs.
type image struct {
	r          io.ReaderAt
	blockSize  uint32
	decompress decompressor

	inodes, directories, fragments uint64 // where the tables begin
	fragmentCount                  uint32

	blocks, metadata *cache
}

// Open reads the superblock:
//
//	offset  length  field
//	0       4       magic
//	12      4       block size
//	16      4       number of fragments
//	20      2       compression
//	28      2       major version, 4
//	32      8       reference of the root's inode
//	64      8       inode table
//	72      8       directory table
//	80      8       fragment table
//
// The files of the result implement io.ReaderAt. The error wraps ErrFormat, or errors.ErrUnsupported if the compression is not known.
func Open(r io.ReaderAt) (fs.FS, error) {
	b := make([]byte, superblockSize)
	if _, err := r.ReadAt(b, 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends in the superblock", ErrFormat)
		}
		return nil, fmt.Errorf("read squashfs: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint32(b) != magic || le.Uint16(b[28:]) != 4 {
		return nil, fmt.Errorf("read squashfs: %w", ErrFormat)
	}
	i := &image{
		r: r, blockSize: le.Uint32(b[12:]), fragmentCount: le.Uint32(b[16:]),
		inodes: le.Uint64(b[64:]), directories: le.Uint64(b[72:]), fragments: le.Uint64(b[80:]),
		blocks: newCache(cachedBlocks), metadata: newCache(cachedMetadata),
	}
	if i.blockSize < 4<<10 || i.blockSize > maxBlockSize || bits.OnesCount32(i.blockSize) != 1 {
		return nil, fmt.Errorf("read squashfs: %w: blocks of %d bytes", ErrFormat, i.blockSize)
	}
	var err error
	if i.decompress, err = decompressorFor(le.Uint16(b[20:])); err != nil {
		return nil, fmt.Errorf("read squashfs: %w", err)
	}
	root, err := i.inode(le.Uint64(b[32:]))
	if err != nil {
		return nil, fmt.Errorf("read squashfs: root: %w", err)
	}
	if !root.mode.IsDir() {
		return nil, fmt.Errorf("read squashfs: %w: its root is no folder", ErrFormat)
	}
	return fstree.New(root), nil
}

// metadataBlock unpacks the metadata block at an offset and says where the next one begins.
func (i *image) metadataBlock(at uint64) (block []byte, next uint64, err error) {
	var header [2]byte
	if err := i.read(header[:], at); err != nil {
		return nil, 0, err
	}
	word := binary.LittleEndian.Uint16(header[:])
	size := word &^ uncompressedMetadata
	next = at + 2 + uint64(size)
	block, err = i.metadata.get(at, func() ([]byte, error) {
		return i.unpack(at+2, uint32(size), word&uncompressedMetadata != 0, metadataSize)
	})
	return block, next, err
}

// unpack reads a block of size bytes at an offset, which has at most limit bytes when unpacked.
func (i *image) unpack(at uint64, size uint32, stored bool, limit int) ([]byte, error) {
	if int64(size) > int64(limit) {
		return nil, fmt.Errorf("%w: a block of %d bytes, more than %d", ErrFormat, size, limit)
	}
	packed := make([]byte, size)
	if err := i.read(packed, at); err != nil {
		return nil, err
	}
	if stored {
		return packed, nil
	}
	b, err := i.decompress(packed, limit)
	if err != nil {
		return nil, fmt.Errorf("unpack block at %d: %w", at, err)
	}
	return b, nil
}

func (i *image) read(b []byte, at uint64) error {
	if at > 1<<62 {
		return fmt.Errorf("%w: offset %#x", ErrFormat, at)
	}
	if n, err := i.r.ReadAt(b, int64(at)); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends before byte %d", ErrFormat, at+uint64(len(b)))
		}
		return err
	}
	return nil
}

// metadataReader reads on through metadata blocks.
type metadataReader struct {
	i     *image
	next  uint64 // where the next block begins
	block []byte // what is left of this one
}

// metadataAt starts reading at an offset in the unpacked block that begins at block.
func (i *image) metadataAt(block uint64, offset uint16) (*metadataReader, error) {
	b, next, err := i.metadataBlock(block)
	if err != nil {
		return nil, err
	}
	if int(offset) > len(b) {
		return nil, fmt.Errorf("%w: reference beyond its metadata block", ErrFormat)
	}
	return &metadataReader{i, next, b[offset:]}, nil
}

// take returns the next n bytes, which must not be changed.
func (m *metadataReader) take(n int) ([]byte, error) {
	if n <= len(m.block) {
		b := m.block[:n:n]
		m.block = m.block[n:]
		return b, nil
	}
	var b []byte
	for {
		k := min(n-len(b), len(m.block))
		b = append(b, m.block[:k]...)
		m.block = m.block[k:]
		if len(b) == n {
			return b, nil
		}
		var err error
		if m.block, m.next, err = m.i.metadataBlock(m.next); err != nil {
			return nil, err
		}
		if len(m.block) == 0 {
			return nil, fmt.Errorf("%w: an empty metadata block", ErrFormat)
		}
	}
}

// fragment unpacks the block of that number in the fragment table, an array of pointers to metadata blocks with entries of 16
// bytes: start, size, unused.
func (i *image) fragment(number uint32) ([]byte, error) {
	if number >= i.fragmentCount {
		return nil, fmt.Errorf("%w: fragment %d of %d", ErrFormat, number, i.fragmentCount)
	}
	var pointer [8]byte
	if err := i.read(pointer[:], i.fragments+uint64(number/fragmentEntries)*8); err != nil {
		return nil, err
	}
	m, err := i.metadataAt(binary.LittleEndian.Uint64(pointer[:]), uint16(number%fragmentEntries*fragmentEntrySize))
	if err != nil {
		return nil, err
	}
	e, err := m.take(fragmentEntrySize)
	if err != nil {
		return nil, err
	}
	return i.block(binary.LittleEndian.Uint64(e), binary.LittleEndian.Uint32(e[8:]))
}

// block unpacks a data block or a block of fragments.
func (i *image) block(at uint64, word uint32) ([]byte, error) {
	return i.blocks.get(at, func() ([]byte, error) {
		return i.unpack(at, word&^uncompressedBlock, word&uncompressedBlock != 0, int(i.blockSize))
	})
}
