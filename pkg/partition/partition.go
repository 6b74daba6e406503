// Package partition reads partition tables, and plans one more partition in the free space at a disk's end: the cow partition behind a
// live image that was written to the disk as it is.
//
//	table, err := partition.Read(disk, partition.Disk{Size: size, SectorSize: 512})
//	…
//	edit, err := partition.Append(image[:64<<10], partition.Disk{Size: size, SectorSize: 512}, imageSize, "cow")
//	…   // make the file system in edit.Entry, then write edit.Backup, flush, edit.Table, flush, edit.First, flush
//
// It knows MBR tables with logical partitions, GPT, and the tables of hybrid ISOs, which are either, or both: see Append. It writes
// nothing: an Edit is bytes, in the order in which they are to be written, since order and every byte matter here. Power may fail
// between any two writes, and the image must still boot by its own boot loader. So there is no library behind this; those that
// there are write by themselves, in an order of their own, and make the table anew.
//
// # What is on the disk
//
// A logical block (LBA) is a sector, of 512 or 4096 bytes, and so is every number in both tables. LBA 0 holds boot code, a disk id and
// four entries of 16 bytes, the MBR. Where one of these has type 0xEE (a protective MBR; with further entries, a hybrid one) LBA 1
// holds the header of a GPT, which points to an array of entries of 128 bytes; copies of both stand at the disk's end, the header
// last. Numbers are little-endian; checksums are CRC32 (IEEE). Sources: UEFI specification 2.10, chapter 5, and which table is
// believed when, block/partitions/{core,efi,msdos}.c of Linux.
//
// # What Linux believes
//
// A GPT counts only if the MBR has an entry of type 0xEE that starts at LBA 1, and then the MBR's other entries do not count. If the GPT in
// LBA 1 is damaged Linux sees no partitions; it turns to the copy at the disk's end only with the kernel option "gpt". libblkid (udev),
// firmware and partitioning programs turn to it always, and so does Read. Append makes sure that nothing depends on it: the UUID
// of the new entry is chosen so that the checksum of the array stays what it was, and therefore the array is valid under the
// old header as well as under the new one. So Linux, too, sees the old table or the new one after each sector that is written.
package partition

import (
	"errors"
	"fmt"
	"io"
)

// Disk is what a table is on.
type Disk struct {
	// Size is in bytes. What is left over behind the last whole sector is not used.
	Size int64
	// SectorSize is that of the logical sectors, in bytes: a power of two from 512 to 4096.
	SectorSize int
}

// Kind says which of the tables on a disk counts.
type Kind int

const (
	// None: no table.
	None Kind = iota
	// MBR: the four entries of LBA 0, and logical partitions in an extended one.
	MBR
	// GPT: LBA 0 has an entry of type 0xEE, so Linux goes by the GPT, or, where that is damaged, by nothing.
	GPT
)

// String returns the name that parted and udev have for the table.
func (k Kind) String() string {
	switch k {
	case MBR:
		return "dos"
	case GPT:
		return "gpt"
	default:
		return "none"
	}
}

// Entry is a partition.
type Entry struct {
	// Number is the kernel's: 3 for sda3.
	Number int
	// Start and Size are in bytes.
	Start, Size int64
	// Type is the GUID in lower case for a GPT, and "0x83", for example, for an MBR.
	Type string
	// Name is that in the GPT; empty for an MBR.
	Name string
	// UUID is udev's ID_PART_ENTRY_UUID, the name in /dev/disk/by-partuuid: the GUID in lower case for a GPT, "1234abcd-03" for an MBR.
	// It is empty where the MBR's disk id is 0, as that of some ISOs is.
	UUID string
}

// End returns where the partition ends, in bytes.
func (e Entry) End() int64 { return e.Start + e.Size }

// Table is a partition table.
type Table struct {
	Kind Kind
	// Entries are in the order of their numbers. They are those that Linux makes partitions of: not those that begin behind the disk's
	// end, and of an MBR's entry that ends behind it what is on the disk. An extended partition has its true size here, of which
	// Linux shows the first KiB. Partitions inside of BSD, Solaris, Minix and UnixWare partitions are left out.
	Entries []Entry
	// UUID is the GUID of the disk for a GPT, and the disk id, "1234abcd", for an MBR, empty if that is 0.
	UUID string
	// Problem says what is wrong with the table; nil means nothing. It wraps ErrDamaged. With Kind GPT and entries, they are those of
	// the copy at the disk's end; with Kind GPT and none, there is no valid GPT for sectors of this size.
	Problem error
}

// ErrDamaged says that a table cannot be believed.
var ErrDamaged = errors.New("damaged partition table")

// Read reads the table of r. A disk without one has Kind None; that is no error, and neither is a damaged table, see Table.Problem. The
// error is that of reading LBA 0, or says that d is impossible.
//
// The boot sector of a file system that ends like an MBR does, as that of FAT and NTFS, is no table.
func Read(r io.ReaderAt, d Disk) (*Table, error) {
	if err := d.check(); err != nil {
		return nil, fmt.Errorf("read partition table: %w", err)
	}
	if d.sectors() == 0 {
		return &Table{}, nil
	}
	first := make([]byte, d.SectorSize)
	if err := readAt(r, first, 0); err != nil {
		return nil, fmt.Errorf("read partition table: %w", err)
	}
	switch kindOf(first) {
	case MBR:
		return readMBR(r, d, first), nil
	case GPT:
		return readGPT(r, d, first), nil
	default:
		return &Table{}, nil
	}
}

// check says why d cannot be.
func (d Disk) check() error {
	if d.SectorSize < 512 || d.SectorSize > 4096 || d.SectorSize&(d.SectorSize-1) != 0 {
		return fmt.Errorf("sectors of %d bytes: give a power of two from 512 to 4096", d.SectorSize)
	}
	if d.Size < 0 {
		return fmt.Errorf("disk of %d bytes: give 0 or more", d.Size)
	}
	return nil
}

// sectors is the number of whole sectors.
func (d Disk) sectors() uint64 { return uint64(d.Size) / uint64(d.SectorSize) }

// offset is where sector lba begins, in bytes.
func (d Disk) offset(lba uint64) int64 { return int64(lba) * int64(d.SectorSize) }

// readAt fills p, or fails.
func readAt(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%d bytes at %d: %w", len(p), offset, err)
}
