package iso

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/liveboot/liveboot/pkg/iso/extent"
)

const (
	// maxContinuations bounds how often the entries of one file go on elsewhere, and maxContinued how many sectors of a folder they are in.
	maxContinuations = 32
	maxContinued     = 4096
	// maxName and maxTarget bound names and symbolic links, in bytes: NAME_MAX and PATH_MAX of the kernel.
	maxName   = 255
	maxTarget = 4095
)

// susp reads the system use entries of one folder's records (P1281, section 4): signature (2 bytes), length (1), version (1), data.
type susp struct {
	v       *volume
	sectors map[int64][]byte // of continuation areas
}

// fields is what the entries of one record say, as far as they go over several.
type fields struct {
	name, target strings.Builder
	link         bool
	// within says that the last component of the target goes on in the next entry.
	within bool
}

// read fills in what an area says, and the areas in which it goes on.
func (s *susp) read(r *record, area []byte) error {
	f := &fields{}
	for range maxContinuations {
		next, err := s.entries(r, f, area)
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		if area, err = s.continuation(next); err != nil {
			return err
		}
	}
	r.alternate = f.name.String()
	if r.target = f.target.String(); f.link {
		r.mode = r.mode.Perm() | fs.ModeSymlink
	}
	if len(r.alternate) > maxName || len(r.target) > maxTarget {
		return fmt.Errorf("a name of %d bytes, a link of %d", len(r.alternate), len(r.target))
	}
	return nil
}

// entries reads one area. It returns the data of the entry that says where it goes on; nil if it does not.
func (s *susp) entries(r *record, f *fields, area []byte) (next []byte, err error) {
	for len(area) >= 4 {
		length := int(area[2])
		if length < 4 || length > len(area) {
			break
		}
		data := area[4:length]
		switch string(area[:2]) {
		case "ST": // the rest is not for us
			return next, nil
		case "CE":
			next = data
		case "NM": // flags: 2 and 4 are "." and ".."
			if len(data) > 0 && data[0]&6 == 0 {
				f.name.Write(data[1:])
			}
		case "PX": // mode first, both byte orders
			if len(data) >= 8 {
				r.mode = unixMode(binary.LittleEndian.Uint32(data))
				f.link = r.mode.Type() == fs.ModeSymlink
			}
		case "SL":
			f.addTarget(data)
		case "RE":
			r.hidden = true
		case "CL": // the block where a folder really is
			if len(data) >= 8 {
				r.mode = fs.ModeDir | r.mode.Perm()
				r.pieces = []extent.Extent{{Offset: int64(binary.LittleEndian.Uint32(data)) * SectorSize, Size: relocated}}
			}
		case "ZF":
			r.unreadable = fmt.Errorf("a file compressed by mkzftree: %w", errors.ErrUnsupported)
		}
		area = area[length:]
	}
	return next, nil
}

// addTarget reads a symbolic link (P1282, section 4.1.3): flags, then components of flags, length, and text. Flags of a component: 1 goes on in
// the next, 2 is ".", 4 "..", 8 the root.
func (f *fields) addTarget(data []byte) {
	f.link = true
	if len(data) == 0 {
		return
	}
	for data = data[1:]; len(data) >= 2; {
		flags, end := data[0], 2+int(data[1])
		if end > len(data) {
			return
		}
		text := string(data[2:end])
		switch {
		case flags&2 != 0:
			text = "."
		case flags&4 != 0:
			text = ".."
		}
		if so := f.target.String(); so != "" && so != "/" && !f.within {
			f.target.WriteByte('/')
		}
		if flags&8 != 0 {
			f.target.Reset()
			text = "/"
		}
		f.target.WriteString(text)
		f.within = flags&1 != 0
		data = data[end:]
	}
}

// continuation is the area that an entry CE names: block, offset, length, in both byte orders each.
func (s *susp) continuation(data []byte) ([]byte, error) {
	if len(data) < 24 {
		return nil, errors.New("a continuation is cut off")
	}
	le := binary.LittleEndian
	at, offset, length := int64(le.Uint32(data))*SectorSize, int64(le.Uint32(data[8:])), int64(le.Uint32(data[16:]))
	if offset+length > SectorSize { // as the kernel has it
		return nil, fmt.Errorf("a continuation of %d bytes at %d in its block", length, offset)
	}
	sector := s.sectors[at]
	if sector == nil {
		if len(s.sectors) == maxContinued {
			return nil, errors.New("too many continuations")
		}
		sector = make([]byte, SectorSize)
		if err := s.v.read(sector, at); err != nil {
			return nil, fmt.Errorf("read continuation: %w", err)
		}
		if s.sectors == nil {
			s.sectors = map[int64][]byte{}
		}
		s.sectors[at] = sector
	}
	return sector[offset:][:length], nil
}

// skipped is how many bytes of each area are another system's (CD-ROM XA): the entry SP of the root's own record says so, P1281, section 5.3.
func skipped(area []byte) int {
	if len(area) >= 7 && string(area[:2]) == "SP" && area[4] == 0xbe && area[5] == 0xef {
		return int(area[6])
	}
	return 0
}

// unixMode turns the mode of stat(2) into Go's.
func unixMode(word uint32) fs.FileMode {
	mode := fs.FileMode(word & 0o777)
	switch word & 0o170000 {
	case 0o040000:
		mode |= fs.ModeDir
	case 0o100000:
	case 0o120000:
		mode |= fs.ModeSymlink
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}
