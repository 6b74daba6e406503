package initramfs

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/initrd"
)

func microcodeBuilder(t *testing.T, dir string) *builder {
	return &builder{
		config: Config{Microcode: true, Firmware: dir, Report: func(string) {}}, arch: pc(t), manifest: &Manifest{},
	}
}

func TestMicrocode(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "intel-ucode/06-55-04"), []byte("first"))
	write(t, filepath.Join(dir, "intel-ucode/06-4f-01.initramfs"), []byte("second,"))
	write(t, filepath.Join(dir, "intel-ucode/README"), []byte("not this"))
	write(t, filepath.Join(dir, "amd-ucode/microcode_amd.bin"), []byte("a"))
	write(t, filepath.Join(dir, "amd-ucode/microcode_amd_fam17h.bin.xz"), mustXZ([]byte("b")))
	write(t, filepath.Join(dir, "amd-ucode/amd_sev.sbin"), []byte("not this"))
	s, err := microcodeBuilder(t, dir).microcode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !s.stored || len(s.raw)%4 != 0 {
		t.Errorf("microcode(): stored %v, %d bytes, want it stored and padded to 4", s.stored, len(s.raw))
	}
	got := map[string]string{}
	segments, err := initrd.Segments(append(s.raw, mustGzip("")...), func(segment int, f initrd.File) error {
		b, err := io.ReadAll(f.Content)
		if !f.Mode.IsDir() {
			got[f.Name] = string(b)
		}
		return err
	})
	if err != nil || len(segments) != 2 || segments[0].Compression != "" {
		t.Errorf("segments %+v, %v, want one that is not compressed, and the next", segments, err)
	}
	want := map[string]string{
		"kernel/x86/microcode/GenuineIntel.bin": "second,first",
		"kernel/x86/microcode/AuthenticAMD.bin": "ab",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("microcode (-want +got):\n%s", diff)
	}
}

func TestEarlyArchiveAlignment(t *testing.T) {
	for _, name := range []string{"a", "kernel/b", "kernel/x86/cc", "kernel/x86/microcode/ddd.bin"} {
		var w earlyArchive
		w.add("kernel/x86/other", []byte("odd"))
		w.add(name, []byte("CONTENT"))
		raw := w.finish()
		at := -1
		for i := range raw {
			if string(raw[i:min(i+7, len(raw))]) == "CONTENT" {
				at = i
			}
		}
		if at < 0 || at%microcodeUnit != 0 || len(raw)%archiveBlock != 0 {
			t.Errorf("add(%q): content at %d of %d, want a multiple of 16 and of 512", name, at, len(raw))
		}
	}
}

func TestMicrocodeErrors(t *testing.T) {
	b := microcodeBuilder(t, t.TempDir())
	if _, err := b.microcode(t.Context()); !errorContains(err, "install intel-microcode") {
		t.Errorf("microcode(nothing there) = %v, want what to install", err)
	}
	b.config.Firmware = "/nonexistent"
	if _, err := b.microcode(t.Context()); !errorContains(err, "-firmware") {
		t.Errorf("microcode(no folder) = %v, want an error that names -firmware", err)
	}
	b.arch.microcode = false
	if _, err := b.microcode(t.Context()); !errorContains(err, "leave the option out") {
		t.Errorf("microcode(other architecture) = %v, want that there is none", err)
	}
	b.config.Microcode = false
	if s, err := b.microcode(t.Context()); err != nil || s.raw != nil {
		t.Errorf("microcode(not asked for) = %d bytes, %v, want nothing", len(s.raw), err)
	}
}
