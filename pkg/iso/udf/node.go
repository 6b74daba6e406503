package udf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/iso/extent"
)

const (
	// maxFolder and maxTarget bound the memory that a damaged folder or symbolic link can ask for, in bytes.
	maxFolder = 4 << 20
	maxTarget = 64 << 10
	// maxPieces bounds the allocation descriptors of a file: of up to 1 GiB each, as programs write them. maxAreas bounds how often they go on
	// elsewhere, in one of up to 253.
	maxPieces = 1 << 16
	maxAreas  = maxPieces/253 + 1

	// kindBits are the upper 2 bits of an extent's length: 0 is recorded, 3 goes on with descriptors elsewhere, the others are zeros.
	kindShift = 30
	goesOn    = 3
)

// Characteristics of a file identifier, ECMA-167 part 4, 14.4.3.
const (
	flagDeleted = 1 << 2
	flagParent  = 1 << 3
)

// node implements fstree.Node.
type node struct {
	v        *Volume
	mode     fs.FileMode
	modified time.Time
	content  *extent.Reader

	once    sync.Once
	names   []name
	listErr error
}

// name is one in a folder.
type name struct {
	text string
	icb  long
}

// node reads a file entry, ECMA-167 part 4, 14.9, or an extended one, 14.17:
//
//	offset     length  field
//	27         1       file type, in the ICB tag
//	34         2       flags, in the ICB tag: the lower 3 bits say what the allocation descriptors are
//	44         4       permissions
//	56         8       length of the file
//	84 / 92    12      time of modification
//	168 / 208  4       length of the extended attributes
//	172 / 212  4       length of the allocation descriptors
//	176 / 216          extended attributes, then allocation descriptors
func (v *Volume) node(icb long) (*node, error) {
	at, err := v.sector(icb)
	if err != nil {
		return nil, err
	}
	b, tag, err := v.descriptor(at)
	if err != nil {
		return nil, err
	}
	modified, lengths := 84, 168
	switch tag {
	case tagFileEntry:
	case tagExtendedEntry:
		modified, lengths = 92, 208
	default:
		return nil, fmt.Errorf("%w: a descriptor of kind %d in place of a file entry", ErrFormat, tag)
	}
	le := binary.LittleEndian
	n := &node{v: v, mode: permissions(le.Uint32(b[44:])) | kindMode(b[27]), modified: timestamp(b[modified:])}
	size := le.Uint64(b[56:])
	begin := int64(lengths) + 8 + int64(le.Uint32(b[lengths:]))
	end := begin + int64(le.Uint32(b[lengths+4:]))
	if size > 1<<62 || end > sectorSize {
		return nil, fmt.Errorf("%w: a file entry at byte %d contradicts itself", ErrFormat, at)
	}
	pieces, err := v.pieces(b[begin:end], at+begin, le.Uint16(b[34:])&7, icb.partition)
	n.content = extent.NewReader(v.r, pieces, int64(size))
	return n, err
}

// permissions turns those of ECMA-167 part 4, 14.9.5 into Go's: 5 bits each for others, group and owner, of which the lower three are as in stat(2).
func permissions(word uint32) fs.FileMode {
	return fs.FileMode(word&7 | word>>5&7<<3 | word>>10&7<<6)
}

// kindMode is the type bits for a file type, ECMA-167 part 4, 14.6.6; 249 is a real-time file (UDF 2.2.3.6).
func kindMode(kind byte) fs.FileMode {
	switch kind {
	case 4:
		return fs.ModeDir
	case 5, 249:
		return 0
	case 12:
		return fs.ModeSymlink
	}
	return fs.ModeIrregular
}

// timestamp reads one of ECMA-167 part 1, 7.3: type and time zone (2 bytes; minutes in the lower 12 bits, -2047 for none), year (2), month, day, hour,
// minute, second (1 each).
func timestamp(b []byte) time.Time {
	le := binary.LittleEndian
	zone := int(int16(le.Uint16(b)<<4)) >> 4
	if zone < -1440 || zone > 1440 {
		zone = 0
	}
	return time.Date(int(le.Uint16(b[2:])), time.Month(b[4]), int(b[5]), int(b[6]), int(b[7]), int(b[8]), 0, time.FixedZone("", zone*60))
}

// pieces reads allocation descriptors, ECMA-167 part 4, 14.14, which stand at an offset in the image: short ones (kind 0: length, block; 4 bytes each),
// long ones (1: 16 bytes), extended ones (2: 20 bytes), or the content itself (3).
func (v *Volume) pieces(b []byte, at int64, kind, partition uint16) ([]extent.Extent, error) {
	if kind == 3 {
		return []extent.Extent{{Offset: at, Size: int64(len(b))}}, nil
	}
	if kind > 2 {
		return nil, fmt.Errorf("%w: allocation descriptors of kind %d", ErrFormat, kind)
	}
	var all []extent.Extent
	width, areas := []int{8, 16, 20}[kind], 0
	for len(b) >= width {
		a := parseAllocation(b, kind, partition)
		b = b[width:]
		length := int64(a.length & (1<<kindShift - 1))
		if length == 0 {
			return all, nil
		}
		if bits := a.length >> kindShift; bits == 1 || bits == 2 {
			all = append(all, extent.Extent{Offset: extent.Zeros, Size: length})
			continue
		}
		offset, err := v.sector(a)
		if err != nil {
			return nil, err
		}
		if a.length>>kindShift != goesOn {
			all = append(all, extent.Extent{Offset: offset, Size: length})
			continue
		}
		if areas++; areas > maxAreas {
			return nil, fmt.Errorf("%w: a file in more than %d pieces", ErrFormat, maxPieces)
		}
		// An allocation extent descriptor, 14.5: the length of the descriptors behind it at 20.
		if b, err = v.tagged(offset, tagAllocationExtent); err != nil {
			return nil, err
		}
		b = b[24:][:min(int64(binary.LittleEndian.Uint32(b[20:])), sectorSize-24)]
	}
	return all, nil
}

