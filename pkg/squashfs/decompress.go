package squashfs

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"github.com/anchore/go-lzo"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
)

// A decompressor unpacks a block, which then has at most limit bytes.
type decompressor func(packed []byte, limit int) ([]byte, error)

// decompressorFor knows the compressions by their number in the superblock. Number 2 is lzma, which the kernel does not read either. The error for
// any other number wraps errors.ErrUnsupported: the image may well be sound.
func decompressorFor(number uint16) (decompressor, error) {
	switch number {
	case 1:
		return streaming(func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }), nil
	case 3:
		return intoBuffer(lzo.Decompress), nil
	case 4:
		return streaming(func(r io.Reader) (io.Reader, error) { return xz.NewReader(r, maxBlockSize) }), nil
	case 5:
		return intoBuffer(lz4.UncompressBlock), nil
	case 6:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBlockSize))
		return func(packed []byte, limit int) ([]byte, error) { return d.DecodeAll(packed, make([]byte, 0, limit)) }, err
	}
	return nil, fmt.Errorf("compression %d: %w", number, errors.ErrUnsupported)
}

func streaming(open func(io.Reader) (io.Reader, error)) decompressor {
	return func(packed []byte, limit int) ([]byte, error) {
		r, err := open(bytes.NewReader(packed))
		if err != nil {
			return nil, err
		}
		b := make([]byte, limit)
		n, err := io.ReadFull(r, b)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = nil
		}
		return b[:n], err
	}
}

func intoBuffer(decompress func(packed, b []byte) (int, error)) decompressor {
	return func(packed []byte, limit int) ([]byte, error) {
		b := make([]byte, limit)
		n, err := decompress(packed, b)
		return b[:max(n, 0)], err
	}
}
