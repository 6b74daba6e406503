package xfs

import (
	"fmt"
	"math/bits"
)

const (
	blockLog   = 12
	blockSize  = 1 << blockLog
	inodeLog   = 9
	inodeSize  = 1 << inodeLog
	inodesLog  = blockLog - inodeLog // inodes in a block
	chunk      = 64                  // inodes that are allocated together
	chunkAlign = chunk >> inodesLog  // blocks of a chunk, and what the first is a multiple of

	minGroup = 16 << 20 >> blockLog    // blocks; a shorter rest at the end of the device is left unused
	maxGroup = (1<<40 - 1) >> blockLog // blocks; less than 1 TiB
	// fourGroups is the size from which on the groups are as large as they can be; below, there are four.
	fourGroups = 4 << 40 >> blockLog

	minLog      = 64 << 20 >> blockLog         // blocks
	maxLog      = (2<<30 - 10<<20) >> blockLog // blocks
	logShare    = 2048                         // one block of log for so many of the file system
	maxDevice   = (1<<63 - 1) >> blockLog      // blocks
	reserved    = 4                            // blocks in each AGFL
	terabyte    = 1 << 40 >> blockLog          // blocks
	headSectors = 4                            // superblock, AGF, AGI, AGFL
)

// geometry is where everything lies. Block numbers are relative to the group.
type geometry struct {
	sectorSize int
	blocks     uint64 // of the file system
	groupLen   uint32 // blocks of each group but the last
	groups     uint32

	trees     uint32 // the first of the five roots
	logGroup  uint32
	logBlocks uint32
	inodes    uint32 // the first chunk, in group 0
}

// The five roots, in blocks behind geometry.trees.
const (
	byPlace = iota
	byLength
	inodeTree
	freeInodeTree
	sharedTree
	treeCount
)

// newGeometry is what mkfs.xfs chooses for size bytes on a single disk: four groups, or from 4 TiB on groups of nearly 1 TiB; a log of a
// 2048th, from 64 MiB to nearly 2 GiB, in the middle group.
func newGeometry(size int64, sectorSize int) (geometry, error) {
	if size < MinSize || size > MaxSize {
		return geometry{}, fmt.Errorf("%w: %d bytes: give %d to %d", ErrOptions, size, int64(MinSize), int64(MaxSize))
	}
	blocks := uint64(size) >> blockLog
	g := geometry{sectorSize: sectorSize, groupLen: maxGroup}
	if blocks < fourGroups {
		g.groupLen = uint32(min((blocks+3)/4, maxGroup))
	}
	if rest := blocks % uint64(g.groupLen); rest < minGroup {
		blocks -= rest
	}
	g.blocks = blocks
	g.groups = uint32((blocks + uint64(g.groupLen) - 1) / uint64(g.groupLen))
	g.logBlocks = uint32(min(max(blocks/logShare, minLog), maxLog))
	g.logGroup = g.groups / 2
	g.trees = uint32(max(headSectors*sectorSize/blockSize, 1))
	g.inodes = (g.spare(0) + reserved + chunkAlign - 1) / chunkAlign * chunkAlign
	return g, nil
}

// length is the number of blocks of a group.
func (g geometry) length(group uint32) uint32 {
	if group < g.groups-1 {
		return g.groupLen
	}
	return uint32(g.blocks - uint64(g.groups-1)*uint64(g.groupLen))
}

// logStart is the block of the log in its group.
func (g geometry) logStart() uint32 { return g.trees + treeCount }

// spare is the first of the blocks in a group's AGFL.
func (g geometry) spare(group uint32) uint32 {
	if group == g.logGroup {
		return g.logStart() + g.logBlocks
	}
	return g.trees + treeCount
}

// An extent is a record of the trees of free extents (xfs_alloc_rec).
type extent struct {
	Start uint32 // 0: block
	Count uint32 // 4: blocks
}

// free are the free extents of a group, by place, which is by length too.
func (g geometry) free(group uint32) []extent {
	first, end := g.spare(group)+reserved, g.length(group)
	if group != 0 {
		return []extent{{first, end - first}}
	}
	behind := g.inodes + chunkAlign
	if first == g.inodes {
		return []extent{{behind, end - behind}}
	}
	return []extent{{first, g.inodes - first}, {behind, end - behind}}
}

// freeBlocks is what the superblock calls free: all extents, and the blocks in the AGFLs.
func (g geometry) freeBlocks() uint64 {
	n := uint64(g.groups) * reserved
	for group := range g.groups {
		for _, e := range g.free(group) {
			n += uint64(e.Count)
		}
	}
	return n
}

// groupLog is how many bits a block number takes in a group.
func (g geometry) groupLog() uint8 { return uint8(bits.Len32(g.groupLen - 1)) }

// address is the number of a group's block in the whole file system: the group's number, and below it groupLog bits.
func (g geometry) address(group, block uint32) uint64 {
	return uint64(group)<<g.groupLog() | uint64(block)
}

// offset is where a group's block lies on the device, in bytes.
func (g geometry) offset(group, block uint32) int64 {
	return (int64(group)*int64(g.groupLen) + int64(block)) << blockLog
}

// inode is the number of the nth inode of the first chunk. They are in group 0.
func (g geometry) inode(n uint32) uint64 { return uint64(g.inodes)<<inodesLog + uint64(n) }

// maxInodes is the share of the space, in percent, that inodes may take.
func (g geometry) maxInodes() uint8 {
	switch {
	case g.blocks < terabyte:
		return 25
	case g.blocks < 50*terabyte:
		return 5
	default:
		return 1
	}
}
