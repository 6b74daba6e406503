package initrd_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"

	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/initrd"
	"github.com/liveboot/liveboot/pkg/initrd/initrdtest"
)

// xzMain is Newc("lib@ usr/lib", "usr/lib/", "usr/lib/m.ko module"), compressed with xz --check=crc32 --x86 --lzma2.
var xzMain = must(base64.StdEncoding.DecodeString("/Td6WFoAAAFpIt42AgEEACEBFgANhjUf4AHzAG9dABgN3QRjnRIpQmXjQmDM4OHPviPf6A0BtXYx5G7hB5VcIlBG53wCR7F7x3E0QSJydjymF+tHF9FvSIqWrUWG1T5maRQBaBxld3jtN+mE56TY6jHCNHw6myIKfySY9s7NR3fsCStv+nIWuxHFRbiEAAAAMXChVwABhwH0AwAApObC9j4wDYsCAAAAAAFZWg=="))

// bzip2Late is Newc("late file"), compressed with bzip2.
var bzip2Late = must(base64.StdEncoding.DecodeString("QlpoOTFBWSZTWcrLRQIAAB5/gERACAAoBGbAMiQUACMkBAAgAFRE0AADQNBKEIxG1NADRVO1JoQOWRBHu9nVYsSNhRSlYFnYoTu8qg0AELDW5PItS8Y58sz+LuSKcKEhlZaKBA=="))

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// lz4ed has the format of "lz4 -l".
func lz4ed(b []byte) []byte {
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(lz4.LegacyOption(true)); err != nil {
		panic(err)
	}
	return initrdtest.Written(&out, w, b)
}

func lzmaed(b []byte) []byte {
	var out bytes.Buffer
	w, err := lzma.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	return initrdtest.Written(&out, w, b)
}

// lzmas is a compression that not all programs have a use for.
var lzmas = initrd.Compression{Name: "lzma", Magic: "\x5d\x00", Open: func(r *bytes.Reader, _ []byte) (io.Reader, error) { return lzma.NewReader(r) }}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestRead(t *testing.T) {
	early, main, late := initrdtest.Newc("kernel/x86/microcode/", "kernel/x86/microcode/Intel.bin microcode"), initrdtest.Newc("lib@ usr/lib", "usr/lib/", "usr/lib/m.ko module"), initrdtest.Newc("late file")
	all := []string{"kernel/x86/microcode/", "kernel/x86/microcode/Intel.bin microcode", "lib@ usr/lib", "usr/lib/", "usr/lib/m.ko module", "late file"}
	padding := make([]byte, 508)
	tests := []struct {
		name string
		in   func() []byte
		want []string
	}{
		{"plain", func() []byte { return join(early, padding, main, late) }, all},
		{"gzip", func() []byte { return join(early, padding, initrdtest.Gzip(main), initrdtest.Gzip(late)) }, all},
		{"gzip, padded", func() []byte {
			return join(early, initrdtest.Gzip(main), make([]byte, 5), initrdtest.Gzip(late), padding)
		}, all},
		{"xz", func() []byte { return join(early, initrdtest.XZ(main), initrdtest.XZ(late)) }, all},
		{"xz, padded", func() []byte { return join(early, padding, initrdtest.XZ(main), padding, initrdtest.XZ(late), padding) }, all},
		{"xz with x86 filter", func() []byte { return join(early, xzMain, initrdtest.Gzip(late)) }, all},
		{"zstd", func() []byte { return join(early, initrdtest.Zstd(main), initrdtest.Zstd(late)) }, all},
		{"zstd without checksum", func() []byte {
			return join(early, initrdtest.Zstd(main, zstd.WithEncoderCRC(false)), initrdtest.Zstd(late))
		}, all},
		{"all of them", func() []byte { return join(initrdtest.Zstd(early), initrdtest.XZ(main), initrdtest.Gzip(late)) }, all},
		{"archives in one stream", func() []byte { return initrdtest.Gzip(join(early, padding, main, late, padding)) }, all},
		{"lz4 as the kernel has it", func() []byte { return join(early, lz4ed(main), padding, late) }, all},
		{"bzip2", func() []byte { return join(early, main, bzip2Late) }, all},
		{"lzma", func() []byte { return join(early, main, lzmaed(late)) }, all},
		{"file of two names", func() []byte { return initrdtest.Newc("a=", "b= both", "c one") }, []string{"a both", "b both", "c one"}},
		{"file of two names, content first", func() []byte { return initrdtest.Newc("a= both", "b=", "c one") }, []string{"a both", "b both", "c one"}},
		{"nothing", func() []byte { return padding }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := tt.in()
			got, err := initrdtest.List(t, func(f func(initrd.File) error) error { return initrd.Read(in, f, lzmas) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Read() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	good := initrdtest.Newc("a content", "b content")
	tests := []struct {
		name string
		in   []byte
		want string
	}{
		{"text", []byte("no archive"), "segment 1 at byte 0: it starts with 6e 6f 20"},
		{"behind a good one", join(good, []byte("\xff")), "segment 2"},
		{"cut off", good[:150], "unexpected EOF"},
		{"cut off in gzip", initrdtest.Gzip(good)[:40], "gzip: "},
		{"cut off in xz", initrdtest.XZ(good)[:60], "xz: "},
		{"cut off in zstd", initrdtest.Zstd(good)[:40], "zstd: "},
		{"no trailer", good[:len(good)-124], "EOF"},
		{"a damaged header", bytes.Replace(good, []byte("070701"), []byte("07070X"), 1), "magic"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := initrd.Read(tt.in, func(initrd.File) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// read takes everything, as a build does.
func read(t *testing.T, name string, read func(func(initrd.File) error) error) {
	m := fstree.NewMemory()
	if err := read(initrd.Into(m, func(name string) bool { return len(name) < 100 })); err != nil {
		return
	}
	if _, err := fs.ReadDir(fstree.New(m), "."); err != nil {
		t.Errorf("%s was read, and its root cannot be: %v", name, err)
	}
}

func FuzzRead(f *testing.F) {
	archive := initrdtest.Newc("a/", "a/b content", "l@ a", "h=", "i= x")
	for _, seed := range [][]byte{archive, initrdtest.Gzip(archive), initrdtest.XZ(archive), initrdtest.Zstd(archive), []byte("\x02\x21\x4c\x18\x04\x00\x00\x00abcd"), []byte("BZh9"), []byte("\x5d\x00\x00\x01\x00")} {
		f.Add(seed)
		f.Add(join(archive, make([]byte, 4), seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		read(t, "initrd", func(f func(initrd.File) error) error { return initrd.Read(b, f, lzmas) })
	})
}
