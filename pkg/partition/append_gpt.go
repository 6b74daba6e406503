package partition

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

// appendGPT adds the entry to the GPT in head. encoded is name as the entry has it.
func appendGPT(head []byte, d Disk, from int64, name string, encoded []byte) (Edit, error) {
	if !protective(head) {
		return Edit{}, fmt.Errorf("%w: the protective entry of the MBR does not begin at sector 1", ErrDamaged)
	}
	g, err := loadGPT(bytes.NewReader(head), d, primaryHeader)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return Edit{}, fmt.Errorf("%w: GPT is not in the first %d bytes: %w", ErrDamaged, len(head), err)
	}
	if err != nil {
		return Edit{}, fmt.Errorf("%w: GPT: %w", ErrDamaged, err)
	}
	arraySectors := roundUp(uint64(len(g.array)), uint64(d.SectorSize)) / uint64(d.SectorSize)
	arrayLBA := g.header.u64(hdrArrayLBA)
	if arrayLBA <= primaryHeader || g.header.u64(hdrFirstLBA) < arrayLBA+arraySectors {
		return Edit{}, fmt.Errorf("%w: GPT: entries at sector %d, partitions from sector %d", ErrDamaged, arrayLBA, g.header.u64(hdrFirstLBA))
	}
	last := d.sectors() - 1
	backupLBA := last - min(last, arraySectors)
	free, start, count, err := g.place(d, from, backupLBA)
	if err != nil {
		return Edit{}, err
	}
	g.set(free, start, count, encoded)
	entry, _ := g.entry(free, d)
	entry.Name = name

	array := make([]byte, arraySectors*uint64(d.SectorSize))
	copy(array, head[d.offset(arrayLBA):]) // what is behind the last entry stays too
	copy(array, g.array)
	backupArray := make([]byte, len(array))
	copy(backupArray, g.array)
	return Edit{
		Entry: entry,
		Backup: []Write{
			{Offset: d.offset(backupLBA), Data: backupArray},
			{Offset: d.offset(last), Data: g.header.at(last, primaryHeader, backupLBA, backupLBA-1)},
		},
		Table: []Write{
			{Offset: d.offset(arrayLBA), Data: array},
			{Offset: d.offset(primaryHeader), Data: g.header.at(primaryHeader, last, arrayLBA, backupLBA-1)},
		},
		First: growProtective(head[:d.SectorSize], d),
	}, nil
}

// place finds a free entry, and the sectors before limit for it.
func (g gpt) place(d Disk, from int64, limit uint64) (free int, start, count uint64, err error) {
	free = -1
	taken, what := g.header.u64(hdrFirstLBA), "the table"
	for i := range g.entries() {
		if !g.used(i) {
			if free < 0 && i < maxPartitions {
				free = i
			}
			continue
		}
		first, last := g.extent(i)
		if first > last || last >= d.sectors() {
			return 0, 0, 0, fmt.Errorf("%w: partition %d has sectors %d to %d, and the disk has %d", ErrDamaged, i+1, first, last, d.sectors())
		}
		if last >= taken {
			taken, what = last+1, fmt.Sprintf("partition %d", i+1)
		}
	}
	if free < 0 {
		return 0, 0, 0, fmt.Errorf("%w: all %d entries of the GPT are in use", ErrFull, min(g.entries(), maxPartitions))
	}
	start, count, err = freeSpace(d, from, taken, what, limit)
	return free, start, count, err
}

// at returns the sector of the header for LBA my, when the other one is at other, the array at array, and partitions end at lastUsable. The
// array's checksum stays: see set.
func (h header) at(my, other, array, lastUsable uint64) []byte {
	h = bytes.Clone(h)
	h.put(hdrMyLBA, my)
	h.put(hdrOtherLBA, other)
	h.put(hdrArrayLBA, array)
	h.put(hdrLastLBA, lastUsable)
	binary.LittleEndian.PutUint32(h[hdrCRC:], h.sum())
	return h
}

// set makes entry i a partition with a random GUID, but for the last four bytes of it: these are such that the array has the checksum it
// had before.
func (g gpt) set(i int, start, count uint64, name []byte) {
	sum := crc32.ChecksumIEEE(g.array)
	e := g.raw(i)
	clear(e)
	putGUID(e[entType:], typeLinuxData)
	rand.Read(e[entGUID : entGUID+12]) // never fails
	// Version 4, variant of RFC 9562. The version is in the upper half of a little-endian number.
	e[entGUID+7] = e[entGUID+7]&0x0f | 0x40
	e[entGUID+8] = e[entGUID+8]&0x3f | 0x80
	binary.LittleEndian.PutUint64(e[entFirst:], start)
	binary.LittleEndian.PutUint64(e[entLast:], start+count-1)
	copy(e[entName:], name)
	forgeCRC(g.array, i*gptEntrySize+entGUID+12, sum)
}

// forgeCRC sets the four bytes of data at offset at so that its CRC32 (IEEE) is sum. There is one solution always, since what four bytes
// do to the register of a CRC of 32 bits can be undone: the register behind them is run backwards from the end, and what differs
// there from the one before them are the bytes.
func forgeCRC(data []byte, at int, sum uint32) {
	var index [256]byte // of the entry of the table, by its upper byte, which no other has
	for i, v := range crc32.IEEETable {
		index[v>>24] = byte(i)
	}
	register := ^sum
	back := func(b byte) {
		i := index[register>>24]
		register = (register^crc32.IEEETable[i])<<8 | uint32(i^b)
	}
	for i := len(data) - 1; i >= at+4; i-- {
		back(data[i])
	}
	for range 4 {
		back(0)
	}
	binary.LittleEndian.PutUint32(data[at:], register^^crc32.ChecksumIEEE(data[:at]))
}

// putGUID stores a GUID that is a constant of this package.
func putGUID(b []byte, text string) {
	raw, _ := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	binary.LittleEndian.PutUint32(b, binary.BigEndian.Uint32(raw))
	binary.LittleEndian.PutUint16(b[4:], binary.BigEndian.Uint16(raw[4:]))
	binary.LittleEndian.PutUint16(b[6:], binary.BigEndian.Uint16(raw[6:]))
	copy(b[8:16], raw[8:])
}

// encodeName returns name as an entry has it.
func encodeName(name string) ([]byte, error) {
	units := utf16.Encode([]rune(name))
	if len(units) > gptNameUnits || strings.ContainsRune(name, 0) {
		return nil, fmt.Errorf("name: give at most %d UTF-16 code units, none of them 0", gptNameUnits)
	}
	var b []byte
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b, nil
}
