package ext4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/liveboot/liveboot/pkg/fstree"
)

const (
	flagExtents    = 0x80000
	flagInlineData = 0x10000000
	flagEncrypted  = 0x800

	mapAt  = 40 // in an inode: block map, extents, or content
	mapLen = 60

	// maxTarget bounds a symbolic link, PATH_MAX in the kernel.
	maxTarget = 4096
	// maxDirectory bounds the memory that a damaged directory can ask for, in bytes.
	maxDirectory = 64 << 20
)

// An inode implements fstree.Node.
type inode struct {
	i        *image
	mode     fs.FileMode
	modified time.Time
	size     int64
	flags    uint32
	blocks   [mapLen]byte // block map, extents, or content
	inline   []byte       // content in the inode, with flagInlineData
}

// inode reads an inode: mode at 0, size at 4, modification time at 16, flags at 32, block map at 40, upper half of the size at 108.
func (i *image) inode(number uint32) (*inode, error) {
	if number == 0 || number > i.inodes {
		return nil, fmt.Errorf("%w: inode %d of %d", ErrFormat, number, i.inodes)
	}
	table, err := i.inodeTable(int64((number - 1) / i.inodesPerGroup))
	if err != nil {
		return nil, err
	}
	b := make([]byte, i.inodeSize)
	if err := i.read(b, table*i.blockSize+int64((number-1)%i.inodesPerGroup)*i.inodeSize); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	n := &inode{
		i: i, mode: fileMode(le.Uint16(b)), modified: time.Unix(int64(int32(le.Uint32(b[16:]))), 0),
		size:  int64(uint64(le.Uint32(b[4:])) | uint64(le.Uint32(b[108:]))<<32),
		flags: le.Uint32(b[32:]), blocks: [mapLen]byte(b[mapAt:]),
	}
	if n.size < 0 {
		return nil, fmt.Errorf("%w: a file of %d bytes", ErrFormat, n.size)
	}
	if n.flags&flagInlineData != 0 {
		n.inline = append(n.blocks[:len(n.blocks):len(n.blocks)], inlineRest(b)...)
	}
	return n, nil
}

