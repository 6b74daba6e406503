package ext4

import (
	"math/bits"
	"slices"
)

const (
	inodeSize      = 256
	descriptorSize = 64
	flex           = 16 // groups in a flexible group
	firstInode     = 11 // that is not reserved: lost+found

	smallDevice = 512 << 20
	// sizeUnit is what the size is a multiple of, in bytes: a page, which is what the kernel reads and writes of a device.
	sizeUnit = 4096
	// maxSmallBlocks is what blocks of 1 KiB are allowed for, in bytes: with more, the descriptors would fill the groups.
	maxSmallBlocks = 256 << 30
	// spareBlocks is what the last group is to have beside its own structures, or it is left out.
	spareBlocks = 50
)

// An extent is a run of blocks.
type extent struct{ start, count uint64 }

func (e extent) end() uint64 { return e.start + e.count }

// layout is where everything lies. Block numbers count from the beginning of the device.
type layout struct {
	blockSize      uint64 // bytes
	blocks         uint64 // of the file system
	firstBlock     uint64 // that belongs to a group: 1 with blocks of 1 KiB, as the first holds the boot sector
	perGroup       uint64 // blocks of each group but the last
	groups         uint64
	inodesPerGroup uint64
	tableLen       uint64 // blocks of a group's inode table
	descriptors    uint64 // blocks of all group descriptors
	reserved       uint64 // blocks for more of them, behind them

	root, lostFound extent
	resizeMap       uint64   // block of the resize inode; 0 where nothing is reserved
	journal         []extent // each as long as an extent of a file can be, or less
	journalMap      uint64   // block with the journal's extents; 0 where they fit into the inode
}

// newLayout is what mkfs.ext4 chooses.
func newLayout(size int64, o Options) *layout {
	l := layout{blockSize: uint64(o.BlockSize)}
	l.blocks = uint64(size) / sizeUnit * sizeUnit / l.blockSize
	if l.blockSize == 1024 {
		l.firstBlock = 1
	}
	l.perGroup = 8 * l.blockSize
	inodes := l.blocks * l.blockSize / inodeRatio(size)
	for !l.divide(inodes) {
	}
	l.placeFiles()
	return &l
}

// inodeRatio is how many bytes of the device there are for each inode.
func inodeRatio(size int64) uint64 {
	switch {
	case size < smallDevice:
		return 4096
	case size < 4<<40:
		return 16384
	case size < 16<<40:
		return 32768
	default:
		return 65536
	}
}

// divide cuts the blocks into groups. It returns false when the last would be too short: then that many blocks are given up, and it
// is to be called again.
func (l *layout) divide(inodes uint64) bool {
	l.groups = ceil(l.blocks-l.firstBlock, l.perGroup)
	l.descriptors = ceil(l.groups*descriptorSize, l.blockSize)
	perGroup := min(ceil(max(inodes, firstInode+1), l.groups), 8*l.blockSize)
	for { // full blocks, of a multiple of 8 inodes, and fewer than 2^32 in all
		l.tableLen = ceil(perGroup*inodeSize, l.blockSize)
		l.inodesPerGroup = l.tableLen * l.blockSize / inodeSize / 8 * 8
		l.tableLen = ceil(l.inodesPerGroup*inodeSize, l.blockSize)
		if l.inodesPerGroup*l.groups < 1<<32 {
			break
		}
		perGroup--
	}
	l.reserved = l.growth()

	own := 2 + l.tableLen
	if hasCopy(l.groups - 1) {
		own += 1 + l.descriptors + l.reserved
	}
	rest := (l.blocks - l.firstBlock) % l.perGroup
	if l.groups > 1 && rest != 0 && rest < own+spareBlocks {
		l.blocks -= rest
		return false
	}
	return true
}

