// Package iso finds files in an ISO 9660 file system, on anything that can be read at an offset.
//
// It implements what a live image needs of ECMA-119 (the standard's public text): the primary volume descriptor, directory records,
// files of several extents; and of the Rock Ridge Interchange Protocol (IEEE P1282) the alternate names. The kernel mounts
// the image; this package tells where in it a file lies, so that its bytes can be used without a copy.
package iso

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

const (
	// SectorSize is the logical sector of ECMA-119, section 6.1.2, in bytes.
	SectorSize = 2048
	// firstDescriptor is where the volume descriptors begin, section 6.7.1: the 16 sectors before are the system's (boot code, partition table).
	firstDescriptor = 16
	// maxDirectory bounds the memory that a malicious directory can ask for.
	maxDirectory = 4 << 20
	maxDepth     = 32
)

// ErrNotISO says that there is no primary volume descriptor where one belongs.
var ErrNotISO = errors.New("not an ISO 9660 image")

// An Image is an ISO 9660 file system.
type Image struct {
	r io.ReaderAt
	// VolumeID is the label, "CDROM" for example, without trailing spaces.
	VolumeID string
	// Size of the volume in bytes. The image file may be longer (padding, a backup partition table), never shorter.
	Size int64
	root extent
}

type extent struct{ offset, size int64 }

// Open reads the primary volume descriptor (ECMA-119, section 8.4):
//
//	offset  length  field
//	0       1       type, 1
//	1       5       "CD001"
//	40      32      volume identifier
//	80      8       volume space size in logical blocks, both byte orders
//	128     4       logical block size, both byte orders
//	156     34      directory record of the root
//
// Its error wraps ErrNotISO if what is there is something else.
func Open(r io.ReaderAt) (*Image, error) {
	d := make([]byte, SectorSize)
	if _, err := r.ReadAt(d, firstDescriptor*SectorSize); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends before its volume descriptor", ErrNotISO)
		}
		return nil, fmt.Errorf("read volume descriptor: %w", err)
	}
	if d[0] != 1 || string(d[1:6]) != "CD001" {
		return nil, fmt.Errorf("read volume descriptor: %w", ErrNotISO)
	}
	if block := binary.LittleEndian.Uint16(d[128:]); block != SectorSize {
		return nil, fmt.Errorf("read volume descriptor: logical blocks of %d bytes are not supported, only %d: %w", block, SectorSize, ErrNotISO)
	}
	root, err := parseRecord(d[156:190])
	if err != nil {
		return nil, fmt.Errorf("read volume descriptor: root: %w", err)
	}
	return &Image{
		r:        r,
		VolumeID: strings.TrimRight(string(d[40:72]), " \x00"),
		Size:     int64(binary.LittleEndian.Uint32(d[80:])) * SectorSize,
		root:     root.extent,
	}, nil
}

// Find returns offset and size in bytes of the file at path ("LiveOS/squashfs.img"). The bytes lie in one piece: a
// file of several extents that do not follow each other is an error. A path that is not there gives an error that
// wraps fs.ErrNotExist. Names are compared as Rock Ridge has them, or else without regard to case and version, as the
// kernel does.
func (i *Image) Find(path string) (offset, size int64, err error) {
	at := record{extent: i.root, directory: true}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) > maxDepth {
		return 0, 0, fmt.Errorf("find %s: deeper than %d folders", path, maxDepth)
	}
	for _, name := range parts {
		if !at.directory {
			return 0, 0, fmt.Errorf("find %s in the ISO: %w", path, fs.ErrNotExist)
		}
		if at, err = i.lookup(at.extent, name); err != nil {
			return 0, 0, fmt.Errorf("find %s in the ISO: %w", path, err)
		}
	}
	return at.extent.offset, at.extent.size, nil
}

// lookup finds a name in a directory and joins the extents of what it found.
func (i *Image) lookup(directory extent, name string) (record, error) {
	if directory.size > maxDirectory {
		return record{}, fmt.Errorf("a folder of %d bytes is not believed", directory.size)
	}
	data := make([]byte, directory.size)
	if _, err := i.r.ReadAt(data, directory.offset); err != nil {
		return record{}, fmt.Errorf("read folder: %w", err)
	}
	var found record
	more := false
	for len(data) > 0 {
		length := int(data[0])
		if length == 0 { // records do not cross sectors: the rest of this one is empty
			rest := len(data) % SectorSize
			if rest == 0 {
				rest = SectorSize
			}
			data = data[rest:]
			continue
		}
		if length > len(data) {
			return record{}, errors.New("read folder: a record reaches beyond its end")
		}
		r, err := parseRecord(data[:length])
		if err != nil {
			return record{}, fmt.Errorf("read folder: %w", err)
		}
		data = data[length:]
		switch {
		case more:
			if r.extent.offset != found.extent.offset+found.extent.size {
				return record{}, fmt.Errorf("its extents do not follow each other")
			}
			found.extent.size += r.extent.size
		case r.is(name):
			found = r
		default:
			continue
		}
		if more = r.more; !more {
			return found, nil
		}
	}
	if more {
		return record{}, errors.New("read folder: the last extent is missing")
	}
	return record{}, fs.ErrNotExist
}

// A record is a directory record, section 9.1.
type record struct {
	extent    extent
	directory bool
	// more says that a further record continues the file (multi-extent, section 9.1.6).
	more bool
	name string
	// alternate is the Rock Ridge name; empty where there is none.
	alternate string
}

const (
	flagDirectory   = 1 << 1
	flagMultiExtent = 1 << 7
)

// parseRecord reads a directory record:
//
//	offset  length  field
//	0       1       length of the record
//	1       1       length of the extended attribute record, in blocks before the data
//	2       8       first block, both byte orders
//	10      8       length in bytes, both byte orders
//	25      1       flags
//	32      1       length of the name
//	33      n       name, padded to an even offset; then the system use area
func parseRecord(b []byte) (record, error) {
	if len(b) < 34 || 33+int(b[32]) > len(b) {
		return record{}, errors.New("a directory record is too short")
	}
	end := 33 + int(b[32])
	return record{
		extent: extent{
			offset: (int64(binary.LittleEndian.Uint32(b[2:])) + int64(b[1])) * SectorSize,
			size:   int64(binary.LittleEndian.Uint32(b[10:])),
		},
		directory: b[25]&flagDirectory != 0,
		more:      b[25]&flagMultiExtent != 0,
		name:      string(b[33:end]),
		alternate: alternateName(b[min(end+end%2, len(b)):]),
	}, nil
}

// alternateName collects the NM entries of a system use area (P1282, section 4.1.4): signature, length, version, flags, name. A
// name that goes on in a continuation area is rare (over 190 bytes) and is cut.
func alternateName(area []byte) string {
	var name strings.Builder
	for len(area) >= 5 {
		length := int(area[2])
		if length < 5 || length > len(area) {
			break
		}
		if bytes.HasPrefix(area, []byte("NM")) {
			name.Write(area[5:length])
		}
		area = area[length:]
	}
	return name.String()
}

func (r record) is(name string) bool {
	if r.alternate != "" {
		return r.alternate == name
	}
	plain, _, _ := strings.Cut(r.name, ";")
	return strings.EqualFold(strings.TrimSuffix(plain, "."), name)
}
