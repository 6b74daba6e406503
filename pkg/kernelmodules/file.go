package kernelmodules

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/liveboot/liveboot/pkg/fetch/decompress"
)

// fileMax bounds what is read of one file, and what one unpacks to, in bytes: no module, initrd or firmware comes near it, and a damaged file
// system may claim anything.
const fileMax = 1 << 30

// ReadFile reads a file of a foreign tree. Unlike fs.ReadFile it does not believe the size that the tree gives.
func ReadFile(fsys fs.FS, name string) ([]byte, error) { return readFile(fsys, name, fileMax) }

func readFile(fsys fs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	return b, bounded(name, b, most, err)
}

// A sizeError says that a file has, or unpacks to, more bytes than it may.
type sizeError struct{ most int64 }

// Error names the bound.
func (e *sizeError) Error() string { return fmt.Sprintf("it has more than %d bytes", e.most) }

// bounded is err, or what is to be said of too many bytes.
func bounded(name string, b []byte, most int64, err error) error {
	if err == nil && int64(len(b)) > most {
		return fmt.Errorf("read %s: %w", name, &sizeError{most})
	}
	return err
}

// ReadModule reads a module and unpacks it, if it is compressed by its content.
func ReadModule(fsys fs.FS, name string) ([]byte, error) { return readModule(fsys, name, fileMax) }

// readModule is ReadModule for one of at most so many bytes, unpacked or not.
func readModule(fsys fs.FS, name string, most int64) ([]byte, error) {
	b, err := readFile(fsys, name, most)
	if err != nil || bytes.HasPrefix(b, []byte("\x7fELF")) {
		return b, err
	}
	z, err := decompress.New(bytes.NewReader(b), decompress.Options{Workers: 1})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer z.Close()
	if z.Format() == "" {
		return b, nil
	}
	if b, err = io.ReadAll(io.LimitReader(z, most+1)); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, bounded(name, b, most, nil)
}

// Compression is the suffix that a module's file has because it is compressed, in one of the ways that the kernel's build knows
// (MODULE_COMPRESS_*); empty when it is not.
func Compression(file string) string {
	if ext := path.Ext(file); slices.Contains([]string{".gz", ".xz", ".zst"}, ext) {
		return ext
	}
	return ""
}

// plain is a file's name without what a compression put behind ".ko".
func plain(file string) string { return strings.TrimSuffix(file, Compression(file)) }

// isModule says whether a file is a module, compressed or not.
func isModule(file string) bool { return path.Ext(plain(file)) == ".ko" }
