package ext4

// entryHeader begins an entry of a folder (ext4_dir_entry_2), the name follows. The last reaches to the block's end, or to the tail.
type entryHeader struct {
	Inode  uint32 // 0: 0 for none
	Length uint16 // 4: bytes to the next entry
	Name   uint8  // 6: bytes
	Type   uint8  // 7: 2 for a folder
}

// folderTail is a block's last entry (ext4_dir_entry_tail), which looks like one without inode and name.
type folderTail struct {
	Inode    uint32 // 0: 0
	Length   uint16 // 4: 12
	Name     uint8  // 6: 0
	Type     uint8  // 7: 0xde
	Checksum uint32 // 8: of UUID, the folder's inode number, its generation, and the block up to here
}

const (
	typeFolder = 2
	typeTail   = 0xde
	tailSize   = 12
	entrySize  = 8
)

// name is an entry to be made.
type name struct {
	name  string
	inode uint32
}

// folderBlock is a block of the folder whose inode has that number.
func (f *formatter) folderBlock(number uint32, names ...name) []byte {
	end := int(f.layout.blockSize) - tailSize
	var b []byte
	for i, n := range names {
		length := (entrySize + len(n.name) + 3) / 4 * 4
		if i == len(names)-1 {
			length = end - len(b)
		}
		e := append(encode(entryHeader{n.inode, uint16(length), uint8(len(n.name)), typeFolder}), n.name...)
		b = append(b, append(e, make([]byte, length-len(e))...)...)
	}
	if len(names) == 0 {
		b = append(encode(entryHeader{Length: uint16(end)}), make([]byte, end-entrySize)...)
	}
	return append(b, encode(folderTail{Length: tailSize, Type: typeTail, Checksum: f.inodeChecksum(number, b)})...)
}

// folders returns the content of the root, and of lost+found.
func (f *formatter) folders() (root, lostFound []byte) {
	root = f.folderBlock(rootInode, name{".", rootInode}, name{"..", rootInode}, name{"lost+found", lostFoundInode})
	lostFound = f.folderBlock(lostFoundInode, name{".", lostFoundInode}, name{"..", rootInode})
	for range f.layout.lostFound.count - 1 {
		lostFound = append(lostFound, f.folderBlock(lostFoundInode)...)
	}
	return root, lostFound
}
