package ext4

import "encoding/binary"

// journalSuperblock is the first block of the journal (journal_superblock_s), big-endian. All behind it is zero.
type journalSuperblock struct {
	Magic     uint32    // 0: 0xc03b3998
	Type      uint32    // 4: 4, superblock of version 2
	Sequence  uint32    // 8
	BlockSize uint32    // 12: bytes
	Blocks    uint32    // 16: of the journal
	First     uint32    // 20: block of the journal that holds data
	FirstID   uint32    // 24: of the next transaction
	Start     uint32    // 28: block where the journal is to be read from, 0 when it is empty
	Error     uint32    // 32
	Features  [3]uint32 // 36: none; the kernel adds what it needs
	UUID      [16]byte  // 48
	Users     uint32    // 64: file systems
}

const (
	journalMagic = 0xc03b3998
	journalType  = 4
)

// journalInode returns the inode of the journal, and the block with its extents where they do not fit into it, or nil.
func (f *formatter) journalInode() (inode, []byte) {
	l := f.layout
	blocks := l.journalLen()
	taken := blocks
	if l.journalMap != 0 {
		taken++
	}
	i := f.inode(modeFile|0o600, 1, blocks*l.blockSize, taken)
	if l.journalMap == 0 {
		i.setExtents(l.journal)
		return i, nil
	}
	i.setIndex(l.journalMap)
	return i, f.leafBlock(journalInode, l.journal)
}

func (f *formatter) writeJournal() {
	l := f.layout
	s := journalSuperblock{
		Magic: journalMagic, Type: journalType, BlockSize: uint32(l.blockSize), Blocks: uint32(l.journalLen()), First: 1, FirstID: 1,
		UUID: f.options.UUID, Users: 1,
	}
	for _, e := range l.journal {
		f.w.Zero(int64(e.start*l.blockSize), int64(e.count*l.blockSize))
	}
	f.writeBlocks(encodeIn(binary.BigEndian, s), l.journal[0].start)
}
