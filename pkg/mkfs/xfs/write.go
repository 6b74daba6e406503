package xfs

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/liveboot/liveboot/pkg/mkfs/internal/output"
)

var bigEndian = binary.BigEndian

// encode appends the structures, or slices of them, as they are on the disk.
func encode(b []byte, structures ...any) []byte {
	for _, s := range structures {
		var err error
		if b, err = binary.Append(b, bigEndian, s); err != nil {
			panic("xfs: a structure whose size is not fixed: " + err.Error()) // a mistake in this package, which every test would show
		}
	}
	return b
}

// pad appends zeros up to size bytes.
func pad(b []byte, size int) []byte { return append(b, make([]byte, size-len(b))...) }

// sector is a structure alone in a sector.
func (g geometry) sector(structure any) []byte { return pad(encode(nil, structure), g.sectorSize) }

// seal puts the checksum of b, in which it counts as zero, at offset at.
func seal(b []byte, at int) []byte {
	sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(b[at:], sum)
	return b
}

// write writes everything. Between its first step and its last nothing on the device is a file system, neither the old nor the new.
func write(w *output.Writer, g geometry, o Options) error {
	super := seal(g.sector(newSuperblock(g, o)), superblockCRC)
	w.Zero(0, blockSize)
	w.Sync()

	logAt := g.offset(g.logGroup, g.logStart())
	w.Write(pad(unmounted(g.sectorSize, o.UUID), blockSize), logAt)
	w.Zero(logAt+blockSize, int64(g.logBlocks-1)<<blockLog)
	for group := uint32(1); group < g.groups; group++ {
		w.Write(g.head(group, o, super), g.offset(group, 0))
	}
	first := g.head(0, o, super)
	w.Write(first[blockSize:], blockSize)
	w.Sync()

	w.Write(first[:blockSize], 0)
	w.Sync()
	return w.Err()
}
