package xfs

// superblock is the first sector of every group (xfs_dsb). Those of the other groups are copies for repair.
type superblock struct {
	Magic            [4]byte  // 0: "XFSB"
	BlockSize        uint32   // 4: bytes
	Blocks           uint64   // 8
	RealtimeBlocks   uint64   // 16
	RealtimeExtents  uint64   // 24
	UUID             [16]byte // 32
	LogStart         uint64   // 48: block address
	RootInode        uint64   // 56
	RealtimeBitmap   uint64   // 64: inode
	RealtimeSummary  uint64   // 72: inode
	RealtimeExtent   uint32   // 80: blocks
	GroupBlocks      uint32   // 84
	Groups           uint32   // 88
	BitmapBlocks     uint32   // 92: of the realtime bitmap
	LogBlocks        uint32   // 96
	Version          uint16   // 100: 5, and features in the upper bits
	SectorSize       uint16   // 102: bytes
	InodeSize        uint16   // 104: bytes
	InodesPerBlock   uint16   // 106
	Label            [12]byte // 108
	BlockLog         uint8    // 120: log2, as the following
	SectorLog        uint8    // 121
	InodeLog         uint8    // 122
	InodesLog        uint8    // 123: of InodesPerBlock
	GroupLog         uint8    // 124: of GroupBlocks, rounded up
	RealtimeLog      uint8    // 125
	InProgress       uint8    // 126: 1 while it is being made
	MaxInodes        uint8    // 127: percent of the space
	Inodes           uint64   // 128: allocated
	FreeInodes       uint64   // 136: of those
	FreeBlocks       uint64   // 144
	FreeExtents      uint64   // 152: of the realtime device
	UserQuota        uint64   // 160: inode
	GroupQuota       uint64   // 168: inode
	QuotaFlags       uint16   // 176
	Flags            uint8    // 178
	SharedVersion    uint8    // 179
	InodeAlign       uint32   // 180: blocks
	StripeUnit       uint32   // 184: blocks
	StripeWidth      uint32   // 188: blocks
	DirectoryLog     uint8    // 192: of blocks in a folder's block
	LogSectorLog     uint8    // 193: 0 where sectors have 512 bytes
	LogSectorSize    uint16   // 194: bytes; 0 where sectors have 512 bytes
	LogUnit          uint32   // 196: bytes in which the log is written; 1 for none
	Features2        uint32   // 200
	Features2Copy    uint32   // 204: where old kernels had put them by mistake
	Compatible       uint32   // 208: features
	ReadOnly         uint32   // 212: features without which it can only be read
	Incompatible     uint32   // 216: features without which it cannot be used
	LogIncompatible  uint32   // 220
	CRC              uint32   // 224: of the sector, little-endian
	SparseInodeAlign uint32   // 228: blocks
	ProjectQuota     uint64   // 232: inode
	LSN              uint64   // 240: last write to it in the log
	MetaUUID         [16]byte // 248: where UUID was changed
}

const superblockCRC = 224

// Version is 5 and what every file system of it must have, and most of what version 4 could leave out.
const (
	version = 0x0005 |
		0x0020 | // inodes with 32-bit link counts
		0x0080 | // aligned inodes
		0x0400 | // log of version 2
		0x1000 | // unwritten extents
		0x2000 | // folders of version 2
		0x8000 // Features2
	versionSector = 0x0800 // sectors larger than 512 bytes

	features2 = 0x0002 | // free blocks counted in groups only, the superblock's as of the last unmount
		0x0008 | // attributes of version 2
		0x0080 | // 32-bit project ids
		0x0100 // checksums

	readOnly = 0x1 | // finobt
		0x4 | // reflink
		0x8 // inobtcount

	incompatible = 0x1 | // ftype
		0x2 | // sparse inodes
		0x8 // bigtime
)

// newSuperblock fills in what is not zero. It is the same for all groups; mkfs.xfs leaves in the copies what they were at the time.
func newSuperblock(g geometry, o Options) superblock {
	s := superblock{
		Magic: [4]byte([]byte("XFSB")), BlockSize: blockSize, Blocks: g.blocks, UUID: o.UUID,
		LogStart: g.address(g.logGroup, g.logStart()), RootInode: g.inode(rootInode),
		RealtimeBitmap: g.inode(bitmapInode), RealtimeSummary: g.inode(summaryInode), RealtimeExtent: 1,
		GroupBlocks: g.groupLen, Groups: g.groups, LogBlocks: g.logBlocks,
		Version: version, SectorSize: uint16(g.sectorSize), InodeSize: inodeSize, InodesPerBlock: 1 << inodesLog,
		BlockLog: blockLog, SectorLog: 9, InodeLog: inodeLog, InodesLog: inodesLog, GroupLog: g.groupLog(),
		MaxInodes: g.maxInodes(), Inodes: chunk, FreeInodes: chunk - usedInodes, FreeBlocks: g.freeBlocks(),
		InodeAlign: chunkAlign, LogUnit: 1, Features2: features2, Features2Copy: features2,
		ReadOnly: readOnly, Incompatible: incompatible, SparseInodeAlign: chunkAlign / 2,
	}
	copy(s.Label[:], o.Label)
	if g.sectorSize == 4096 {
		s.Version |= versionSector
		s.SectorLog, s.LogSectorLog = 12, 12
		s.LogSectorSize, s.LogUnit = 4096, logUnit
	}
	return s
}
