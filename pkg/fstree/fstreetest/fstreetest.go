// Package fstreetest compares readers of file systems with what was written.
package fstreetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// links is the symbolic links of Folder, with what is read through them.
func links() map[string]struct{ target, content string } {
	return map[string]struct{ target, content string }{
		"link":     {"short", "short"},
		"absolute": {"/a/b/c/deep", "deep"}, // from the root of the tree, not of the building machine
		"a/up":     {"../../../short", "short"},
		"long":     {strings.Repeat("./", 100) + "a/b/c/deep", "deep"},
	}
}

// Folder makes a folder with what formats treat in different ways: files with and without a tail, holes, what does not
// compress, machine code, links, folders with many names.
func Folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	noise := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	files := map[string][]byte{
		"empty":       nil,
		"short":       []byte("short"),
		"middle":      bytes.Repeat([]byte("m"), 100),
		"block":       bytes.Repeat([]byte("b"), 128<<10),
		"text":        []byte(strings.Repeat("text that compresses\n", 40000)),
		"noise":       noise,
		"code":        code(t),
		"a/b/c/deep":  []byte("deep"),
		"many/README": []byte("see the others"),
	}
	for k := range 400 { // more than a header or a block of a listing is for
		files[fmt.Sprintf("many/file-with-a-longer-name-%04d", k)] = []byte(fmt.Sprint(k))
	}
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for name, l := range links() {
		if err := os.Symlink(l.target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "nothing"), 0o700), writeHoles(filepath.Join(dir, "holes"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// code is some of the running test.
func code(t testing.TB) []byte {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return b[:min(len(b), 3<<19)]
}

// writeHoles writes a file with 800 pieces of data and a hole of 8 KiB behind each.
func writeHoles(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for k := range int64(800) {
		if _, err := f.WriteAt(fmt.Appendf(nil, "piece %d", k), k*12<<10); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	_, err = f.WriteAt([]byte("end"), 800*12<<10) // mkfs.ext4 forgets a hole at the end of a file, with inline_data
	return errors.Join(err, f.Close())
}

// Compare says where a tree is not what is in the folder. Names in except are only in the tree.
func Compare(t *testing.T, got fs.FS, folder string, except ...string) {
	t.Helper()
	want := os.DirFS(folder)
	for name, l := range links() {
		if b, err := fs.ReadFile(got, name); err != nil || string(b) != l.content {
			t.Errorf("%s = %q, %v, want %q", name, b, err, l.content)
		}
	}
	wanted := map[string]bool{}
	for _, name := range except {
		wanted[name] = true
	}
	err := fs.WalkDir(want, ".", func(name string, d fs.DirEntry, err error) error {
		wanted[name] = true
		if err != nil || d.Type() == fs.ModeSymlink {
			return err
		}
		return compareFile(t, got, want, name)
	})
	if err != nil {
		t.Error(err)
	}
	err = fs.WalkDir(got, ".", func(name string, d fs.DirEntry, err error) error {
		if !wanted[name] {
			t.Errorf("%s is in the tree only", name)
		}
		delete(wanted, name)
		return err
	})
	if err != nil || len(wanted) > 0 {
		t.Errorf("files of the tree: %v; not there: %v", err, wanted)
	}
}

func compareFile(t *testing.T, got, want fs.FS, name string) error {
	t.Helper()
	info, err := fs.Stat(want, name)
	if err != nil {
		return err
	}
	gotInfo, err := fs.Stat(got, name)
	if err != nil {
		return err
	}
	if name == "." { // its time is that of the making
		return nil
	}
	if gotInfo.Mode() != info.Mode() || gotInfo.ModTime().Unix() != info.ModTime().Unix() {
		t.Errorf("%s: %v %v, want %v %v", name, gotInfo.Mode(), gotInfo.ModTime(), info.Mode(), info.ModTime())
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	a, err := fs.ReadFile(got, name)
	if err != nil {
		return err
	}
	b, err := fs.ReadFile(want, name)
	if err != nil {
		return err
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s: %d bytes that differ from the %d written", name, len(a), len(b))
	}
	return nil
}

// CompareAt reads pieces of files.
func CompareAt(t *testing.T, got fs.FS, folder string, names ...string) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range names {
		want, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		f, err := got.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := f.(io.ReaderAt)
		if !ok {
			t.Fatalf("%s cannot be read at an offset", name)
		}
		for range 50 {
			at := random.IntN(len(want))
			b := make([]byte, random.IntN(min(len(want)-at, 300<<10))+1)
			if _, err := r.ReadAt(b, int64(at)); err != nil || !bytes.Equal(b, want[at:][:len(b)]) {
				t.Fatalf("%s: ReadAt(%d bytes, %d): %v, or other bytes than written", name, len(b), at, err)
			}
		}
		if n, err := r.ReadAt(make([]byte, 10), int64(len(want))); n != 0 || err != io.EOF {
			t.Errorf("%s: ReadAt at the end = %d, %v, want 0, EOF", name, n, err)
		}
	}
}

// SmallFolder makes a folder with two files and a symbolic link, for the seeds of a fuzz test.
func SmallFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "content", "b": strings.Repeat("b", 9000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Walk reads what can be read of a file system that may be damaged, within bounds: for fuzz tests, that nothing panics.
func Walk(fsys fs.FS) {
	names := 0
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if names++; err != nil || names > 100 || strings.Count(name, "/") > 10 {
			return fs.SkipAll
		}
		if file, err := fsys.Open(name); err == nil {
			_, _ = io.CopyN(io.Discard, file, 1<<20)
		}
		return nil
	})
}
