package repack_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/repack"
)

// root makes a root folder: a name that ends in "/" is a folder, a value that begins with "->" a symbolic link, with "=" a hard link.
func root(t *testing.T, files ...[2]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, f[0])
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case strings.HasSuffix(f[0], "/"):
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		case strings.HasPrefix(f[1], "->"):
			err = errors.Join(err, os.Symlink(f[1][2:], path))
		case strings.HasPrefix(f[1], "="):
			err = errors.Join(err, os.Link(filepath.Join(dir, f[1][1:]), path))
		default:
			err = errors.Join(err, os.WriteFile(path, []byte(f[1]), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// list shows an archive, an entry a line, and checks its size.
func list(t *testing.T, s repack.Spec) []string {
	t.Helper()
	image, err := repack.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := image.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if int64(b.Len()) != image.Size() {
		t.Errorf("the archive has %d bytes, and Size is %d", b.Len(), image.Size())
	}
	var lines []string
	first := map[uint64]string{}
	err = cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(b.Bytes())), func(r cpio.Record) error {
		content, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s %o", r.Name, r.Mode)
		switch r.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
			line += fmt.Sprintf(" %d:%d", r.Rmajor, r.Rminor)
		case unix.S_IFREG, unix.S_IFLNK:
			line += " " + string(content)
		}
		if other, ok := first[r.Ino]; ok {
			line += " = " + other
		} else {
			first[r.Ino] = r.Name
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// without removes the skeleton, which every image has.
func without(lines []string) []string {
	skeleton := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(skeletonLines), "\n") {
		skeleton[line] = true
	}
	var rest []string
	for _, line := range lines {
		if !skeleton[line] {
			rest = append(rest, line)
		}
	}
	return rest
}

const skeletonLines = `
bin 40755
dev 40755
dev/console 20600 5:1
dev/kmsg 20644 1:11
dev/null 20666 1:3
etc 40755
lib 40755
lib/modules 40755
proc 40755
run 40755
sys 40755
sysroot 40755
tmp 41777
usr 40755
var 40755
var/log 40755
`

func TestSkeleton(t *testing.T) {
	want := strings.Split(strings.TrimSpace(skeletonLines), "\n")
	if diff := cmp.Diff(want, list(t, repack.Spec{Root: t.TempDir()})); diff != "" {
		t.Errorf("Image of nothing (-want +got):\n%s", diff)
	}
}

func TestImage(t *testing.T) {
	modules := fstest.MapFS{"kernel/new.ko": {Data: []byte("new"), Mode: 0o644}, "modules.dep": {Data: []byte("kernel/new.ko:\n"), Mode: 0o600}}
	links := fstree.NewMemory()
	for name, mode := range map[string]fs.FileMode{"a": 0o755, "l": fs.ModeSymlink | 0o777} {
		if err := links.Add(name, mode, time.Time{}, []byte("text")); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		files [][2]string
		omit  func(string) bool
		trees []repack.Tree
		want  []string
	}{
		{
			"programs and links", [][2]string{{"init", "->bbin/bb"}, {"bbin/bb", "program"}, {"bbin/ls", "=bbin/bb"}, {"bbin/sh", "->bb"}}, nil, nil,
			[]string{"bbin 40755", "bbin/bb 100644 program", "bbin/ls 100644  = bbin/bb", "bbin/sh 120777 bb", "init 120777 bbin/bb"},
		},
		{
			"without the old modules and what the boot made", [][2]string{
				{"lib/modules/6.1/a.ko", "old"}, {"lib/modules/6.1.1/b.ko", "kept"}, {"lib/firmware/f", "f"}, {"etc/resolv.conf", "n"}, {"etc/hosts", "h"}, {"tmp/x", "x"}, {"var/log/l", "l"},
				{"sbin/modprobe", "->/bbin/modprobe"},
			}, repack.Own("6.1", "sbin/modprobe"), nil,
			[]string{"etc/hosts 100644 h", "lib/firmware 40755", "lib/firmware/f 100644 f", "lib/modules/6.1.1 40755", "lib/modules/6.1.1/b.ko 100644 kept", "sbin 40755"},
		},
		{
			"with the new modules and a file", [][2]string{{"lib/modules/6.1/a.ko", "old"}, {"etc/a", "old"}, {"etc/b", "b"}}, repack.Own("6.1"),
			[]repack.Tree{{"lib/modules/6.2", modules}, {"", fstest.MapFS{"etc/a": {Data: []byte("new"), Mode: 0o640}}}},
			[]string{"etc/a 100640 new", "etc/b 100644 b", "lib/modules/6.2 40555", "lib/modules/6.2/kernel 40555", "lib/modules/6.2/kernel/new.ko 100644 new", "lib/modules/6.2/modules.dep 100600 kernel/new.ko:\n"},
		},
		{
			"the same release again", [][2]string{{"lib/modules/6.1/kernel/old.ko", "old"}}, repack.Own("6.1"), []repack.Tree{{"lib/modules/6.1", fstest.MapFS{"kernel/new.ko": {Data: []byte("n")}}}},
			[]string{"lib/modules/6.1 40555", "lib/modules/6.1/kernel 40555", "lib/modules/6.1/kernel/new.ko 100000 n"},
		},
		{
			"merged /usr stays", [][2]string{{"usr/lib/x", "x"}, {"lib", "->usr/lib"}}, nil, []repack.Tree{{"lib/modules/6.2", fstest.MapFS{"a": {Data: []byte("a"), Mode: 0o644}}}},
			[]string{"lib 120777 usr/lib", "lib/modules/6.2 40555", "lib/modules/6.2/a 100644 a", "usr/lib 40755", "usr/lib/x 100644 x"},
		},
		{"links of a tree", nil, nil, []repack.Tree{{"opt", fstree.New(links)}}, []string{"opt 40755", "opt/a 100755 text", "opt/l 120777 text"}},
		{"a folder before its neighbours", [][2]string{{"a/b", "1"}, {"a-b", "2"}, {"a.b", "3"}}, nil, nil, []string{"a 40755", "a/b 100644 1", "a-b 100644 2", "a.b 100644 3"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := without(list(t, repack.Spec{Root: root(t, tt.files...), Omit: tt.omit, Trees: tt.trees}))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Image (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOneDevice: what is mounted below the root is not part of the initramfs.
func TestOneDevice(t *testing.T) {
	for _, line := range list(t, repack.Spec{Root: "/", Omit: func(name string) bool {
		return name != "proc" && name != "dev" && !strings.HasPrefix(name, "dev/") && !strings.HasPrefix(name, "proc/")
	}}) {
		if strings.HasPrefix(line, "proc/") {
			t.Errorf("the image has %s", line)
		}
	}
}

func TestErrors(t *testing.T) {
	if _, err := repack.Open(t.Context(), repack.Spec{Root: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of no folder = %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := repack.Open(t.Context(), repack.Spec{Root: t.TempDir(), Trees: []repack.Tree{{"", fstest.MapFS{"d": {Mode: fs.ModeDevice}}}}}); err == nil || !strings.Contains(err.Error(), "d: a D") {
		t.Errorf("Open with a device in a tree = %v, want an error that names it", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := repack.Open(ended, repack.Spec{Root: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open after the end = %v, want %v", err, context.Canceled)
	}

	dir := root(t, [2]string{"grows", "1234"}, [2]string{"shrinks", "1234"})
	image, err := repack.Open(t.Context(), repack.Spec{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := image.Write(ended, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Write after the end = %v, want %v", err, context.Canceled)
	}
	if err := os.WriteFile(filepath.Join(dir, "grows"), []byte("123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := image.Write(t.Context(), &b); err != nil || int64(b.Len()) != image.Size() || bytes.Contains(b.Bytes(), []byte("12345")) {
		t.Errorf("Write of a file that has grown = %v, %d bytes of %d, want what it was", err, b.Len(), image.Size())
	}
	if err := os.WriteFile(filepath.Join(dir, "shrinks"), []byte("123"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := image.Write(t.Context(), io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "repack shrinks") {
		t.Errorf("Write of a file that has shrunk = %v, want an error that names it", err)
	}
}
