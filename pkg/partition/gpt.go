package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf16"
)

const (
	gptSignature  = "EFI PART"
	gptHeaderSize = 92      // bytes, at least
	gptEntrySize  = 128     // bytes; Linux takes no other
	gptMaxArray   = 4 << 20 // bytes; Linux's limit is that of kmalloc, which is this on most machines
	gptNameUnits  = 36      // UTF-16 code units
	primaryHeader = 1       // LBA

	// Types of entries: not used, and Linux file systems.
	noType        = "00000000-0000-0000-0000-000000000000"
	typeLinuxData = "0fc63daf-8483-4772-8e79-3d69d8477de4"
)

// header is the sector of a GPT's header.
type header []byte

// Offsets in a header, in bytes.
const (
	hdrSize      = 12 // of the header, in bytes: what its checksum covers
	hdrCRC       = 16 // of the header with 0 here
	hdrMyLBA     = 24
	hdrOtherLBA  = 32 // of the other header
	hdrFirstLBA  = 40 // that partitions may use
	hdrLastLBA   = 48 // that partitions may use
	hdrDiskGUID  = 56
	hdrArrayLBA  = 72
	hdrEntries   = 80 // in the array, used or not
	hdrEntrySize = 84 // bytes
	hdrArrayCRC  = 88
)

// Offsets in an entry, in bytes.
const (
	entType  = 0
	entGUID  = 16
	entFirst = 32 // LBA
	entLast  = 40 // LBA, inclusive
	entName  = 56 // UTF-16
)

func (h header) u32(at int) uint32 { return binary.LittleEndian.Uint32(h[at:]) }
func (h header) u64(at int) uint64 { return binary.LittleEndian.Uint64(h[at:]) }

// put sets a field of 64 bits.
func (h header) put(at int, v uint64) { binary.LittleEndian.PutUint64(h[at:], v) }

// sum computes the header's checksum.
func (h header) sum() uint32 {
	covered := bytes.Clone(h[:h.u32(hdrSize)])
	clear(covered[hdrCRC : hdrCRC+4])
	return crc32.ChecksumIEEE(covered)
}

// arraySize is the length of the array, in bytes.
func (h header) arraySize() uint64 { return uint64(h.u32(hdrEntries)) * uint64(h.u32(hdrEntrySize)) }

// check says why Linux does not believe the header that was read at lba of a disk whose last sector is last.
func (h header) check(lba, last uint64) error {
	first, lastUsable := h.u64(hdrFirstLBA), h.u64(hdrLastLBA)
	switch {
	case string(h[:len(gptSignature)]) != gptSignature:
		return errors.New("no signature")
	case h.u32(hdrSize) < gptHeaderSize || int64(h.u32(hdrSize)) > int64(len(h)):
		return fmt.Errorf("header of %d bytes", h.u32(hdrSize))
	case h.sum() != h.u32(hdrCRC):
		return errors.New("wrong checksum of the header")
	case h.u64(hdrMyLBA) != lba:
		return fmt.Errorf("header is for sector %d", h.u64(hdrMyLBA))
	case first > last || lastUsable > last:
		return fmt.Errorf("for a larger disk: partitions from sector %d to %d, and the last sector is %d", first, lastUsable, last)
	case lastUsable < first:
		return fmt.Errorf("partitions from sector %d to %d", first, lastUsable)
	case h.u32(hdrEntrySize) != gptEntrySize:
		return fmt.Errorf("entries of %d bytes", h.u32(hdrEntrySize))
	case h.arraySize() == 0 || h.arraySize() > gptMaxArray:
		return fmt.Errorf("%d entries", h.u32(hdrEntries))
	case h.u64(hdrArrayLBA) > last:
		return fmt.Errorf("entries at sector %d, behind the disk's end", h.u64(hdrArrayLBA))
	}
	return nil
}

// gpt is a header and its array, of which the bytes behind the last entry are left out.
type gpt struct {
	header header
	array  []byte
}

