package probe

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf16"
)

func le16(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }
func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
func be64(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// label returns what stands before the first NUL, without the spaces behind it.
func label(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.TrimRight(s, " \t\n\v\f\r")
}

// wide returns UTF-16 text up to its first NUL, without the spaces behind it; unit, le16 or be16, reads one of its units.
func wide(b []byte, unit func([]byte) uint16) string {
	return label([]byte(string(utf16.Decode(units(b, unit)))))
}

// units splits UTF-16 text.
func units(b []byte, unit func([]byte) uint16) []uint16 {
	all := make([]uint16, len(b)/2)
	for i := range all {
		all[i] = unit(b[2*i:])
	}
	return all
}

// uuid writes 16 bytes as RFC 9562 has it; "" for the nil UUID, which stands for none.
func uuid(b []byte) string {
	if len(b) != 16 || zero(b) {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// guid writes a UUID whose first three fields are little-endian, as Microsoft and UEFI store it (UEFI 2.10, appendix A).
func guid(b []byte) string {
	return uuid([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]})
}

// serial writes the serial number of a FAT volume as DOS shows it.
func serial(b []byte) string {
	n := strings.ToUpper(hex.EncodeToString([]byte{b[3], b[2], b[1], b[0]}))
	return n[:4] + "-" + n[4:]
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func powerOfTwo[N uint16 | uint32 | int64](n N) bool { return n > 0 && n&(n-1) == 0 }

// rawCRC32 is the CRC of table without the inversions before and behind it, as on-disk formats often have it. Where hole > 0,
// the four bytes there, those that hold the sum itself, count as fill.
func rawCRC32(table *crc32.Table, seed uint32, b []byte, hole int, fill byte) uint32 {
	if hole > 0 && hole+4 <= len(b) {
		seed = ^crc32.Update(^seed, table, b[:hole])
		seed = ^crc32.Update(^seed, table, []byte{fill, fill, fill, fill})
		b = b[hole+4:]
	}
	return ^crc32.Update(^seed, table, b)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
