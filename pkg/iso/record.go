package iso

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/liveboot/liveboot/pkg/iso/extent"
)

// Types of volume descriptors, section 8.1.1.
const (
	descriptorPrimary       = 1
	descriptorSupplementary = 2
	descriptorTerminator    = 255
)

// Flags of a directory record, section 9.1.6.
const (
	flagDirectory   = 1 << 1
	flagAssociated  = 1 << 2 // of the file whose record follows: a Macintosh's resource fork
	flagMultiExtent = 1 << 7
)

// A record is a directory record, section 9.1, and what Rock Ridge adds.
type record struct {
	raw      string // name
	mode     fs.FileMode
	modified time.Time
	pieces   []extent.Extent
	// more says that a further record continues the file.
	more bool
	// hidden is one that is not listed: the original place of a relocated folder's files, an associated file.
	hidden bool
	// alternate is the Rock Ridge name; empty where there is none.
	alternate string
	target    string // of a symbolic link
	// unreadable is why the content cannot be read; nil if it can.
	unreadable error
}

// parseRecord reads a directory record, without its system use area:
//
//	offset  length  field
//	0       1       length of the record
//	1       1       length of the extended attribute record, in blocks before the data
//	2       8       first block, both byte orders
//	10      8       length in bytes, both byte orders
//	18      7       time: years since 1900, month, day, hour, minute, second, offset in quarters of an hour
//	25      1       flags
//	26      2       file unit and gap of an interleaved file
//	32      1       length of the name
//	33      n       name, padded to an even offset; then the system use area
func parseRecord(b []byte) (record, error) {
	if len(b) < 34 || 33+int(b[32]) > len(b) {
		return record{}, errors.New("a directory record is too short")
	}
	r := record{
		raw: string(b[33 : 33+int(b[32])]), mode: 0o444, modified: recordTime(b[18:25]),
		pieces: []extent.Extent{{
			Offset: (int64(binary.LittleEndian.Uint32(b[2:])) + int64(b[1])) * SectorSize,
			Size:   int64(binary.LittleEndian.Uint32(b[10:])),
		}},
		more: b[25]&flagMultiExtent != 0, hidden: b[25]&flagAssociated != 0,
	}
	if b[25]&flagDirectory != 0 {
		r.mode = fs.ModeDir | 0o555
	}
	if b[26] != 0 || b[27] != 0 {
		r.unreadable = fmt.Errorf("an interleaved file: %w", errors.ErrUnsupported)
	}
	return r, nil
}

// systemUse is the area behind the name, where Rock Ridge is.
func systemUse(b []byte) []byte {
	end := 33 + int(b[32])
	return b[min(end+end%2, len(b)):]
}

func recordTime(b []byte) time.Time {
	zone := time.FixedZone("", int(int8(b[6]))*15*60)
	return time.Date(1900+int(b[0]), time.Month(b[1]), int(b[2]), int(b[3]), int(b[4]), int(b[5]), 0, zone)
}

// size is that of all extents, in bytes.
func (r *record) size() (n int64) {
	for _, p := range r.pieces {
		n += p.Size
	}
	return n
}

// name is how the file is called under these names; empty for one that cannot be.
func (r *record) name(n names) string {
	name := r.alternate
	if name == "" {
		switch n {
		case joliet:
			name, _, _ = strings.Cut(decodeUCS2(r.raw), ";")
		default:
			name, _, _ = strings.Cut(r.raw, ";")
			name = strings.ToLower(strings.TrimSuffix(name, "."))
		}
	}
	if name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return ""
	}
	return name
}

// decodeUCS2 reads characters of 2 bytes each, the larger first.
func decodeUCS2(s string) string {
	var units []uint16
	for ; len(s) >= 2; s = s[2:] {
		units = append(units, uint16(s[0])<<8|uint16(s[1]))
	}
	return string(utf16.Decode(units))
}

// joliet returns the root with Joliet's names, which has a supplementary volume descriptor of its own (section 8.5; the escape sequence at
// 88 is that of UCS-2 level 1, 2 or 3); nil if there is none.
func (i *Image) joliet() (*node, error) {
	for k := range int64(maxDescriptors) {
		d := make([]byte, SectorSize)
		if _, err := i.r.ReadAt(d, (firstDescriptor+1+k)*SectorSize); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			return nil, err
		}
		if string(d[1:6]) != "CD001" || d[0] == descriptorTerminator {
			return nil, nil
		}
		if escape := string(d[88:91]); d[0] == descriptorSupplementary && (escape == "%/@" || escape == "%/C" || escape == "%/E") {
			root, err := parseRecord(d[156:190])
			return &node{v: &volume{r: i.r, names: joliet}, record: root}, err
		}
	}
	return nil, nil
}
