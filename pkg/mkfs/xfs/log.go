package xfs

// recordHeader is the first 512 bytes of a record in the log (xlog_rec_header).
type recordHeader struct {
	Magic      uint32     // 0: 0xfeedbabe
	Cycle      uint32     // 4: how many times the log has been written around
	Version    uint32     // 8: 2
	Length     uint32     // 12: bytes behind the header
	LSN        uint64     // 16: of the record: cycle, and the sector in the log
	TailLSN    uint64     // 24: of the oldest record that is still needed
	CRC        uint32     // 32: little-endian; 0 for none
	Previous   uint32     // 36: sector of the record before, or none
	Operations uint32     // 40
	CycleData  [64]uint32 // 44: what stands in the first four bytes of each following sector in truth
	Format     uint32     // 300: 1, written by a little-endian machine
	UUID       [16]byte   // 304
	Size       uint32     // 320: of the log's buffers in memory, in bytes
}

// unmountRecord is the operation that says that nothing in the log is needed (xlog_op_header and xfs_unmount_log_format). The magic
// number is of the machine's own order, Format in the header says which.
type unmountRecord struct {
	Transaction uint32  // 0
	Length      uint32  // 4: bytes of what follows this header
	Client      uint8   // 8: 0xaa, the log itself
	Flags       uint8   // 9: 0x20, unmount
	Reserved    uint16  // 10
	Magic       [2]byte // 12: "nU"
	Pad         uint16  // 14
	Pad2        uint32  // 16
}

const (
	logSector    = 512 // bytes: the log counts in these whatever the device's sectors are
	logUnit      = 4096
	logMagic     = 0xfeedbabe
	logBuffer    = 32 << 10
	logClient    = 0xaa
	unmountFlag  = 0x20
	unmountID    = 0xb0c0d0d0 // as the kernel's and mkfs.xfs's own have it
	littleEndian = 1
)

// unmounted returns the only record in a new log, as after an unmount: in cycle 1, at the log's beginning. Everything behind it is
// to be zero, which is cycle 0, so that the kernel finds the end.
//
// The first four bytes of every 512 behind the header are replaced with the number of the cycle, on the whole length of the
// record. That length is the least that can be written: a header and 512 bytes, or with sectors of 4096 bytes, one sector. There all
// seven need the number: with zeros in them xfs_repair finds nothing wrong, but the kernel takes the log's end to be within the
// record, and shuts the file system down at the first writes.
func unmounted(sectorSize int, uuid [16]byte) []byte {
	body := pad(encode(nil, unmountRecord{
		Transaction: unmountID, Length: 8, Client: logClient, Flags: unmountFlag, Magic: [2]byte([]byte("nU")),
	}), max(sectorSize, 2*logSector)-logSector)
	h := recordHeader{
		Magic: logMagic, Cycle: 1, Version: 2, Length: uint32(len(body)), LSN: 1 << 32, TailLSN: 1 << 32,
		Previous: none, Operations: 1, Format: littleEndian, UUID: uuid, Size: logBuffer,
	}
	for n := 0; n < len(body)/logSector; n++ {
		first := body[n*logSector:][:4]
		h.CycleData[n] = bigEndian.Uint32(first)
		bigEndian.PutUint32(first, h.Cycle)
	}
	return append(pad(encode(nil, h), logSector), body...)
}
