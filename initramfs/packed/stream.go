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
	"github.com/mikelolasagasti/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/liveboot/liveboot/pkg/initrd"
)

// Decompressed returns the content of b if it is compressed, else b.
func Decompressed(b []byte) ([]byte, error) {
	z, err := decompress(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	if _, plain := z.(stored); plain {
		return b, nil
	}
	return io.ReadAll(z)
}

// stored is a stream that was not compressed.
type stored struct{ io.Reader }

func (stored) Close() error { return nil }

// decompress reads what is compressed, by its first bytes, and anything else as it is.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	// An error comes again with the first read.
	start, _ := b.Peek(6)
	is := func(magic string) bool { return bytes.HasPrefix(start, []byte(magic)) }
	var z io.Reader
	var err error
	switch {
	case is("\x1f\x8b"):
		z, err = gzip.NewReader(b)
	case is("\xfd7zXZ\x00"):
		z, err = xz.NewReader(b, 0)
	case is("\x28\xb5\x2f\xfd"):
		d, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case is("BZh"):
		z = bzip2.NewReader(b)
	case is("\x5d\x00\x00"):
		z, err = openLZMA(b)
	default:
		return stored{b}, nil
	}
	if err != nil {
		return nil, err
	}
	return io.NopCloser(z), nil
}

// LZMA is how old initrds are compressed. It does not tell where it ends, so nothing can be behind it.
func LZMA() initrd.Compression {
	return initrd.Compression{Name: "lzma", Magic: "\x5d\x00", Open: func(r *bytes.Reader, _ []byte) (io.Reader, error) { return openLZMA(bufio.NewReader(r)) }}
}

// lzmaMax bounds the dictionary of an lzma stream, in bytes; xz -9 has 64 MiB.
const lzmaMax = 256 << 20

// openLZMA reads a stream as the programs lzma and xz --format=lzma write it: properties (1 byte), size of the dictionary (4,
// little endian), size of the content (8).
func openLZMA(b *bufio.Reader) (io.Reader, error) {
	h, err := b.Peek(5)
	if err != nil {
		return nil, err
	}
	if n := binary.LittleEndian.Uint32(h[1:]); n > lzmaMax {
		return nil, fmt.Errorf("lzma with a dictionary of %d bytes", n)
	}
	return lzma.NewReader(b)
}

func skip(r io.Reader, n int64) error {
	_, err := io.CopyN(io.Discard, r, n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}
