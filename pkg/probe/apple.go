package probe

import "crypto/md5"

// lookAPFS checks Fletcher's sum over the container's superblock.
func lookAPFS(d *disk, c *Content) bool {
	b := d.at(0, 4096)
	if b == nil {
		c.State = Damaged
		return true
	}
	c.UUID = uuid(b[72:88])
	var low, high uint64
	for i := 8; i < len(b); i += 4 {
		low += uint64(le32(b[i:]))
		high += low
	}
	const modulus = 1<<32 - 1
	first := modulus - (low+high)%modulus
	second := modulus - (low+first)%modulus
	if second<<32|first != le64(b) {
		c.State = Damaged
	}
	return true
}

func lookHFSPlus(d *disk, c *Content) bool {
	c.State = Damaged
	hfsPlus(d, 0, c)
	return true
}

// lookHFS reads HFS, or the HFS+ that one was wrapped into it. The number is short, so the size of a block has to be right.
func lookHFS(d *disk, c *Content) bool {
	b := d.at(1024, 162)
	if b == nil {
		return false
	}
	block := int64(be32(b[20:]))
	if block == 0 || block%512 != 0 {
		return false
	}
	if embedded := string(b[124:126]); embedded == "H+" || embedded == "HX" {
		c.Name, c.State = "hfsplus", Damaged
		hfsPlus(d, 512*int64(be16(b[28:]))+block*int64(be16(b[126:])), c)
		return true
	}
	c.UUID, c.Label = finderID(b[116:124]), label(b[37:37+min(int(b[36]), 27)])
	return true
}

// hfsPlus reads the volume header at 1024 bytes from base, and the name of the root folder: the first key of the catalogue's leaves.
func hfsPlus(d *disk, base int64, c *Content) {
	b := d.at(base+1024, 512)
	if b == nil {
		return
	}
	block := be32(b[40:])
	if !powerOfTwo(block) || block < 512 {
		return
	}
	c.State, c.UUID = Intact, finderID(b[104:112])
	extents := b[288:352] // of the catalogue: eight times a start and a length, in blocks
	header := d.at(base+int64(be32(extents))*int64(block), 512)
	if header == nil {
		return
	}
	leaf, nodeSize := int64(be32(header[24:])), int64(be16(header[32:]))
	at := leaf * nodeSize
	for ; len(extents) > 0; extents = extents[8:] {
		start, length := int64(be32(extents))*int64(block), int64(be32(extents[4:]))*int64(block)
		if at >= length {
			at -= length
			continue
		}
		node := d.at(base+start+at, 22+2*255)
		if node == nil || node[8] != 0xff || be16(node[10:]) == 0 || be32(node[16:]) != 1 { // a leaf, with records, the root's parent
			return
		}
		c.Label = wide(node[22:22+2*min(int(be16(node[20:])), 255)], be16)
		return
	}
}

// finderID makes a UUID from the Finder's 64 bits in the volume header, as Apple's tools do: version 3 in a name space of theirs.
func finderID(b []byte) string {
	if zero(b) {
		return ""
	}
	sum := md5.Sum(append([]byte("\xb3\xe2\x0f\x39\xf2\x92\x11\xd6\x97\xa4\x00\x30\x65\x43\xec\xac"), b...))
	sum[6], sum[8] = 0x30|sum[6]&0x0f, 0x80|sum[8]&0x3f
	return uuid(sum[:])
}
