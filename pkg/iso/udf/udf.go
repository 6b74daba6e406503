// Package udf reads the Universal Disk Format as it stands on images of optical discs, beside an ISO 9660 or alone: revisions 1.02
// to 2.01 (OSTA) of ECMA-167, with partitions that are used as they are. What only writable media have (virtual, sparable and
// metadata partitions) is an error that wraps errors.ErrUnsupported.
package udf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/liveboot/liveboot/pkg/fstree"
)

// ErrFormat says that there is no UDF, or that it is damaged.
var ErrFormat = errors.New("not a sound UDF")

const (
	// sectorSize is that of optical discs, in bytes.
	sectorSize = 2048
	// anchorAt is the sector of the anchor volume descriptor pointer, ECMA-167 part 3, 8.4.2.1. It stands at the end of the disc too, which
	// a reader of a stream does not know.
	anchorAt = 256
	// firstDescriptor is the sector where the volume recognition sequence begins, beside the descriptors of an ISO 9660, and
	// maxDescriptors bounds it.
	firstDescriptor = 16
	maxDescriptors  = 64
	// maxSequence bounds the volume descriptor sequence, in sectors; programs write 16.
	maxSequence = 256
	// maxPartitions bounds the partition maps; discs have one.
	maxPartitions = 16
)

// Identifiers of descriptor tags, ECMA-167 part 3, 7.2.1 and part 4, 7.2.1.
const (
	tagAnchor           = 2
	tagPartition        = 5
	tagLogicalVolume    = 6
	tagTerminating      = 8
	tagFileSet          = 256
	tagFileIdentifier   = 257
	tagAllocationExtent = 258
	tagFileEntry        = 261
	tagExtendedEntry    = 266
)

// A Volume is an open UDF.
type Volume struct {
	r io.ReaderAt
	// starts is the sector where each partition begins, by the number that addresses have.
	starts  []int64
	lengths []int64 // of the partitions, in sectors
}

// Present says whether the volume recognition sequence names a UDF ("NSR02" or "NSR03", ECMA-167 part 3, 9.1).
func Present(r io.ReaderAt) (bool, error) {
	b := make([]byte, sectorSize)
	for k := range int64(maxDescriptors) {
		if _, err := r.ReadAt(b, (firstDescriptor+k)*sectorSize); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
		switch string(b[1:6]) {
		case "NSR02", "NSR03":
			return true, nil
		case "CD001", "BEA01", "BOOT2", "CDW02":
		default:
			return false, nil
		}
	}
	return false, nil
}

// Open returns the root folder. Content of its files is an *extent.Reader.
func Open(r io.ReaderAt) (fstree.Node, error) {
	root, err := open(r)
	if err != nil {
		return nil, fmt.Errorf("read UDF: %w", err)
	}
	return root, nil
}

func open(r io.ReaderAt) (fstree.Node, error) {
	v := &Volume{r: r}
	anchor, err := v.tagged(anchorAt*sectorSize, tagAnchor)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	// Main and reserve sequence: length in bytes and sector, 4 bytes each.
	fileSet, err := v.sequence(anchor[16:])
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		fileSet, err = v.sequence(anchor[24:])
	}
	if err != nil {
		return nil, err
	}
	at, err := v.sector(fileSet)
	if err != nil {
		return nil, err
	}
	b, err := v.tagged(at, tagFileSet)
	if err != nil {
		return nil, fmt.Errorf("file set: %w", err)
	}
	root, err := v.node(parseLong(b[400:]))
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if !root.mode.IsDir() {
		return nil, fmt.Errorf("%w: its root is no folder", ErrFormat)
	}
	return root, nil
}

