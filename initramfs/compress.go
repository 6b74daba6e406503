package initramfs

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"runtime/debug"

	"github.com/klauspost/compress/zstd"
)

// Compression is how the segments of an initrd are compressed.
type Compression string

const (
	// Auto is Zstd where the kernel's configuration is known and has
	// CONFIG_RD_ZSTD=y, else Gzip, which every kernel has.
	Auto Compression = "auto"
	Zstd Compression = "zstd"
	Gzip Compression = "gzip"
)

// zstdWindow is the decoder's memory in bytes. 8 MiB is what RFC 8878,
// section 3.1.1.1.2, asks every decoder to support; the kernel allocates it
// while it unpacks, and larger ones gain nothing measurable here.
const zstdWindow = 8 << 20

// compressor turns a segment into something the kernel unpacks. The output
// depends on the input and on the identity only.
type compressor struct {
	// identity names algorithm, settings and version, for the cache.
	identity string
	compress func([]byte) ([]byte, error)
}

func compressorFor(c Compression) (compressor, error) {
	switch c {
	case Zstd:
		return compressor{"zstd-best-8MiB-" + moduleVersion("github.com/klauspost/compress"), compressZstd}, nil
	case Gzip:
		return compressor{"gzip-9-" + moduleVersion("github.com/klauspost/compress"), compressGzip}, nil
	}
	return compressor{}, fmt.Errorf("compression %q: not known, choose one of %s, %s, %s", c, Auto, Zstd, Gzip)
}

func compressZstd(b []byte) ([]byte, error) {
	// One goroutine: with more the block borders, and so the output, would
	// depend on the number of processors. The checksum lets the kernel notice
	// a damaged initrd.
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(b, nil), w.Close()
}

func compressGzip(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// moduleVersion is the version of a Go module in the running program; empty
// when the program does not know, as in some tests.
func moduleVersion(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
