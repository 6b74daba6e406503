package initrd

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
)

// zipped is an archive with nothing in it, so many zeros behind it, compressed; and its size when unpacked.
func zipped(t *testing.T, zeros int) (packed []byte, size int) {
	t.Helper()
	archive := fmt.Appendf(nil, "070701%088d%08x%08d%s\x00\x00\x00\x00", 0, len(newcTrailer)+1, 0, newcTrailer)
	archive = append(archive, make([]byte, zeros)...)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), len(archive)
}

// TestUnpackedBound: the bound is that of all segments together, and padding counts.
func TestUnpackedBound(t *testing.T) {
	first, firstSize := zipped(t, 0)
	second, secondSize := zipped(t, 1<<20)
	for _, tt := range []struct {
		name string
		left int
		want string
	}{
		{"both fit", firstSize + secondSize, ""},
		{"the padding of the second does not", firstSize + secondSize - 1, "too many bytes"},
		{"the second does not", firstSize + 10, "too many bytes"},
		{"none fits", 10, "too many bytes"},
	} {
		left := int64(tt.left)
		var err error
		for _, b := range [][]byte{first, second} {
			if err = unpack(bytes.NewReader(b), b, compressions(), &left, func(File) error { return nil }); err != nil {
				break
			}
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: unpack = %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestRepeatedMagic: files of lz4 that were joined have one each; as many as fit into an initrd must not exhaust the stack.
func TestRepeatedMagic(t *testing.T) {
	if err := Read(bytes.Repeat([]byte(lz4LegacyMagic), 16<<20), func(File) error { return nil }); err != nil {
		t.Errorf("Read(nothing but magic) = %v, want nothing", err)
	}
}

// TestTinyBlocks: a block that holds nothing takes no memory of its own.
func TestTinyBlocks(t *testing.T) {
	l := &lz4Legacy{r: bytes.NewReader([]byte(lz4LegacyMagic + strings.Repeat("\x01\x00\x00\x00\x00", 100)))}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if n, err := l.Read(make([]byte, 1)); n != 0 || err != io.EOF || l.r.Len() != 0 {
		t.Errorf("Read(blocks without content) = %d, %v with %d bytes left, want EOF", n, err, l.r.Len())
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 3*lz4LegacyBlock {
		t.Errorf("Read(blocks without content) allocates %d bytes, want no more than a block or two", n)
	}
}
