package probe

import (
	"fmt"
	"strings"
)

// A fatVolume is what the boot sector of a FAT file system says of its places, in bytes.
type fatVolume struct {
	fat, root, data int64 // the first table, the root folder, the first cluster; FAT32 has its root folder among the clusters
	rootSize        int
	cluster         int64
	is32            bool
}

// lookFAT reads a boot sector. The text that names the file system counts as its magic number; without it, as old floppies and
// cameras have it, the jump, the 55AA and every field have to be right.
func lookFAT(d *disk, c *Content) bool {
	b := d.at(0, 512)
	if b == nil || string(b[3:11]) == "-FVE-FS-" {
		return false
	}
	named := strings.HasPrefix(string(b[82:]), "MSWIN") || string(b[82:90]) == "FAT32   " || strings.HasPrefix(string(b[54:]), "MSDOS") ||
		string(b[54:62]) == "FAT16   " || string(b[54:62]) == "FAT12   " || string(b[54:62]) == "FAT     "
	bootSector := b[510] == 0x55 && b[511] == 0xaa
	// OS/2 puts the like of a FAT boot sector before its own file systems.
	other := string(b[54:62]) == "JFS     " || string(b[54:62]) == "HPFS    "
	v, ok := fatGeometry(b)
	switch {
	case ok && !other && (named || bootSector && (b[0] == 0xeb || b[0] == 0xe9)):
	case named && !zero(b[11:36]):
		c.State = Damaged
		return true
	default:
		return false
	}
	tail := b[36:] // FAT32 has 28 bytes more before what both have
	if v.is32 {
		tail = b[64:]
	}
	if v.is32 || tail[2] == 0x28 || tail[2] == 0x29 {
		c.UUID = serial(tail[3:7])
	}
	c.Label = fatLabel(d, v)
	return true
}

// fatGeometry checks the fields of a boot sector against each other.
func fatGeometry(b []byte) (fatVolume, bool) {
	sector, perCluster, reserved, fats := le16(b[11:]), int64(b[13]), int64(le16(b[14:])), int64(b[16])
	rootEntries, media, perFAT, total := int64(le16(b[17:])), b[21], int64(le16(b[22:])), int64(le16(b[19:]))
	is32 := perFAT == 0
	if is32 {
		perFAT = int64(le32(b[36:]))
	}
	if total == 0 {
		total = int64(le32(b[32:]))
	}
	if !powerOfTwo(sector) || sector < 512 || sector > 4096 || !powerOfTwo(perCluster) || reserved == 0 || fats == 0 || perFAT == 0 ||
		media < 0xf8 && media != 0xf0 {
		return fatVolume{}, false
	}
	rootSectors := (32*rootEntries + int64(sector) - 1) / int64(sector)
	clusters := (total - reserved - fats*perFAT - rootSectors) / perCluster
	if limit := map[bool]int64{false: 0xfff4, true: 0xffffff6}[is32]; clusters <= 0 || clusters > limit {
		return fatVolume{}, false
	}
	v := fatVolume{fat: reserved * int64(sector), cluster: perCluster * int64(sector), is32: is32}
	v.root = v.fat + fats*perFAT*int64(sector)
	v.data, v.rootSize = v.root+rootSectors*int64(sector), int(32*rootEntries)
	if is32 {
		v.root, v.rootSize = v.place(int64(le32(b[44:]))), int(v.cluster)
	}
	return v, true
}

// place is where a cluster lies, in bytes.
func (v fatVolume) place(cluster int64) int64 { return v.data + (cluster-2)*v.cluster }

