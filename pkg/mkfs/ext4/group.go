package ext4

// descriptor describes a group (ext4_group_desc).
type descriptor struct {
	BlockBitmapLow    uint32 // 0: block
	InodeBitmapLow    uint32 // 4: block
	TableLow          uint32 // 8: first block of the inode table
	FreeBlocksLow     uint16 // 12
	FreeInodesLow     uint16 // 14
	FoldersLow        uint16 // 16
	Flags             uint16 // 18
	ExcludeLow        uint32 // 20
	BlockChecksumLow  uint16 // 24: of the block bitmap
	InodeChecksumLow  uint16 // 26: of the inode bitmap
	UnusedLow         uint16 // 28: inodes at the table's end that were never used
	Checksum          uint16 // 30: of UUID, the group's number, and this
	BlockBitmapHigh   uint32 // 32
	InodeBitmapHigh   uint32 // 36
	TableHigh         uint32 // 40
	FreeBlocksHigh    uint16 // 44
	FreeInodesHigh    uint16 // 46
	FoldersHigh       uint16 // 48
	UnusedHigh        uint16 // 50
	ExcludeHigh       uint32 // 52
	BlockChecksumHigh uint16 // 56
	InodeChecksumHigh uint16 // 58
	Pad               uint32 // 60
}

// Flags of a group.
const (
	inodeUninit = 1 // no inode is used, the inode bitmap was not written
	blockUninit = 2 // only the group's own structures are used, the block bitmap was not written
)

// describe returns the descriptor of a group of the bundle, and the block bitmap, or nil where that is not written.
func (f *formatter) describe(b *bundle, group uint64) (descriptor, []byte) {
	l := b.layout
	n := group - b.first
	free, unused, folders, flags := b.free(group), l.inodesPerGroup, uint16(0), uint16(inodeUninit)
	var inodeSum uint32
	if group == 0 {
		unused, folders, flags = unused-firstInode, 2, 0
		inodeSum = f.checksum(f.inodeBitmap()[:l.inodesPerGroup/8])
	}
	var bitmap []byte
	var blockSum uint32
	// The bitmap of the last group is always written, for the bits behind the end of the device.
	if free == l.group(group).count-l.head(group).count && group != l.groups-1 {
		flags |= blockUninit
	} else {
		bitmap = b.bitmap(group)
		blockSum = f.checksum(bitmap)
	}
	d := descriptor{
		BlockBitmapLow: uint32(b.blockBitmaps.start + n), BlockBitmapHigh: uint32((b.blockBitmaps.start + n) >> 32),
		InodeBitmapLow: uint32(b.inodeBitmaps.start + n), InodeBitmapHigh: uint32((b.inodeBitmaps.start + n) >> 32),
		TableLow: uint32(b.tables[n].start), TableHigh: uint32(b.tables[n].start >> 32),
		FreeBlocksLow: uint16(free), FreeBlocksHigh: uint16(free >> 16),
		FreeInodesLow: uint16(unused), FreeInodesHigh: uint16(unused >> 16),
		UnusedLow: uint16(unused), UnusedHigh: uint16(unused >> 16),
		FoldersLow: folders, Flags: flags,
		BlockChecksumLow: uint16(blockSum), BlockChecksumHigh: uint16(blockSum >> 16),
		InodeChecksumLow: uint16(inodeSum), InodeChecksumHigh: uint16(inodeSum >> 16),
	}
	d.Checksum = uint16(f.checksum(le32(uint32(group)), encode(d)))
	return d, bitmap
}

// bitmap has a bit for each block of a group, set where it is used or not there.
func (b *bundle) bitmap(group uint64) []byte {
	bits := make([]byte, b.layout.blockSize)
	whole := b.layout.group(group)
	for _, e := range b.used(group) {
		set(bits, e.start-whole.start, e.count)
	}
	set(bits, whole.count, b.layout.perGroup-whole.count)
	return bits
}

// inodeBitmap is the one of group 0, in which the reserved inodes and lost+found are used.
func (f *formatter) inodeBitmap() []byte {
	bits := make([]byte, f.layout.blockSize)
	set(bits, 0, firstInode)
	set(bits, f.layout.inodesPerGroup, 8*f.layout.blockSize-f.layout.inodesPerGroup)
	return bits
}

// set sets count bits from first on.
func set(bits []byte, first, count uint64) {
	for i := first; i < first+count; i++ {
		if i%8 == 0 && i+8 <= first+count {
			bits[i/8] = 0xff
			i += 7
			continue
		}
		bits[i/8] |= 1 << (i % 8)
	}
}
