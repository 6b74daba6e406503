package module

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/liveboot/liveboot/pkg/initrd/initrdtest"
)

// packed is b by one of the formats of the kernel's build.
func packed(t *testing.T, format string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := map[string]func() (io.WriteCloser, error){
		".gz":  func() (io.WriteCloser, error) { return gzip.NewWriter(&out), nil },
		".xz":  func() (io.WriteCloser, error) { return xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&out) },
		".zst": func() (io.WriteCloser, error) { return zstd.NewWriter(&out) },
	}[format]()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestUnpacked(t *testing.T) {
	want := bytes.Repeat([]byte("a module "), 100_000)
	for _, format := range []string{".gz", ".xz", ".zst"} {
		t.Run(format, func(t *testing.T) {
			b := packed(t, format, want)
			got, err := unpacked(bytes.NewReader(b))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("unpacked() = %d bytes, %v, want %d", len(got), err, len(want))
			}
			for _, length := range []int{len(b) / 2, len(b) - 1} {
				if got, err := unpacked(bytes.NewReader(b[:length])); err == nil {
					t.Errorf("unpacked() of %d bytes of %d = %d bytes, want an error", length, len(b), len(got))
				}
			}
		})
	}
	if _, err := unpacked(strings.NewReader("")); err == nil {
		t.Error("unpacked() of nothing: want an error")
	}
}

// archive writes a pack with these modules, each with its own path for content, and returns its path.
func archive(t *testing.T, names ...string) string {
	t.Helper()
	var entries []string
	for _, name := range names {
		entries = append(entries, name+" module "+name)
	}
	file := filepath.Join(t.TempDir(), "1"+ArchiveSuffix)
	if err := os.WriteFile(file, packed(t, ".zst", initrdtest.Newc(entries...)), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestArchived(t *testing.T) {
	var s System
	get := func(file, member string) (string, error) {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := s.archived(f, member)
		return string(b), err
	}
	first, second := archive(t, "kernel/a.ko", "kernel/b.ko"), archive(t, "kernel/a.ko")
	for _, tt := range []struct{ file, member string }{{first, "kernel/b.ko"}, {first, "kernel/a.ko"}, {second, "kernel/a.ko"}, {first, "kernel/b.ko"}} {
		if got, err := get(tt.file, tt.member); err != nil || got != "module "+tt.member {
			t.Errorf("%s of %s is %q, %v", tt.member, tt.file, got, err)
		}
	}
	// What is known need not be read again.
	if err := os.Truncate(first, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := get(first, "kernel/a.ko"); err != nil || got != "module kernel/a.ko" {
		t.Errorf("the archive that was read last was read again: %q, %v", got, err)
	}
}

// TestInsertArchivedErrors: the archive is named, and the module.
func TestInsertArchivedErrors(t *testing.T) {
	file := archive(t, "kernel/a.ko", "kernel/b.ko")
	for _, tt := range []struct {
		name string
		cut  int64
		path string
		want string
	}{
		{"not in it", 0, "kernel/c.ko", "the archive does not hold it"},
		{"a folder's name", 0, "kernel", "the archive does not hold it"},
		{"cut off", 3, "kernel/a.ko", "cut off"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			damaged := filepath.Join(t.TempDir(), "2"+ArchiveSuffix)
			if err := os.WriteFile(damaged, b[:int64(len(b))-tt.cut], 0o644); err != nil {
				t.Fatal(err)
			}
			path := damaged + "/" + tt.path
			if err := new(System).Insert(path, ""); err == nil || !strings.Contains(err.Error(), path+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Insert() = %v, want an error with %q that names %s", err, tt.want, path)
			}
		})
	}
	if err := new(System).Insert(file[:len(file)-1]+"/kernel/a.ko", ""); err == nil {
		t.Error("Insert() of an archive that is not there: want an error")
	}
}

// TestInsertDamaged: the file is named, and the kernel gets nothing.
func TestInsertDamaged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.ko.xz")
	b := packed(t, ".xz", []byte("a module"))
	if err := os.WriteFile(file, b[:len(b)-4], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := new(System).Insert(file, ""); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Insert() = %v, want an error that names the file, and says that it is cut off", err)
	}
}
