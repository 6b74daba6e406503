package kernelmodules_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/liveboot/liveboot/pkg/kernelmodules"
)

// packed is what a compressor makes of s.
func packed[W io.WriteCloser](s string, open func(io.Writer) (W, error)) []byte {
	var b bytes.Buffer
	w, err := open(&b)
	if err != nil {
		panic(err)
	}
	if _, err := io.WriteString(w, s); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func gzipped(s string) []byte {
	return packed(s, func(w io.Writer) (*gzip.Writer, error) { return gzip.NewWriter(w), nil })
}

func TestReadModule(t *testing.T) {
	want := []byte("\x7fELF and so on")
	compressed := map[string][]byte{
		".ko":     want,
		".ko.gz":  gzipped(string(want)),
		".ko.zst": packed(string(want), func(w io.Writer) (*zstd.Encoder, error) { return zstd.NewWriter(w) }),
		".ko.xz":  packed(string(want), func(w io.Writer) (*xz.Writer, error) { return xz.NewWriter(w) }),
	}
	for suffix, b := range compressed {
		t.Run(suffix, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a"+suffix), b, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := kernelmodules.ReadModule(os.DirFS(dir), "a"+suffix)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("ReadModule(a%s) = %q, %v, want %q", suffix, got, err, want)
			}
			if len(b) == len(want) {
				return
			}
			if err := os.WriteFile(filepath.Join(dir, "cut"+suffix), b[:len(b)-3], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := kernelmodules.ReadModule(os.DirFS(dir), "cut"+suffix); !errorContains(err, "cut"+suffix) {
				t.Errorf("ReadModule(cut%s) = %v, want an error that names it", suffix, err)
			}
		})
	}
}
