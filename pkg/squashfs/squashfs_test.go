package squashfs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/liveboot/liveboot/pkg/fstree/fstreetest"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/pkg/squashfs"
)

// mksquashfs makes an image of a folder. A machine without the program skips the test and says so; in CI it is there.
func mksquashfs(t testing.TB, folder string, options ...string) string {
	t.Helper()
	program := needs.Program(t, "mksquashfs", "squashfs-tools")
	image := filepath.Join(t.TempDir(), "image")
	args := append([]string{folder, image, "-no-progress", "-quiet", "-processors", "1", "-no-xattrs"}, options...)
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs %s: %v\n%s", strings.Join(options, " "), err, out)
	}
	return image
}

func TestReadsAllCompressions(t *testing.T) {
	dir := fstreetest.Folder(t)
	tests := []struct {
		name    string
		options []string
	}{
		{"gzip", []string{"-comp", "gzip"}},
		{"lzo", []string{"-comp", "lzo"}},
		{"lz4", []string{"-comp", "lz4"}},
		{"zstd", []string{"-comp", "zstd"}},
		{"xz", []string{"-comp", "xz"}},
		{"xz with x86 filter, as KIWI", []string{"-comp", "xz", "-Xbcj", "x86", "-b", "1M"}},
		{"stored", []string{"-noI", "-noD", "-noF"}},
		{"no fragments", []string{"-comp", "zstd", "-no-fragments", "-b", "4096"}},
		{"tails in fragments", []string{"-comp", "zstd", "-always-use-fragments"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fstreetest.Compare(t, open(t, mksquashfs(t, dir, tt.options...)), dir)
		})
	}
}

func open(t testing.TB, image string) fs.FS {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fsys, err := squashfs.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestReadAt(t *testing.T) {
	dir := fstreetest.Folder(t)
	fstreetest.CompareAt(t, open(t, mksquashfs(t, dir, "-comp", "zstd")), dir, "code", "holes", "short")
}

func TestIsAnFS(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b/c", "d"} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(open(t, mksquashfs(t, dir)), "a/b/c", "d"); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	image, err := os.ReadFile(mksquashfs(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, b byte) []byte {
		c := bytes.Clone(image)
		c[at] = b
		return c
	}
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, squashfs.ErrFormat},
		{"something else", bytes.Repeat([]byte("x"), 4096), squashfs.ErrFormat},
		{"version 3", changed(28, 3), squashfs.ErrFormat},
		{"block size", changed(12, 1), squashfs.ErrFormat},
		{"compression", changed(20, 9), errors.ErrUnsupported},
		{"cut off", image[:100], squashfs.ErrFormat},
		{"root beyond the end", changed(37, 0x7f), squashfs.ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := squashfs.Open(bytes.NewReader(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("Open() = %v, want %v", err, tt.want)
			}
		})
	}
}

// FuzzOpen reads all of a damaged image.
func FuzzOpen(f *testing.F) {
	dir := fstreetest.SmallFolder(f)
	for _, options := range [][]string{{"-noI", "-noD", "-noF", "-b", "4096"}, {"-comp", "zstd"}} {
		image, err := os.ReadFile(mksquashfs(f, dir, append(options, "-nopad")...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		fsys, err := squashfs.Open(bytes.NewReader(image))
		if err != nil {
			return
		}
		fstreetest.Walk(fsys)
	})
}
