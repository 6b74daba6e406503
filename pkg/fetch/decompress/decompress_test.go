package decompress

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// unpack reads all of a stream, in reads of odd sizes.
func unpack(r io.Reader, o Options) ([]byte, string, error) {
	d, err := New(r, o)
	if err != nil {
		return nil, "", err
	}
	defer d.Close()
	b, err := io.ReadAll(d)
	return b, d.Format(), err
}

// variants are the ways to unpack that may differ, which only xz has.
func variants(name string) map[string]Options {
	if !strings.HasSuffix(name, ".xz") {
		return map[string]Options{"defaults": {}}
	}
	return map[string]Options{"one worker": {Workers: 1}, "workers": {Workers: 3}, "little memory": {Workers: 3, Memory: 140 << 10}}
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packed returns the packed files of testdata by name, and what is in each.
func packed(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.*z*")
	if err != nil || len(names) < 18 {
		t.Fatalf("testdata holds %d files, %v", len(names), err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		files[filepath.Base(name)] = golden(t, filepath.Base(name))
	}
	return files
}

func wantOf(t testing.TB, name string) []byte {
	if strings.HasPrefix(name, "empty.") {
		return []byte{}
	}
	return golden(t, "plain.txt")
}

func formatOf(name string) string {
	i := slices.IndexFunc(Formats(), func(f Format) bool { return strings.HasSuffix(name, f.Suffix) })
	return Formats()[i].Name
}

func TestFiles(t *testing.T) {
	for name, file := range packed(t) {
		for variant, o := range variants(name) {
			got, format, err := unpack(bytes.NewReader(file), o)
			if err != nil || format != formatOf(name) || !bytes.Equal(got, wantOf(t, name)) {
				t.Errorf("unpack(%s, %s) = %d bytes, %q, %v; want %d", name, variant, len(got), format, err, len(wantOf(t, name)))
			}
		}
	}
}

// TestSources: how the source gives its bytes plays no part.
func TestSources(t *testing.T) {
	sources := map[string]func(io.Reader) io.Reader{
		"a byte at a time": iotest.OneByteReader, "half": iotest.HalfReader, "the end with the last bytes": iotest.DataErrReader,
	}
	for name, file := range packed(t) {
		for how, source := range sources {
			got, _, err := unpack(source(bytes.NewReader(file)), Options{Workers: 2})
			if err != nil || !bytes.Equal(got, wantOf(t, name)) {
				t.Errorf("unpack(%s, %s) = %d bytes, %v; want %d", name, how, len(got), err, len(wantOf(t, name)))
			}
		}
		if err := iotest.TestReader(mustNew(t, file), wantOf(t, name)); err != nil {
			t.Errorf("TestReader(%s): %v", name, err)
		}
	}
}

func mustNew(t *testing.T, file []byte) *Reader {
	d, err := New(bytes.NewReader(file), Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestUnchanged(t *testing.T) {
	for _, in := range []string{
		"", "B", "BZh", "BZh9", "BZh91AY&S", "BZhurghada", "\x1f\x8b", "\x1f\x8b\x08", "\x1f\x8b\x08\xff more", "\xfd7zXZ", "\x28\xb5\x2f", "PK\x03\x04",
		strings.Repeat("\x00", 40<<10) + "CD001", strings.Repeat("x", 3*bufferSize+1),
	} {
		got, format, err := unpack(strings.NewReader(in), Options{})
		if err != nil || format != "" || string(got) != in {
			t.Errorf("unpack(%.20q) = %.20q, %q, %v; want it unchanged", in, got, format, err)
		}
	}
}

// boundaries are where a file may end and be complete, although it once went on: between members nothing says that more was to come.
func boundaries(t *testing.T, name string, file []byte) []int {
	find := func(magic string) int { return bytes.LastIndex(file, []byte(magic)) }
	switch name {
	case "members.gz":
		return []int{find("\x1f\x8b\x08")}
	case "members.bz2":
		return []int{find("BZh")}
	case "frames.zst":
		skippable := find("\x51\x2a\x4d\x18")
		return []int{skippable, skippable + 11}
	case "skippable.zst":
		return []int{8}
	case "streams.xz":
		second := find(xzMagic)
		return []int{second - 8, second - 4, second}
	}
	return nil
}

func TestTruncated(t *testing.T) {
	for name, file := range packed(t) {
		whole := boundaries(t, name, file)
		if slices.Min(append(whole, 1)) < 0 {
			t.Fatalf("%s has not the members it should have", name)
		}
		for variant, o := range variants(name) {
			for n := range file {
				_, format, err := unpack(bytes.NewReader(file[:n]), o)
				switch recognised := n >= magicSize || format != ""; {
				case slices.Contains(whole, n):
					if err != nil {
						t.Errorf("unpack(%s up to its member's end at %d, %s): %v", name, n, variant, err)
					}
				case recognised && !errors.Is(err, io.ErrUnexpectedEOF):
					t.Errorf("unpack(%d of %d bytes of %s, %s): %v, want %v", n, len(file), name, variant, err, io.ErrUnexpectedEOF)
				}
			}
		}
	}
}

func TestGarbageBehind(t *testing.T) {
	garbage := []string{"x", "\n", "\x00", "\x00\x00\x00", "xy", "xyz", "xyzw", "garbage", strings.Repeat("garbage ", 100), "\xfd7zXZ", "\x1f\x8b", "\x1f", "BZh", "\x28\xb5\x2f\xfd", "\x28"}
	for name, file := range packed(t) {
		for variant, o := range variants(name) {
			for _, g := range garbage {
				if _, _, err := unpack(bytes.NewReader(append(slices.Clip(file), g...)), o); err == nil {
					t.Errorf("unpack(%s with %.8q behind it, %s): no error", name, g, variant)
				}
			}
		}
	}
}

// TestDamaged changes every byte of every file: what is unpacked then is what was packed, or there is an error.
func TestDamaged(t *testing.T) {
	for name, file := range packed(t) {
		want := wantOf(t, name)
		for variant, o := range variants(name) {
			for i := range file {
				b := bytes.Clone(file)
				flip := byte(1) << (i % 8)
				b[i] ^= flip
				got, format, err := unpack(bytes.NewReader(b), o)
				if err == nil && format != "" && !bytes.Equal(got, want) {
					t.Errorf("unpack(%s with byte %d changed by %#x, %s) = %d other bytes and no error", name, i, flip, variant, len(got))
				}
			}
		}
	}
}

// TestSourceError: the source's errors stay what they are, wherever they come.
func TestSourceError(t *testing.T) {
	broken := errors.New("connection reset by peer")
	for name, file := range packed(t) {
		for _, n := range []int{0, 5, 11, 30, len(file) / 2, len(file) - 1, len(file)} {
			if n > len(file) {
				continue
			}
			for variant, o := range variants(name) {
				_, _, err := unpack(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken)), o)
				if err != broken {
					t.Errorf("unpack(%s, error of the source at %d, %s): %v, want %v", name, n, variant, err, broken)
				}
			}
		}
	}
}

func TestClose(t *testing.T) {
	for name, file := range packed(t) {
		d, err := New(bytes.NewReader(file), Options{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		if _, err := d.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("%s: Read after Close: %v, want an error", name, err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: second Close: %v", name, err)
		}
	}
}
