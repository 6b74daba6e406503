package disk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"
)

// An entry is what a partition table calls a partition.
type entry struct{ uuid, label string }

// A table names the partitions of a disk by their numbers. It is nil for one that has no table.
type table func(number int) entry

// Places in the first sector of a disk, and in the header and the entries of a GPT: UEFI 2.10, 5.2.3 and 5.3.
const (
	mbrDiskID      = 440
	mbrEntries     = 446
	mbrEntry       = 16
	mbrType        = 4
	mbrSize        = 512
	protectiveType = 0xee

	gptHeaderSize  = 92
	gptEntriesLBA  = 72
	gptEntryCount  = 80
	gptEntryLength = 84
	gptNameOffset  = 56
	gptNameLength  = 72
	gptMinEntry    = gptNameOffset + gptNameLength
	gptMaxEntries  = 4096
)

// readTable reads the partition table of a disk whose sectors have that size, in bytes. As for the kernel, an MBR with an entry for
// protection stands for a GPT.
func readTable(r io.ReaderAt, sectorSize int) table {
	mbr := make([]byte, mbrSize)
	if _, err := r.ReadAt(mbr, 0); err != nil || mbr[510] != 0x55 || mbr[511] != 0xaa {
		return nil
	}
	for i := range 4 {
		if mbr[mbrEntries+mbrEntry*i+mbrType] == protectiveType {
			return readGPT(r, sectorSize)
		}
	}
	id := binary.LittleEndian.Uint32(mbr[mbrDiskID:])
	if id == 0 {
		return nil
	}
	return func(number int) entry { return entry{uuid: fmt.Sprintf("%08x-%02x", id, number)} }
}

// readGPT reads the header behind the first sector, and the entries where it says.
func readGPT(r io.ReaderAt, sectorSize int) table {
	header := make([]byte, gptHeaderSize)
	if _, err := r.ReadAt(header, int64(sectorSize)); err != nil || !bytes.HasPrefix(header, []byte("EFI PART")) {
		return nil
	}
	lba := binary.LittleEndian.Uint64(header[gptEntriesLBA:])
	count := binary.LittleEndian.Uint32(header[gptEntryCount:])
	length := binary.LittleEndian.Uint32(header[gptEntryLength:])
	if length < gptMinEntry || length > gptMinEntry<<4 || count > gptMaxEntries || lba > 1<<40 {
		return nil
	}
	entries := make([]byte, count*length)
	if n, err := r.ReadAt(entries, int64(lba)*int64(sectorSize)); n < len(entries) || err != nil && err != io.EOF {
		return nil
	}
	return func(number int) entry {
		if number < 1 || number > int(count) {
			return entry{}
		}
		return parseGPTEntry(entries[(number-1)*int(length):][:gptMinEntry])
	}
}

// parseGPTEntry reads the partition's own GUID and its name.
func parseGPTEntry(e []byte) entry {
	g := e[16:32]
	name := make([]uint16, gptNameLength/2)
	for i := range name {
		name[i] = binary.LittleEndian.Uint16(e[gptNameOffset+2*i:])
	}
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	le := binary.LittleEndian
	return entry{
		uuid:  fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(g), le.Uint16(g[4:]), le.Uint16(g[6:]), g[8:10], g[10:16]),
		label: string(utf16.Decode(name)),
	}
}
