package decompress

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The container of the .xz file format 1.1.0 (https://tukaani.org/xz/xz-file-format.txt): streams of blocks, an index and a footer, with
// padding between streams. Only the content of a block, which is LZMA2, is left to a library.

const (
	xzMagic       = "\xfd7zXZ\x00"
	xzFooterMagic = "YZ"
	xzHeaderSize  = 12 // of a stream; the footer has as many bytes
	xzVLIMax      = 9  // bytes of a variable-length integer, 7 bits in each
	// xzAround is the most that a stream of one block has around it: header, an index of one record, and footer.
	xzAround = 2*xzHeaderSize + (2 + 2*xzVLIMax + 3) + 4
)

var (
	errXZDamaged = errors.New("the file is damaged: its structure is not that of an xz file")
	errXZIndex   = errors.New("the file is damaged: its index lists other blocks than it has")
)

// xzFlags are the stream flags, a zero byte and the kind of the integrity check.
type xzFlags [2]byte

// checkSize is the size of the check behind each block, in bytes. Kinds that nobody can verify are refused: xz itself makes none of them.
func (f xzFlags) checkSize() (int, error) {
	switch f[1] {
	case 0x00: // none
		return 0, nil
	case 0x01: // CRC-32
		return 4, nil
	case 0x04: // CRC-64
		return 8, nil
	case 0x0a: // SHA-256
		return 32, nil
	}
	return 0, fmt.Errorf("has integrity checks of the unknown kind %d; compress with --check=crc64", f[1])
}

func parseXZHeader(b []byte) (xzFlags, error) {
	if string(b[:6]) != xzMagic {
		return xzFlags{}, errors.New("something that is not xz stands behind the compressed data")
	}
	if crc32.ChecksumIEEE(b[6:8]) != binary.LittleEndian.Uint32(b[8:]) || b[6] != 0 || b[7] > 0x0f {
		return xzFlags{}, errXZDamaged
	}
	return xzFlags(b[6:8]), nil
}

func appendXZHeader(b []byte, f xzFlags) []byte {
	b = append(b, xzMagic...)
	b = append(b, f[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(f[:]))
}

// parseXZFooter returns the size of the index before it, in bytes.
func parseXZFooter(b []byte, f xzFlags) (int64, error) {
	if string(b[10:12]) != xzFooterMagic || crc32.ChecksumIEEE(b[4:10]) != binary.LittleEndian.Uint32(b) || xzFlags(b[8:10]) != f {
		return 0, errXZDamaged
	}
	return (int64(binary.LittleEndian.Uint32(b[4:])) + 1) * 4, nil
}

// A xzRecord is what the index says of a block, in bytes: the packed size with header and check, without padding, and the size unpacked.
type xzRecord struct{ unpadded, uncompressed uint64 }

func (r xzRecord) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, r.unpadded), r.uncompressed)
}

// appendXZEnd appends index and footer of a stream of that one block.
func appendXZEnd(b []byte, f xzFlags, r xzRecord) []byte {
	start := len(b)
	b = r.append(append(b, 0, 1))
	for (len(b)-start)%4 != 0 {
		b = append(b, 0)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
	var tail [6]byte
	binary.LittleEndian.PutUint32(tail[:], uint32((len(b)-start)/4-1))
	copy(tail[4:], f[:])
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(tail[:]))
	return append(append(b, tail[:]...), xzFooterMagic...)
}

// readVLI reads a variable-length integer of at most 63 bits in its one shortest form.
func readVLI(r io.ByteReader) (uint64, error) {
	var v uint64
	for i := range xzVLIMax {
		c, err := r.ReadByte()
		if err != nil {
			return 0, truncated(err)
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c&0x80 == 0 {
			if c == 0 && i > 0 {
				return 0, errXZDamaged
			}
			return v, nil
		}
	}
	return 0, errXZDamaged
}

// A xzBlock is the header of a block.
type xzBlock struct {
	raw []byte
	// compressed and uncompressed are the sizes in bytes of the content, where the header tells both; compressed is 0 otherwise, which no
	// content has.
	compressed, uncompressed uint64
	dictionary               uint64
}

// record is what the index has to say of the block, given the sizes of its content.
func (b xzBlock) record(compressed, uncompressed uint64, checkSize int) xzRecord {
	return xzRecord{uint64(len(b.raw)) + compressed + uint64(checkSize), uncompressed}
}

// Filters that may stand before LZMA2, with the sizes that their properties may have: Delta, and those that make the jumps in programs
// of six kinds of processors absolute.
func xzFilterKnown(id uint64) bool { return 0x03 <= id && id <= 0x09 }

const xzLZMA2 = 0x21

// readXZBlock reads the header of a block, of which size is the first byte.
func readXZBlock(src *bufio.Reader, size byte) (xzBlock, error) {
	b := xzBlock{raw: make([]byte, (int(size)+1)*4)}
	b.raw[0] = size
	if _, err := io.ReadFull(src, b.raw[1:]); err != nil {
		return b, truncated(err)
	}
	end := len(b.raw) - 4
	if crc32.ChecksumIEEE(b.raw[:end]) != binary.LittleEndian.Uint32(b.raw[end:]) {
		return b, errXZDamaged
	}
	if err := b.parse(cursor{b.raw[2:end]}); err != nil {
		return b, err
	}
	return b, nil
}

func (b *xzBlock) parse(c cursor) (err error) {
	flags := b.raw[1]
	if flags&0x40 != 0 {
		if b.compressed, err = readVLI(&c); err != nil {
			return errXZDamaged
		}
		if b.compressed == 0 {
			return errXZDamaged
		}
	}
	if flags&0x80 != 0 {
		if b.uncompressed, err = readVLI(&c); err != nil {
			return errXZDamaged
		}
	} else {
		b.compressed = 0
	}
	filters := int(flags&3) + 1
	for i := range filters {
		id, err1 := readVLI(&c)
		n, err2 := readVLI(&c)
		if err1 != nil || err2 != nil || n > uint64(len(c.rest)) {
			return errXZDamaged
		}
		properties := c.rest[:n]
		c.rest = c.rest[n:]
		if last := i == filters-1; last != (id == xzLZMA2) || !last && !xzFilterKnown(id) {
			return fmt.Errorf("uses a filter of the kind %#x, which is not supported; compress with --lzma2 alone", id)
		}
		if id == xzLZMA2 {
			if b.dictionary, err = xzDictionary(properties); err != nil {
				return err
			}
		}
	}
	return nil
}

// xzDictionary reads the size of LZMA2's dictionary in bytes: 2 or 3 times a power of two.
func xzDictionary(properties []byte) (uint64, error) {
	if len(properties) != 1 || properties[0] > 40 {
		return 0, errXZDamaged
	}
	p := properties[0]
	size := uint64(2|p&1) << (p/2 + 11)
	if size > MaxWindow {
		return 0, fmt.Errorf("needs a dictionary of %d MiB, more than %d; compress with -9 at most", size>>20, MaxWindow>>20)
	}
	return size, nil
}

// A cursor reads bytes from a slice.
type cursor struct{ rest []byte }

func (c *cursor) ReadByte() (byte, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	b := c.rest[0]
	c.rest = c.rest[1:]
	return b, nil
}
