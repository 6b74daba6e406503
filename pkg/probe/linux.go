package probe

import (
	"crypto/sha256"
	"hash/crc32"
)

func lookSquashfs(d *disk, c *Content) bool {
	b := d.at(0, 96)
	switch {
	case b == nil:
		c.State = Damaged
	case le16(b[28:]) < 4:
		c.Name = "squashfs3"
	case le32(b[12:]) != 1<<le16(b[22:]): // the block size twice, as a number and as its logarithm
		c.State = Damaged
	}
	return true
}

func lookErofs(d *disk, c *Content) bool {
	const base = 1024
	b := d.at(base, 128)
	if b == nil {
		c.State = Damaged
		return true
	}
	c.UUID, c.Label = uuid(b[48:64]), label(b[64:80])
	bits := b[12]
	if bits < 9 || bits > 16 {
		c.State = Damaged
	} else if summed := d.at(base, 1<<bits-base); le32(b[8:])&1 != 0 && // the feature of having a sum
		(summed == nil || rawCRC32(castagnoli(), ^uint32(0), summed, 4, 0) != le32(b[4:])) {
		c.State = Damaged
	}
	return true
}

// lookExt tells ext2, ext3 and ext4 apart by their features, as libblkid does. The magic number is short, so the fields beside it count.
func lookExt(d *disk, c *Content) bool {
	b := d.at(1024, 1024)
	if b == nil || le32(b[4:]) == 0 || le32(b[24:]) > 6 { // blocks, logarithm of KiB a block
		return false
	}
	compat, incompat, roCompat := le32(b[92:]), le32(b[96:]), le32(b[100:])
	const (
		hasJournal     = 0x4    // compat
		fileType       = 0x2    // incompat
		recover        = 0x4    // incompat
		journalDevice  = 0x8    // incompat
		metaGroups     = 0x10   // incompat
		oldReadOnly    = 0x7    // sparse superblocks, large files, directory trees: what ext3 knows
		metadataChecks = 0x400  // read-only compat
		testing        = 0x0004 // flags
	)
	switch {
	case incompat&journalDevice != 0:
		c.Kind, c.Name = KindOther, "ext journal"
	case le32(b[352:])&testing != 0:
		c.Name = "ext4dev"
	case roCompat&^oldReadOnly != 0 || incompat&^(fileType|recover|metaGroups) != 0:
		c.Name = "ext4"
	case compat&hasJournal != 0:
		c.Name = "ext3"
	case incompat&recover == 0:
		c.Name = "ext2"
	}
	c.UUID, c.Label = uuid(b[104:120]), label(b[120:136])
	if roCompat&metadataChecks != 0 && rawCRC32(castagnoli(), ^uint32(0), b[:1020], 0, 0) != le32(b[1020:]) {
		c.State = Damaged
	}
	return true
}

func lookXFS(d *disk, c *Content) bool {
	b := d.at(0, 512)
	if b == nil {
		c.State = Damaged
		return true
	}
	c.UUID, c.Label = uuid(b[32:48]), label(b[108:120])
	blocks, perGroup, groups := be64(b[8:]), uint64(be32(b[84:])), uint64(be32(b[88:]))
	blockSize, sectorSize, inodeSize := be32(b[4:]), be16(b[102:]), be16(b[104:])
	sane := powerOfTwo(blockSize) && blockSize >= 512 && blockSize <= 64<<10 && blockSize == 1<<b[120] &&
		powerOfTwo(sectorSize) && sectorSize >= 512 && sectorSize == 1<<b[121] &&
		powerOfTwo(inodeSize) && inodeSize >= 256 && inodeSize <= 2048 && inodeSize == 1<<b[122] &&
		groups > 0 && blocks > (groups-1)*perGroup && blocks <= groups*perGroup
	if sane && be16(b[100:])&0xf == 5 {
		summed := d.at(0, int(sectorSize))
		sane = summed != nil && ^rawCRC32(castagnoli(), ^uint32(0), summed, 224, 0) == le32(b[224:])
	}
	if !sane {
		c.State = Damaged
	}
	return true
}

func lookBtrfs(d *disk, c *Content) bool {
	const base = 64 << 10
	b := d.at(base, 4096)
	if b == nil {
		c.State = Damaged
		return true
	}
	c.UUID, c.Label = uuid(b[32:48]), label(b[299:555])
	right := le64(b[48:]) == base && powerOfTwo(le32(b[144:]))
	switch le16(b[196:]) { // the others, xxhash and BLAKE2, are not worth their code here
	case 0:
		right = right && crc32.Checksum(b[32:], castagnoli()) == le32(b)
	case 2:
		right = right && sha256.Sum256(b[32:]) == [32]byte(b[:32])
	}
	if !right {
		c.State = Damaged
	}
	return true
}

func lookF2FS(d *disk, c *Content) bool {
	base := c.Offset
	b := d.at(base, 3072)
	if b == nil {
		c.State = Damaged
		return true
	}
	if base > 1024 {
		c.State = BackupOnly
	}
	if le32(b[4:]) == 1 { // version 1.0 had another superblock
		return true
	}
	c.UUID, c.Label = uuid(b[108:124]), wide(b[124:1148], le16)
	if n := int(le32(b[32:])); n != 0 {
		summed := d.at(base, n+4)
		if n > 3068 || summed == nil || rawCRC32(crc32.IEEETable, 0xf2f52010, summed[:n], 0, 0) != le32(summed[n:]) {
			c.State = Damaged
		}
	}
	return true
}

func lookJFS(d *disk, c *Content) bool {
	b := d.at(32<<10, 184)
	if b == nil || le32(b[16:]) != 1<<le16(b[20:]) { // the block size and its logarithm
		c.State = Damaged
		return true
	}
	c.UUID, c.Label = uuid(b[136:152]), label(b[152:168])
	return true
}

// lookReiserfs: the older versions have neither label nor identifier.
func lookReiserfs(d *disk, c *Content) bool {
	if d.has(c.Offset, "ReIsEr2Fs") || d.has(c.Offset, "ReIsEr3Fs") {
		if b := d.at(c.Offset, 64); b != nil {
			c.UUID, c.Label = uuid(b[32:48]), label(b[48:64])
		}
	}
	return true
}

func lookBcachefs(d *disk, c *Content) bool {
	b := d.at(4096, 128)
	if b == nil {
		return false
	}
	c.UUID, c.Label = uuid(b[56:72]), label(b[72:104])
	if le64(b[104:]) != 8 { // its own place, in sectors
		c.State = Damaged
	}
	return true
}

func lookNilfs2(d *disk, c *Content) bool {
	const base = 1024
	b := d.at(base, 1024)
	if b == nil {
		return false
	}
	size := int(le16(b[8:]))
	if size < 20 || size > len(b) || rawCRC32(crc32.IEEETable, le32(b[12:]), b[:size], 16, 0) != le32(b[16:]) {
		return false // its number is short
	}
	c.UUID, c.Label = uuid(b[152:168]), label(b[168:248])
	return true
}
