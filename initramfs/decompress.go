package initramfs

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/liveboot/liveboot/initramfs/packed"
)

// moduleSuffixes are those of the compressions that the kernel's build system
// knows for modules (MODULE_COMPRESS_*).
func moduleSuffixes() []string { return []string{".gz", ".xz", ".zst"} }

// moduleCompression is the suffix that a module's file has because it is
// compressed; empty when it is not.
func moduleCompression(file string) string {
	if ext := path.Ext(file); slices.Contains(moduleSuffixes(), ext) {
		return ext
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
func decompress(b []byte) ([]byte, error) { return packed.Decompressed(b) }
