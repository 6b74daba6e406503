package partition

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

const (
	// HeadSize is how much Append wants of a disk's beginning, in bytes: with the tables of every ISO in it, whose own area ends at
	// 32 KiB.
	HeadSize = 64 << 10
	// MinSize is that of the smallest partition that Append makes, in bytes.
	MinSize = 1 << 20
	// align is what the start of a new partition is a multiple of, in bytes, and alignSize its size.
	align     = 1 << 20
	alignSize = 4096
)

var (
	// ErrNoSpace says that less than MinSize is free at the disk's end.
	ErrNoSpace = errors.New("no space for a partition")
	// ErrFull says that all entries of the table are in use.
	ErrFull = errors.New("partition table is full")
)

// Write is one piece for the disk: whole sectors.
type Write struct {
	Offset int64 // bytes
	Data   []byte
}

// Edit is a table with one partition more, as bytes.
type Edit struct {
	// Entry is the new partition.
	Entry Entry
	// Backup are the copies of the table that are written first: the GPT at the disk's end, entries before header. Empty for an MBR.
	Backup []Write
	// Table are the GPT's entries, then its header. Empty for an MBR.
	Table []Write
	// First is LBA 0, one sector, which is written last and alone.
	First []byte
}

// Append plans a partition of all the free space at the end of disk d. The image on the disk ends at from, in bytes. The partition begins at
// the first multiple of 1 MiB that is neither before from nor before the end of any partition there is, and ends with the last
// byte that the table can give, less what makes its size a multiple of 4 KiB, which encryption wants. Free space between other
// partitions is not looked for. head are the first HeadSize bytes of the disk, or what they will be. The partition's type is that of
// Linux file systems; name is its name in a GPT, up to 36 UTF-16 code units. An MBR has no names.
//
// What is there stays byte for byte: boot code, disk id, GUIDs, attributes, all other entries. What becomes of the tables of an image:
//
//   - GPT, protective MBR: the new entry takes the first free place, and the copy of the table goes to the disk's end. In the MBR the
//     protective entry grows with the disk. The old copy at the image's end stays where it is, and is referred to no more.
//   - GPT, hybrid MBR: the same, but the MBR stays as it is: its entries are for firmware that does not know GPT.
//   - MBR: the new entry takes the first free one of the four slots, as type 0x83. An MBR ends at 2 TiB with sectors of 512 bytes; so does
//     the partition on a larger disk.
//   - MBR without an entry of type 0xEE, and a GPT beside it, as isohybrid makes it: Linux goes by the MBR, so it is edited. The GPT is
//     left as it is, valid in itself: it describes the image, and its copy is at the image's end.
//   - no table (an ISO that is not hybrid): a new MBR with this one entry and a random disk id.
//   - sectors that are not of 512 bytes, and a table for those that are: a new MBR which counts in the disk's sectors, with the boot
//     code, this one entry and a random disk id; the image's table would describe other places there. A partition for the
//     image could not be made use of, as the kernel does not mount ISO 9660 from sectors of 4096 bytes. An MBR whose
//     entries all lie behind from and on the disk, when counted in its sectors, is one that Append made, and is added to.
//
// Errors wrap ErrNoSpace, ErrFull, ErrDamaged, or say which argument is wrong.
func Append(head []byte, d Disk, from int64, name string) (Edit, error) {
	edit, err := plan(head, d, from, name)
	if err != nil {
		return Edit{}, fmt.Errorf("add partition %q: %w", name, err)
	}
	return edit, nil
}

func plan(head []byte, d Disk, from int64, name string) (Edit, error) {
	if err := d.check(); err != nil {
		return Edit{}, err
	}
	if len(head) < HeadSize {
		return Edit{}, fmt.Errorf("%d bytes of the disk's beginning: give %d", len(head), HeadSize)
	}
	if from < 0 {
		return Edit{}, fmt.Errorf("the image ends at %d: give 0 or more", from)
	}
	if from > d.Size {
		return Edit{}, fmt.Errorf("%w: the image ends at %d, the disk at %d bytes", ErrNoSpace, from, d.Size)
	}
	encoded, err := encodeName(name)
	if err != nil {
		return Edit{}, err
	}
	switch kind := kindOf(head); {
	case kind == None && signed(head):
		return Edit{}, fmt.Errorf("%w: LBA 0 is the boot sector of a file system", ErrDamaged)
	case kind == None || forOtherSectors(head, d, from):
		return appendMBR(newMBR(head[:d.SectorSize]), d, from)
	case kind == MBR:
		return appendMBR(bytes.Clone(head[:d.SectorSize]), d, from)
	default:
		return appendGPT(head, d, from, name, encoded)
	}
}

