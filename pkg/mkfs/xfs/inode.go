package xfs

import (
	"fmt"
	"time"
)

// inode is what every inode begins with (xfs_dinode, version 3). The content of a small folder stands behind it.
type inode struct {
	Magic           [2]byte  // 0: "IN"
	Mode            uint16   // 2: type and permissions, as in stat(2); 0 when free
	Version         uint8    // 4: 3
	Format          uint8    // 5: of the content
	OldLinks        uint16   // 6
	UID             uint32   // 8
	GID             uint32   // 12
	Links           uint32   // 16
	Project         uint32   // 20: 16 lower bits, then 16 upper
	Pad             uint64   // 24
	Accessed        uint64   // 32: see bigtime, as the following
	Modified        uint64   // 40
	Changed         uint64   // 48
	Size            uint64   // 56: bytes
	Blocks          uint64   // 64
	ExtentSize      uint32   // 72: hint, in blocks
	Extents         uint32   // 76
	AttributeExtent uint16   // 80: count
	ForkOffset      uint8    // 82: where attributes begin, in 8 bytes behind this; 0 without
	AttributeFormat uint8    // 83
	EventMask       uint32   // 84
	EventState      uint16   // 88
	Flags           uint16   // 90
	Generation      uint32   // 92
	NextUnlinked    uint32   // 96: none
	CRC             uint32   // 100: of the inode, little-endian
	Changes         uint64   // 104: count
	LSN             uint64   // 112
	Flags2          uint64   // 120
	CowExtentSize   uint32   // 128
	Pad2            [12]byte // 132
	Created         uint64   // 144
	Number          uint64   // 152
	UUID            [16]byte // 160
}

const inodeCRC = 100

// shortFolder is the content of an empty folder in its inode (xfs_dir2_sf_hdr).
type shortFolder struct {
	Entries     uint8  // 0
	LongEntries uint8  // 1: inode numbers that need 64 bits
	Parent      uint32 // 2: inode
}

// The used ones in the first chunk. The realtime device, which there is none of, still has its two.
const (
	rootInode = iota
	bitmapInode
	summaryInode
	usedInodes
)

const (
	modeFolder = 0o040755
	modeFile   = 0o100000

	formatLocal   = 1
	formatExtents = 2

	flagNewBitmap = 0x4 // the realtime bitmap is of the present format
	flag2Bigtime  = 0x8
)

// inodeChunk returns the first 64 inodes. Kernel and xfs_repair expect the free ones initialised too.
func (g geometry) inodeChunk(o Options) []byte {
	now, _ := bigtime(o.Time) // was checked with the options
	var b []byte
	for n := range uint32(chunk) {
		i := inode{Magic: [2]byte([]byte("IN")), Version: 3, NextUnlinked: none, Number: g.inode(n), UUID: o.UUID}
		if n < usedInodes {
			i.AttributeFormat, i.Changes, i.Flags2 = formatExtents, 1, flag2Bigtime
			i.Accessed, i.Modified, i.Changed, i.Created = now, now, now, now
			i.Mode, i.Format, i.Links = modeFile, formatExtents, 1
		}
		var content []byte
		switch n {
		case rootInode:
			content = encode(nil, shortFolder{Parent: uint32(i.Number)})
			i.Mode, i.Format, i.Links, i.Size = modeFolder, formatLocal, 2, uint64(len(content))
		case bitmapInode:
			i.Flags = flagNewBitmap
		}
		b = append(b, seal(pad(append(encode(nil, i), content...), inodeSize), inodeCRC)...)
	}
	return b
}

// bigtimeEpoch is what bigtime counts from, in seconds before 1970: 1901, where 32-bit times began.
const bigtimeEpoch = 1 << 31

// bigtimeLast is the kernel's limit, in seconds since 1970: the largest number of 64 bits, as quotas can have it, which count in 4
// seconds.
const bigtimeLast = (1<<64-1)/1_000_000_000&^3 - bigtimeEpoch

// bigtime is a time as inodes have it: nanoseconds since 1901-12-13 20:45:52 UTC.
func bigtime(t time.Time) (uint64, error) {
	s := t.Unix()
	if s < -bigtimeEpoch || s > bigtimeLast {
		return 0, fmt.Errorf("%w: time %v: give one from 1901 to 2486", ErrOptions, t)
	}
	return uint64(s+bigtimeEpoch)*1e9 + uint64(t.Nanosecond()), nil
}
