package probe

import "strconv"

// A vdev has four labels of 256 KiB, two at each end, and the end is where the last whole label ends.
const zfsLabel = 256 << 10

// lookZFS reads the list of names and values in one of the four labels; where all lists are gone, an uberblock tells.
func lookZFS(d *disk, c *Content) bool {
	end := d.size - d.size%zfsLabel
	labels := []int64{0, zfsLabel, end - 2*zfsLabel, end - zfsLabel}
	for i, at := range labels {
		c.Offset = at + 16<<10
		if b := d.at(c.Offset, 112<<10); zfsList(b, c) {
			if i >= 2 {
				c.State = BackupOnly
			}
			return true
		}
	}
	c.State = Damaged
	for _, at := range labels {
		for slot := range int64(128) {
			c.Offset = at + 128<<10 + slot<<10
			if d.has(c.Offset, "\x0c\xb1\xba\x00\x00\x00\x00\x00") || d.has(c.Offset, "\x00\x00\x00\x00\x00\xba\xb1\x0c") {
				return true
			}
		}
	}
	return false
}

// zfsList reads the outermost pairs of a list in XDR (RFC 4506): the pool's name and identifier; a spare has but its own.
func zfsList(b []byte, c *Content) bool {
	const header = 12 // encoding, byte order, two reserved bytes, version, flags
	if len(b) < header || b[0] != 1 || b[1] > 1 {
		return false
	}
	var own, pool string
	for b = b[header:]; len(b) >= 12; {
		size, nameLen := int64(be32(b)), int64(be32(b[8:]))
		value := 12 + (nameLen+3)&^3 // type, count, then what there is
		if size == 0 || size > int64(len(b)) || value+12 > size {
			break
		}
		pair, name := b[value:size], string(b[12:12+nameLen])
		number := ""
		if be32(pair) == 8 && len(pair) >= 16 { // DATA_TYPE_UINT64
			number = strconv.FormatUint(be64(pair[8:]), 10)
		}
		switch name {
		case "name":
			if n := int64(be32(pair[8:])); be32(pair) == 9 && n <= int64(len(pair))-12 { // DATA_TYPE_STRING
				c.Label = label(pair[12 : 12+n])
			}
		case "guid":
			own = number
		case "pool_guid":
			pool = number
		}
		b = b[size:]
	}
	c.UUID = pool
	return own != "" || pool != ""
}