// loadGPT reads the GPT whose header is at lba, and says why Linux would not believe it.
func loadGPT(r io.ReaderAt, d Disk, lba uint64) (gpt, error) {
	if lba >= d.sectors() {
		return gpt{}, fmt.Errorf("header at sector %d: behind the disk's end", lba)
	}
	h := make(header, d.SectorSize)
	if err := readAt(r, h, d.offset(lba)); err != nil {
		return gpt{}, fmt.Errorf("header at sector %d: %w", lba, err)
	}
	if err := h.check(lba, d.sectors()-1); err != nil {
		return gpt{}, fmt.Errorf("header at sector %d: %w", lba, err)
	}
	// Whole sectors, since the disk may be open for direct reading.
	array := make([]byte, roundUp(h.arraySize(), uint64(d.SectorSize)))
	if err := readAt(r, array, d.offset(h.u64(hdrArrayLBA))); err != nil {
		return gpt{}, fmt.Errorf("entries: %w", err)
	}
	array = array[:h.arraySize()]
	if crc32.ChecksumIEEE(array) != h.u32(hdrArrayCRC) {
		return gpt{}, fmt.Errorf("entries at sector %d: wrong checksum", h.u64(hdrArrayLBA))
	}
	return gpt{header: h, array: array}, nil
}

// readGPT reads the GPT behind an MBR with an entry of type 0xEE.
func readGPT(r io.ReaderAt, d Disk, first []byte) *Table {
	t := &Table{Kind: GPT}
	if !protective(first) {
		t.Problem = fmt.Errorf("%w: the protective entry of the MBR does not begin at sector 1, so Linux sees no partitions", ErrDamaged)
		return t
	}
	g, err := loadGPT(r, d, primaryHeader)
	if err != nil {
		t.Problem = fmt.Errorf("%w: GPT: %w", ErrDamaged, err)
		if size := otherSectors(r, d); size != 0 {
			t.Problem = fmt.Errorf("%w: GPT is for sectors of %d bytes, and those of the disk have %d", ErrDamaged, size, d.SectorSize)
		}
		var other error
		if g, other = loadGPT(r, d, d.sectors()-1); other != nil {
			t.Problem = fmt.Errorf("%w; its copy: %w", t.Problem, other)
			return t
		}
	}
	t.UUID = guid(g.header[hdrDiskGUID:])
	for i := range min(g.entries(), maxPartitions) {
		if e, ok := g.entry(i, d); ok {
			t.Entries = append(t.Entries, e)
		}
	}
	return t
}

// otherSectors returns the size of the sectors, 512 or 4096 bytes, that the GPT in r is for, if it is not d's; 0 if there is none.
func otherSectors(r io.ReaderAt, d Disk) int {
	// Read in the disk's sectors, since it may be open for direct reading.
	head := make([]byte, min(HeadSize, d.offset(d.sectors())))
	if err := readAt(r, head, 0); err != nil {
		return 0
	}
	for _, size := range []int{512, 4096} {
		if size == d.SectorSize {
			continue
		}
		if _, err := loadGPT(bytes.NewReader(head), Disk{Size: d.Size, SectorSize: size}, primaryHeader); err == nil {
			return size
		}
	}
	return 0
}

// entries is the number of entries, used or not.
func (g gpt) entries() int { return len(g.array) / gptEntrySize }

// raw returns the bytes of entry i, from 0.
func (g gpt) raw(i int) []byte { return g.array[i*gptEntrySize:][:gptEntrySize] }

// used says whether entry i is a partition.
func (g gpt) used(i int) bool { return guid(g.raw(i)[entType:]) != noType }

// extent returns the first and the last sector of entry i.
func (g gpt) extent(i int) (first, last uint64) {
	e := g.raw(i)
	return binary.LittleEndian.Uint64(e[entFirst:]), binary.LittleEndian.Uint64(e[entLast:])
}

// entry returns entry i, unless Linux makes no partition of it.
func (g gpt) entry(i int, d Disk) (Entry, bool) {
	first, last := g.extent(i)
	if !g.used(i) || first > last || last >= d.sectors() {
		return Entry{}, false
	}
	e := g.raw(i)
	return Entry{
		Number: i + 1,
		Start:  d.offset(first),
		Size:   d.offset(last - first + 1),
		Type:   guid(e[entType:]),
		Name:   decodeName(e[entName:]),
		UUID:   guid(e[entGUID:]),
	}, true
}

// guid returns a GUID in text. Its first three parts are little-endian numbers.
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}

// decodeName returns the name of an entry, which ends at its length or at a 0.
func decodeName(b []byte) string {
	var units []uint16
	for i := range gptNameUnits {
		u := binary.LittleEndian.Uint16(b[2*i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// roundUp returns the first multiple of unit that is not below n.
func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }
