package ext4

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/output"
)

// formatter writes a file system.
type formatter struct {
	layout  *layout
	options Options
	w       *output.Writer
}

// allOnes is what checksums begin with.
const allOnes = 0xffffffff

// checksum goes on with a CRC32C as the kernel has it: without the inversions at its beginning and its end.
func checksum(sum uint32, parts ...[]byte) uint32 {
	for _, b := range parts {
		sum = ^crc32.Update(^sum, crc32.MakeTable(crc32.Castagnoli), b)
	}
	return sum
}

// checksum is one over the UUID and the parts.
func (f *formatter) checksum(parts ...[]byte) uint32 {
	return checksum(checksum(allOnes, f.options.UUID[:]), parts...)
}

// encodeIn returns a structure as it is on the disk.
func encodeIn(order binary.ByteOrder, structure any) []byte {
	b, err := binary.Append(nil, order, structure)
	if err != nil {
		panic("ext4: a structure whose size is not fixed: " + err.Error()) // a mistake in this package, which every test would show
	}
	return b
}

func encode(structure any) []byte { return encodeIn(binary.LittleEndian, structure) }

func le32(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// writeBlocks writes b, and zeros up to the end of the last block.
func (f *formatter) writeBlocks(b []byte, block uint64) {
	size := ceil(uint64(len(b)), f.layout.blockSize) * f.layout.blockSize
	f.w.Write(append(b, make([]byte, size-uint64(len(b)))...), int64(block*f.layout.blockSize))
}

// write writes everything. Between its first step and its last nothing on the device is a file system, neither the old nor the new.
func (f *formatter) write() error {
	l := f.layout
	f.w.Zero(0, int64((l.firstBlock+1)*l.blockSize))
	f.w.Sync()

	free := f.writeGroups()
	inodes, journalMap := f.inodes()
	first := l.bundle(0)
	f.writeBlocks(f.inodeBitmap(), first.inodeBitmaps.start)
	f.writeBlocks(f.inodeTable(inodes), first.tables[0].start)
	root, lostFound := f.folders()
	f.writeBlocks(root, l.root.start)
	f.writeBlocks(lostFound, l.lostFound.start)
	if l.reserved > 0 {
		f.writeReserved()
	}
	if journalMap != nil {
		f.writeBlocks(journalMap, l.journalMap)
	}
	f.writeJournal()
	s := newSuperblock(l, f.options, inodes[journalInode], free)
	for _, group := range l.copies()[1:] {
		f.writeBlocks(s.inGroup(group), l.group(group).start)
	}
	f.w.Sync()

	f.writeBlocks(append(make([]byte, superblockAt-l.firstBlock*l.blockSize), s.inGroup(0)...), l.firstBlock)
	f.w.Sync()
	return f.w.Err()
}

// descriptorBytes is how many bytes of descriptors are collected before they are written, to each place where they are to be.
const descriptorBytes = 1 << 20

// writeGroups writes the descriptors of all groups, and their block bitmaps. It returns the number of free blocks.
func (f *formatter) writeGroups() (free uint64) {
	l := f.layout
	copies := l.copies()
	var collected []byte
	block := uint64(1) // behind the superblock
	for group := uint64(0); group < l.groups; group += flex {
		b := l.bundle(group)
		for n := range b.count {
			d, bitmap := f.describe(b, group+n)
			collected = append(collected, encode(d)...)
			free += b.free(group + n)
			if bitmap != nil {
				f.writeBlocks(bitmap, b.blockBitmaps.start+n)
			}
		}
		if len(collected) < descriptorBytes && group+flex < l.groups {
			continue
		}
		for _, c := range copies {
			f.writeBlocks(collected, l.group(c).start+block)
		}
		block += uint64(len(collected)) / l.blockSize
		collected = collected[:0]
	}
	return free
}
