package decompress

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/needs"
)

// sample is what is in an image: words, some of them more frequent, zeros, copies of what was seen long ago, and a little that does not
// compress.
func sample(size int) []byte {
	random := rand.New(rand.NewChaCha8([32]byte{1}))
	frequency := rand.NewZipf(random, 1.1, 4, 5000)
	words := make([][]byte, 5001)
	for i := range words {
		words[i] = make([]byte, 2+random.IntN(8))
		for j := range words[i] {
			words[i][j] = byte('a' + random.IntN(26))
		}
	}
	b := make([]byte, 0, size+1<<16)
	for len(b) < size {
		switch random.IntN(1000) {
		case 0:
			for range random.IntN(4 << 10) {
				b = append(b, byte(random.Uint32()))
			}
		case 1:
			b = append(b, make([]byte, random.IntN(8<<10))...)
		case 2:
			if from := random.IntN(len(b) + 1); from > 0 {
				b = append(b, b[from:min(len(b), from+random.IntN(4<<10))]...)
			}
		default:
			b = append(append(b, words[frequency.Uint64()]...), ' ')
		}
	}
	return b[:size]
}

func run(t testing.TB, in []byte, command string, debian string) []byte {
	t.Helper()
	args := strings.Fields(command)
	cmd := exec.Command(needs.Program(t, args[0], debian), args[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, errors.String())
	}
	return out.Bytes()
}

// TestTools: what the real programs pack is what comes out, and what they call damaged is an error.
func TestTools(t *testing.T) {
	plain := sample(1 << 20)
	for _, tt := range []struct{ command, debian string }{
		{"xz -T1 -0", "xz-utils"}, {"xz -T1 -9e", "xz-utils"}, {"xz -T2 -1 --block-size=256KiB", "xz-utils"}, {"xz -T2 -0 --block-size=100KiB --check=sha256", "xz-utils"},
		{"xz -T2 --block-list=300KiB,3KiB,0 -0", "xz-utils"}, {"xz -T1 --block-size=256KiB --check=none -0", "xz-utils"}, {"xz -T1 --x86 --lzma2=preset=0,lc=0,lp=4,pb=0", "xz-utils"},
		{"xz -T2 --powerpc --delta=dist=256 --lzma2=preset=0,dict=4KiB --block-size=256KiB", "xz-utils"}, {"xz -T1 --lzma2=dict=128MiB,mode=fast", "xz-utils"},
		{"gzip -1", "gzip"}, {"gzip -9", "gzip"}, {"pigz -p2", "pigz"}, {"pigz -p2 -i -9", "pigz"},
		{"zstd -1", "zstd"}, {"zstd -19 --check", "zstd"}, {"zstd --ultra -22 --long=27", "zstd"}, {"zstd -T2 --no-check", "zstd"}, {"pzstd -p2 -c", "zstd"},
		{"bzip2 -1", "bzip2"}, {"bzip2 -9", "bzip2"}, {"pbzip2 -p2 -1 -c", "pbzip2"}, {"lbzip2 -n2", "lbzip2"},
		{"pixz -p2 -1", "pixz"},
	} {
		t.Run(strings.ReplaceAll(tt.command, " ", ""), func(t *testing.T) {
			file := run(t, plain, tt.command, tt.debian)
			options := []Options{{Workers: 1}}
			if strings.Contains(tt.command, "xz") {
				options = append(options, Options{Workers: 3}, Options{Workers: 3, Memory: 3 << 20})
			}
			for _, o := range options {
				got, format, err := unpack(bytes.NewReader(file), o)
				if err != nil || format == "" || !bytes.Equal(got, plain) {
					t.Errorf("unpack(%s of %d bytes, %+v) = %d bytes, %q, %v", tt.command, len(plain), o, len(got), format, err)
				}
			}
			if _, _, err := unpack(bytes.NewReader(file[:len(file)/2]), Options{}); err == nil {
				t.Errorf("unpack(half of what %s made): no error", tt.command)
			}
		})
	}
}

// TestTooLarge: a window that this package does not have room for is named.
func TestTooLarge(t *testing.T) {
	for _, tt := range []struct{ command, debian, want string }{
		{"xz -T1 --lzma2=preset=0,dict=192MiB", "xz-utils", "needs a dictionary of 192 MiB"},
		{"zstd -1 --long=28", "zstd", "needs a window of more than 128 MiB"},
		{"xz -T1 --arm64 --lzma2=preset=0", "xz-utils", "uses a filter of the kind 0xa"},
	} {
		file := run(t, sample(1<<10), tt.command, tt.debian)
		if _, _, err := unpack(bytes.NewReader(file), Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("unpack(%s): %v, want %q", tt.command, err, tt.want)
		}
	}
}
