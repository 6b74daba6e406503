package ext4_test

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

	"github.com/liveboot/liveboot/pkg/ext4"
	"github.com/liveboot/liveboot/pkg/fstree/fstreetest"
	"github.com/liveboot/liveboot/pkg/needs"
)

// run starts a program of e2fsprogs. A machine without it skips the test and says so; in CI it is there.
func run(t testing.TB, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(needs.Program(t, program, "e2fsprogs"), args...).CombinedOutput(); err != nil {
		var exit *exec.ExitError
		if program == "e2fsck" && errors.As(err, &exit) && exit.ExitCode() == 1 { // it changed what it was to change
			return
		}
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// mkfs makes an image of a folder.
func mkfs(t testing.TB, folder, size string, options ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	run(t, "mkfs.ext4", append(append([]string{"-q", "-F", "-d", folder}, options...), image, size)...)
	return image
}

func open(t testing.TB, image string) fs.FS {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fsys, err := ext4.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestReads(t *testing.T) {
	dir := fstreetest.Folder(t)
	tests := []struct {
		name    string
		options []string
	}{
		{"defaults", nil},
		{"blocks of 1 KiB", []string{"-b", "1024"}},
		{"blocks of 4 KiB", []string{"-b", "4096"}},
		{"ext2", []string{"-t", "ext2"}},
		{"ext3", []string{"-t", "ext3", "-b", "1024"}},
		{"32 bit", []string{"-O", "^64bit,^metadata_csum"}},
		{"small inodes", []string{"-I", "128"}},
		{"content in inodes", []string{"-O", "inline_data", "-I", "256"}},
		{"meta groups", []string{"-O", "meta_bg,^resize_inode", "-b", "1024", "-g", "1024"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			image := mkfs(t, dir, "64M", tt.options...)
			fstreetest.Compare(t, open(t, image), dir, "lost+found")
			fstreetest.CompareAt(t, open(t, image), dir, "code", "holes", "short")
		})
	}
}

// TestIndexedFolders: e2fsck makes the trees of names that mkfs leaves out.
func TestIndexedFolders(t *testing.T) {
	dir := fstreetest.Folder(t)
	image := mkfs(t, dir, "64M", "-b", "1024")
	run(t, "e2fsck", "-f", "-y", "-D", image)
	fstreetest.Compare(t, open(t, image), dir, "lost+found")
}

func TestIsAnFS(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/b/c", "d"} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(open(t, mkfs(t, dir, "1M")), "a/b/c", "d"); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	image, err := os.ReadFile(mkfs(t, t.TempDir(), "1M"))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, b byte) []byte {
		c := bytes.Clone(image)
		c[1024+at] = b
		return c
	}
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"empty", nil, ext4.ErrFormat},
		{"something else", bytes.Repeat([]byte("x"), 4096), ext4.ErrFormat},
		{"no inodes in a group", append(changed(40, 0)[:1024+41], make([]byte, 4096)...), ext4.ErrFormat},
		{"inode size", changed(88, 1), ext4.ErrFormat},
		{"compressed", changed(96, 1), errors.ErrUnsupported},
		{"cut off", image[:2048], ext4.ErrFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ext4.Open(bytes.NewReader(tt.in)); !errors.Is(err, tt.want) {
				t.Errorf("Open() = %v, want %v", err, tt.want)
			}
		})
	}
}

// FuzzOpen reads all of a damaged image.
func FuzzOpen(f *testing.F) {
	dir := fstreetest.SmallFolder(f)
	for _, options := range [][]string{{"-N", "16"}, {"-N", "16", "-t", "ext2"}, {"-N", "16", "-O", "inline_data", "-I", "256"}} {
		image, err := os.ReadFile(mkfs(f, dir, "100K", append(options, "-b", "1024", "-m", "0", "-O", "^has_journal,^resize_inode")...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		fsys, err := ext4.Open(bytes.NewReader(image))
		if err != nil {
			return
		}
		fstreetest.Walk(fsys)
	})
}

// TestJournal: a file system whose journal was not replayed may have old contents, and is refused.
func TestJournal(t *testing.T) {
	b := make([]byte, 2048)
	s := b[1024:]                 // the superblock
	s[56], s[57] = 0x53, 0xef     // magic
	s[76], s[88], s[89] = 1, 0, 1 // revision, inodes of 256 bytes
	s[40], s[96] = 8, 4           // inodes in a group; the journal is to be replayed
	if _, err := ext4.Open(bytes.NewReader(b)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Open = %v, want %v", err, errors.ErrUnsupported)
	}
	s[96] = 0
	if _, err := ext4.Open(bytes.NewReader(b)); errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Open without the feature = %v", err)
	}
}
