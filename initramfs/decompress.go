package initramfs

import (
	"fmt"
	"io"
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
	b, err := readFile(fsys, file)
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

// fileMax bounds what is read of one file: no module, initrd or firmware comes near it, and a damaged file system may claim anything.
const fileMax = 1 << 30

// readFile reads a file of a foreign tree. Unlike fs.ReadFile it does not believe the size that the tree gives.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err == nil && len(b) > fileMax {
		err = fmt.Errorf("read %s: it has more than %d bytes", name, fileMax)
	}
	return b, err
}
