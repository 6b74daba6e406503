package squashfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
)

const (
	inodeHeader = 16
	// maxTarget bounds a symbolic link, PATH_MAX in the kernel.
	maxTarget = 4096
	// maxDirectory bounds the memory that a damaged directory can ask for, in bytes.
	maxDirectory = 256 << 20
)

// An inode implements fstree.Node.
type inode struct {
	i        *image
	mode     fs.FileMode
	modified time.Time
	size     int64 // of a file, or of a folder's listing

	// Of a folder: where its listing begins. Of a file: its fragment.
	block  uint64
	offset uint32

	sizes    []uint32 // of a file's blocks, as stored
	fragment uint32
	target   string
}

// inode reads the inode with a reference: the offset of its metadata block from the table, and its own in that, which is 16
// bits long. It begins with type, permissions, owner and group (2 bytes each), modification time and number (4 bytes
// each); types 8 to 14 are the long forms of 1 to 7.
func (i *image) inode(reference uint64) (*inode, error) {
	m, err := i.metadataAt(i.inodes+reference>>16, uint16(reference))
	if err != nil {
		return nil, err
	}
	h, err := m.take(inodeHeader)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	n := &inode{i: i, mode: permissions(le.Uint16(h[2:])), modified: time.Unix(int64(le.Uint32(h[8:])), 0)}
	kind := le.Uint16(h)
	long := kind > 7
	if long {
		kind -= 7
	}
	n.mode |= kindMode(kind)
	switch kind {
	case 1:
		err = n.readFolder(m, long)
	case 2:
		err = n.readFile(m, long)
	case 3:
		err = n.readLink(m)
	case 4, 5, 6, 7:
	default:
		err = fmt.Errorf("%w: an inode of type %d", ErrFormat, kind)
	}
	return n, err
}

func permissions(word uint16) fs.FileMode {
	mode := fs.FileMode(word & 0o777)
	for bit, flag := range map[uint16]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if word&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// kindMode is the type bits for the type of an inode, which a directory entry has too, always in the short form.
func kindMode(kind uint16) fs.FileMode {
	switch kind {
	case 1:
		return fs.ModeDir
	case 2:
		return 0
	case 3:
		return fs.ModeSymlink
	case 4:
		return fs.ModeDevice
	case 5:
		return fs.ModeDevice | fs.ModeCharDevice
	case 6:
		return fs.ModeNamedPipe
	case 7:
		return fs.ModeSocket
	}
	return fs.ModeIrregular
}

// readFolder: the short form has block (4), links (4), size (2), offset (2), parent (4); the long one links (4), size (4),
// block (4), parent (4), index count (2), offset (2). The size counts "." and ".." with 3 bytes.
func (n *inode) readFolder(m *metadataReader, long bool) error {
	b, err := m.take(map[bool]int{false: 16, true: 20}[long])
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	if long {
		n.size, n.block, n.offset = int64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:])), uint32(le.Uint16(b[18:]))
	} else {
		n.block, n.size, n.offset = uint64(le.Uint32(b)), int64(le.Uint16(b[8:])), uint32(le.Uint16(b[10:]))
	}
	n.size = max(n.size-3, 0)
	return nil
}

// readFile: the short form has start, fragment, offset in it, size (4 each); the long one start, size, sparse bytes (8 each),
// links, fragment, offset in it, attributes (4 each). Then comes the size of each block.
func (n *inode) readFile(m *metadataReader, long bool) error {
	b, err := m.take(map[bool]int{false: 16, true: 40}[long])
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	if long {
		n.block, n.size, n.fragment, n.offset = le.Uint64(b), int64(le.Uint64(b[8:])), le.Uint32(b[28:]), le.Uint32(b[32:])
	} else {
		n.block, n.fragment, n.offset, n.size = uint64(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:]), int64(le.Uint32(b[12:]))
	}
	if n.size < 0 {
		return fmt.Errorf("%w: a file of %d bytes", ErrFormat, n.size)
	}
	count := n.size / int64(n.i.blockSize)
	if n.fragment == noFragment && n.size%int64(n.i.blockSize) != 0 {
		count++
	}
	for range count {
		b, err := m.take(4)
		if err != nil {
			return err
		}
		n.sizes = append(n.sizes, le.Uint32(b))
	}
	return nil
}

