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

// TestInsertDamaged: the file is named, and the kernel gets nothing.
func TestInsertDamaged(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.ko.xz")
	b := packed(t, ".xz", []byte("a module"))
	if err := os.WriteFile(file, b[:len(b)-4], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (System{}).Insert(file, ""); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("Insert() = %v, want an error that names the file, and says that it is cut off", err)
	}
}
