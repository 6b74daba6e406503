package probe

// lookLUKS reads the header of LUKS1 or LUKS2, or LUKS2's second one when the first is gone.
func lookLUKS(d *disk, c *Content) bool {
	if b := d.at(0, 512); b != nil && string(b[:6]) == "LUKS\xba\xbe" {
		luks(b, c)
		return true
	}
	for at := int64(16 << 10); at <= 4<<20; at *= 2 {
		if b := d.at(at, 512); b != nil && string(b[:6]) == "SKUL\xba\xbe" {
			c.Offset = at
			luks(b, c)
			if c.State == Intact {
				c.State = BackupOnly
			}
			return true
		}
	}
	return false
}

// luks reads what both versions have in the same place.
func luks(b []byte, c *Content) {
	c.UUID = label(b[168:208])
	switch be16(b[6:]) {
	case 1:
		c.Name = "LUKS1"
	case 2:
		c.Name, c.Label = "LUKS2", label(b[24:72])
		if int64(be64(b[256:])) != c.Offset {
			c.State = Damaged
		}
	default:
		c.State = Damaged
	}
}

// lookBitLocker follows the header to the metadata. A stick's header is that of FAT32, which others write too.
func lookBitLocker(d *disk, c *Content) bool {
	b := d.at(0, 512)
	if b == nil {
		return false
	}
	at := int64(0)
	switch {
	case b[1] == 0x52: // Vista's says no more
		return true
	case string(b[3:11]) == "-FVE-FS-":
		at = int64(le64(b[176:]))
	default:
		at = int64(le64(b[440:]))
	}
	meta := d.at(at, 112)
	if at == 0 || meta == nil || string(meta[:8]) != "-FVE-FS-" {
		c.State = Damaged
		return string(b[3:11]) == "-FVE-FS-"
	}
	c.UUID = guid(meta[80:96])
	entries := d.at(at+64, int(min(le32(meta[64:]), maxRead)))
	for off := 48; off+8 < len(entries); {
		size := int(le16(entries[off:]))
		if size < 8 || off+size > len(entries) {
			break
		}
		if le16(entries[off+2:]) == 7 && le16(entries[off+4:]) == 2 { // a description, a string
			c.Label = wide(entries[off+8:off+size], le16)
			break
		}
		off += size
	}
	return true
}

// lookCoreStorage reads Apple's physical volume header; its number is short, so the sum has to be right.
func lookCoreStorage(d *disk, c *Content) bool {
	b := d.at(0, 512)
	if b == nil || le16(b[8:]) != 1 || rawCRC32(castagnoli(), le32(b[4:]), b[8:], 0, 0) != le32(b) {
		return false
	}
	c.UUID = uuid(b[304:320])
	return true
}
