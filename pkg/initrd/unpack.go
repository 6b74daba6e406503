package initrd

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	mxz "github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
)

// A Compression is one in which a segment of an initrd may be.
type Compression struct {
	Name  string
	Magic string // that it begins with
	// Open reads a stream from r, which holds rest. At its end r is behind it.
	Open func(r *bytes.Reader, rest []byte) (io.Reader, error)
}

// compressions are those that the kernel knows for an initrd (lib/decompress.c), but for lzma and lzo.
func compressions() []Compression {
	return []Compression{
		{"gzip", "\x1f\x8b", openGzip},
		{"xz", "\xfd7zXZ\x00", func(r *bytes.Reader, _ []byte) (io.Reader, error) { return openXZ(r) }},
		{"zstd", "\x28\xb5\x2f\xfd", openZstd},
		{"lz4", lz4LegacyMagic, func(r *bytes.Reader, _ []byte) (io.Reader, error) { return &lz4Legacy{r: r}, nil }},
		// It does not tell where it ends, so nothing can be behind it.
		{"bzip2", "BZh", func(r *bytes.Reader, _ []byte) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	}
}

// unpackedMax bounds what all compressed segments of an initrd unpack to, in bytes: of zeros, a small one holds any amount.
const unpackedMax = 4 << 30

// limited reads what is left of a bound that several streams share.
type limited struct {
	io.Reader
	left *int64
}

func (l limited) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	if *l.left -= int64(n); *l.left < 0 {
		return 0, errors.New("the initrd unpacks to too many bytes")
	}
	return n, err
}

// unpack reads one segment, of which the content is that of r; what is behind it stays unread. It takes what it unpacks from left.
func unpack(r *bytes.Reader, content []byte, known []Compression, left *int64, f func(File) error) error {
	if bytes.HasPrefix(content, []byte("07070")) {
		return Newc(r, f)
	}
	for _, c := range known {
		if !bytes.HasPrefix(content, []byte(c.Magic)) {
			continue
		}
		stream, err := c.Open(r, content)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		archives := bufio.NewReaderSize(limited{stream, left}, 1<<16)
		for skipZeros(archives) {
			if err := Newc(archives, f); err != nil {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		// The end or an error: the next read says which.
		if _, err := archives.ReadByte(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		return nil
	}
	return fmt.Errorf("it starts with % x, which is neither a cpio archive (newc) nor one in a compression that is known here", content[:min(6, len(content))])
}

func openGzip(r *bytes.Reader, _ []byte) (io.Reader, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return z, nil
}

// xzStream reads one xz stream. The decoder looks ahead for padding, by one
// read, until it finds something else; as streams and padding are of whole
// groups of 4 bytes, it is given these one by one, and the last one is taken
// back.
type xzStream struct {
	*mxz.Reader
	source *groups
	done   bool
}

func openXZ(r *bytes.Reader) (io.Reader, error) {
	g := &groups{r: r}
	z, err := mxz.NewReader(g, 0)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &xzStream{Reader: z, source: g}, nil
}

func (x *xzStream) Read(b []byte) (int, error) {
	n, err := x.Reader.Read(b)
	if errors.Is(err, io.EOF) && !x.done {
		x.done = true
		if err := x.source.back(); err != nil {
			return n, err
		}
	}
	return n, err
}

// groups reads 4 bytes at a time.
type groups struct {
	r    *bytes.Reader
	last int // how many the last read returned
}

func (g *groups) Read(b []byte) (n int, err error) {
	n, err = g.r.Read(b[:min(4, len(b))])
	g.last = n
	return n, err
}

// back takes the last read back.
func (g *groups) back() error {
	_, err := g.r.Seek(int64(-g.last), io.SeekCurrent)
	return err
}

// zstdWindow bounds the memory for unpacking, in bytes: the kernel's own limit (ZSTD_WINDOWLOG_MAX of lib/decompress_unzstd.c).
const zstdWindow = 128 << 20

// openZstd cuts the frame out first, as the decoder reads ahead.
func openZstd(r *bytes.Reader, rest []byte) (io.Reader, error) {
	n, err := zstdFrame(rest)
	if err != nil {
		return nil, err
	}
	return zstd.NewReader(io.LimitReader(r, int64(n)), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
}

// zstdFrame is the length of the frame at the start of b (RFC 8878, section
// 3.1.1): header, blocks with a header of 3 bytes each, checksum.
func zstdFrame(b []byte) (int, error) {
	var h zstd.Header
	if err := h.Decode(b); err != nil {
		return 0, err
	}
	n := h.HeaderSize
	for {
		if n+3 > len(b) {
			return 0, io.ErrUnexpectedEOF
		}
		block := int(b[n]) | int(b[n+1])<<8 | int(b[n+2])<<16
		size := block >> 3
		if block>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		if n += 3 + size; block&1 != 0 {
			break
		}
	}
	if h.HasCheckSum {
		n += 4
	}
	if n > len(b) {
		return 0, io.ErrUnexpectedEOF
	}
	return n, nil
}

// lz4LegacyMagic begins the format of "lz4 -l", the only one that the kernel
// knows: the magic, then blocks of 8 MiB, each behind its size.
const (
	lz4LegacyMagic = "\x02\x21\x4c\x18"
	lz4LegacyBlock = 8 << 20
)

type lz4Legacy struct {
	r      *bytes.Reader
	buffer []byte // of a block
	block  []byte // what is left of it
}

func (l *lz4Legacy) Read(b []byte) (int, error) {
	for len(l.block) == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, l.block)
	l.block = l.block[n:]
	return n, nil
}

// next unpacks a block. The end is that of the file, a size of zero, which is
// padding, or one that no block has.
func (l *lz4Legacy) next() error {
	word := [4]byte([]byte(lz4LegacyMagic))
	for string(word[:]) == lz4LegacyMagic { // in front, and again where files were joined
		if _, err := io.ReadFull(l.r, word[:]); err != nil {
			return io.EOF
		}
	}
	size := binary.LittleEndian.Uint32(word[:])
	if size == 0 || int64(size) > int64(lz4.CompressBlockBound(lz4LegacyBlock)) {
		if _, err := l.r.Seek(-4, io.SeekCurrent); err != nil {
			return err
		}
		return io.EOF
	}
	packed := make([]byte, min(int(size), l.r.Len()))
	if _, err := io.ReadFull(l.r, packed); err != nil {
		return err
	}
	if len(packed) < int(size) {
		return io.ErrUnexpectedEOF
	}
	if l.buffer == nil { // once: of tiny blocks there may be millions
		l.buffer = make([]byte, lz4LegacyBlock)
	}
	n, err := lz4.UncompressBlock(packed, l.buffer)
	if err != nil {
		return err
	}
	l.block = l.buffer[:n]
	return nil
}