// sequence reads a volume descriptor sequence, ECMA-167 part 3, 10: partitions, and the logical volume that uses them. It returns
// where the file set is. Of descriptors that say the same, the one with the highest sequence number (4 bytes at 16) counts.
func (v *Volume) sequence(where []byte) (fileSet long, err error) {
	le := binary.LittleEndian
	sectors := min(int64(le.Uint32(where))/sectorSize, maxSequence)
	first := int64(le.Uint32(where[4:]))
	partitions, newest := map[uint16][]byte{}, map[uint16]uint32{}
	var volume []byte
	for k := range sectors {
		b, tag, err := v.descriptor((first + k) * sectorSize)
		if err != nil {
			return long{}, err
		}
		if tag == tagTerminating {
			break
		}
		number := le.Uint32(b[16:])
		switch tag {
		case tagPartition:
			if id := le.Uint16(b[22:]); partitions[id] == nil || number >= newest[id] {
				partitions[id], newest[id] = b, number
			}
		case tagLogicalVolume:
			if volume == nil || number >= le.Uint32(volume[16:]) {
				volume = b
			}
		}
	}
	if volume == nil {
		return long{}, fmt.Errorf("%w: no logical volume", ErrFormat)
	}
	if size := le.Uint32(volume[212:]); size != sectorSize {
		return long{}, fmt.Errorf("%w: blocks of %d bytes, only %d", errors.ErrUnsupported, size, sectorSize)
	}
	return parseLong(volume[248:]), v.mapPartitions(volume, partitions)
}

// mapPartitions reads the partition maps of a logical volume, ECMA-167 part 3, 10.7: type and length (1 byte each); of type 1, volume
// sequence number and partition number (2 bytes each).
func (v *Volume) mapPartitions(volume []byte, partitions map[uint16][]byte) error {
	le := binary.LittleEndian
	v.starts, v.lengths = nil, nil
	maps := volume[440:][:min(int64(le.Uint32(volume[264:])), int64(len(volume)-440))]
	for range min(le.Uint32(volume[268:]), maxPartitions) {
		if len(maps) < 6 || maps[1] < 6 || int(maps[1]) > len(maps) {
			return fmt.Errorf("%w: a partition map is cut off", ErrFormat)
		}
		if maps[0] != 1 {
			return fmt.Errorf("%w: a partition map of type %d", errors.ErrUnsupported, maps[0])
		}
		p := partitions[le.Uint16(maps[4:])]
		if p == nil {
			return fmt.Errorf("%w: no partition %d", ErrFormat, le.Uint16(maps[4:]))
		}
		v.starts = append(v.starts, int64(le.Uint32(p[188:])))
		v.lengths = append(v.lengths, int64(le.Uint32(p[192:])))
		maps = maps[maps[1]:]
	}
	return nil
}

// long is a long allocation descriptor, ECMA-167 part 4, 14.14.2.2.
type long struct {
	length    uint32 // in bytes; the upper 2 bits are the kind
	block     uint32
	partition uint16
}

func parseLong(b []byte) long {
	return long{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint16(b[8:])}
}

// sector is the offset in the image of what an address points at, in bytes.
func (v *Volume) sector(a long) (int64, error) {
	if int(a.partition) >= len(v.starts) {
		return 0, fmt.Errorf("%w: an address in partition %d of %d", ErrFormat, a.partition, len(v.starts))
	}
	if int64(a.block) >= v.lengths[a.partition] {
		return 0, fmt.Errorf("%w: block %d of a partition of %d", ErrFormat, a.block, v.lengths[a.partition])
	}
	return (v.starts[a.partition] + int64(a.block)) * sectorSize, nil
}

// tagged reads the sector at an offset, which must hold a descriptor of that kind.
func (v *Volume) tagged(at int64, want uint16) ([]byte, error) {
	b, tag, err := v.descriptor(at)
	if err == nil && tag != want {
		err = fmt.Errorf("%w: a descriptor of kind %d at byte %d, want %d", ErrFormat, tag, at, want)
	}
	return b, err
}

// descriptor reads the sector at an offset. Its tag, ECMA-167 part 3, 7.2, has the identifier (2 bytes), a checksum of its own 16 bytes
// at 4, and more that is not looked at. A sector without a tag is of kind 0.
func (v *Volume) descriptor(at int64) (b []byte, tag uint16, err error) {
	b = make([]byte, sectorSize)
	if n, err := v.r.ReadAt(b, at); n < len(b) {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: it ends before byte %d", ErrFormat, at+sectorSize)
		}
		return nil, 0, err
	}
	var sum byte
	for k, c := range b[:16] {
		if k != 4 {
			sum += c
		}
	}
	if sum != b[4] {
		return nil, 0, fmt.Errorf("%w: a damaged descriptor at byte %d", ErrFormat, at)
	}
	return b, binary.LittleEndian.Uint16(b), nil
}
