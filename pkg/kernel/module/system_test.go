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

// archiveWith writes an archive of these modules, each with its own path for content, and returns its path.
func archiveWith(t *testing.T, names ...string) string {
	t.Helper()
	entries := []string{"kernel/"}
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
		t.Helper()
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := s.archived(f, member)
		return string(b), err
	}
	var all []string
	for range archivesKept + 1 {
		all = append(all, archiveWith(t, "kernel/a.ko", "kernel/b.ko"))
	}
	for _, file := range append(all, all...) {
		for _, member := range []string{"kernel/a.ko", "kernel/b.ko"} {
			if got, err := get(file, member); err != nil || got != "module "+member {
				t.Errorf("%s of %s is %q, %v", member, file, got, err)
			}
		}
	}
	// The last ones are not read again; the first one is.
	for _, file := range all {
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range all[1:] {
		if got, err := get(file, "kernel/a.ko"); err != nil || got != "module kernel/a.ko" {
			t.Errorf("%s was read again: %q, %v", file, got, err)
		}
	}
	if got, err := get(all[0], "kernel/a.ko"); err == nil {
		t.Errorf("%q is kept of an archive that %d others came after", got, archivesKept)
	}
}

// TestInsertArchivedErrors: the archive is named, and the module.
func TestInsertArchivedErrors(t *testing.T) {
	b, err := os.ReadFile(archiveWith(t, "kernel/a.ko", "kernel/b.ko"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		content []byte
		member  string
		want    string
	}{
		{"not in it", b, "kernel/c.ko", "the archive does not hold it"},
		{"a folder's name", b, "kernel", "the archive does not hold it"},
		{"cut off", b[:len(b)-3], "kernel/a.ko", "cut off"},
		{"no archive", packed(t, ".zst", []byte("module")), "kernel/a.ko", "unexpected EOF"},
		{"a file of more than all", packed(t, ".zst", bytes.Replace(initrdtest.Newc("kernel/a.ko 0123456789"), []byte("0000000A"), []byte("10000000"), 1)), "kernel/a.ko", "unexpected EOF"},
		{"not there", nil, "kernel/a.ko", "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "2"+ArchiveSuffix)
			if tt.content != nil {
				if err := os.WriteFile(file, tt.content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			module := file + "/" + tt.member
			if err := new(System).Insert(module, ""); err == nil || !strings.Contains(err.Error(), module+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Insert() = %v, want an error with %q that names %s", err, tt.want, module)
			}
		})
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
