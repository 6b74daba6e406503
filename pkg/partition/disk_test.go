package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"testing"
	"unicode/utf16"
)

const (
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// disk is a disk in memory that takes no more than what is written to it.
type disk struct {
	Disk
	blocks map[int64][512]byte // by offset
}

func newDisk(size int64, sectorSize int) *disk {
	return &disk{Disk{Size: size, SectorSize: sectorSize}, map[int64][512]byte{}}
}

// clone returns a copy.
func (d *disk) clone() *disk { return &disk{d.Disk, maps.Clone(d.blocks)} }

// ReadAt implements io.ReaderAt. As a device that was opened for direct reading it wants whole sectors.
func (d *disk) ReadAt(p []byte, offset int64) (int, error) {
	if size := int64(d.SectorSize); offset%size != 0 || int64(len(p))%size != 0 {
		return 0, errors.New("not a whole sector")
	}
	for n := 0; n < len(p); n += 512 {
		if offset+int64(n)+512 > d.Size {
			return n, io.EOF
		}
		block := d.blocks[offset+int64(n)]
		copy(p[n:], block[:])
	}
	return len(p), nil
}

// write puts data at offset, a multiple of 512.
func (d *disk) write(offset int64, data []byte) *disk {
	for n := 0; n < len(data); n += 512 {
		at := offset + int64(n)
		block := d.blocks[at]
		copy(block[:], data[n:])
		d.blocks[at] = block
	}
	return d
}

// head returns the first n bytes.
func (d *disk) head(t testing.TB, n int) []byte {
	t.Helper()
	head := make([]byte, n)
	if _, err := d.ReadAt(head, 0); err != nil {
		t.Fatal(err)
	}
	return head
}

// mbr puts an MBR with these entries and boot code.
func (d *disk) mbr(id uint32, entries ...slot) *disk {
	first := bytes.Repeat([]byte("boot"), 512/4)
	clear(first[440:])
	binary.LittleEndian.PutUint32(first[440:], id)
	for i, s := range entries {
		at := first[446+16*i:]
		at[0], at[4] = s.active, s.kind
		binary.LittleEndian.PutUint32(at[8:], s.start)
		binary.LittleEndian.PutUint32(at[12:], s.count)
	}
	copy(first[510:], "\x55\xaa")
	return d.write(0, first)
}

// protect puts a protective MBR for a disk of that many sectors.
func (d *disk) protect(sectors uint32) *disk {
	return d.mbr(0, slot{kind: 0xee, start: 1, count: sectors - 1})
}

// gptFields is the header of a GPT as the UEFI specification has it.
type gptFields struct {
	Signature          [8]byte
	Revision, Size     uint32
	CRC, Reserved      uint32
	My, Other          uint64
	First, Last        uint64
	GUID               [16]byte
	Array              uint64
	Entries, EntrySize uint32
	ArrayCRC           uint32
}

// gptEntry is an entry, as the specification has it.
type gptEntry struct {
	Type, GUID  [16]byte
	First, Last uint64
	Attributes  uint64
	Name        [36]uint16
}

// data returns an entry of the type of Linux file systems.
func data(first, last uint64, id byte, name string) gptEntry {
	e := gptEntry{First: first, Last: last, Attributes: 1 << 60}
	copy(e.Type[:], "\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4")
	copy(e.GUID[:], "\x03\x02\x01\x00\x05\x04\x07\x46\x88\x09\x0a\x0b\x0c\x0d\x0e")
	e.GUID[15] = id
	copy(e.Name[:], utf16.Encode([]rune(name)))
	return e
}

// dataID is the GUID of data(…, id, …), without its last two digits.
const dataID = "00010203-0405-4607-8809-0a0b0c0d0e"

// diskGUID is that of all GPTs here.
const diskGUID = "44332211-6655-8877-99aa-bbccddeeff00"

// fields returns the header with both checksums right.
func (f gptFields) sector(size int, array []byte) []byte {
	copy(f.Signature[:], "EFI PART")
	f.Revision, f.Size, f.EntrySize = 0x10000, 92, 128
	copy(f.GUID[:], "\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x00")
	f.ArrayCRC = crc32.ChecksumIEEE(array)
	b, err := binary.Append(nil, binary.LittleEndian, f)
	if err != nil {
		panic(err)
	}
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b[:92]))
	return append(b, make([]byte, size-len(b))...)
}

// gpt puts a GPT of that many entries whose copy is at the end of an image of that many sectors.
func (d *disk) gpt(places int, sectors uint64, entries ...gptEntry) *disk {
	array := make([]byte, 0, places*128)
	for _, e := range entries {
		array, _ = binary.Append(array, binary.LittleEndian, e)
	}
	array = array[:places*128]
	size := uint64(d.SectorSize)
	n := (uint64(len(array)) + size - 1) / size
	f := gptFields{Entries: uint32(places), My: 1, Other: sectors - 1, First: 2 + n, Last: sectors - n - 2, Array: 2}
	d.write(int64(2*size), array).write(int64(size), f.sector(d.SectorSize, array))
	f.My, f.Other, f.Array = sectors-1, 1, sectors-1-n
	return d.write(int64(f.Array*size), array).write(int64((sectors-1)*size), f.sector(d.SectorSize, array))
}

// kiwi10 is a disk with an image of KIWI 10 on it: 248 entries, two of them partitions, the copy at the image's end.
func kiwi10(size int64) *disk {
	return newDisk(size, 512).protect(40960).gpt(248, 40960, data(64, 36863, 1, "ISO9660"), data(36864, 40000, 2, "Appended2"))
}

// kiwi9 is a disk with an image of KIWI 9 on it.
func kiwi9(size int64) *disk {
	return newDisk(size, 512).mbr(0, slot{active: 0x80, kind: 0xcd, start: 64, count: 36800}, slot{kind: 0xef, start: 36864, count: 4096})
}

// imageSize is that of both images, in bytes.
const imageSize = 40960 * 512
