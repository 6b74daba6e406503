package initramfs

import (
	"bytes"
	"io"
	"io/fs"

	"github.com/liveboot/liveboot/initramfs/packed"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// decompress returns the content of b if it is compressed, else b.
func decompress(b []byte) ([]byte, error) { return packed.Decompressed(b) }

// decompressed is decompress for a stream.
func decompressed(r io.Reader) (io.ReadCloser, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	b, err = decompress(b)
	return io.NopCloser(bytes.NewReader(b)), err
}

// readFile reads a file of a foreign tree, without believing the size that the tree gives.
func readFile(fsys fs.FS, name string) ([]byte, error) { return kernelmodules.ReadFile(fsys, name) }
