// Package iso reads an ISO 9660 file system, on anything that can be read at an offset: a device, a file, ranges of a web server's.
//
// It implements ECMA-119 (the standard's public text) with files of several extents; the Rock Ridge Interchange Protocol (IEEE P1282,
// in the System Use Sharing Protocol, P1281) with names, permissions, symbolic links and relocated folders; where there is no Rock
// Ridge, Microsoft's Joliet; and the UDF beside them in bridge images, for files beyond 4 GiB, which ISO 9660 below level 3 shows cut
// off. As the kernel does, it compares names of Rock Ridge letter by letter, and others without regard to case.
//
// A folder is read once, in one piece, and kept.
package iso

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/iso/extent"
	"github.com/liveboot/liveboot/pkg/iso/udf"
)

const (
	// SectorSize is the logical sector of ECMA-119, section 6.1.2, in bytes.
	SectorSize = 2048
	// firstDescriptor is where the volume descriptors begin, section 6.7.1: the 16 sectors before are the system's (boot code, partition table).
	firstDescriptor = 16
	// maxDescriptors bounds how many there are.
	maxDescriptors = 64
)

// ErrNotISO says that there is no primary volume descriptor where one belongs.
var ErrNotISO = errors.New("not an ISO 9660 image")

// An Image is an ISO 9660 file system. It may be used by several goroutines if its reader may.
type Image struct {
	r io.ReaderAt
	// VolumeID is the label, "CDROM" for example, without trailing spaces.
	VolumeID string
	// Size of the volume in bytes. The image file may be longer (padding, a backup partition table), never shorter.
	Size int64

	primary record // of the root
	mu      sync.Mutex
	tree    fs.ReadLinkFS // once it was asked for
}

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
// Its error wraps ErrNotISO if what is there is something else. Nothing else is read until a file is looked for.
func Open(r io.ReaderAt) (*Image, error) {
	d := make([]byte, SectorSize)
	if _, err := r.ReadAt(d, firstDescriptor*SectorSize); err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends before its volume descriptor", ErrNotISO)
		}
		return nil, fmt.Errorf("read volume descriptor: %w", err)
	}
	if d[0] != descriptorPrimary || string(d[1:6]) != "CD001" {
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
		primary:  root,
	}, nil
}

// FS returns the files. They implement io.ReaderAt. Symbolic links are followed.
func (i *Image) FS() (fs.ReadLinkFS, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.tree != nil {
		return i.tree, nil
	}
	root, err := i.root()
	if err != nil {
		return nil, fmt.Errorf("read the ISO: %w", err)
	}
	i.tree = fstree.New(root)
	return i.tree, nil
}

// Find returns offset and size in bytes of the file at path ("LiveOS/squashfs.img"). The bytes lie in one piece: a
// file of several extents that do not follow each other is an error. A path that is not there, or is a folder's, gives an
// error that wraps fs.ErrNotExist.
func (i *Image) Find(path string) (offset, size int64, err error) {
	content, err := i.content(strings.Trim(path, "/"))
	if err != nil {
		return 0, 0, fmt.Errorf("find %s in the ISO: %w", path, err)
	}
	at, ok := content.Contiguous()
	if !ok {
		return 0, 0, fmt.Errorf("find %s in the ISO: its extents do not follow each other", path)
	}
	return at.Offset, at.Size, nil
}

// content finds that of a file.
func (i *Image) content(path string) (*extent.Reader, error) {
	fsys, err := i.FS()
	if err != nil {
		return nil, err
	}
	if !fs.ValidPath(path) {
		return nil, fs.ErrNotExist
	}
	info, err := fs.Stat(fsys, path)
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err // the path is said once
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is no file (%v): %w", info.Mode(), fs.ErrNotExist)
	}
	r, err := info.(fstree.Node).Content()
	if err != nil {
		return nil, err
	}
	return r.(*extent.Reader), nil
}

// root chooses the names: Rock Ridge's, or else Joliet's; with the UDF's beside them, or those alone in place of the plain ones.
func (i *Image) root() (fstree.Node, error) {
	v := &volume{r: i.r}
	root := &node{v: v, record: i.primary}
	if err := v.begin(root); err != nil {
		return nil, err
	}
	if v.names == plain {
		joliet, err := i.joliet()
		if err != nil {
			return nil, err
		}
		if joliet != nil {
			root = joliet
		}
	}
	discs, err := i.udf()
	switch {
	case err != nil:
		return nil, err
	case discs == nil:
		return root, nil
	case root.v.names == plain: // 8 letters and 3, in capitals
		return discs, nil
	}
	return &bridged{node: root, udf: discs}, nil
}

// udf returns the root of the UDF beside the ISO; nil if there is none. A damaged one counts as none: all but the largest files are in the
// ISO too.
func (i *Image) udf() (fstree.Node, error) {
	there, err := udf.Present(i.r)
	if err != nil || !there {
		return nil, err
	}
	root, err := udf.Open(i.r)
	if damage(err) {
		return nil, nil
	}
	return root, err
}
