package probe

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"
)

// lookMD0 reads version 0.90 of Linux md: in the last whole 64 KiB, in the byte order of the machine that made it.
func lookMD0(d *disk, c *Content) bool {
	const reserved = 64 << 10
	c.Offset = d.size&^(reserved-1) - reserved
	b := d.at(c.Offset, 4096)
	if b == nil || le32(b) != mdMagic && be32(b) != mdMagic {
		return false
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if be32(b) == mdMagic {
		order = binary.BigEndian
	}
	words := []uint32{order.Uint32(b[20:]), order.Uint32(b[52:]), order.Uint32(b[56:]), order.Uint32(b[60:])}
	if order.Uint32(b[8:]) < 90 { // of the identifier, the older ones have the first word only
		words[1], words[2], words[3] = 0, 0, 0
	}
	var id []byte
	for _, w := range words {
		id = binary.BigEndian.AppendUint32(id, w)
	}
	c.UUID = uuid(id)
	// size is what the array uses, in KiB; it must fit before the superblock.
	if size := int64(order.Uint32(b[32:])) << 10; order.Uint32(b[4:]) != 0 || size > c.Offset {
		c.State = Damaged
	}
	return true
}

const mdMagic = 0xa92b4efc

// lookMD1 reads version 1 of Linux md at the place that belongs to a device's size: 1.0 behind the data, 1.1 at the start, 1.2 at 4 KiB.
func lookMD1(place func(size int64) int64) func(*disk, *Content) bool {
	return func(d *disk, c *Content) bool {
		c.Offset = place(d.size)
		b := d.at(c.Offset, 256)
		if b == nil || le32(b) != mdMagic {
			return false
		}
		c.UUID, c.Label = uuid(b[16:32]), label(b[32:64])
		if le32(b[4:]) != 1 || int64(le64(b[144:])) != c.Offset>>9 || !mdSumRight(d.at(c.Offset, 256+2*int(min(le32(b[220:]), 4096)))) {
			c.State = Damaged
		}
		return true
	}
}

// mdSumRight checks the sum over a version 1 superblock and the roles behind it: 32-bit words, carries folded in once.
func mdSumRight(b []byte) bool {
	if b == nil {
		return false
	}
	var sum uint64
	for i := 0; i+4 <= len(b); i += 4 {
		if i != 216 {
			sum += uint64(le32(b[i:]))
		}
	}
	if len(b)%4 == 2 {
		sum += uint64(le16(b[len(b)-2:]))
	}
	return uint32(sum>>32+sum&0xffffffff) == le32(b[216:])
}

// lookLVM2 finds the label in one of the first four 512-byte sectors, whatever the sectors of the device are.
func lookLVM2(d *disk, c *Content) bool {
	for sector := range int64(4) {
		b := d.at(512*sector, 512)
		if b == nil || string(b[:8]) != "LABELONE" || string(b[24:32]) != "LVM2 001" {
			continue
		}
		c.Offset, c.UUID = 512*sector, lvmID(string(b[32:64]))
		if int64(le64(b[8:])) != sector || rawCRC32(crc32.IEEETable, 0xf597a6cf, b[20:], 0, 0) != le32(b[16:]) {
			c.State = Damaged
		}
		return true
	}
	return false
}

// lvmID writes LVM's 32 characters in its groups.
func lvmID(s string) string {
	return s[:6] + "-" + s[6:10] + "-" + s[10:14] + "-" + s[14:18] + "-" + s[18:22] + "-" + s[22:26] + "-" + s[26:]
}

func lookBcache(d *disk, c *Content) bool {
	const base = 4096
	b := d.at(base, 208)
	if b == nil {
		return false
	}
	c.UUID, c.Label = uuid(b[40:56]), label(b[72:104])
	sum := d.at(base, 208+8*int(le16(b[206:])))
	if le64(b[8:]) != base/512 || sum == nil || crc64(sum[8:]) != le64(b) {
		c.State = Damaged
	}
	return true
}

// crc64 is ECMA-182's CRC, most significant bit first and inverted before and behind, as bcache has it; hash/crc64
// has the other order only.
func crc64(b []byte) uint64 {
	crc := ^uint64(0)
	for _, c := range b {
		crc ^= uint64(c) << 56
		for range 8 {
			top := crc >> 63
			crc = crc<<1 ^ top*0x42f0e1eba9ea3693
		}
	}
	return ^crc
}

// lookDRBD reads internal metadata of versions 8.4 (clean or not) and 9.
func lookDRBD(d *disk, c *Content) bool {
	base := d.size&^4095 - 4096
	b := d.at(base, 4096)
	if b == nil {
		return false
	}
	c.Offset = base + 60
	id := 40
	switch be32(b[60:]) {
	case 0x8374026b, 0x8374026c:
	case 0x8374026d:
		id = 48
	default:
		return false
	}
	c.UUID = strconv.FormatUint(be64(b[id:]), 16)
	if be32(b[80:]) != 4096 { // bytes for a bit of the bitmap
		c.State = Damaged
	}
	return true
}

func lookVMFSVolume(d *disk, c *Content) bool {
	if b := d.at(1<<20+512+20, 35); b != nil {
		c.UUID = label(b)
	}
	return true
}

func lookVMFS(d *disk, c *Content) bool {
	b := d.at(2<<20, 157)
	if b == nil {
		return false
	}
	id := b[9:25]
	c.UUID = uuid([]byte{id[3], id[2], id[1], id[0], id[7], id[6], id[5], id[4], id[9], id[8], id[10], id[11], id[12], id[13], id[14], id[15]})
	// VMware breaks the digits differently from everyone else.
	if c.UUID != "" {
		c.UUID = c.UUID[:8] + "-" + c.UUID[9:13] + c.UUID[14:18] + "-" + c.UUID[19:]
	}
	c.Label = label(b[29:157])
	return true
}

func lookStratis(d *disk, c *Content) bool {
	base := c.Offset - 4
	b := d.at(base, 512)
	if b == nil {
		return false
	}
	id := string(b[64:96]) // of the device; the pool's is before it
	c.UUID = id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	if crc32.Checksum(b[4:], castagnoli()) != le32(b) {
		c.State = Damaged
	}
	return true
}
