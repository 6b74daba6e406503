package xfs

// freeSpace is a group's AGF (xfs_agf), in its second sector.
type freeSpace struct {
	Magic         [4]byte    // 0: "XAGF"
	Version       uint32     // 4: 1
	Group         uint32     // 8
	Length        uint32     // 12: blocks
	ByPlace       uint32     // 16: root
	ByLength      uint32     // 20: root
	ReverseMap    uint32     // 24: root
	ByPlaceLevel  uint32     // 28: height of the tree, as the following
	ByLengthLevel uint32     // 32
	ReverseLevel  uint32     // 36
	FirstSpare    uint32     // 40: index into the AGFL, a ring
	LastSpare     uint32     // 44: index into the AGFL
	Spares        uint32     // 48: blocks in the AGFL
	FreeBlocks    uint32     // 52: in the extents of the trees
	Longest       uint32     // 56: blocks of the longest free extent
	TreeBlocks    uint32     // 60: of both trees, but for their roots
	UUID          [16]byte   // 64
	ReverseBlocks uint32     // 80
	SharedBlocks  uint32     // 84: of the tree of shared extents
	Shared        uint32     // 88: root
	SharedLevel   uint32     // 92
	Spare         [14]uint64 // 96
	LSN           uint64     // 208
	CRC           uint32     // 216: of the sector, little-endian
	Spare2        uint32     // 220
}

const freeSpaceCRC = 216

// inodeIndex is a group's AGI (xfs_agi), in its third sector.
type inodeIndex struct {
	Magic      [4]byte    // 0: "XAGI"
	Version    uint32     // 4: 1
	Group      uint32     // 8
	Length     uint32     // 12: blocks
	Inodes     uint32     // 16: allocated
	Tree       uint32     // 20: root
	Level      uint32     // 24: height of the tree
	FreeInodes uint32     // 28
	Newest     uint32     // 32: first inode of the chunk allocated last, or none
	Folder     uint32     // 36: unused, none
	Unlinked   [64]uint32 // 40: lists of inodes that are open but have no name, each none
	UUID       [16]byte   // 296
	CRC        uint32     // 312: of the sector, little-endian
	Pad        uint32     // 316
	LSN        uint64     // 320
	FreeTree   uint32     // 328: root
	FreeLevel  uint32     // 332
	TreeBlocks uint32     // 336: of the tree, its root too
	FreeBlocks uint32     // 340: of the tree of chunks with free inodes
}

const inodeIndexCRC = 312

// none stands for no inode, no neighbour, no block.
const none = 0xffffffff

// spareHeader begins a group's AGFL (xfs_agfl), in its fourth sector. The rest of the sector is a ring of block numbers.
type spareHeader struct {
	Magic [4]byte  // 0: "XAFL"
	Group uint32   // 4
	UUID  [16]byte // 8
	LSN   uint64   // 24
	CRC   uint32   // 32: of the sector, little-endian
}

const spareHeaderCRC = 32

// firstSpare is where the blocks begin in the ring. mkfs.xfs leaves the first place empty, so this does.
const firstSpare = 1

// spares returns the AGFL.
func (g geometry) spares(group uint32, uuid [16]byte) []byte {
	h := spareHeader{Magic: [4]byte([]byte("XAFL")), Group: group, UUID: uuid}
	b := encode(nil, h)
	for i := uint32(0); len(b) < g.sectorSize; i++ {
		block := uint32(none)
		if i >= firstSpare && i < firstSpare+reserved {
			block = g.spare(group) + i - firstSpare
		}
		b = encode(b, block)
	}
	return seal(b, spareHeaderCRC)
}

func (g geometry) freeSpace(group uint32, uuid [16]byte) freeSpace {
	f := freeSpace{
		Magic: [4]byte([]byte("XAGF")), Version: 1, Group: group, Length: g.length(group), UUID: uuid,
		ByPlace: g.trees + byPlace, ByLength: g.trees + byLength, Shared: g.trees + sharedTree,
		ByPlaceLevel: 1, ByLengthLevel: 1, SharedLevel: 1, SharedBlocks: 1,
		FirstSpare: firstSpare, LastSpare: firstSpare + reserved - 1, Spares: reserved,
	}
	for _, e := range g.free(group) {
		f.FreeBlocks += e.Count
		f.Longest = max(f.Longest, e.Count)
	}
	return f
}

func (g geometry) inodeIndex(group uint32, uuid [16]byte) inodeIndex {
	i := inodeIndex{
		Magic: [4]byte([]byte("XAGI")), Version: 1, Group: group, Length: g.length(group), UUID: uuid,
		Tree: g.trees + inodeTree, Level: 1, TreeBlocks: 1, FreeTree: g.trees + freeInodeTree, FreeLevel: 1, FreeBlocks: 1,
		Newest: none, Folder: none,
	}
	for n := range i.Unlinked {
		i.Unlinked[n] = none
	}
	if group == 0 {
		i.Inodes, i.FreeInodes, i.Newest = chunk, chunk-usedInodes, uint32(g.inode(0))
	}
	return i
}

// head returns all blocks of a group up to the trees' end; of group 0, up to the end of the first inodes.
func (g geometry) head(group uint32, o Options, super []byte) []byte {
	blocks := g.trees + treeCount
	if group == 0 {
		blocks = g.inodes + chunkAlign
	}
	b := make([]byte, int(blocks)<<blockLog)
	copy(b, super)
	copy(b[1*g.sectorSize:], seal(g.sector(g.freeSpace(group, o.UUID)), freeSpaceCRC))
	copy(b[2*g.sectorSize:], seal(g.sector(g.inodeIndex(group, o.UUID)), inodeIndexCRC))
	copy(b[3*g.sectorSize:], g.spares(group, o.UUID))
	for n, t := range g.roots(group) {
		block := g.trees + uint32(n)
		copy(b[int(block)<<blockLog:], t.encode(g.offset(group, block), group, o.UUID))
	}
	if group == 0 {
		copy(b[int(g.inodes)<<blockLog:], g.inodeChunk(o))
	}
	return b
}
