package probe

import (
	"fmt"
	"hash/crc32"
)

// An extent is the place of a partition, in bytes; end is behind it.
type extent struct{ start, end int64 }

// within says whether a partition covers offset.
func within(offset int64, partitions []extent) bool {
	for _, p := range partitions {
		if offset >= p.start && offset < p.end {
			return true
		}
	}
	return false
}

// inside says whether c is the content of a partition rather than of the device: what a partition ends with can be at the place that
// something else has at the end of a disk. A partition of a bootable ISO covers the start of the disk too, where nothing is doubtful.
func inside(c Content, partitions []extent) bool {
	return c.Offset > 128<<10 && within(c.Offset, partitions)
}

// findTables looks for partition tables, and returns the places of the partitions that the kernel would make of them. found is what
// else is there: a boot sector is no table.
func findTables(d *disk, found []Content) ([]Content, []extent) {
	var all []Content
	gpt, partitions := findGPT(d)
	if gpt.Name != "" {
		all = append(all, gpt)
	}
	if mbr, more := findMBR(d, found, gpt.Name != ""); mbr.Name != "" {
		all, partitions = append(all, mbr), append(partitions, more...)
	}
	for _, f := range otherTables() {
		if c, ok := f.find(d); ok {
			all = append(all, c)
		}
	}
	return all, partitions
}

// otherTables are those of machines that do not start from MBR or GPT; blkid's -p knows them too.
func otherTables() []format {
	table := func(name string, look func(*disk, *Content) bool, magics ...magic) format {
		return format{kind: KindPartitionTable, name: name, magics: magics, look: look}
	}
	return []format{
		table("Apple partition map", nil, magic{512, "PM\x00\x00\x00\x00"}, magic{2048, "PM\x00\x00\x00\x00"}), // Inside Macintosh: Devices, 3-26
		table("Sun disk label", func(d *disk, _ *Content) bool { // block/partitions/sun.c: all 16-bit words xored are 0
			var sum uint16
			for b := d.at(0, 512); len(b) > 0; b = b[2:] {
				sum ^= be16(b)
			}
			return sum == 0
		}, magic{508, "\xda\xbe"}),
		table("SGI disk label", nil, magic{0, "\x0b\xe5\xa9\x41"}),                                  // block/partitions/sgi.c
		table("BSD disk label", nil, magic{512, "\x57\x45\x56\x82"}, magic{64, "\x57\x45\x56\x82"}), // block/partitions/msdos.c
		table("AIX label", nil, magic{0, "\xc9\xc2\xd4\xc1"}),                                       // block/partitions/aix.c
	}
}

// findGPT looks for the header in sector 1 and for its backup in the last one (UEFI 2.10, 5.3), on a disk of this sector size; then for
// what another machine, or a USB adapter, with another idea of the sector size has written. An empty Content means none.
func findGPT(d *disk) (Content, []extent) {
	c := Content{Kind: KindPartitionTable, Name: "GPT"}
	headers := func(sectorSize int64) []int64 { return []int64{1, d.size/sectorSize - 1} }
	sectorSizes := []int64{d.sectorSize, 512, 4096}
	for i, sectorSize := range sectorSizes {
		for j, lba := range headers(sectorSize) {
			id, partitions, ok := readGPT(d, lba, sectorSize)
			if !ok {
				continue
			}
			c.UUID, c.Offset = id, lba*sectorSize
			switch {
			case i > 0:
				c.State, partitions = OtherSector, nil
			case j > 0:
				c.State = BackupOnly
			}
			return c, partitions
		}
	}
	for _, sectorSize := range sectorSizes {
		for _, lba := range headers(sectorSize) {
			if c.Offset = lba * sectorSize; d.has(c.Offset, gptSignature) {
				c.State = Damaged
				return c, nil
			}
		}
	}
	return Content{}, nil
}

const gptSignature = "EFI PART"

// readGPT reads a header and its partitions; not ok unless both sums and the places in it are right.
func readGPT(d *disk, lba, sectorSize int64) (id string, partitions []extent, ok bool) {
	b := d.at(lba*sectorSize, int(sectorSize))
	if b == nil || string(b[:8]) != gptSignature {
		return "", nil, false
	}
	n := le32(b[12:])
	if n < 92 || int64(n) > sectorSize || ^rawCRC32(crc32.IEEETable, ^uint32(0), b[:n], 16, 0) != le32(b[16:]) {
		return "", nil, false
	}
	first, last := le64(b[40:]), le64(b[48:])
	if le64(b[24:]) != uint64(lba) || first > last || last >= uint64(d.size/sectorSize) {
		return "", nil, false
	}
	at, count, size := le64(b[72:]), uint64(le32(b[80:])), uint64(le32(b[84:]))
	if size < 128 || size%8 != 0 || count*size > maxRead || at > last+uint64(sectorSize) {
		return "", nil, false
	}
	array := d.at(int64(at)*sectorSize, int(count*size))
	if array == nil || crc32.ChecksumIEEE(array) != le32(b[88:]) {
		return "", nil, false
	}
	for ; len(array) > 0; array = array[size:] {
		start, end := le64(array[32:]), le64(array[40:])
		if !zero(array[:16]) && start <= end && end <= last {
			partitions = append(partitions, extent{int64(start) * sectorSize, int64(end+1) * sectorSize})
		}
	}
	return guid(b[56:72]), partitions, true
}

// findMBR judges a sector that ends in 55AA: a boot sector of a file system, a partition table, an empty one, the protective one of a
// GPT, or a boot sector of something unknown.
func findMBR(d *disk, found []Content, gpt bool) (Content, []extent) {
	b := d.at(0, 512)
	if b == nil || b[510] != 0x55 || b[511] != 0xaa {
		return Content{}, nil
	}
	c := Content{Kind: KindPartitionTable, Name: "MBR", Offset: 510}
	owned := false
	for _, f := range found {
		switch f.Name {
		case "vfat", "exfat", "ntfs", "BitLocker", "ReFS":
			owned = true
			if f.State == Intact {
				return Content{}, nil
			}
		}
	}
	partitions, protective, ok := mbrPartitions(b, d.sectorSize)
	switch {
	case !ok && (owned || len(found) > 0 || gpt):
		return Content{}, nil
	case !ok:
		return Content{Kind: KindOther, Name: "boot sector of an unknown system", Offset: 510}, nil
	case owned && len(partitions) == 0 && !protective, protective && gpt:
		return Content{}, partitions
	case protective:
		c.Name = "protective MBR"
	case len(partitions) == 0:
		c.State = Empty
	}
	if id := le32(b[440:]); id != 0 {
		c.UUID = fmt.Sprintf("%08x", id)
	}
	return c, partitions
}

// mbrPartitions reads the four entries. A table whose boot indicators are neither 0 nor 80h is no table but code.
func mbrPartitions(b []byte, sectorSize int64) (partitions []extent, protective, ok bool) {
	for e := b[446:510]; len(e) > 0; e = e[16:] {
		start, sectors := int64(le32(e[8:])), int64(le32(e[12:]))
		switch {
		case e[0] != 0 && e[0] != 0x80:
			return nil, false, false
		case e[4] == 0xee:
			protective = true
		case sectors > 0:
			partitions = append(partitions, extent{start * sectorSize, (start + sectors) * sectorSize})
		}
	}
	return partitions, protective, true
}
