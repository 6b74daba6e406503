package packed

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/pkg/initrd"
)

const (
	arMagic  = "!<arch>\n"
	arHeader = 60
)

// IsDeb says whether a file begins as a Debian package does.
func IsDeb(start []byte) bool { return bytes.HasPrefix(start, []byte(arMagic)) }

// Deb reads the files of a Debian package (deb(5)): an ar(5) archive with the member data.tar, data.tar.gz, .xz, .zst, .bz2
// or .lzma. Each member has a header of 60 bytes: name (16, padded with spaces), time, owner, group, mode, size (10, at
// 48, decimal), and two bytes of magic; and is padded to an even length.
func Deb(r io.Reader, f func(initrd.File) error) error {
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(r, magic); err != nil || !IsDeb(magic) {
		return ErrDeb
	}
	h := make([]byte, arHeader)
	for {
		if _, err := io.ReadFull(r, h); err != nil {
			return fmt.Errorf("%w: no data.tar in it", ErrDeb)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil || size < 0 || string(h[58:]) != "`\n" {
			return fmt.Errorf("%w: a damaged header", ErrDeb)
		}
		name := strings.TrimRight(string(h[:16]), " /")
		if strings.HasPrefix(name, "data.tar") {
			return debData(io.LimitReader(r, size), name, f)
		}
		if err := skip(r, size+size&1); err != nil {
			return fmt.Errorf("%w: cut off in %s", ErrDeb, name)
		}
	}
}

func debData(r io.Reader, name string, f func(initrd.File) error) error {
	z, err := decompress(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer z.Close()
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		file := initrd.File{Name: strings.TrimLeft(strings.TrimPrefix(h.Name, "./"), "/"), Modified: h.ModTime}
		perm := fs.FileMode(h.Mode & 0o777)
		switch h.Typeflag {
		case tar.TypeReg:
			file.Mode, file.Size, file.Content = perm, h.Size, t
		case tar.TypeDir:
			file.Name, file.Mode = strings.TrimSuffix(file.Name, "/"), perm|fs.ModeDir
		case tar.TypeSymlink:
			file.Mode, file.Size, file.Content = perm|fs.ModeSymlink, int64(len(h.Linkname)), strings.NewReader(h.Linkname)
		default:
			file.Mode = perm | fs.ModeIrregular
		}
		if err := f(file); err != nil {
			return err
		}
	}
}
