package initramfs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/needs"
)

func TestSingleCompressor(t *testing.T) {
	plain := bytes.Repeat([]byte("a module "), singleFrom/4)
	pack := func(t *testing.T, c compressor) {
		t.Helper()
		first, err := c.compress(t.Context(), plain)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := c.compress(t.Context(), plain); err != nil || !bytes.Equal(first, second) {
			t.Errorf("compress twice: different output, %v", err)
		}
		if !bytes.HasPrefix(first, []byte("\xfd7zXZ\x00\x00\x01")) {
			t.Errorf("packed is % x…, want xz with CRC32, which is all that the kernel knows", first[:8])
		}
		if got, err := decompress(first); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("decompress(compress(x)) is not x: %d bytes, %v", len(got), err)
		}
	}
	t.Run("program", func(t *testing.T) {
		// Settings of the person who builds must not show.
		t.Setenv("XZ_DEFAULTS", "--format=lzma")
		t.Setenv("XZ_OPT", "--check=sha256")
		c := singleCompressor(t.Context())
		needs.That(t, strings.HasPrefix(c.identity, "xz "), "the xz program (Debian: xz-utils)")
		pack(t, c)
	})
	t.Run("Go", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		c := singleCompressor(t.Context())
		if !strings.HasPrefix(c.identity, "Go xz") {
			t.Errorf("singleCompressor() is %q, want Go's", c.identity)
		}
		pack(t, c)
	})
	t.Run("another program", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		program := filepath.Join(os.Getenv("PATH"), "xz")
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho something else\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if c := singleCompressor(t.Context()); !strings.HasPrefix(c.identity, "Go xz") {
			t.Errorf("singleCompressor() is %q, want Go's: the program does not say its version", c.identity)
		}
	})
	t.Run("the program fails", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		program := filepath.Join(os.Getenv("PATH"), "xz")
		fails := "#!/bin/sh\nif [ $1 = --version ]; then echo 'xz (XZ Utils) 5.4.1'; exit; fi\necho no memory >&2; exit 1\n"
		if err := os.WriteFile(program, []byte(fails), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := singleCompressor(t.Context()).compress(t.Context(), plain); !errorContains(err, "no memory") {
			t.Errorf("compress() = %v, want what the program said", err)
		}
	})
}

func TestSingleDictionary(t *testing.T) {
	for _, tt := range []struct{ in, want int }{
		{0, 64 << 10},
		{64 << 10, 64 << 10},
		{64<<10 + 1, 128 << 10},
		{3 << 20, 4 << 20},
		{9 << 20, 4 << 20},
	} {
		if got := singleDictionary(tt.in); got != tt.want {
			t.Errorf("singleDictionary(%d) = %d, want %d", tt.in, got, tt.want)
		}
	}
}