// growth is the number of blocks to reserve for descriptors: for 1024 times the size, or 2^32 blocks, or what one block of
// pointers can hold.
func (l *layout) growth() uint64 {
	blocks := min(l.blocks*1024, 1<<32-1)
	all := ceil(ceil(blocks-l.firstBlock, l.perGroup), l.blockSize/descriptorSize)
	return min(all-min(all, l.descriptors), l.blockSize/4)
}

// blockLog is the size of blocks as the superblock has it.
func (l *layout) blockLog() uint32 { return uint32(bits.Len64(l.blockSize) - 11) }

func ceil(n, unit uint64) uint64 { return (n + unit - 1) / unit }

// hasCopy says whether a group begins with a superblock: 0, 1 and the powers of 3, 5 and 7.
func hasCopy(group uint64) bool {
	if group <= 1 {
		return true
	}
	for _, base := range []uint64{3, 5, 7} {
		power := base
		for power < group {
			power *= base
		}
		if power == group {
			return true
		}
	}
	return false
}

// copies returns the groups that begin with a superblock.
func (l *layout) copies() []uint64 {
	copies := []uint64{0}
	if l.groups > 1 {
		copies = append(copies, 1)
	}
	for _, base := range []uint64{3, 5, 7} {
		for group := base; group < l.groups; group *= base {
			copies = append(copies, group)
		}
	}
	slices.Sort(copies)
	return copies
}

// group is the extent of a group.
func (l *layout) group(n uint64) extent {
	start := l.firstBlock + n*l.perGroup
	return extent{start, min(l.perGroup, l.blocks-start)}
}

// head is what a group begins with: superblock, descriptors, blocks reserved for more, or nothing.
func (l *layout) head(n uint64) extent {
	e := extent{start: l.group(n).start}
	if hasCopy(n) {
		e.count = 1 + l.descriptors + l.reserved
	}
	return e
}

// bundle is a flexible group: where the structures of its groups lie.
type bundle struct {
	layout       *layout
	first, count uint64 // groups
	blockBitmaps extent
	inodeBitmaps extent
	tables       []extent
	next         uint64 // block behind the last one that was taken
}

// bundle lays out the flexible group to which a group belongs.
func (l *layout) bundle(group uint64) *bundle {
	b := &bundle{layout: l, first: group / flex * flex}
	b.count = min(flex, l.groups-b.first)
	b.next = l.group(b.first).start
	b.blockBitmaps = b.take(b.count)
	b.inodeBitmaps = b.take(b.count)
	for range b.count {
		b.tables = append(b.tables, b.take(l.tableLen))
	}
	return b
}

// take returns the next blocks, count in a row, that are not the head of a group.
func (b *bundle) take(count uint64) extent {
	l := b.layout
	for {
		// A head lies in the way of the group in which the run begins, or of the one in which it ends: it is shorter than a group.
		moved := false
		for _, at := range []uint64{b.next, b.next + count - 1} {
			if head := l.head((at - l.firstBlock) / l.perGroup); b.next < head.end() && b.next+count > head.start {
				b.next, moved = head.end(), true
			}
		}
		if !moved {
			e := extent{b.next, count}
			b.next += count
			return e
		}
	}
}

// used are the runs that are taken on the whole device within the blocks of a group, in no order.
func (b *bundle) used(group uint64) []extent {
	l := b.layout
	all := append([]extent{l.head(group), b.blockBitmaps, b.inodeBitmaps, l.root, l.lostFound}, b.tables...)
	all = append(all, l.journal...)
	for _, block := range []uint64{l.resizeMap, l.journalMap} {
		if block != 0 {
			all = append(all, extent{block, 1})
		}
	}
	whole := l.group(group)
	var within []extent
	for _, e := range all {
		start, end := max(e.start, whole.start), min(e.end(), whole.end())
		if start < end {
			within = append(within, extent{start, end - start})
		}
	}
	return within
}

// free is the number of free blocks of a group.
func (b *bundle) free(group uint64) uint64 {
	n := b.layout.group(group).count
	for _, e := range b.used(group) {
		n -= e.count
	}
	return n
}
