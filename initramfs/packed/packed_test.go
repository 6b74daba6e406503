package packed_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz/lzma"

	"github.com/liveboot/liveboot/initramfs/packed"
	"github.com/liveboot/liveboot/initramfs/packed/packedtest"
	"github.com/liveboot/liveboot/pkg/fstree"
	"github.com/liveboot/liveboot/pkg/initrd"
	"github.com/liveboot/liveboot/pkg/initrd/initrdtest"
)

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
		"data.tar": tarball(), "data.tar.gz": initrdtest.Gzip(tarball()), "data.tar.xz": initrdtest.XZ(tarball()), "data.tar.zst": initrdtest.Zstd(tarball()),
	} {
		t.Run(member, func(t *testing.T) {
			got, err := initrdtest.List(t, func(f func(initrd.File) error) error {
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
		"damaged header": bytes.ReplaceAll(packedtest.Deb("data.tar", tarball()), []byte("`\n"), []byte("??")), "cut off in gzip": packedtest.Deb("data.tar.gz", initrdtest.Gzip(tarball())[:30]),
	} {
		if err := packed.Deb(bytes.NewReader(in), func(initrd.File) error { return nil }); err == nil {
			t.Errorf("Deb(%s) = nil, want an error", name)
		}
	}
}

func TestRPM(t *testing.T) {
	files := []string{"lib/", "lib/m.ko module", "lib/link@ m.ko"}
	archive := initrdtest.Newc("./lib/", "./lib/m.ko module", "./lib/link@ m.ko")
	for name, payload := range map[string][]byte{"plain": archive, "gzip": initrdtest.Gzip(archive), "xz": initrdtest.XZ(archive), "zstd": initrdtest.Zstd(archive)} {
		t.Run(name, func(t *testing.T) {
			got, err := initrdtest.List(t, func(f func(initrd.File) error) error { return packed.RPM(bytes.NewReader(packedtest.RPM(payload)), f) })
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
		if err := packed.RPM(bytes.NewReader(in), func(initrd.File) error { return nil }); err == nil {
			t.Errorf("RPM(%s) = nil, want an error", name)
		}
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

func TestLZMA(t *testing.T) {
	var b bytes.Buffer
	w, err := lzma.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	in := append(initrdtest.Newc("early file"), initrdtest.Written(&b, w, initrdtest.Newc("late file"))...)
	got, err := initrdtest.List(t, func(f func(initrd.File) error) error { return initrd.Read(in, f, packed.LZMA()) })
	if diff := cmp.Diff([]string{"early file", "late file"}, got); diff != "" || err != nil {
		t.Errorf("Read() = %v (-want +got):\n%s", err, diff)
	}
	if err := initrd.Read([]byte("\x5d\x00\x00\x00\xff"), func(initrd.File) error { return nil }, packed.LZMA()); err == nil {
		t.Error("Read(a dictionary of 4 GiB) = nil, want an error")
	}
}

func FuzzPackage(f *testing.F) {
	f.Add(packedtest.Deb("data.tar", tarball()))
	f.Add(packedtest.Deb("data.tar.gz", initrdtest.Gzip(tarball())))
	f.Add(packedtest.RPM(initrdtest.Newc("a b")))
	f.Add(packedtest.RPM(initrdtest.Zstd(initrdtest.Newc("a b"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		read(t, "Debian package", func(f func(initrd.File) error) error { return packed.Deb(bytes.NewReader(b), f) })
		read(t, "RPM package", func(f func(initrd.File) error) error { return packed.RPM(bytes.NewReader(b), f) })
	})
}
