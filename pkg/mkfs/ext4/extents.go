package ext4

// extentHeader begins each node of the tree of a file's extents (ext4_extent_header): the content of its inode, and the blocks
// below.
type extentHeader struct {
	Magic      uint16 // 0: 0xf30a
	Entries    uint16 // 2
	Max        uint16 // 4: entries that there is room for
	Depth      uint16 // 6: 0 for leaves
	Generation uint32 // 8
}

// fileExtent is an entry of a leaf (ext4_extent).
type fileExtent struct {
	Block     uint32 // 0: in the file
	Count     uint16 // 4: blocks
	StartHigh uint16 // 6: block on the device
	StartLow  uint32 // 8
}

// fileIndex is an entry of an inner node (ext4_extent_idx).
type fileIndex struct {
	Block    uint32 // 0: in the file
	LeafLow  uint32 // 4: block on the device
	LeafHigh uint16 // 8
	Pad      uint16 // 10
}

const (
	extentMagic = 0xf30a
	nodeEntry   = 12 // bytes of a header, and of an entry
)

// leaf returns a node that holds the extents, which follow each other in the file.
func leaf(extents []extent, room uint16) []byte {
	b := encode(extentHeader{Magic: extentMagic, Entries: uint16(len(extents)), Max: room})
	block := uint64(0)
	for _, e := range extents {
		b = append(b, encode(fileExtent{
			Block: uint32(block), Count: uint16(e.count), StartHigh: uint16(e.start >> 32), StartLow: uint32(e.start),
		})...)
		block += e.count
	}
	return b
}

// setExtents puts up to inInode extents into the inode.
func (i *inode) setExtents(extents []extent) {
	i.Flags |= flagExtents
	copy(i.Content[:], leaf(extents, inInode))
}

// setIndex makes a block with a leaf the content of the inode.
func (i *inode) setIndex(block uint64) {
	i.Flags |= flagExtents
	b := encode(extentHeader{Magic: extentMagic, Entries: 1, Max: inInode, Depth: 1})
	copy(i.Content[:], append(b, encode(fileIndex{LeafLow: uint32(block), LeafHigh: uint16(block >> 32)})...))
}

// leafBlock is a leaf in a block of its own. Its checksum stands behind the room for entries.
func (f *formatter) leafBlock(number uint32, extents []extent) []byte {
	room := (f.layout.blockSize - nodeEntry) / nodeEntry
	b := leaf(extents, uint16(room))
	b = append(b, make([]byte, f.layout.blockSize-uint64(len(b)))...)
	at := nodeEntry * (1 + room)
	copy(b[at:], le32(f.inodeChecksum(number, b[:at])))
	return b
}
