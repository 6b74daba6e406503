// Package initrdtest packs for tests what package initrd reads.
package initrdtest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/initrd"
)

// Newc makes a cpio archive of files, "name content" each: a name with "/" behind it is a folder, with "@" a symbolic link to the
// content, with "=" one of two names of a file, of which the second has the content.
func Newc(files ...string) []byte {
	var b bytes.Buffer
	entry := func(ino, mode, links int, name, content string) {
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", ino, mode, 0, 0, links, 86400, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		b.Write(make([]byte, -b.Len()&3))
		b.WriteString(content)
		b.Write(make([]byte, -b.Len()&3))
	}
	for i, f := range files {
		name, content, _ := strings.Cut(f, " ")
		switch {
		case strings.HasSuffix(name, "/"):
			entry(i, 0o040755, 2, strings.TrimSuffix(name, "/"), "")
		case strings.HasSuffix(name, "@"):
			entry(i, 0o120777, 1, strings.TrimSuffix(name, "@"), content)
		case strings.HasSuffix(name, "="):
			entry(1000, 0o100644, 2, strings.TrimSuffix(name, "="), content)
		default:
			entry(i, 0o100644, 1, name, content)
		}
	}
	entry(0, 0, 1, "TRAILER!!!", "")
	return b.Bytes()
}

// Gzip compresses.
func Gzip(b []byte) []byte {
	var out bytes.Buffer
	return Written(&out, gzip.NewWriter(&out), b)
}

// XZ compresses with the checksum that the kernel knows.
func XZ(b []byte) []byte {
	var out bytes.Buffer
	w, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	return Written(&out, w, b)
}

// Zstd compresses.
func Zstd(b []byte, options ...zstd.EOption) []byte {
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

// Written is what w makes of b in out.
func Written(out *bytes.Buffer, w io.WriteCloser, b []byte) []byte {
	_, err := w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// List reads files as "name content", with "/" behind a folder and "@" behind a link.
func List(t *testing.T, read func(func(initrd.File) error) error) ([]string, error) {
	t.Helper()
	m := fstree.NewMemory()
	into := initrd.Into(m, func(string) bool { return true })
	var names []string
	err := read(func(f initrd.File) error {
		names = append(names, f.Name)
		return into(f)
	})
	var all []string
	fsys := fstree.New(m)
	for _, name := range names {
		info, infoErr := fs.Lstat(fsys, name)
		if infoErr != nil {
			t.Fatal(infoErr)
		}
		switch info.Mode().Type() {
		case fs.ModeDir:
			all = append(all, name+"/")
		case fs.ModeSymlink:
			target, err := fsys.ReadLink(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, name+"@ "+target)
		default:
			b, err := fs.ReadFile(fsys, name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, name+" "+string(b))
		}
	}
	return all, err
}