// forOtherSectors says whether the table in head counts in sectors of 512 bytes, and those of the disk are larger.
func forOtherSectors(head []byte, d Disk, from int64) bool {
	if d.SectorSize == 512 {
		return false
	}
	if kindOf(head) == GPT {
		r := bytes.NewReader(head)
		_, err := loadGPT(r, d, primaryHeader)
		return err != nil && otherSectors(r, d) == 512
	}
	for _, s := range slots(head) {
		start, end := d.offset(uint64(s.start)), d.offset(uint64(s.start)+uint64(s.count))
		if s.used() && (start < from || end > d.Size) {
			return true
		}
	}
	return false
}

// freeSpace returns the first sector and the number of sectors of a partition behind from and behind taken, which is what lies
// furthest back, called what, and before the sector limit.
func freeSpace(d Disk, from int64, taken uint64, what string, limit uint64) (start, count uint64, err error) {
	behind := uint64(from)
	if end := taken * uint64(d.SectorSize); end > behind {
		behind = end
	} else {
		what = "the image"
	}
	start = roundUp(behind, align) / uint64(d.SectorSize)
	free := max(limit, start) - start
	free = free * uint64(d.SectorSize) / alignSize * alignSize
	if free < MinSize {
		return 0, 0, fmt.Errorf("%w: %s ends at byte %d of %d; from the next MiB on %d bytes can be used, and %d is the least", ErrNoSpace,
			what, behind, d.Size, free, MinSize)
	}
	return start, free / uint64(d.SectorSize), nil
}

// newMBR returns first with an MBR that has no entries.
func newMBR(first []byte) []byte {
	first = bytes.Clone(first)
	clear(first[bootCodeEnd:mbrSignature])
	for binary.LittleEndian.Uint32(first[bootCodeEnd:]) == 0 {
		rand.Read(first[bootCodeEnd : bootCodeEnd+4]) // never fails
	}
	first[mbrSignature], first[mbrSignature+1] = 0x55, 0xaa
	return first
}

// appendMBR adds the entry to the MBR first, which it changes.
func appendMBR(first []byte, d Disk, from int64) (Edit, error) {
	free := -1
	taken, last := uint64(1), "the table"
	var all []string
	for i, s := range slots(first) {
		if s.free() && free < 0 {
			free = i
		}
		if end := uint64(s.start) + uint64(s.count); s.used() && end > taken {
			taken, last = end, fmt.Sprintf("partition %d", i+1)
		}
		all = append(all, fmt.Sprintf("%d has type %#x, sectors %d+%d", i+1, s.kind, s.start, s.count))
	}
	if free < 0 {
		return Edit{}, fmt.Errorf("%w: all 4 entries of the MBR are in use: %s", ErrFull, strings.Join(all, "; "))
	}
	start, count, err := freeSpace(d, from, taken, last, min(d.sectors(), 1<<32))
	if err != nil {
		return Edit{}, err
	}
	s := first[mbrSlots+free*mbrSlotSize:][:mbrSlotSize]
	clear(s)
	copy(s[1:4], noCHS)
	s[4] = typeLinux
	copy(s[5:8], noCHS)
	binary.LittleEndian.PutUint32(s[8:], uint32(start))
	binary.LittleEndian.PutUint32(s[12:], uint32(count))
	m := mbrReader{disk: d, table: &Table{UUID: diskID(first)}}
	m.add(free+1, start, slotAt(first, free))
	return Edit{Entry: m.table.Entries[0], First: first}, nil
}

// noCHS stands for a place that cylinder, head and sector cannot name: 1023, 254, 63, as fdisk writes it.
const noCHS = "\xfe\xff\xff"

// growProtective returns LBA 0 whose protective entry, if it is the only one, covers the disk.
func growProtective(first []byte, d Disk) []byte {
	first = bytes.Clone(first)
	at := -1
	for i, s := range slots(first) {
		switch {
		case s.kind == typeProtective && at < 0:
			at = i
		case s.kind != 0:
			return first // hybrid
		}
	}
	s := first[mbrSlots+at*mbrSlotSize:]
	binary.LittleEndian.PutUint32(s[12:], uint32(min(d.sectors()-1, math.MaxUint32)))
	if string(s[5:8]) != "\xff\xff\xff" {
		copy(s[5:8], noCHS)
	}
	return first
}