// parseAllocation reads the descriptor that b begins with.
func parseAllocation(b []byte, kind, partition uint16) long {
	switch kind {
	case 0: // in the partition of the file entry
		return long{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), partition}
	case 1:
		return parseLong(b)
	}
	a := parseLong(b[8:]) // extent length, recorded length, information length, then an address without length
	a.length, a.block, a.partition = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint16(b[16:])
	return a
}

// Mode implements fstree.Node.
func (n *node) Mode() fs.FileMode { return n.mode }

// ModTime implements fstree.Node.
func (n *node) ModTime() time.Time { return n.modified }

// Size implements fstree.Node.
func (n *node) Size() int64 { return n.content.Size() }

// Content implements fstree.Node.
func (n *node) Content() (io.ReaderAt, error) { return n.content, nil }

// all reads the content, of at most limit bytes.
func (n *node) all(limit int64) ([]byte, error) {
	if n.Size() > limit {
		return nil, fmt.Errorf("%w: a folder or link of %d bytes", ErrFormat, n.Size())
	}
	b := make([]byte, n.Size())
	_, err := n.content.ReadAt(b, 0)
	return b, err
}

// Entries implements fstree.Node.
func (n *node) Entries() ([]fstree.Entry, error) {
	names, err := n.list()
	if err != nil {
		return nil, err
	}
	all := make([]fstree.Entry, 0, len(names))
	for _, x := range names {
		child, err := n.v.node(x.icb)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.text, err)
		}
		all = append(all, fstree.Entry{Name: x.text, Kind: child.mode.Type(), Node: func() (fstree.Node, error) { return child, nil }})
	}
	return all, nil
}

// Lookup implements fstree.Node.
func (n *node) Lookup(name string) (fstree.Node, error) {
	names, err := n.list()
	if err != nil {
		return nil, err
	}
	for _, x := range names {
		if x.text == name {
			return n.v.node(x.icb)
		}
	}
	return nil, fs.ErrNotExist
}

// list reads the names in a folder once.
func (n *node) list() ([]name, error) {
	n.once.Do(func() {
		b, err := n.all(maxFolder)
		if err == nil {
			n.names, err = parseNames(b)
		}
		n.listErr = err
	})
	return n.names, n.listErr
}

// parseNames reads file identifiers, ECMA-167 part 4, 14.4: tag (16 bytes), version (2), characteristics (1), length of the name (1), address of the
// file entry (16), length of what is the implementation's (2), that, and the name; padded to 4 bytes.
func parseNames(b []byte) (all []name, err error) {
	le := binary.LittleEndian
	for len(b) >= 38 {
		if le.Uint16(b) != tagFileIdentifier {
			return nil, fmt.Errorf("%w: a folder has a descriptor of kind %d", ErrFormat, le.Uint16(b))
		}
		flags, begin := b[18], 38+int(le.Uint16(b[36:]))
		end := begin + int(b[19])
		if end > len(b) {
			return nil, fmt.Errorf("%w: a name reaches beyond its folder", ErrFormat)
		}
		if flags&(flagDeleted|flagParent) == 0 {
			text := decodeName(b[begin:end])
			if text == "" || text == "." || text == ".." || strings.ContainsAny(text, "/\x00") {
				return nil, fmt.Errorf("%w: a file named %q", ErrFormat, text)
			}
			all = append(all, name{text, parseLong(b[20:])})
		}
		b = b[min((end+3)&^3, len(b)):]
	}
	return all, nil
}

// decodeName reads characters as OSTA compresses them (UDF 2.1.1): 8 or 16 bits each, as the first byte says.
func decodeName(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	var units []uint16
	switch b[0] {
	case 8:
		for _, c := range b[1:] {
			units = append(units, uint16(c))
		}
	case 16:
		for b = b[1:]; len(b) >= 2; b = b[2:] {
			units = append(units, binary.BigEndian.Uint16(b))
		}
	}
	return string(utf16.Decode(units))
}

// Target implements fstree.Node: path components, ECMA-167 part 4, 14.16.1, with kind (1 byte), length of the name (1), version (2), name.
func (n *node) Target() (string, error) {
	b, err := n.all(maxTarget)
	if err != nil {
		return "", err
	}
	var parts []string
	for len(b) >= 4 {
		end := 4 + int(b[1])
		if end > len(b) {
			return "", fmt.Errorf("%w: a symbolic link is cut off", ErrFormat)
		}
		switch b[0] {
		case 1, 2:
			parts = []string{""} // the root
		case 3:
			parts = append(parts, "..")
		case 4:
			parts = append(parts, ".")
		case 5:
			parts = append(parts, decodeName(b[4:end]))
		}
		b = b[end:]
	}
	if len(parts) == 0 {
		return "", errors.New("no target")
	}
	if len(parts) == 1 && parts[0] == "" {
		return "/", nil
	}
	return strings.Join(parts, "/"), nil
}
