package ext4

import "time"

// superblock is the description of the whole (ext4_super_block).
type superblock struct {
	Inodes           uint32     // 0
	BlocksLow        uint32     // 4
	ReservedLow      uint32     // 8: blocks for root only
	FreeBlocksLow    uint32     // 12
	FreeInodes       uint32     // 16
	FirstBlock       uint32     // 20: that belongs to a group
	BlockLog         uint32     // 24: log2 of the block size, less 10
	ClusterLog       uint32     // 28: the same, without bigalloc
	BlocksPerGroup   uint32     // 32
	ClustersPerGroup uint32     // 36
	InodesPerGroup   uint32     // 40
	Mounted          uint32     // 44: time
	Written          uint32     // 48: time
	Mounts           uint16     // 52: since the last check
	MaxMounts        uint16     // 54: 0xffff for no check
	Magic            uint16     // 56: 0xef53
	State            uint16     // 58: 1 when unmounted, 0 in copies
	OnError          uint16     // 60: 1, go on
	Minor            uint16     // 62
	Checked          uint32     // 64: time
	CheckInterval    uint32     // 68: seconds
	Creator          uint32     // 72: 0, Linux
	Revision         uint32     // 76: 1
	ReserveUser      uint16     // 80
	ReserveGroup     uint16     // 82
	FirstInode       uint32     // 84: that is not reserved
	InodeSize        uint16     // 88: bytes
	Group            uint16     // 90: of this copy
	Compatible       uint32     // 92: features
	Incompatible     uint32     // 96: features without which it cannot be used
	ReadOnly         uint32     // 100: features without which it can only be read
	UUID             [16]byte   // 104
	Label            [16]byte   // 120
	MountedOn        [64]byte   // 136
	Algorithm        uint32     // 200
	Preallocate      [2]uint8   // 204
	GrowthBlocks     uint16     // 206: reserved for descriptors
	JournalUUID      [16]byte   // 208: of an external journal
	JournalInode     uint32     // 224
	JournalDevice    uint32     // 228
	Orphans          uint32     // 232: list of inodes to delete
	HashSeed         [16]byte   // 236
	HashVersion      uint8      // 252: 1, half MD4
	JournalBackup    uint8      // 253: 1, what follows is a copy of the journal's inode
	DescriptorSize   uint16     // 254: bytes
	MountOptions     uint32     // 256
	FirstMetaGroup   uint32     // 260
	Made             uint32     // 264: time
	JournalExtents   [60]byte   // 268: of its inode, as the following
	JournalSizeHigh  uint32     // 328
	JournalSizeLow   uint32     // 332
	BlocksHigh       uint32     // 336
	ReservedHigh     uint32     // 340
	FreeBlocksHigh   uint32     // 344
	MinExtra         uint16     // 348: bytes that all inodes have behind the first 128
	WantExtra        uint16     // 350: bytes that new inodes get there
	Flags            uint32     // 352: 1, names are hashed as signed characters
	Stride           uint16     // 356: of a RAID
	MMPInterval      uint16     // 358
	MMPBlock         uint64     // 360
	StripeWidth      uint32     // 368
	FlexLog          uint8      // 372: log2 of the groups in a flexible group
	ChecksumType     uint8      // 373: 1, CRC32C
	Encryption       uint8      // 374
	Pad              uint8      // 375
	WrittenKiB       uint64     // 376
	Snapshot         [5]uint32  // 384
	Errors           [27]uint32 // 404: what was found wrong, first and last
	MountText        [64]byte   // 512
	UserQuota        uint32     // 576: inode
	GroupQuota       uint32     // 580: inode
	Overhead         uint32     // 584: blocks that never hold files
	CopyGroups       [2]uint32  // 588: with sparse_super2
	Ciphers          [4]uint8   // 596
	CipherSalt       [16]byte   // 600
	LostFound        uint32     // 616: unused
	ProjectQuota     uint32     // 620: inode
	ChecksumSeed     uint32     // 624: where UUID was changed
	WrittenHigh      uint8      // 628: bits 32 to 39 of a time, as the following
	MountedHigh      uint8      // 629
	MadeHigh         uint8      // 630
	CheckedHigh      uint8      // 631
	ErrorsHigh       [4]uint8   // 632
	Encoding         [2]uint16  // 636: of names
	OrphanFile       uint32     // 640: inode
	Reserved         [94]uint32 // 644
	Checksum         uint32     // 1020: of all before it
}

