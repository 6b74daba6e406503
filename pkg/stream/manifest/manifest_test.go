package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// noise is an image in which no part is like another.
func noise(n int) []byte {
	data := make([]byte, n)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

func sum(parts ...[]byte) []byte {
	s := sha256.Sum256(slices.Concat(parts...))
	return s[:]
}

func build(t testing.TB, image []byte, chunk int64) *Manifest {
	t.Helper()
	m, err := Build(bytes.NewReader(image), chunk)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func file(t testing.TB, m *Manifest) []byte {
	t.Helper()
	var b bytes.Buffer
	if n, err := m.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v, wrote %d bytes", n, err, b.Len())
	}
	return b.Bytes()
}

// TestFormat has the file and the root as the documentation has them, put together by hand, for five chunks.
func TestFormat(t *testing.T) {
	image := noise(4*MinChunk + 100)
	leaf := func(i int) []byte { return sum([]byte{0}, image[i*MinChunk:min((i+1)*MinChunk, len(image))]) }
	node := func(l, r []byte) []byte { return sum([]byte{1}, l, r) }
	header := slices.Concat([]byte("liveboot chunks\n\x00\x00\x00\x01\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x40\x64sha256\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), sum(image))
	top := node(node(node(leaf(0), leaf(1)), node(leaf(2), leaf(3))), leaf(4))
	root := "sha256:" + hex.EncodeToString(sum([]byte{2}, header, top))

	m := build(t, image, MinChunk)
	if got, want := file(t, m), slices.Concat(header, leaf(0), leaf(1), leaf(2), leaf(3), leaf(4)); !bytes.Equal(got, want) {
		t.Errorf("the file is\n%q, want\n%q", got, want)
	}
	if got := m.Root().String(); got != root {
		t.Errorf("Root() = %s, want %s", got, root)
	}
}

// TestTree has the tree of every number of chunks up to 70 by the definition of RFC 9162, read from the other end.
func TestTree(t *testing.T) {
	var leaves [][sha256.Size]byte
	for i := range byte(70) {
		leaves = append(leaves, sha256.Sum256([]byte{i}))
		// A stack of the tops of full trees, each of its size: two of the same size become one.
		type full struct {
			size int
			top  []byte
		}
		var stack []full
		for _, l := range leaves {
			stack = append(stack, full{1, l[:]})
			for n := len(stack); n > 1 && stack[n-1].size == stack[n-2].size; n = len(stack) {
				stack = append(stack[:n-2], full{2 * stack[n-1].size, sum([]byte{1}, stack[n-2].top, stack[n-1].top)})
			}
		}
		want := stack[len(stack)-1].top
		for _, f := range slices.Backward(stack[:len(stack)-1]) {
			want = sum([]byte{1}, f.top, want)
		}
		if got := tree(leaves); !bytes.Equal(got[:], want) {
			t.Errorf("tree of %d leaves = %x, want %x", len(leaves), got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	image := noise(3*MinChunk + 5)
	m, err := Parse(file(t, build(t, image, MinChunk)))
	if err != nil {
		t.Fatal(err)
	}
	if m.Chunks() != 4 || m.Size != int64(len(image)) || m.ChunkSize != MinChunk || !bytes.Equal(m.Digest[:], sum(image)) {
		t.Errorf("got %d chunks of %d, size %d, digest %x", m.Chunks(), m.ChunkSize, m.Size, m.Digest)
	}
	chunk := func(i int) []byte {
		offset, length := m.Bounds(i)
		return bytes.Clone(image[offset : offset+length])
	}
	for i := range m.Chunks() {
		if err := m.Verify(i, chunk(i)); err != nil {
			t.Errorf("Verify(%d) = %v", i, err)
		}
		for _, at := range []int{0, len(chunk(i)) / 2, len(chunk(i)) - 1} {
			wrong := chunk(i)
			wrong[at] ^= 1
			var e *ChunkError
			if err := m.Verify(i, wrong); !errors.As(err, &e) || e.Index != i || e.Offset != int64(i*MinChunk) {
				t.Errorf("Verify(%d) with byte %d changed = %v, want a ChunkError", i, at, err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		index int
		chunk []byte
		want  string
	}{
		{"another", 1, chunk(0), "at byte 4096 are not those"},
		{"short", 0, chunk(0)[1:], "at byte 0 has 4095 bytes, want 4096"},
		{"long", 3, append(chunk(3), 0), "at byte 12288 has 6 bytes, want 5"},
		{"nothing", 0, nil, "has 0 bytes"},
		{"behind the last", 4, nil, "no chunk 4 among the 4"},
		{"before the first", -1, nil, "no chunk -1"},
	} {
		var e *ChunkError
		if err := m.Verify(tt.index, tt.chunk); !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Verify(%d) = %v, want a ChunkError with %q", tt.name, tt.index, err, tt.want)
		}
	}
}

func TestBuild(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		in     io.Reader
		chunk  int64
		chunks int
		want   string // error
	}{
		{"a byte", strings.NewReader("x"), 0, 1, ""},
		{"a chunk", bytes.NewReader(noise(MinChunk)), MinChunk, 1, ""},
		{"a chunk and a byte", bytes.NewReader(noise(MinChunk + 1)), MinChunk, 2, ""},
		{"small reads", iotest.OneByteReader(bytes.NewReader(noise(2 * MinChunk))), MinChunk, 2, ""},
		{"default", bytes.NewReader(noise(DefaultChunk + 1)), 0, 2, ""},
		{"nothing", strings.NewReader(""), 0, 0, "no bytes"},
		{"no power of two", strings.NewReader("x"), MinChunk + 4096*2, 0, "power of two"},
		{"too small", strings.NewReader("x"), MinChunk / 2, 0, "power of two"},
		{"too large", strings.NewReader("x"), MaxChunk * 2, 0, "power of two"},
		{"negative", strings.NewReader("x"), -MinChunk, 0, "power of two"},
		{"broken", io.MultiReader(bytes.NewReader(noise(5000)), iotest.ErrReader(broken)), MinChunk, 0, "after 5000 bytes: broken"},
		{"too many", io.LimitReader(zeros{}, MaxChunks*MinChunk+1), MinChunk, 0, "take larger ones"},
	} {
		m, err := Build(tt.in, tt.chunk)
		switch {
		case tt.want == "":
			if err != nil || m.Chunks() != tt.chunks {
				t.Errorf("%s: Build = %v, %v, want %d chunks", tt.name, m, err, tt.chunks)
			}
		case err == nil || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: Build = %v, want %q", tt.name, err, tt.want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestRootCovers: there is no byte of a file that the root does not stand for.
func TestRootCovers(t *testing.T) {
	m := build(t, noise(3*MinChunk+5), MinChunk)
	right := file(t, m)
	for i := range right {
		for _, bit := range []byte{1, 0x80} {
			b := bytes.Clone(right)
			b[i] ^= bit
			if other, err := Parse(b); err == nil && other.Root() == m.Root() {
				t.Errorf("the root is the same with bit %#x of byte %d changed", bit, i)
			}
		}
	}
}

func TestParseErrors(t *testing.T) {
	right := file(t, build(t, noise(2*MinChunk), MinChunk))
	set := func(offset int, text string) []byte {
		b := bytes.Clone(right)
		copy(b[offset:], text)
		return b
	}
	for _, tt := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "too few"},
		{"a page for people", []byte("<html>" + strings.Repeat(" ", 100)), "does not begin"},
		{"version", set(16, "\x00\x00\x00\x02"), "version 2"},
		{"chunk", set(20, "\x00\x00\x10\x01"), "power of two"},
		{"no chunk", set(20, "\x00\x00\x00\x00"), "power of two"},
		{"no size", set(24, "\x00\x00\x00\x00\x00\x00\x00\x00"), "no bytes"},
		{"negative size", set(24, "\xff\xff\xff\xff\xff\xff\xff\xff"), "more than"},
		{"large", set(24, "\x00\x00\x00\x00\xff\xff\xff\xff"), "more than"},
		{"hash", set(32, "sha512"), `"sha512"`},
		{"something behind the hash", set(47, "x"), "only sha256"},
		{"cut", right[:len(right)-1], "143 bytes, want 144"},
		{"header only", right[:headerSize], "80 bytes, want 144"},
		{"long", append(bytes.Clone(right), 0), "145 bytes"},
	} {
		if _, err := Parse(tt.in); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Parse = %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestParseRoot(t *testing.T) {
	root := build(t, noise(5), 0).Root()
	for _, tt := range []struct {
		in string
		ok bool
	}{
		{root.String(), true},
		{"sha256:" + strings.ToUpper(root.String()[7:]), true},
		{root.String()[7:], false},
		{"sha512:" + root.String()[7:], false},
		{root.String()[:70], false},
		{root.String() + "00", false},
		{"sha256:" + strings.Repeat("x", 64), false},
		{"", false},
	} {
		got, err := ParseRoot(tt.in)
		if (err == nil) != tt.ok || tt.ok && got != root {
			t.Errorf("ParseRoot(%q) = %v, %v, want %v", tt.in, got, err, tt.ok)
		}
	}
}

func TestChunkFor(t *testing.T) {
	const most = MaxChunks * DefaultChunk
	for _, tt := range []struct{ size, want int64 }{
		{0, DefaultChunk}, {1, DefaultChunk}, {most, DefaultChunk}, {most + 1, 2 * DefaultChunk}, {4 * most, 4 * DefaultChunk},
		{MaxChunks*MaxChunk - 1, MaxChunk}, {1 << 62, MaxChunk},
	} {
		if got := ChunkFor(tt.size); got != tt.want {
			t.Errorf("ChunkFor(%d) = %d, want %d", tt.size, got, tt.want)
		}
	}
}

// FuzzParse: what is accepted is written as it was.
func FuzzParse(f *testing.F) {
	f.Add(file(f, build(f, noise(1), 0)))
	f.Add(file(f, build(f, noise(5*MinChunk+3), MinChunk)))
	f.Add(file(f, build(f, noise(9*MinChunk), 2*MinChunk)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		if got := file(t, m); !bytes.Equal(got, b) {
			t.Errorf("Parse(%q) is written as %q", b, got)
		}
		var covered int64
		for i := range m.Chunks() {
			offset, length := m.Bounds(i)
			if offset != covered || length < 1 || length > m.ChunkSize {
				t.Fatalf("chunk %d is %d bytes at %d, after %d", i, length, offset, covered)
			}
			covered += length
		}
		if covered != m.Size {
			t.Errorf("the chunks have %d bytes, the image %d", covered, m.Size)
		}
	})
}

// BenchmarkBuild is what the reading of an image costs.
func BenchmarkBuild(b *testing.B) {
	image := noise(64 << 20)
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		build(b, image, 0)
	}
}

// BenchmarkVerify is what each chunk costs the machine that boots.
func BenchmarkVerify(b *testing.B) {
	image := noise(DefaultChunk)
	m := build(b, image, 0)
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		if err := m.Verify(0, image); err != nil {
			b.Fatal(err)
		}
	}
}
