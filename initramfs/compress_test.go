package initramfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/liveboot/liveboot/pkg/needs"
)

func TestCompressors(t *testing.T) {
	raw := []byte(strings.Repeat("a segment of an initrd ", 1<<20))
	for _, c := range []Compression{Zstd, Gzip, XZ} {
		t.Run(string(c), func(t *testing.T) {
			p, err := compressorFor(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			first, err := p.compress(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			second, err := p.compress(t.Context(), raw)
			if err != nil || !bytes.Equal(first, second) {
				t.Errorf("compress twice: different output, %v", err)
			}
			got, err := decompress(first)
			if err != nil || !bytes.Equal(got, raw) {
				t.Errorf("decompress(compress(x)) is not x: %d bytes, %v", len(got), err)
			}
		})
	}
	if _, err := compressorFor(t.Context(), "lzma"); !errorContains(err, `"lzma"`) {
		t.Errorf("compressorFor(lzma) = %v, want an error that names it", err)
	}
}

// TestZstdWindow: the kernel refuses a window of more than 128 MiB.
func TestZstdWindow(t *testing.T) {
	raw := bytes.Repeat([]byte("x"), 5<<zstdProgramWindowLog/4)
	goEncoder := compressor{compress: compressZstd}
	program, ok := zstdProgram(t.Context())
	needs.That(t, ok, "the zstd program (Debian: zstd)")
	if !strings.HasPrefix(program.identity, "zstd v1.") {
		t.Errorf("zstdProgram() is %q, want it to begin with its version", program.identity)
	}
	for name, tt := range map[string]struct {
		compressor
		max uint64
	}{"Go": {goEncoder, zstdGoWindow}, "program": {program, 1 << zstdProgramWindowLog}} {
		b, err := tt.compress(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		var h zstd.Header
		if err := h.Decode(b); err != nil {
			t.Fatal(err)
		}
		if h.WindowSize > tt.max || h.SingleSegment || !h.HasCheckSum {
			t.Errorf("%s: window %d, single segment %v, checksum %v: want at most %d, and a checksum", name, h.WindowSize, h.SingleSegment, h.HasCheckSum, tt.max)
		}
		if got, err := decompress(b); err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: decompress(compress(x)) is not x: %v", name, err)
		}
	}
}

// TestCompressorWithoutProgram: the Go encoder stands in for the program.
func TestCompressorWithoutProgram(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	c, err := compressorFor(t.Context(), Zstd)
	if err != nil || !strings.HasPrefix(c.identity, "Go zstd") {
		t.Errorf("compressorFor(zstd) = %q, %v, want Go's", c.identity, err)
	}
	program := filepath.Join(os.Getenv("PATH"), "zstd")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho another program\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if c, err = compressorFor(t.Context(), Zstd); err != nil || !strings.HasPrefix(c.identity, "Go zstd") {
		t.Errorf("compressorFor(zstd) = %q, %v, want Go's: the program does not say its version", c.identity, err)
	}
	fails := "#!/bin/sh\nif [ $1 = --version ]; then echo '*** v1.5.4'; exit; fi\necho no memory >&2; exit 1\n"
	if err := os.WriteFile(program, []byte(fails), 0o755); err != nil {
		t.Fatal(err)
	}
	if c, err = compressorFor(t.Context(), Zstd); err != nil {
		t.Fatal(err)
	}
	if _, err := c.compress(t.Context(), nil); !errorContains(err, "no memory") {
		t.Errorf("compress() = %v, want what the program said", err)
	}
}

func mustZstd(b []byte) []byte {
	out, err := compressZstd(context.Background(), b)
	if err != nil {
		panic(err)
	}
	return out
}

func mustXZ(b []byte) []byte {
	var out bytes.Buffer
	w, err := xz.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func TestCache(t *testing.T) {
	c := cache{dir: filepath.Join(t.TempDir(), "cache")}
	key := sha256.Sum256([]byte("key"))
	made := 0
	get := func() string {
		b, err := c.get(key, func() ([]byte, error) { made++; return []byte("content"), nil })
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for range 2 {
		if got := get(); got != "content" {
			t.Errorf("get() = %q, want content", got)
		}
	}
	if made != 1 {
		t.Errorf("made %d times, want once", made)
	}
	entries, err := filepath.Glob(filepath.Join(c.dir, "*"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("cache holds %v, %v, want one entry", entries, err)
	}
	if err := os.WriteFile(entries[0], []byte("damaged, and long enough to hold a checksum"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := get(); got != "content" || made != 2 {
		t.Errorf("after damage: get() = %q, made %d times, want content, 2", got, made)
	}
	old := time.Now().Add(-2 * cacheAge)
	if err := os.Chtimes(entries[0], old, old); err != nil {
		t.Fatal(err)
	}
	if _, err := c.get(sha256.Sum256([]byte("other")), func() ([]byte, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(entries[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("old entry: stat says %v, want it removed", err)
	}
	failed := errors.New("failed")
	if _, err := c.get(sha256.Sum256(nil), func() ([]byte, error) { return nil, failed }); !errors.Is(err, failed) {
		t.Errorf("get(failing) = %v, want %v", err, failed)
	}
}

func TestCacheInParallel(t *testing.T) {
	c := cache{dir: t.TempDir()}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			b, err := c.get(sha256.Sum256(nil), func() ([]byte, error) { return bytes.Repeat([]byte("x"), 1<<20), nil })
			if err != nil || len(b) != 1<<20 {
				t.Errorf("get() = %d bytes, %v, want %d", len(b), err, 1<<20)
			}
		})
	}
	wg.Wait()
}

func mustGzip(s string) []byte {
	b, err := compressGzip(context.Background(), []byte(s))
	if err != nil {
		panic(err)
	}
	return b
}

func mustLZMA(b []byte) []byte {
	var out bytes.Buffer
	w, err := lzma.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