const (
	superblockSize = 1024
	superblockAt   = 1024 // on the device, in bytes

	magic          = 0xef53
	stateUnmounted = 1
	noCheck        = 0xffff
	halfMD4        = 1
	signedHash     = 1
	crc32c         = 1
	extraSize      = 32  // bytes of the inode that are used behind the first 128
	aclAndXattr    = 0xc // mount options acl and user_xattr

	compatible = 0x4 | // has_journal
		0x8 | // ext_attr
		0x20 // dir_index
	compatibleResize = 0x10 // resize_inode

	incompatible = 0x2 | // filetype
		0x40 | // extents
		0x80 | // 64bit
		0x200 // flex_bg

	readOnly = 0x1 | // sparse_super
		0x2 | // large_file
		0x8 | // huge_file
		0x20 | // dir_nlink
		0x40 | // extra_isize
		0x400 // metadata_csum
)

// newSuperblock is the superblock in use. free is the number of free blocks.
func newSuperblock(l *layout, o Options, journal inode, free uint64) superblock {
	now, nowHigh := uint32(o.Time.Unix()), uint8(o.Time.Unix()>>32)
	reserved := l.blocks * uint64(o.Reserve) / 100
	s := superblock{
		Inodes: uint32(l.inodesPerGroup * l.groups), FreeInodes: uint32(l.inodesPerGroup*l.groups - firstInode),
		BlocksLow: uint32(l.blocks), BlocksHigh: uint32(l.blocks >> 32),
		ReservedLow: uint32(reserved), ReservedHigh: uint32(reserved >> 32),
		FreeBlocksLow: uint32(free), FreeBlocksHigh: uint32(free >> 32),
		FirstBlock: uint32(l.firstBlock), BlockLog: l.blockLog(), ClusterLog: l.blockLog(),
		BlocksPerGroup: uint32(l.perGroup), ClustersPerGroup: uint32(l.perGroup), InodesPerGroup: uint32(l.inodesPerGroup),
		Written: now, WrittenHigh: nowHigh, Checked: now, CheckedHigh: nowHigh, Made: now, MadeHigh: nowHigh,
		MaxMounts: noCheck, Magic: magic, State: stateUnmounted, OnError: 1, Revision: 1,
		FirstInode: firstInode, InodeSize: inodeSize, MinExtra: extraSize, WantExtra: extraSize,
		Compatible: compatible, Incompatible: incompatible, ReadOnly: readOnly, UUID: o.UUID,
		GrowthBlocks: uint16(l.reserved), DescriptorSize: descriptorSize, FlexLog: 4,
		JournalInode: journalInode, JournalBackup: 1, JournalExtents: journal.Content,
		JournalSizeLow: journal.SizeLow, JournalSizeHigh: journal.SizeHigh,
		HashSeed: o.HashSeed, HashVersion: halfMD4, Flags: signedHash, MountOptions: aclAndXattr, ChecksumType: crc32c,
	}
	copy(s.Label[:], o.Label)
	files := l.root.count + l.lostFound.count
	if l.reserved > 0 {
		s.Compatible |= compatibleResize
		files++
	}
	if l.journalMap != 0 {
		files++
	}
	s.Overhead = uint32(l.blocks - free - files)
	return s
}

// inGroup is the superblock as it stands in a group, with its checksum.
func (s superblock) inGroup(group uint64) []byte {
	s.Group = uint16(group)
	if group != 0 {
		s.State = 0
	}
	s.Checksum = checksum(allOnes, encode(s)[:superblockSize-4])
	return encode(s)
}

// lastTime is the latest time that inodes can have, in seconds since 1970: 34 bits.
const lastTime = 1<<34 - 1<<31 - 1

// extraTime is what stands beside the lower 32 bits of a time in an inode: two more bits of the seconds. The 30 bits of the
// nanoseconds stay zero, as mkfs.ext4 has it. The lower 32 bits are signed, and these count from there.
func extraTime(t time.Time) uint32 { return uint32((t.Unix() - int64(int32(t.Unix()))) >> 32 & 3) }
