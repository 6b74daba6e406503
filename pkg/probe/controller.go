package probe

import "hash/crc32"

// last looks for a text within one of the last 512-byte sectors, counted from the end.
func last(sectors int64, text string, within int64) func(*disk, *Content) bool {
	return func(d *disk, c *Content) bool {
		c.Offset = (d.size/512-sectors)*512 + within
		return d.has(c.Offset, text)
	}
}

// lookIMSM reads Intel's metadata: its anchor is in the last sector but one, of the disk's own sectors.
func lookIMSM(d *disk, c *Content) bool {
	c.Offset = (d.size/d.sectorSize - 2) * d.sectorSize
	return d.has(c.Offset, "Intel Raid ISM Cfg Sig. ")
}

// lookDDF reads the anchor header of DDF: the last sector, or the 257th before the end as some controllers have it.
func lookDDF(d *disk, c *Content) bool {
	for _, sectors := range []int64{1, 257} {
		c.Offset = (d.size/512 - sectors) * 512
		b := d.at(c.Offset, 512)
		if b == nil || be32(b) != 0xde11de11 {
			continue
		}
		c.UUID = label(b[8:32])
		if rawCRC32(crc32.IEEETable, 0, b, 4, 0xff) != be32(b[4:]) {
			c.State = Damaged
		}
		return true
	}
	return false
}

// lookVIA reads VIA's: its number is short, so the version and the sum have to be right.
func lookVIA(d *disk, c *Content) bool {
	c.Offset = (d.size/512 - 1) * 512
	b := d.at(c.Offset, 51)
	if b == nil || le16(b) != 0xaa55 || b[2] > 2 {
		return false
	}
	var sum byte
	for _, v := range b[:50] {
		sum += v
	}
	return sum == b[50]
}

// lookSilicon reads Silicon Image's: most of its number is zero, so the sum has to be right.
func lookSilicon(d *disk, c *Content) bool {
	base := (d.size/512 - 1) * 512
	c.Offset = base + 0x60
	b := d.at(base, 512)
	return b != nil && le32(b[0x60:]) == 0x2f000000 && b[0x116] < 8 && -sum16(b[:0x13e]) == le16(b[0x13e:])
}

// lookJMicron reads JMicron's: its number is short, so the mode and the sum have to be right.
func lookJMicron(d *disk, c *Content) bool {
	c.Offset = (d.size/512 - 1) * 512
	b := d.at(c.Offset, 128)
	return b != nil && string(b[:2]) == "JM" && b[0x30] <= 5 && sum16(b) <= 1
}

// sum16 adds little-endian words of 16 bits.
func sum16(b []byte) uint16 {
	var sum uint16
	for i := 0; i+2 <= len(b); i += 2 {
		sum += le16(b[i:])
	}
	return sum
}

// lookPromise tries the places that Promise's controllers have used, in sectors from the end.
func lookPromise(d *disk, c *Content) bool {
	for _, sectors := range []int64{63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087} {
		if last(sectors, "Promise Technology, Inc.", 0)(d, c) {
			return true
		}
	}
	return false
}
