package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	extentMagic = 0xf30a
	extentSize  = 12
	// maxExtentDepth is EXT4_MAX_EXTENT_DEPTH of the kernel.
	maxExtentDepth = 5
	// maxExtentNodes bounds the work that a damaged tree can make. A node has 340 extents of up to 128 MiB, with blocks of 4 KiB.
	maxExtentNodes = 1 << 12
	// unwritten is the length from which on an extent reads as zeros; its length is less this.
	unwritten = 32768

	direct = 12 // blocks in the inode's block map, before those of pointers
)

// Content implements fstree.Node.
func (n *inode) Content() (io.ReaderAt, error) {
	switch {
	case n.flags&flagEncrypted != 0:
		return nil, fmt.Errorf("%w: an encrypted file", errors.ErrUnsupported)
	case n.flags&flagInlineData != 0:
		if n.size > int64(len(n.inline)) {
			return nil, fmt.Errorf("%w: a file of %d bytes in an inode", ErrFormat, n.size)
		}
		return bytes.NewReader(n.inline[:n.size]), nil
	case n.flags&flagExtents == 0:
		return &content{n, n.mapped}, nil
	}
	nodes := maxExtentNodes
	extents, err := n.i.extents(n.blocks[:], maxExtentDepth, &nodes)
	if err != nil {
		return nil, err
	}
	return &content{n, extents.locate}, nil
}

// content reads a file at any offset.
type content struct {
	*inode
	// locate says where a logical block lies, 0 for one of zeros, and how many from it on do so in one piece.
	locate func(logical int64) (block, count int64, err error)
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(b []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	size := c.i.blockSize
	for n < len(b) {
		if offset >= c.size {
			return n, io.EOF
		}
		block, count, err := c.locate(offset / size)
		if err != nil {
			return n, err
		}
		within := offset % size
		k := min(int64(len(b)-n), count*size-within, c.size-offset)
		part := b[n:][:k]
		if block == 0 {
			clear(part)
		} else if err := c.i.read(part, block*size+within); err != nil {
			return n, err
		}
		n, offset = n+int(k), offset+k
	}
	return n, nil
}

// An extent is a piece of a file.
type extent struct {
	logical, count int64
	block          int64 // 0: zeros
}

type extents []extent

// extents collects those below a node of the tree: a header (magic, number of entries, most that fit, depth; 2 bytes each,
// generation 4), then entries. In a leaf: logical block (4), length (2), upper and lower part of the block (2, 4); else
// logical block (4), lower and upper part of the next node's block (4, 2).
func (i *image) extents(node []byte, depth int, nodes *int) (extents, error) {
	le := binary.LittleEndian
	count, level := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != extentMagic || level > depth || *nodes == 0 || (count+1)*extentSize > len(node) {
		return nil, fmt.Errorf("%w: an extent tree is damaged", ErrFormat)
	}
	*nodes--
	var all extents
	for k := range count {
		e := node[(k+1)*extentSize:]
		if level == 0 {
			x := extent{int64(le.Uint32(e)), int64(le.Uint16(e[4:])), int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))}
			if x.count > unwritten {
				x.count, x.block = x.count-unwritten, 0
			}
			all = append(all, x)
			continue
		}
		b := make([]byte, i.blockSize)
		if err := i.read(b, (int64(le.Uint16(e[8:]))<<32|int64(le.Uint32(e[4:])))*i.blockSize); err != nil {
			return nil, err
		}
		below, err := i.extents(b, level-1, nodes)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

func (x extents) locate(logical int64) (block, count int64, err error) {
	k, found := slices.BinarySearchFunc(x, logical, func(e extent, logical int64) int { return int(e.logical - logical) })
	if !found {
		k-- // the one before may reach here
	}
	if k >= 0 {
		if e := x[k]; logical < e.logical+e.count {
			block = e.block
			if block != 0 {
				block += logical - e.logical
			}
			return block, e.count - (logical - e.logical), nil
		}
	}
	if k+1 < len(x) && x[k+1].logical > logical {
		return 0, x[k+1].logical - logical, nil
	}
	return 0, 1, nil
}

// mapped looks a block up in the block map of ext2 and ext3: 12 blocks, then a block of pointers, one of pointers to such
// blocks, and one more level.
func (n *inode) mapped(logical int64) (block, count int64, err error) {
	le := binary.LittleEndian
	if logical < direct {
		return int64(le.Uint32(n.blocks[logical*4:])), 1, nil
	}
	logical -= direct
	perBlock := n.i.blockSize / 4
	span := perBlock // blocks below the pointer at this level
	for level := 1; level <= 3; level, span = level+1, span*perBlock {
		if logical >= span {
			logical -= span
			continue
		}
		block = int64(le.Uint32(n.blocks[(direct+level-1)*4:]))
		for ; level > 0 && block != 0; level-- {
			span /= perBlock
			var pointer [4]byte
			if err := n.i.read(pointer[:], block*n.i.blockSize+logical/span*4); err != nil {
				return 0, 0, err
			}
			block, logical = int64(le.Uint32(pointer[:])), logical%span
		}
		return block, 1, nil
	}
	return 0, 0, fmt.Errorf("%w: a file larger than its block map", ErrFormat)
}
