package decompress

import (
	"bufio"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A Format is a compression that is recognised.
type Format struct {
	Name string
	// Suffix that names of such files usually have; it plays no part in recognising them.
	Suffix string
	// Doc is a sentence on what is special.
	Doc   string
	match func(head []byte) bool
	open  func(*bufio.Reader, Options) (r io.Reader, close func(), err error)
}

// Formats returns the compressions, in the order in which they are documented.
func Formats() []Format {
	return []Format{
		{"xz", ".xz", "Blocks side by side if made by `xz -T` (the default of xz 5.6 and later, and KIWI's).", matchXZ, openXZ},
		{"gzip", ".gz", "On one processor.", matchGzip, openGzip},
		{"zstd", ".zst", "On one processor; the fastest by far.", matchZstd, openZstd},
		{"bzip2", ".bz2", "On one processor; the slowest.", matchBzip2, openBzip2},
	}
}

// magicSize is how many bytes, at most, tell a compression.
const magicSize = 10

func matchXZ(head []byte) bool { return strings.HasPrefix(string(head), xzMagic) }

// matchGzip knows deflate, the only method there is, and that the upper three flags are reserved: two bytes alone say little.
func matchGzip(head []byte) bool {
	return len(head) >= 4 && head[0] == 0x1f && head[1] == 0x8b && head[2] == 8 && head[3]&0xe0 == 0
}

// matchZstd knows skippable frames too: what pzstd makes begins with one.
func matchZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	magic := binary.LittleEndian.Uint32(head)
	return magic == 0xfd2fb528 || magic&^0xf == 0x184d2a50
}

// matchBzip2 knows the magic number of a block behind that of the file, and that of the end, which an empty file has there.
func matchBzip2(head []byte) bool {
	s := string(head)
	return len(s) >= 10 && s[:3] == "BZh" && '1' <= s[3] && s[3] <= '9' && (s[4:10] == "1AY&SY" || s[4:10] == "\x17\x72\x45\x38\x50\x90")
}

func openGzip(src *bufio.Reader, _ Options) (io.Reader, func(), error) {
	r, err := gzip.NewReader(src)
	if err != nil {
		return nil, nil, gzipError(truncated(err))
	}
	return mapped{r, gzipError}, func() {}, nil
}

func gzipError(err error) error {
	switch {
	case errors.Is(err, gzip.ErrHeader):
		return errors.New("something that is not gzip stands behind the compressed data, or in its place")
	case errors.Is(err, gzip.ErrChecksum):
		return errors.New("the file is damaged: checksum (CRC-32) or length is another than the one in it")
	}
	return err
}

// openZstd unpacks in Read: side by side, the decoder's stages gain nothing measurable on two processors, and cost on one.
func openZstd(src *bufio.Reader, _ Options) (io.Reader, func(), error) {
	r, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, nil, zstdError(err)
	}
	return mapped{r, zstdError}, r.Close, nil
}

func zstdError(err error) error {
	switch {
	case errors.Is(err, zstd.ErrMagicMismatch):
		return errors.New("something that is not zstd stands behind the compressed data")
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("needs a window of more than %d MiB; compress with --long=27 at most: %w", MaxWindow>>20, err)
	}
	return err
}

func openBzip2(src *bufio.Reader, _ Options) (io.Reader, func(), error) {
	return mapped{bzip2.NewReader(src), func(err error) error { return err }}, func() {}, nil
}

// mapped says errors in other words.
type mapped struct {
	io.Reader
	words func(error) error
}

func (m mapped) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = m.words(err)
	}
	return n, err
}
