package ext4

// inode is an inode (ext4_inode), as far as it is used; the rest of its 256 bytes may hold attributes.
type inode struct {
	Mode           uint16   // 0: type and permissions, as in stat(2)
	UID            uint16   // 2
	SizeLow        uint32   // 4: bytes
	Accessed       uint32   // 8: seconds since 1970, as the following
	Changed        uint32   // 12
	Modified       uint32   // 16
	Deleted        uint32   // 20
	GID            uint16   // 24
	Links          uint16   // 26
	SectorsLow     uint32   // 28: that it takes, of 512 bytes
	Flags          uint32   // 32
	Version        uint32   // 36
	Content        [60]byte // 40: where the blocks are
	Generation     uint32   // 100
	Attributes     uint32   // 104: block
	SizeHigh       uint32   // 108
	Fragment       uint32   // 112
	SectorsHigh    uint16   // 116
	AttributesHigh uint16   // 118
	UIDHigh        uint16   // 120
	GIDHigh        uint16   // 122
	ChecksumLow    uint16   // 124: of UUID, the inode's number, its generation, and the whole inode
	Pad            uint16   // 126
	Extra          uint16   // 128: bytes of what follows that are used
	ChecksumHigh   uint16   // 130
	ChangedExtra   uint32   // 132: see extraTime, as the following
	ModifiedExtra  uint32   // 136
	AccessedExtra  uint32   // 140
	Created        uint32   // 144
	CreatedExtra   uint32   // 148
	VersionHigh    uint32   // 152
	Project        uint32   // 156
	Rest           [96]byte // 160
}

// Reserved inodes.
const (
	badBlocksInode = 1
	rootInode      = 2
	resizeInode    = 7
	journalInode   = 8
	lostFoundInode = firstInode
)

const (
	modeFolder = 0o040000
	modeFile   = 0o100000

	flagExtents = 0x80000
)

// inode returns one with the times of the options, of size bytes in blocks.
func (f *formatter) inode(mode uint16, links uint16, size, blocks uint64) inode {
	now, extra := uint32(f.options.Time.Unix()), extraTime(f.options.Time)
	sectors := blocks * f.layout.blockSize / 512
	return inode{
		Mode: mode, Links: links, SizeLow: uint32(size), SizeHigh: uint32(size >> 32),
		SectorsLow: uint32(sectors), SectorsHigh: uint16(sectors >> 32),
		Accessed: now, Changed: now, Modified: now, Created: now,
		AccessedExtra: extra, ChangedExtra: extra, ModifiedExtra: extra, CreatedExtra: extra, Extra: extraSize,
	}
}

// inodes returns those that are used, by their numbers, and the journal's with its second level, if there is one.
func (f *formatter) inodes() (inodes map[uint32]inode, journalMap []byte) {
	l := f.layout
	bytes := func(e extent) uint64 { return e.count * l.blockSize }
	root := f.inode(modeFolder|0o755, 3, bytes(l.root), l.root.count)
	root.setExtents([]extent{l.root})
	lostFound := f.inode(modeFolder|0o700, 2, bytes(l.lostFound), l.lostFound.count)
	lostFound.setExtents([]extent{l.lostFound})
	bad := f.inode(0, 0, 0, 0)
	journal, journalMap := f.journalInode()
	inodes = map[uint32]inode{badBlocksInode: bad, rootInode: root, journalInode: journal, lostFoundInode: lostFound}
	if l.reserved > 0 {
		inodes[resizeInode] = f.resizeInode()
	}
	return inodes, journalMap
}

// inodeTable returns the beginning of group 0's inode table, in whole blocks: the used inodes.
func (f *formatter) inodeTable(inodes map[uint32]inode) []byte {
	b := make([]byte, ceil(firstInode*inodeSize, f.layout.blockSize)*f.layout.blockSize)
	for number, i := range inodes {
		sum := f.inodeChecksum(number, encode(i))
		i.ChecksumLow, i.ChecksumHigh = uint16(sum), uint16(sum>>16)
		copy(b[(number-1)*inodeSize:], encode(i))
	}
	return b
}

// inodeChecksum is the checksum of what belongs to an inode: itself, and its blocks. Generations are 0 here.
func (f *formatter) inodeChecksum(number uint32, b []byte) uint32 {
	return f.checksum(le32(number), le32(0), b)
}
