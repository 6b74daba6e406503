package packed_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/liveboot/liveboot/initramfs/packed"
	"github.com/liveboot/liveboot/initramfs/packed/packedtest"
	"github.com/liveboot/liveboot/pkg/fstree"
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
	if err := errors.Join(w.Apply(lz4.LegacyOption(true)), write(w, b)); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func lzmaed(b []byte) []byte {
	var out bytes.Buffer
	w, err := lzma.NewWriter(&out)
	if err := errors.Join(err, write(w, b)); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func write(w io.WriteCloser, b []byte) error {
	_, err := w.Write(b)
	return errors.Join(err, w.Close())
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	if err := write(gzip.NewWriter(&out), b); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func xzed(b []byte) []byte {
	var out bytes.Buffer
	w, err := xz.WriterConfig{CheckSum: xz.CRC32}.NewWriter(&out)
	if err := errors.Join(err, write(w, b)); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func zstded(b []byte, options ...zstd.EOption) []byte {
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

// listed reads files as "name content", with "/" behind a folder and "@" behind a link.
func listed(t *testing.T, read func(func(packed.File) error) error) ([]string, error) {
	t.Helper()
	m := fstree.NewMemory()
	into := packed.Into(m, func(string) bool { return true })
	var names []string
	err := read(func(f packed.File) error {
		names = append(names, f.Name)
		return into(f)
	})
	var all []string
	fsys := fstree.New(m)
	for _, name := range names {
		info, infoErr := fs.Lstat(fsys, name)
		if infoErr != nil {
			t.Fatal(infoErr)
		}
		switch info.Mode().Type() {
		case fs.ModeDir:
			all = append(all, name+"/")
		case fs.ModeSymlink:
			target, err := fsys.ReadLink(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, name+"@ "+target)
		default:
			b, err := fs.ReadFile(fsys, name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, name+" "+string(b))
		}
	}
	return all, err
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestInitrd(t *testing.T) {
	early, main, late := packedtest.Newc("kernel/x86/microcode/", "kernel/x86/microcode/Intel.bin microcode"), packedtest.Newc("lib@ usr/lib", "usr/lib/", "usr/lib/m.ko module"), packedtest.Newc("late file")
	all := []string{"kernel/x86/microcode/", "kernel/x86/microcode/Intel.bin microcode", "lib@ usr/lib", "usr/lib/", "usr/lib/m.ko module", "late file"}
	padding := make([]byte, 508)
	tests := []struct {
		name string
		in   func() []byte
		want []string
	}{
		{"plain", func() []byte { return join(early, padding, main, late) }, all},
		{"gzip", func() []byte { return join(early, padding, gzipped(main), gzipped(late)) }, all},
		{"gzip, padded", func() []byte { return join(early, gzipped(main), make([]byte, 5), gzipped(late), padding) }, all},
		{"xz", func() []byte { return join(early, xzed(main), xzed(late)) }, all},
		{"xz, padded", func() []byte { return join(early, padding, xzed(main), padding, xzed(late), padding) }, all},
		{"xz with x86 filter", func() []byte { return join(early, xzMain, gzipped(late)) }, all},
		{"zstd", func() []byte { return join(early, zstded(main), zstded(late)) }, all},
		{"zstd without checksum", func() []byte { return join(early, zstded(main, zstd.WithEncoderCRC(false)), zstded(late)) }, all},
		{"all of them", func() []byte { return join(zstded(early), xzed(main), gzipped(late)) }, all},
		{"archives in one stream", func() []byte { return gzipped(join(early, padding, main, late, padding)) }, all},
		{"lz4 as the kernel has it", func() []byte { return join(early, lz4ed(main), padding, late) }, all},
		{"bzip2", func() []byte { return join(early, main, bzip2Late) }, all},
		{"lzma", func() []byte { return join(early, main, lzmaed(late)) }, all},
		{"file of two names", func() []byte { return packedtest.Newc("a=", "b= both", "c one") }, []string{"a both", "b both", "c one"}},
		{"file of two names, content first", func() []byte { return packedtest.Newc("a= both", "b=", "c one") }, []string{"a both", "b both", "c one"}},
		{"nothing", func() []byte { return padding }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			initrd := tt.in()
			got, err := listed(t, func(f func(packed.File) error) error { return packed.Initrd(initrd, f) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Initrd() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInitrdErrors(t *testing.T) {
	good := packedtest.Newc("a content", "b content")
	tests := []struct {
		name string
		in   []byte
		want string
	}{
		{"text", []byte("no archive"), "segment 1 at byte 0: it starts with 6e 6f 20"},
		{"behind a good one", join(good, []byte("\xff")), "segment 2"},
		{"cut off", good[:150], "unexpected EOF"},
		{"cut off in gzip", gzipped(good)[:40], "gzip: "},
		{"cut off in xz", xzed(good)[:60], "xz: "},
		{"cut off in zstd", zstded(good)[:40], "zstd: "},
		{"no trailer", good[:len(good)-124], "EOF"},
		{"a damaged header", bytes.Replace(good, []byte("070701"), []byte("07070X"), 1), "magic"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := packed.Initrd(tt.in, func(packed.File) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Initrd() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func tarball() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "./lib/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./lib/m.ko", Typeflag: tar.TypeReg, Mode: 0o644, Size: 6, ModTime: time.Unix(86400, 0)},
		{Name: "./lib/link", Typeflag: tar.TypeSymlink, Linkname: "m.ko"},
	} {
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("module")); err != nil {
				panic(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestDeb(t *testing.T) {
	want := []string{"lib/", "lib/m.ko module", "lib/link@ m.ko"}
	for member, data := range map[string][]byte{
		"data.tar": tarball(), "data.tar.gz": gzipped(tarball()), "data.tar.xz": xzed(tarball()), "data.tar.zst": zstded(tarball()),
	} {
		t.Run(member, func(t *testing.T) {
			got, err := listed(t, func(f func(packed.File) error) error {
				return packed.Deb(bytes.NewReader(packedtest.Deb(member, data)), f)
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Deb() (-want +got):\n%s", diff)
			}
		})
	}
	for name, in := range map[string][]byte{
		"empty": nil, "text": []byte("no package at all"), "no data": packedtest.Deb("data", nil), "cut off": packedtest.Deb("data.tar", tarball())[:100],
		"damaged header": bytes.ReplaceAll(packedtest.Deb("data.tar", tarball()), []byte("`\n"), []byte("??")), "cut off in gzip": packedtest.Deb("data.tar.gz", gzipped(tarball())[:30]),
	} {
		if err := packed.Deb(bytes.NewReader(in), func(packed.File) error { return nil }); err == nil {
			t.Errorf("Deb(%s) = nil, want an error", name)
		}
	}
}

func TestRPM(t *testing.T) {
	files := []string{"lib/", "lib/m.ko module", "lib/link@ m.ko"}
	archive := packedtest.Newc("./lib/", "./lib/m.ko module", "./lib/link@ m.ko")
	for name, payload := range map[string][]byte{"plain": archive, "gzip": gzipped(archive), "xz": xzed(archive), "zstd": zstded(archive)} {
		t.Run(name, func(t *testing.T) {
			got, err := listed(t, func(f func(packed.File) error) error { return packed.RPM(bytes.NewReader(packedtest.RPM(payload)), f) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(files, got); diff != "" {
				t.Errorf("RPM() (-want +got):\n%s", diff)
			}
		})
	}
	good := packedtest.RPM(archive)
	for name, in := range map[string][]byte{
		"empty": nil, "text": []byte("no package"), "no signature": good[:96], "no header": good[:160], "no payload": packedtest.RPM(nil),
		"huge header": bytes.Replace(good, []byte{0, 0, 0, 2}, []byte{255, 0, 0, 2}, 1), "cut off": good[:len(good)-150],
	} {
		if err := packed.RPM(bytes.NewReader(in), func(packed.File) error { return nil }); err == nil {
			t.Errorf("RPM(%s) = nil, want an error", name)
		}
	}
}

// read takes everything, as a build does.
func read(t *testing.T, name string, read func(func(packed.File) error) error) {
	m := fstree.NewMemory()
	if err := read(packed.Into(m, func(name string) bool { return len(name) < 100 })); err != nil {
		return
	}
	if _, err := fs.ReadDir(fstree.New(m), "."); err != nil {
		t.Errorf("%s was read, and its root cannot be: %v", name, err)
	}
}

func FuzzInitrd(f *testing.F) {
	archive := packedtest.Newc("a/", "a/b content", "l@ a", "h=", "i= x")
	for _, seed := range [][]byte{archive, gzipped(archive), xzed(archive), zstded(archive), []byte("\x02\x21\x4c\x18\x04\x00\x00\x00abcd"), []byte("BZh9"), []byte("\x5d\x00\x00\x01\x00")} {
		f.Add(seed)
		f.Add(join(archive, make([]byte, 4), seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		read(t, "initrd", func(f func(packed.File) error) error { return packed.Initrd(b, f) })
	})
}

func FuzzPackage(f *testing.F) {
	f.Add(packedtest.Deb("data.tar", tarball()))
	f.Add(packedtest.Deb("data.tar.gz", gzipped(tarball())))
	f.Add(packedtest.RPM(packedtest.Newc("a b")))
	f.Add(packedtest.RPM(zstded(packedtest.Newc("a b"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		read(t, "Debian package", func(f func(packed.File) error) error { return packed.Deb(bytes.NewReader(b), f) })
		read(t, "RPM package", func(f func(packed.File) error) error { return packed.RPM(bytes.NewReader(b), f) })
	})
}
