package initramfs

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/u-root/mkuimage/cpio"

	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
)

// foreignInitrd is one as other tools make them: microcode, then everything
// in one compressed archive, with zeros between them.
func foreignInitrd(tb testing.TB) []byte {
	var early earlyArchive
	early.add("kernel/x86/microcode/GenuineIntel.bin", []byte("microcode"))
	a := newArchive()
	a.file("usr/lib/modules/6.1.0/kernel/fs/ext4/ext4.ko.xz", []byte("module"), 0o644)
	a.file("usr/lib/modules/6.1.0/modules.dep", nil, 0o644)
	a.file("usr/lib/firmware/tigon/tg3.bin", []byte("fw"), 0o644)
	a.file("etc/cmdline.d/a.conf", []byte("quiet\nrd.x=1\n"), 0o644)
	a.add(cpio.Symlink("init", "usr/lib/systemd/systemd"))
	raw, err := a.bytes()
	if err != nil {
		tb.Fatal(err)
	}
	packed, err := compressXZ(context.Background(), raw)
	if err != nil {
		tb.Fatal(err)
	}
	return append(append(early.finish(), make([]byte, 512)...), packed...)
}

func TestInspectForeign(t *testing.T) {
	file := filepath.Join(t.TempDir(), "initrd.img")
	write(t, file, foreignInitrd(t))
	got, err := Inspect(file)
	if err != nil {
		t.Fatal(err)
	}
	want := &Contents{
		Kernels: []string{"6.1.0"},
		Segments: []SegmentContents{
			{Files: 1, Content: 9, Folders: []string{"kernel"}},
			{Offset: 1536, Compression: "xz", Files: 5, Folders: []string{"/", "etc", "usr/lib"}},
		},
		Modules:  []Module{{Name: "ext4", Path: "kernel/fs/ext4/ext4.ko.xz", Bytes: 6}},
		Firmware: []Firmware{{Path: "tigon/tg3.bin", Bytes: 2}},
		Options:  []string{"quiet", "rd.x=1"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Contents{}, "Bytes"), cmpopts.IgnoreFields(SegmentContents{}, "Bytes"),
		cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Segments.Content" }, cmp.Ignore())); diff != "" {
		t.Errorf("Inspect() (-want +got):\n%s", diff)
	}
	var text strings.Builder
	if err := got.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"not in it", "6.1.0", "rd.x=1", "xz", "none", "kernel/fs/ext4/ext4.ko.xz", "1 modules, 1 firmware files"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("Write() lacks %q:\n%s", want, &text)
		}
	}
}

// TestInspectBuild: an initrd of ours and its manifest tell the same.
func TestInspectBuild(t *testing.T) {
	root := fakeMachine(t, "CONFIG_RD_ZSTD=y\n")
	c := smallConfig(t, root)
	c.Firmware, c.Options, c.Microcode = filepath.Join(root, "firmware"), "ip=dhcp quiet", true
	write(t, filepath.Join(c.Firmware, "tigon/tg3.bin"), []byte("fw"))
	write(t, filepath.Join(c.Firmware, "intel-ucode/06-55-04"), []byte("update"))
	write(t, filepath.Join(root, "lib/modules/6.1.0-56-amd64/kernel/drivers/block/brd.ko"), depmodtest.Module("firmware=tigon/tg3.bin"))
	m, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range m.Segments {
		names = append(names, s.Name)
	}
	if want := []string{"microcode", "base", "modules", "firmware", "site"}; !slices.Equal(names, want) {
		t.Errorf("segments %q, want %q", names, want)
	}
	initrd, err := Inspect(filepath.Join(c.Output, "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := Inspect(filepath.Join(c.Output, "initrd.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(initrd, manifest, cmpopts.IgnoreFields(SegmentContents{}, "Files", "Content", "Folders"),
		cmpopts.IgnoreFields(Module{}, "Why"), cmpopts.IgnoreFields(Firmware{}, "For")); diff != "" {
		t.Errorf("-initrd +initrd.json:\n%s", diff)
	}
}

func TestInspectErrors(t *testing.T) {
	cut := foreignInitrd(t)
	a := newArchive()
	a.file("lib/modules/6.1.0/packs/1.cpio.zst", mustZstd([]byte("no archive")), 0o644)
	damaged, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", nil, "nothing but zeros"},
		{"zeros", make([]byte, 1000), "nothing but zeros"},
		{"text", []byte("text"), "neither a cpio archive"},
		{"damaged archive of modules", damaged, "lib/modules/6.1.0/packs/1.cpio.zst: "},
		{"cut off", cut[:len(cut)-20], "segment 2"},
		{"other JSON", []byte("{}"), "not the initrd.json"},
		{"damaged JSON", []byte("{"), "neither an initrd nor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "initrd")
			write(t, file, tt.in)
			if _, err := Inspect(file); !errorContains(err, tt.want) || !errorContains(err, file) {
				t.Errorf("Inspect() = %v, want error with %q", err, tt.want)
			}
		})
	}
	if _, err := Inspect(filepath.Join(t.TempDir(), "missing")); !errorContains(err, "no such file") {
		t.Errorf("Inspect(missing) = %v, want that there is no such file", err)
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(foreignInitrd(f))
	a := newArchive()
	a.file("etc/liveboot/image.json", []byte(`{"version":"v1"}`), 0o644)
	raw, err := a.bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(append(mustGzip(string(raw)), mustZstd(raw)...))
	a.file("lib/modules/6.1.0/packs/1.cpio.zst", mustZstd(raw), 0o644)
	if raw, err = a.bytes(); err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, initrd []byte) {
		c, err := inspectInitrd(initrd)
		if err != nil {
			return
		}
		for _, s := range c.Segments {
			if s.Offset+s.Bytes > int64(len(initrd)) || s.Bytes <= 0 {
				t.Errorf("segment %+v of an initrd of %d bytes", s, len(initrd))
			}
		}
	})
}
