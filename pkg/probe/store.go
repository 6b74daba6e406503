package probe

func lookVerity(d *disk, c *Content) bool {
	if b := d.at(0, 32); b != nil {
		c.UUID = uuid(b[16:32])
	}
	return true
}

func lookVDO(d *disk, c *Content) bool {
	if b := d.at(0, 56); b != nil {
		c.UUID = uuid(b[40:56])
	}
	return true
}

// lookSwap reads the header of a swap area, which a hibernated system leaves as it is.
func lookSwap(d *disk, c *Content) bool {
	b := d.at(1024, 512)
	if b == nil || d.has(c.Offset, "SWAP-SPACE") { // the old form has neither
		return true
	}
	c.UUID, c.Label = uuid(b[12:28]), label(b[28:44])
	if le32(b) != 1 && be32(b) != 1 || le32(b[4:]) == 0 {
		c.State = Damaged
	}
	return true
}

// lookXFSLog looks for a record of an xfs log on a device of its own, in some sector of the first 256 KiB. A file
// system's own log is elsewhere.
func lookXFSLog(d *disk, c *Content) bool {
	if d.has(0, "XFSB") {
		return false
	}
	for c.Offset = 0; c.Offset < 256<<10; c.Offset += 512 {
		b := d.at(c.Offset, 320)
		if b == nil {
			return false
		}
		version, format := be32(b[8:]), be32(b[300:])
		if be32(b) == 0xfeedbabe && version >= 1 && version <= 3 && format >= 1 && format <= 3 {
			return true
		}
	}
	return false
}