// readLink: links (4), length (4), target.
func (n *inode) readLink(m *metadataReader) error {
	b, err := m.take(8)
	if err != nil {
		return err
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if length > maxTarget {
		return fmt.Errorf("%w: a symbolic link of %d bytes", ErrFormat, length)
	}
	b, err = m.take(int(length))
	n.target = string(b)
	return err
}

// Mode implements fstree.Node.
func (n *inode) Mode() fs.FileMode { return n.mode }

// ModTime implements fstree.Node.
func (n *inode) ModTime() time.Time { return n.modified }

// Target implements fstree.Node.
func (n *inode) Target() (string, error) { return n.target, nil }

// Size implements fstree.Node.
func (n *inode) Size() int64 { return n.size }

// Entries implements fstree.Node.
func (n *inode) Entries() (all []fstree.Entry, err error) {
	err = n.list(func(name []byte, kind uint16, reference uint64) bool {
		all = append(all, fstree.Entry{Name: string(name), Kind: kindMode(kind), Node: func() (fstree.Node, error) { return n.i.inode(reference) }})
		return true
	})
	return all, err
}

// Lookup implements fstree.Node.
func (n *inode) Lookup(name string) (fstree.Node, error) {
	var reference uint64
	found := false
	err := n.list(func(entry []byte, _ uint16, r uint64) bool {
		reference, found = r, string(entry) == name
		return !found
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fs.ErrNotExist
	}
	return n.i.inode(reference)
}

// list calls f for each entry of a folder until it returns false. A listing is a row of headers (number of entries less
// one, metadata block of their inodes, inode number; 4 bytes each), each with its entries: offset of the inode, its
// number, type, length of the name less one (2 bytes each), name.
func (n *inode) list(f func(name []byte, kind uint16, reference uint64) bool) error {
	if n.size > maxDirectory {
		return fmt.Errorf("%w: a folder of %d bytes", ErrFormat, n.size)
	}
	if n.size == 0 {
		return nil
	}
	m, err := n.i.metadataAt(n.i.directories+n.block, uint16(n.offset))
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for left := n.size; left > 0; {
		h, err := m.take(12)
		if err != nil {
			return err
		}
		left -= 12
		block := uint64(le.Uint32(h[4:]))
		for range uint64(le.Uint32(h)) + 1 {
			e, err := m.take(8)
			if err != nil {
				return err
			}
			name, err := m.take(int(le.Uint16(e[6:])) + 1)
			if err != nil {
				return err
			}
			if left -= 8 + int64(len(name)); left < 0 {
				return fmt.Errorf("%w: a folder's entries reach beyond its end", ErrFormat)
			}
			if !f(name, le.Uint16(e[4:]), block<<16|uint64(le.Uint16(e))) {
				return nil
			}
		}
	}
	return nil
}

// Content implements fstree.Node.
func (n *inode) Content() (io.ReaderAt, error) {
	starts := make([]uint64, len(n.sizes))
	at := n.block
	for k, word := range n.sizes {
		starts[k] = at
		at += uint64(word &^ uncompressedBlock)
	}
	return &content{n, starts}, nil
}

// content reads a file at any offset.
type content struct {
	*inode
	starts []uint64 // of the blocks
}

// ReadAt implements io.ReaderAt.
func (c *content) ReadAt(b []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	size := int64(c.i.blockSize)
	for n < len(b) {
		if offset >= c.size {
			return n, io.EOF
		}
		block, err := c.unpacked(offset / size)
		if err != nil {
			return n, err
		}
		length := min(size, c.size-offset/size*size)
		within := offset % size
		k := min(int64(len(b)-n), length-within)
		if block == nil { // a hole
			clear(b[n:][:k])
		} else if int64(len(block)) < length {
			return n, fmt.Errorf("%w: a block of a file is too short", ErrFormat)
		} else {
			copy(b[n:][:k], block[within:])
		}
		n, offset = n+int(k), offset+k
	}
	return n, nil
}

// unpacked is a block of the file; nil is one of zeros.
func (c *content) unpacked(number int64) ([]byte, error) {
	if number < int64(len(c.sizes)) {
		word := c.sizes[number]
		if word == 0 {
			return nil, nil
		}
		return c.i.block(c.starts[number], word)
	}
	b, err := c.i.fragment(c.fragment)
	if err != nil {
		return nil, err
	}
	if int64(c.offset) > int64(len(b)) {
		return nil, fmt.Errorf("%w: a fragment beyond its block", ErrFormat)
	}
	return b[c.offset:], nil
}
