package ext4

// The resize inode holds the blocks that are reserved for group descriptors, so that nothing else takes them, as a file with holes: its
// block of the second level (resizeMap) points to those behind the descriptors of group 0, each of which, taken as a block of the first
// level, points to the blocks in its place behind the copies.

// pointerSize is the length of a block number in such blocks, in bytes.
const pointerSize = 4

// doubleAt is where the inode has the block of the second level, in its content, in bytes.
const doubleAt = 13 * pointerSize

func (f *formatter) resizeInode() inode {
	l := f.layout
	perBlock := l.blockSize / pointerSize
	size := (perBlock*perBlock + perBlock + 12) * l.blockSize
	i := f.inode(modeFile|0o600, 1, size, 1+l.reserved*uint64(len(l.copies())))
	copy(i.Content[doubleAt:], le32(uint32(l.resizeMap)))
	return i
}

// writeReserved writes the second level, and the first.
func (f *formatter) writeReserved() {
	l := f.layout
	double := make([]byte, l.blockSize)
	copies := l.copies()
	for n := range l.reserved {
		block := l.firstBlock + 1 + l.descriptors + n
		// Descriptors count as the blocks in front of these, and those that do not fit begin again.
		at := (l.descriptors + n) % (l.blockSize / pointerSize) * pointerSize
		copy(double[at:], le32(uint32(block)))
		single := make([]byte, 0, l.blockSize)
		for _, group := range copies[1:] {
			single = append(single, le32(uint32(block+group*l.perGroup))...)
		}
		f.writeBlocks(single, block)
	}
	f.writeBlocks(double, l.resizeMap)
}
