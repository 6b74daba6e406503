package xfs

// treeHeader begins every block of a group's trees (xfs_btree_block, its short form with a checksum). The rest is records.
type treeHeader struct {
	Magic   [4]byte  // 0
	Level   uint16   // 4: 0 for leaves
	Records uint16   // 6
	Left    uint32   // 8: neighbour, or none
	Right   uint32   // 12: neighbour, or none
	Sector  uint64   // 16: where it lies on the device, in 512 bytes
	LSN     uint64   // 24
	UUID    [16]byte // 32
	Group   uint32   // 48
	CRC     uint32   // 52: of the block, little-endian
}

const treeHeaderCRC = 52

// inodeRecord is a record of both trees of inodes (xfs_inobt_rec, with sparse inodes): a chunk of 64.
type inodeRecord struct {
	First     uint32 // 0: inode
	Holes     uint16 // 4: a bit for four inodes that have no space
	Count     uint8  // 6: inodes that have space
	FreeCount uint8  // 7
	Free      uint64 // 8: a bit for each
}

// root is a tree of one block. records is a slice of extent or of inodeRecord.
type root struct {
	magic   string
	count   int
	records any
}

// roots returns the five trees of a group, in their order on the disk.
func (g geometry) roots(group uint32) [treeCount]root {
	free := g.free(group)
	var inodes []inodeRecord
	if group == 0 {
		inodes = []inodeRecord{{
			First: uint32(g.inode(0)), Count: chunk, FreeCount: chunk - usedInodes, Free: ^uint64(1<<usedInodes - 1),
		}}
	}
	return [treeCount]root{
		byPlace:       {"AB3B", len(free), free},
		byLength:      {"AB3C", len(free), free},
		inodeTree:     {"IAB3", len(inodes), inodes},
		freeInodeTree: {"FIB3", len(inodes), inodes},
		sharedTree:    {"R3FC", 0, []extent{}},
	}
}

// encode returns the block, which lies at offset bytes on the device.
func (r root) encode(offset int64, group uint32, uuid [16]byte) []byte {
	b := encode(nil, treeHeader{
		Magic: [4]byte([]byte(r.magic)), Records: uint16(r.count), Left: none, Right: none,
		Sector: uint64(offset) / 512, UUID: uuid, Group: group,
	})
	b = encode(b, r.records)
	return seal(pad(b, blockSize), treeHeaderCRC)
}
