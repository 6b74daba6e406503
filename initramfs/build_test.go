package initramfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
	"github.com/liveboot/liveboot/pkg/needs"
)

// fakeMachine is a root folder with a kernel of a few bytes.
func fakeMachine(t *testing.T, config string) string {
	root := t.TempDir()
	installKernel(t, root, "6.1.0-56-amd64", config)
	return root
}

// smallConfig compiles one small command only, which go's cache has after
// the first time.
func smallConfig(t *testing.T, root string) Config {
	_, err := exec.LookPath("go")
	needs.That(t, err == nil, "the go command in PATH")
	return Config{
		Root:     root,
		Arch:     "amd64",
		Init:     uroot + "core/true",
		Commands: []string{},
		Output:   filepath.Join(t.TempDir(), "out"),
		Cache:    t.TempDir(),
		Version:  "v1",
	}
}

func TestBuild(t *testing.T) {
	root := fakeMachine(t, "CONFIG_RD_ZSTD=y\n")
	write(t, filepath.Join(root, "site.conf"), []byte("ip=dhcp"))
	c := smallConfig(t, root)
	c.Files = []File{{filepath.Join(root, "site.conf"), "/etc/cmdline.d/site.conf"}}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	m, err := Build(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	initrd, err := os.ReadFile(filepath.Join(c.Output, "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(initrd)
	if m.SHA256 != hex.EncodeToString(sum[:]) || m.Bytes != int64(len(initrd)) || m.Compression != Zstd {
		t.Errorf("manifest says %s, %d bytes, %s of an initrd of %x, %d bytes", m.SHA256, m.Bytes, m.Compression, sum, len(initrd))
	}
	var stored Manifest
	b, err := os.ReadFile(filepath.Join(c.Output, "initrd.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &stored); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, &stored); diff != "" {
		t.Errorf("initrd.json (-returned +stored):\n%s", diff)
	}
	if bytes.Contains(b, []byte(root)) {
		t.Errorf("initrd.json names the building machine's folder %s", root)
	}

	files := map[string]string{}
	for _, raw := range unpacked(t, initrd, m) {
		for name, content := range contents(t, raw) {
			files[name] = content
		}
	}
	want := `{
  "version": "v1",
  "kernel": "6.1.0-56-amd64",
  "date": "2023-11-14T22:13:20Z"
}
`
	if got := files["etc/liveboot/image.json"]; got != want {
		t.Errorf("image.json = %s, want %s", got, want)
	}
	if files["etc/cmdline.d/site.conf"] != "ip=dhcp" || files["lib/modules/6.1.0-56-amd64/modules.dep"] == "" {
		t.Errorf("site file %q, modules.dep %q: want both", files["etc/cmdline.d/site.conf"], files["lib/modules/6.1.0-56-amd64/modules.dep"])
	}
	checkBinary(t, []byte(files["bbin/bb"]))
}

// checkBinary looks for traces of the building machine, and for the runtime
// settings of an old Go.
func checkBinary(t *testing.T, binary []byte) {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range []string{wd, os.TempDir() + "/liveboot-busybox", "asynctimerchan=1", "panicnil=1"} {
		if bytes.Contains(binary, []byte(trace)) {
			t.Errorf("the busybox contains %q", trace)
		}
	}
	if !bytes.HasPrefix(binary, []byte("\x7fELF")) {
		t.Errorf("the busybox starts with %q, want ELF", binary[:min(4, len(binary))])
	}
}

// unpacked decompresses the segments one by one.
func unpacked(t *testing.T, initrd []byte, m *Manifest) [][]byte {
	t.Helper()
	var all [][]byte
	for _, s := range m.Segments {
		raw, err := decompress(initrd[:s.Compressed])
		if err != nil || int64(len(raw)) != s.Raw {
			t.Fatalf("segment %s: %d bytes, %v, want %d", s.Name, len(raw), err, s.Raw)
		}
		all, initrd = append(all, raw), initrd[s.Compressed:]
	}
	if len(initrd) != 0 {
		t.Errorf("%d bytes behind the last segment", len(initrd))
	}
	return all
}

// TestBuildIsReproducible builds in different folders, with nothing shared and
// with all that can be added.
func TestBuildIsReproducible(t *testing.T) {
	var built []map[string]string
	for range 2 {
		root := fakeMachine(t, "CONFIG_RD_ZSTD=y\n")
		c := smallConfig(t, root)
		c.Firmware, c.Microcode, c.SeparateFirmware = filepath.Join(root, "firmware"), true, true
		c.Options, c.Drivers, c.NoDrivers = "ip=dhcp", []string{"ath9k"}, []string{"r8169"}
		for name, content := range map[string]string{"tigon/tg3.bin": "fw", "intel-ucode/06-55-04": "update", "amd-ucode/microcode_amd.bin": "other"} {
			write(t, filepath.Join(c.Firmware, name), []byte(content))
		}
		write(t, filepath.Join(root, "lib/modules/6.1.0-56-amd64/kernel/drivers/block/brd.ko"), depmodtest.Module("firmware=tigon/tg3.bin", "firmware=missing.bin"))
		t.Setenv("TMPDIR", t.TempDir())
		if _, err := Build(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for _, name := range []string{"vmlinuz", "initrd", "initrd.json", "firmware"} {
			b, err := os.ReadFile(filepath.Join(c.Output, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = fmt.Sprintf("%d bytes, %x", len(b), sha256.Sum256(b))
		}
		built = append(built, files)
	}
	if diff := cmp.Diff(built[0], built[1]); diff != "" {
		t.Errorf("two builds from the same inputs differ:\n%s", diff)
	}
}

// TestSeparateFirmware: the file is that of the last build, or is not there.
func TestSeparateFirmware(t *testing.T) {
	root := fakeMachine(t, "CONFIG_RD_ZSTD=y\n")
	c := smallConfig(t, root)
	c.SeparateFirmware = true
	write(t, filepath.Join(root, "lib/modules/6.1.0-56-amd64/kernel/drivers/block/brd.ko"), depmodtest.Module("firmware=a.bin"))
	firmware := filepath.Join(root, "lib/firmware/a.bin")
	write(t, firmware, []byte("fw"))
	m, err := Build(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Inspect(filepath.Join(c.Output, firmwareFile))
	if err != nil || len(got.Firmware) != 1 || got.Firmware[0].Path != "a.bin" {
		t.Errorf("file firmware holds %+v, %v, want a.bin", got, err)
	}
	if initrd, err := Inspect(filepath.Join(c.Output, "initrd")); err != nil || len(initrd.Firmware) != 0 || initrd.Bytes != m.Bytes {
		t.Errorf("initrd holds firmware %+v, %v, want none", initrd.Firmware, err)
	}
	if err := os.Remove(firmware); err != nil {
		t.Fatal(err)
	}
	if m, err = Build(t.Context(), c); err != nil || len(m.Missing) != 1 {
		t.Fatalf("Build() = %v, missing %+v, want a.bin", err, m.Missing)
	}
	if _, err := os.Stat(filepath.Join(c.Output, firmwareFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file firmware of the build before: %v, want it gone", err)
	}
}

func TestBuildErrors(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no kernel", func(c *Config) { c.Root = t.TempDir() }, "KERNEL="},
		{"no such command", func(c *Config) { c.Commands = []string{uroot + "core/nothing"} }, "nothing"},
		{"no checkout", func(c *Config) { c.Source = t.TempDir() }, "no go.mod of " + modulePath},
		{"architecture", func(c *Config) { c.Arch = "vax" }, `"vax"`},
		{"mistyped driver", func(c *Config) { c.Drivers = []string{"r8168"} }, "did you mean r8169?"},
		{"mistyped option", func(c *Config) { c.Options = "rd.liveboot.sha265=0" }, "rd.liveboot.sha256"},
		{"no microcode", func(c *Config) { c.Microcode = true }, "intel-microcode"},
		{"no firmware folder", func(c *Config) { c.Firmware = "/nonexistent" }, "-firmware"},
		{"compression", func(c *Config) { c.Compression = "zst" }, "zstd"},
		{"missing site file", func(c *Config) { c.Files = []File{{"/nonexistent", "/a"}} }, "/nonexistent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := smallConfig(t, fakeMachine(t, ""))
			tt.change(&c)
			if _, err := Build(context.Background(), c); !errorContains(err, tt.want) || !errorContains(err, "build initramfs: ") {
				t.Errorf("Build() = %v, want error with %q", err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(c.Output, "initrd")); err == nil {
				t.Error("Build() failed, and yet there is an initrd")
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Build(ctx, smallConfig(t, fakeMachine(t, ""))); !errorContains(err, "canceled") {
		t.Errorf("Build(cancelled) = %v, want that it says so", err)
	}
}

func TestImageDate(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	tests := []struct {
		name                     string
		given, committed, kernel time.Time
		epoch, wantErr           string
		want                     time.Time
	}{
		{name: "given", given: day(1), committed: day(2), kernel: day(3), epoch: "0", want: day(1)},
		{name: "epoch", committed: day(2), kernel: day(3), epoch: "86400", want: time.Unix(86400, 0).UTC()},
		{name: "commit later", committed: day(3), kernel: day(2), want: day(3)},
		{name: "kernel later", committed: day(2), kernel: day(3), want: day(3)},
		{name: "nothing known"},
		{name: "not a number", epoch: "yesterday", wantErr: "SOURCE_DATE_EPOCH=yesterday"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SOURCE_DATE_EPOCH", tt.epoch)
			b := &builder{config: Config{Date: tt.given, Committed: tt.committed}, kernel: &kernel{date: tt.kernel}}
			got, err := b.imageDate()
			if !errorContains(err, tt.wantErr) || !got.Equal(tt.want) {
				t.Errorf("imageDate() = %v, %v, want %v, error with %q", got, err, tt.want, tt.wantErr)
			}
		})
	}
}

// TestInstalledKernel builds the whole image from the kernel of this machine
// and holds it to the sizes that are promised.
func TestInstalledKernel(t *testing.T) {
	_, err := newestKernel("/", "")
	needs.That(t, err == nil, "an installed kernel with its modules (Debian: linux-image-amd64)")
	c := smallConfig(t, "/")
	c.Init, c.Commands, c.Cache, c.NoFirmware = "", nil, "", true
	c.Report = func(s string) { t.Log(s) }
	m, err := Build(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := m.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel %s, %s (%s)\n%s", m.Kernel, m.Compression, m.Reason, &table)
	base := m.Segments[0].Compressed
	if strings.HasPrefix(m.Compressor, "zstd v") && (base > 5e6 || m.Bytes > 20e6) {
		t.Errorf("base segment of %d bytes in an initrd of %d: want at most 5 MB and 20 MB", base, m.Bytes)
	}
	for _, r := range requirements() {
		if !slices.ContainsFunc(m.Modules, func(m Module) bool { return m.Name == r.module }) {
			t.Logf("%s is built in", r.module)
		}
	}
	initrd, err := os.ReadFile(filepath.Join(c.Output, "initrd"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Compression == Zstd {
		z, err := zstd.NewReader(bytes.NewReader(initrd))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		if n, err := io.Copy(io.Discard, z); err != nil || n != rawBytes(m) {
			t.Errorf("zstd -d of the whole: %d bytes, %v", n, err)
		}
	}
	for _, raw := range unpacked(t, initrd, m) {
		if binary := contents(t, raw)["bbin/bb"]; binary != "" {
			checkBinary(t, []byte(binary))
		}
	}
}

// rawBytes is the bytes of all archives in the initrd.
func rawBytes(m *Manifest) (n int64) {
	for _, s := range m.Segments {
		if s.File == "" {
			n += s.Raw
		}
	}
	return n
}
