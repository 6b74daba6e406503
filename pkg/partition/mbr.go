package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Offsets in LBA 0, in bytes.
const (
	bootCodeEnd  = 440 // boot code before it, the disk id at it
	mbrSlots     = 446 // four entries
	mbrSlotSize  = 16
	mbrSignature = 510 // 0x55 0xAA
	mbrSize      = 512
)

// Types of MBR entries.
const (
	typeProtective = 0xee
	typeLinux      = 0x83
)

// slot is one of the four entries of an MBR, 16 bytes. Those with cylinders, heads and sectors are left out, as nobody goes by them.
type slot struct {
	active byte   // 0: 0x80 for the one that is booted
	kind   byte   // 4: type
	start  uint32 // 8: LBA
	count  uint32 // 12: sectors
}

// slotAt returns entry i, 0 to 3.
func slotAt(sector []byte, i int) slot {
	s := sector[mbrSlots+i*mbrSlotSize:]
	return slot{active: s[0], kind: s[4], start: binary.LittleEndian.Uint32(s[8:]), count: binary.LittleEndian.Uint32(s[12:])}
}

// slots returns all four.
func slots(sector []byte) [4]slot {
	return [4]slot{slotAt(sector, 0), slotAt(sector, 1), slotAt(sector, 2), slotAt(sector, 3)}
}

// extended: the three types that Linux takes for a container of logical partitions.
func (s slot) extended() bool { return s.kind == 0x05 || s.kind == 0x0f || s.kind == 0x85 }

// used: for Linux, an entry with a size is a partition, even with type 0.
func (s slot) used() bool { return s.count != 0 }

// free: nothing of it is used, not even the mark that some firmware wants to see on any entry before it boots the disk.
func (s slot) free() bool { return s.count == 0 && s.kind == 0 && s.active == 0 }

// signed says whether the sector ends as an MBR does.
func signed(sector []byte) bool {
	return sector[mbrSignature] == 0x55 && sector[mbrSignature+1] == 0xaa
}

// kindOf says by LBA 0 which table counts.
func kindOf(first []byte) Kind {
	if !signed(first) {
		return None
	}
	if protective(first) {
		return GPT
	}
	kind, used := MBR, false
	for _, s := range slots(first) {
		if s.active != 0 && s.active != 0x80 {
			return None // text or code of a file system's boot sector
		}
		if s.kind == typeProtective {
			kind = GPT
		}
		used = used || s.used()
	}
	if kind == MBR && !used && bootSector(first) {
		return None
	}
	return kind
}

// protective says whether there is an entry of type 0xEE where Linux wants it.
func protective(first []byte) bool {
	for _, s := range slots(first) {
		if s.kind == typeProtective && s.start == primaryHeader {
			return true
		}
	}
	return false
}

// bootSector says whether LBA 0 is that of a file system: NTFS and exFAT have their name at 3, FAT at 54 or 82.
func bootSector(first []byte) bool {
	at := func(offset int, name string) bool { return string(first[offset:offset+len(name)]) == name }
	return at(3, "NTFS    ") || at(3, "EXFAT   ") || at(54, "FAT") || at(82, "FAT32")
}

// diskID returns the disk id in text, empty if it is 0.
func diskID(first []byte) string {
	id := binary.LittleEndian.Uint32(first[bootCodeEnd:])
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%08x", id)
}

// mbrReader collects the entries of an MBR.
type mbrReader struct {
	r     io.ReaderAt
	disk  Disk
	table *Table
}

// readMBR reads an MBR and its logical partitions. The extended partitions are followed in the order of the slots, as Linux does.
func readMBR(r io.ReaderAt, d Disk, first []byte) *Table {
	m := mbrReader{r: r, disk: d, table: &Table{Kind: MBR, UUID: diskID(first)}}
	var containers []slot
	for i, s := range slots(first) {
		m.add(i+1, uint64(s.start), s)
		if s.extended() && s.used() {
			containers = append(containers, s)
		}
	}
	next := 5
	for _, c := range containers {
		var err error
		if next, err = m.logical(c, next); err != nil {
			m.table.Problem = errors.Join(m.table.Problem, fmt.Errorf("%w: logical partitions from %d on: %w", ErrDamaged, next, err))
		}
	}
	return m.table
}

// add adds the partition of s, which begins at LBA start. It reports whether s is one.
func (m mbrReader) add(number int, start uint64, s slot) bool {
	if !s.used() {
		return false
	}
	if start >= m.disk.sectors() {
		return true // takes a number, but Linux makes no partition of it
	}
	count := min(uint64(s.count), m.disk.sectors()-start)
	e := Entry{Number: number, Start: m.disk.offset(start), Size: m.disk.offset(count), Type: fmt.Sprintf("%#x", s.kind)}
	if m.table.UUID != "" {
		e.UUID = fmt.Sprintf("%s-%02x", m.table.UUID, number)
	}
	m.table.Entries = append(m.table.Entries, e)
	return true
}

// Limits of Linux: partitions of a disk, and tables in a row that hold none.
const (
	maxPartitions  = 255
	maxEmptyTables = 100
)

// logical reads the logical partitions of the extended partition c, of which the first has number next, and returns the number
// of the next one. Each has a table of its own, a linked list: an entry that counts from that table, and one that leads to the next
// table, which counts from the beginning of c.
func (m mbrReader) logical(c slot, next int) (int, error) {
	at, length := uint64(c.start), uint64(c.count)
	sector := make([]byte, m.disk.SectorSize)
	for empty := 0; empty < maxEmptyTables; empty++ {
		if at >= m.disk.sectors() {
			return next, fmt.Errorf("table at sector %d is behind the disk's end", at)
		}
		if err := readAt(m.r, sector, m.disk.offset(at)); err != nil {
			return next, err
		}
		if !signed(sector) {
			return next, nil
		}
		link := -1
		for i, s := range slots(sector) {
			if s.extended() && s.used() && link < 0 {
				link = i
			}
			if s.extended() || !s.used() || next > maxPartitions || i >= 2 && !s.inside(at, length, c) {
				continue
			}
			m.add(next, at+uint64(s.start), s)
			next++
			empty = -1
		}
		if link < 0 {
			return next, nil
		}
		s := slotAt(sector, link)
		at, length = uint64(c.start)+uint64(s.start), uint64(s.count)
	}
	return next, nil
}

// inside says whether the logical partition s of the table at sector at, which covers length sectors, is inside of these and of the
// extended partition c. Linux asks that of the third and fourth entry, which are often garbage.
func (s slot) inside(at, length uint64, c slot) bool {
	end := uint64(s.start) + uint64(s.count)
	return end <= length && at+end <= uint64(c.start)+uint64(c.count)
}