// fatLabel looks for the label in the root folder, in the first 100 clusters of it. The one in the boot sector is what DOS once
// wrote, and nobody changes it.
func fatLabel(d *disk, v fatVolume) string {
	at, size := v.root, v.rootSize
	for range 100 {
		b := d.at(at, size)
		for ; len(b) >= 32 && b[0] != 0; b = b[32:] {
			attributes := b[11] & 0x3f
			if b[0] == 0xe5 || le16(b[20:]) != 0 || le16(b[26:]) != 0 || attributes == 0x0f || attributes&0x18 != 0x08 {
				continue // removed, a file's, a long name's, not a label
			}
			name := append([]byte(nil), b[:11]...)
			if name[0] == 0x05 { // stands for E5, which marks what is removed
				name[0] = 0xe5
			}
			return label(name)
		}
		if len(b) > 0 || !v.is32 {
			return ""
		}
		next := d.at(v.fat+4*((at-v.data)/v.cluster+2), 4)
		if next == nil || le32(next)&0xfffffff < 2 {
			return ""
		}
		at = v.place(int64(le32(next) & 0xfffffff))
	}
	return ""
}

func lookExFAT(d *disk, c *Content) bool {
	b := d.at(0, 512)
	if b == nil {
		return false
	}
	c.UUID = serial(b[100:104])
	shift, clusterShift := b[108], b[109]
	if shift < 9 || shift > 12 || clusterShift > 25-shift || b[110] < 1 || b[110] > 2 || !exFATSumRight(d.at(0, 12<<shift), 1<<shift) {
		c.State = Damaged
		return true
	}
	fat, heap := int64(le32(b[80:]))<<shift, int64(le32(b[88:]))<<shift
	cluster := int64(1) << (shift + clusterShift)
	for range 100 {
		n := int64(le32(b[96:]))
		folder := d.at(heap+(n-2)*cluster, int(min(cluster, 64<<10)))
		for ; len(folder) >= 32 && folder[0] != 0; folder = folder[32:] {
			if folder[0] == 0x83 {
				c.Label = wide(folder[2:2+2*min(int(folder[1]), 11)], le16)
				return true
			}
		}
		next := d.at(fat+4*n, 4)
		if len(folder) > 0 || next == nil || le32(next) < 2 || le32(next) > 0xfffffff6 {
			break
		}
		b = append(append([]byte(nil), b[:96]...), next...)
	}
	return true
}

// exFATSumRight checks the sum over the eleven boot sectors, which fills the twelfth; what changes with use is left out of it.
func exFATSumRight(b []byte, sector int) bool {
	if b == nil {
		return false
	}
	var sum uint32
	for i, v := range b[:11*sector] {
		if i != 106 && i != 107 && i != 112 {
			sum = sum<<31 | sum>>1 + uint32(v)
		}
	}
	return le32(b[11*sector:]) == sum
}

// lookNTFS follows the boot sector to the master file table, whose fourth record is $Volume.
func lookNTFS(d *disk, c *Content) bool {
	b := d.at(0, 512)
	if b == nil {
		return false
	}
	c.UUID = fmt.Sprintf("%016X", le64(b[72:]))
	sector, cluster := int64(le16(b[11:])), int64(b[13])
	if cluster > 128 { // a negative logarithm
		cluster = 1 << (256 - cluster)
	}
	cluster *= sector
	record := int64(int8(b[64])) * cluster
	if record < 0 {
		record = 1 << -int8(b[64])
	}
	if !powerOfTwo(sector) || !powerOfTwo(cluster) || cluster > 2<<20 || record < 256 || record > 64<<10 || zero(b[40:48]) {
		c.State = Damaged
		return true
	}
	table := int64(le64(b[48:])) * cluster
	first, volume := d.at(table, int(record)), d.at(table+3*record, int(record))
	if first == nil || volume == nil || string(first[:4]) != "FILE" || string(volume[:4]) != "FILE" {
		c.State = Damaged
		return true
	}
	for off := int(le16(volume[20:])); off+24 <= len(volume); {
		attribute := volume[off:]
		size, start, n := int64(le32(attribute[4:])), int64(le16(attribute[20:])), int64(le32(attribute[16:]))
		if le32(attribute) == 0x60 && start+n <= int64(len(attribute)) { // $VOLUME_NAME
			c.Label = wide(attribute[start:start+n], le16)
		}
		if size < 24 || size > int64(len(attribute)) {
			break
		}
		off += int(size)
	}
	return true
}
