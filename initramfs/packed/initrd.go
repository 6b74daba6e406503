package packed

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	mxz "github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
)

// Initrd reads an initrd as the kernel does (init/initramfs.c): a row
// of archives, each plain or compressed in its own way, with zeros between
// them. A plain one in front is microcode; several may be in one compressed
// stream.
func Initrd(initrd []byte, f func(File) error) error {
	r := bytes.NewReader(initrd)
	for segment := 1; ; segment++ {
		if !skipZeros(r) {
			return nil
		}
		offset := len(initrd) - r.Len()
		if err := unpackSegment(r, initrd[offset:], f); err != nil {
			return fmt.Errorf("initrd, segment %d at byte %d: %w", segment, offset, err)
		}
	}
}

// skipZeros moves to the next byte that is not zero, and says whether there
// is one.
func skipZeros(r io.ByteScanner) bool {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return false
		}
		if b != 0 {
			return r.UnreadByte() == nil
		}
	}
}

// unpackSegment reads one segment, of which the content is that of r; what
// is behind it stays unread.
func unpackSegment(r *bytes.Reader, content []byte, f func(File) error) error {
	if bytes.HasPrefix(content, []byte("07070")) {
		return newc(r, f)
	}
	for _, u := range unpackers() {
		if !bytes.HasPrefix(content, []byte(u.magic)) {
			continue
		}
		stream, err := u.open(r)
		if err != nil {
			return fmt.Errorf("%s: %w", u.name, err)
		}
		archives := bufio.NewReaderSize(stream, 1<<16)
		for skipZeros(archives) {
			if err := newc(archives, f); err != nil {
				return fmt.Errorf("%s: %w", u.name, err)
			}
		}
		// The end or an error: the next read says which.
		if _, err := archives.ReadByte(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", u.name, err)
		}
		return nil
	}
	return fmt.Errorf("it starts with % x, which is neither a cpio archive (newc) nor one in a compression that is known here", content[:min(6, len(content))])
}

// unpacker is a compression that the kernel knows for an initrd
// (lib/decompress.c).
type unpacker struct {
	name  string
	magic string
	// open reads a stream. At its end r is behind it.
	open func(r *bytes.Reader) (io.Reader, error)
}

func unpackers() []unpacker {
	return []unpacker{
		{"gzip", "\x1f\x8b", openGzip},
		{"xz", "\xfd7zXZ\x00", func(r *bytes.Reader) (io.Reader, error) { return openXZ(r) }},
		{"zstd", "\x28\xb5\x2f\xfd", openZstd},
		{"lz4", lz4LegacyMagic, func(r *bytes.Reader) (io.Reader, error) { return &lz4Legacy{r: r}, nil }},
		// Neither of these tells where it ends, so nothing can be behind it.
		{"bzip2", "BZh", func(r *bytes.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
		{"lzma", "\x5d\x00", func(r *bytes.Reader) (io.Reader, error) { return openLZMA(bufio.NewReader(r)) }},
	}
}

func openGzip(r *bytes.Reader) (io.Reader, error) {
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

// openZstd cuts the frame out first, as the decoder reads ahead.
func openZstd(r *bytes.Reader) (io.Reader, error) {
	rest := make([]byte, r.Len())
	if _, err := r.ReadAt(rest, r.Size()-int64(r.Len())); err != nil {
		return nil, err
	}
	n, err := zstdFrame(rest)
	if err != nil {
		return nil, err
	}
	return zstd.NewReader(io.LimitReader(r, int64(n)), zstd.WithDecoderConcurrency(1))
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
	r       *bytes.Reader
	started bool
	block   []byte // what is left of it
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
	if !l.started {
		l.started = true
		if err := skip(l.r, int64(len(lz4LegacyMagic))); err != nil {
			return err
		}
	}
	var word [4]byte
	if _, err := io.ReadFull(l.r, word[:]); err != nil {
		return io.EOF
	}
	size := binary.LittleEndian.Uint32(word[:])
	if string(word[:]) == lz4LegacyMagic {
		return l.next()
	}
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
	block := make([]byte, lz4LegacyBlock)
	n, err := lz4.UncompressBlock(packed, block)
	if err != nil {
		return err
	}
	l.block = block[:n]
	return nil
}