// fileMode turns the mode of stat(2) into Go's.
func fileMode(word uint16) fs.FileMode {
	mode := fs.FileMode(word & 0o777)
	switch word & 0xf000 {
	case 0x1000:
		mode |= fs.ModeNamedPipe
	case 0x2000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case 0x4000:
		mode |= fs.ModeDir
	case 0x6000:
		mode |= fs.ModeDevice
	case 0x8000:
	case 0xa000:
		mode |= fs.ModeSymlink
	case 0xc000:
		mode |= fs.ModeSocket
	default:
		mode |= fs.ModeIrregular
	}
	for bit, flag := range map[uint16]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if word&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// inlineRest is what of a file in its inode does not fit the block map: the extended attribute "system.data". Attributes begin
// behind the fixed fields (128 bytes and as many as the word there says) with a magic; entries have the length of the name,
// the index of its prefix (7 is "system."), the offset of the value from the first entry (2 bytes), an inode
// (4), the value's size (4), a hash (4), and the name.
func inlineRest(b []byte) []byte {
	const xattrMagic = 0xea020000
	le := binary.LittleEndian
	if len(b) < 132 {
		return nil
	}
	at := 128 + int(le.Uint16(b[128:]))
	if at+4 > len(b) || le.Uint32(b[at:]) != xattrMagic {
		return nil
	}
	first := b[at+4:]
	for e := first; len(e) >= 16 && le.Uint32(e) != 0; {
		name := int(e[0])
		if 16+name > len(e) {
			break
		}
		offset, size := int64(le.Uint16(e[2:])), int64(le.Uint32(e[8:]))
		if e[1] == 7 && string(e[16:16+name]) == "data" && offset+size <= int64(len(first)) {
			return first[offset:][:size]
		}
		e = e[min((16+name+3)&^3, len(e)):]
	}
	return nil
}

// Mode implements fstree.Node.
func (n *inode) Mode() fs.FileMode { return n.mode }

// ModTime implements fstree.Node.
func (n *inode) ModTime() time.Time { return n.modified }

// Size implements fstree.Node.
func (n *inode) Size() int64 { return n.size }

// Target implements fstree.Node. A short one is in the place of the block map.
func (n *inode) Target() (string, error) {
	if n.size > maxTarget {
		return "", fmt.Errorf("%w: a symbolic link of %d bytes", ErrFormat, n.size)
	}
	if n.size < mapLen && n.flags&(flagExtents|flagInlineData|flagEncrypted) == 0 {
		return string(n.blocks[:n.size]), nil
	}
	b, err := n.all()
	return string(bytes.TrimRight(b, "\x00")), err
}

// all is the content.
func (n *inode) all() ([]byte, error) {
	c, err := n.Content()
	if err != nil {
		return nil, err
	}
	b := make([]byte, n.size)
	_, err = c.ReadAt(b, 0)
	if err == io.EOF {
		err = nil
	}
	return b, err
}

// Entries implements fstree.Node.
func (n *inode) Entries() (all []fstree.Entry, err error) {
	err = n.list(func(name []byte, number uint32, kind byte) bool {
		node := func() (fstree.Node, error) { return n.i.inode(number) }
		e := fstree.Entry{Name: string(name), Kind: kindMode(kind), Node: node}
		if n.i.features&featureFiletype == 0 {
			var child fstree.Node
			if child, err = node(); err != nil {
				return false
			}
			e.Kind = child.Mode().Type()
		}
		all = append(all, e)
		return true
	})
	return all, err
}

// kindMode is the type bits for the type in a directory entry.
func kindMode(kind byte) fs.FileMode {
	switch kind {
	case 1:
		return 0
	case 2:
		return fs.ModeDir
	case 3:
		return fs.ModeDevice | fs.ModeCharDevice
	case 4:
		return fs.ModeDevice
	case 5:
		return fs.ModeNamedPipe
	case 6:
		return fs.ModeSocket
	case 7:
		return fs.ModeSymlink
	}
	return fs.ModeIrregular
}

// Lookup implements fstree.Node.
func (n *inode) Lookup(name string) (fstree.Node, error) {
	var number uint32
	err := n.list(func(entry []byte, found uint32, _ byte) bool {
		if string(entry) == name {
			number = found
		}
		return number == 0
	})
	if err != nil {
		return nil, err
	}
	if number == 0 {
		return nil, fs.ErrNotExist
	}
	return n.i.inode(number)
}

// list calls f for each entry of a folder until it returns false: inode (4 bytes, 0 when not used), length of the entry (2),
// length of the name (1), type (1), name. The blocks of an htree's index look like such entries that are not used.
func (n *inode) list(f func(name []byte, number uint32, kind byte) bool) error {
	if n.flags&flagEncrypted != 0 {
		return fmt.Errorf("%w: an encrypted folder", ErrFormat)
	}
	if n.size > maxDirectory {
		return fmt.Errorf("%w: a folder of %d bytes", ErrFormat, n.size)
	}
	b, err := n.all()
	if err != nil {
		return err
	}
	if n.flags&flagInlineData != 0 {
		// The parent's inode comes first, without a name. What is in the attribute begins a list of its own.
		if len(b) < 4 {
			return fmt.Errorf("%w: a folder in its inode has %d bytes", ErrFormat, len(b))
		}
		rest := b[min(mapLen, len(b)):]
		if more, err := listBlock(b[4:len(b)-len(rest)], f); err != nil || !more {
			return err
		}
		_, err = listBlock(rest, f)
		return err
	}
	for len(b) > 0 {
		k := min(int(n.i.blockSize), len(b))
		if more, err := listBlock(b[:k], f); err != nil || !more {
			return err
		}
		b = b[k:]
	}
	return nil
}

// listBlock goes through the entries of a block. It returns whether f wants more.
func listBlock(b []byte, f func(name []byte, number uint32, kind byte) bool) (more bool, err error) {
	le := binary.LittleEndian
	for len(b) >= 8 {
		number, length, name := le.Uint32(b), int(le.Uint16(b[4:])), int(b[6])
		if length == 0 && len(b) == 64<<10 || length == 0xffff { // 64 KiB do not fit the field
			length = len(b)
		}
		if length < 8 || length > len(b) || 8+name > length {
			return false, fmt.Errorf("%w: a folder's entry of %d bytes", ErrFormat, length)
		}
		text := b[8:][:name]
		if number != 0 && name > 0 && string(text) != "." && string(text) != ".." && !f(text, number, b[7]) {
			return false, nil
		}
		b = b[length:]
	}
	return true, nil
}
