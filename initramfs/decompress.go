package initramfs

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// decompressor undoes one of the compressions that the kernel's build system
// knows for modules (MODULE_COMPRESS_*).
type decompressor struct {
	suffix string
	magic  string
	open   func(io.Reader) (io.Reader, error)
}

func decompressors() []decompressor {
	return []decompressor{
		{".gz", "\x1f\x8b", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{".xz", "\xfd7zXZ\x00", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }},
		{".zst", "\x28\xb5\x2f\xfd", func(r io.Reader) (io.Reader, error) {
			return zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		}},
	}
}

// moduleCompression is the suffix that a module's file has because it is
// compressed; empty when it is not.
func moduleCompression(file string) string {
	for _, d := range decompressors() {
		if path.Ext(file) == d.suffix {
			return d.suffix
		}
	}
	return ""
}

// readModule reads a module and decompresses it, by its content.
func readModule(fsys fs.FS, file string) ([]byte, error) {
	b, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, err
	}
	b, err = decompress(b)
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", file, err)
	}
	return b, nil
}

// decompress returns the content of b if it is compressed, else b.
func decompress(b []byte) ([]byte, error) {
	for _, d := range decompressors() {
		if !bytes.HasPrefix(b, []byte(d.magic)) {
			continue
		}
		r, err := d.open(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	return b, nil
}
