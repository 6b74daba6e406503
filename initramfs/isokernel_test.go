package initramfs

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
	"github.com/liveboot/liveboot/pkg/kernelmodules"
	"github.com/liveboot/liveboot/pkg/kernelmodules/depmod/depmodtest"
	"github.com/liveboot/liveboot/pkg/kernelmodules/kernelmodulestest"
	"github.com/liveboot/liveboot/pkg/needs"
)

// tool runs a program that makes images.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	_, err := exec.LookPath(name)
	needs.That(t, err == nil, name)
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// testRelease is the kernel of the ISOs below.
const testRelease = "6.1.0-56-amd64"

// isoParts is what a live ISO of KIWI's is made of.
type isoParts struct {
	kernel []byte
	initrd []byte

	// root is the files of the root; image puts them into an ext4 in the
	// container, and container is the options of mksquashfs.
	root      map[string][]byte
	image     bool
	container []string

	// rootfs is an image as it is, in place of root.
	rootfs []byte
}

// defaultParts is an ISO as Debian's KIWI makes it: the initrd has the
// modules but brd, the root has all, and KIWI's compression.
func defaultParts(t *testing.T) isoParts {
	modules := kernelmodulestest.Folder()
	root := map[string][]byte{
		"usr/lib/firmware/nic.bin":          []byte("firmware"),
		"boot/config-" + testRelease:        []byte("CONFIG_RD_ZSTD=y\n"),
		"usr/lib/modules/1.0/modules.dep":   []byte("another kernel's"),
		"usr/lib/modules/1.0/kernel/a.ko":   []byte("another kernel's"),
		"usr/share/doc/so-that/it-is-there": bytes.Repeat([]byte("text "), 5000),
	}
	initrd := newArchive()
	for name, f := range modules {
		root["usr/lib/modules/"+testRelease+"/"+name] = f.Data
		if !strings.Contains(name, "/brd.ko") && strings.HasPrefix(name, "kernel/fs/") {
			initrd.file("usr/lib/modules/"+testRelease+"/"+name, []byte("initrd's "+name), 0o644)
		}
	}
	early := newArchive()
	early.file("kernel/x86/microcode/GenuineIntel.bin", []byte("microcode"), 0o644)
	return isoParts{
		kernel: kernelimagetest.BzImage(testRelease+" (user@host) #1 SMP Debian 6.1.192-2 (2026-11-16)", []byte("kernel")),
		initrd: slices.Concat(archiveBytes(t, early), mustGzip(string(archiveBytes(t, initrd)))),
		root:   root, image: true, container: []string{"-comp", "xz", "-Xbcj", "x86", "-b", "1M"},
	}
}

func archiveBytes(t *testing.T, a *archive) []byte {
	t.Helper()
	b, err := a.bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// makeISO makes a live ISO.
func makeISO(t *testing.T, p isoParts) string {
	t.Helper()
	work := t.TempDir()
	root, container, cd := filepath.Join(work, "root"), filepath.Join(work, "container"), filepath.Join(work, "cd")
	for name, content := range p.root {
		write(t, filepath.Join(root, name), content)
	}
	if p.root != nil {
		if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case p.rootfs != nil:
		write(t, filepath.Join(container, "LiveOS/rootfs.img"), p.rootfs)
	case p.image:
		write(t, filepath.Join(container, "LiveOS/rootfs.img"), nil)
		tool(t, "mkfs.ext4", "-q", "-F", "-d", root, filepath.Join(container, "LiveOS/rootfs.img"), "8M")
	default:
		container = root
	}
	if p.kernel != nil {
		write(t, filepath.Join(cd, "boot/x86_64/loader/linux"), p.kernel)
		write(t, filepath.Join(cd, "boot/x86_64/loader/initrd"), p.initrd)
	}
	if p.container != nil {
		write(t, filepath.Join(cd, "LiveOS/squashfs.img"), nil)
		tool(t, "mksquashfs", append([]string{container, filepath.Join(cd, "LiveOS/squashfs.img"), "-noappend", "-no-progress", "-quiet"}, p.container...)...)
	}
	write(t, filepath.Join(cd, "README"), []byte("a CD"))
	file := filepath.Join(work, "live.iso")
	tool(t, "xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "CDROM", "-o", file, cd)
	return file
}

// isoKernel takes the kernel out of an ISO, and returns what it reported.
func isoKernel(t *testing.T, goarch, file string) (*kernel, string, error) {
	t.Helper()
	a, err := archFor(goarch)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	k, err := kernelOf(context.Background(), Config{ISO: file, Report: func(s string) { said = append(said, s) }}, a)
	if err == nil {
		t.Cleanup(func() {
			if err := k.close(); err != nil {
				t.Error(err)
			}
		})
	}
	return k, strings.Join(said, "\n"), err
}

func TestKernelFromISO(t *testing.T) {
	tests := []struct {
		name   string
		change func(*isoParts)
	}{
		{"ext4 in squashfs, xz with x86 filter", func(*isoParts) {}},
		{"ext4 in squashfs, zstd", func(p *isoParts) { p.container = []string{"-comp", "zstd"} }},
		{"the container is the root", func(p *isoParts) { p.image = false }},
		{"no initrd to be read", func(p *isoParts) { p.initrd = []byte("unknown") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parts := defaultParts(t)
			tt.change(&parts)
			k, _, err := isoKernel(t, "amd64", makeISO(t, parts))
			if err != nil {
				t.Fatal(err)
			}
			if k.release != testRelease || k.date.Format("2006-01-02") != "2026-11-16" || !bytes.Equal(k.image, parts.kernel) || k.configFrom != "config-"+testRelease {
				t.Errorf("kernelOf() = %s of %v with configuration %q, want %s of 2026-11-16", k.release, k.date, k.configFrom, testRelease)
			}
			x, err := kernelmodules.ReadIndex(k.modules)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := len(x.Paths), strings.Count(string(kernelmodulestest.Folder()["modules.dep"].Data), "\n"); got != want {
				t.Errorf("%d modules, want %d", got, want)
			}
			wantExt4 := "initrd's kernel/fs/ext4/ext4.ko"
			if string(parts.initrd) == "unknown" {
				wantExt4 = "module kernel/fs/ext4/ext4.ko"
			}
			for name, want := range map[string]string{
				x.Paths["ext4"]: wantExt4, x.Paths["brd"]: "module kernel/drivers/block/brd.ko", x.Paths["r8169"]: "module r8169",
			} {
				if b, err := kernelmodules.ReadModule(k.modules, name); err != nil || string(b) != want {
					t.Errorf("module %s = %q, %v, want %q", name, b, err, want)
				}
			}
			if modules, _ := x.Resolve("crypto-crc32c"); !slices.Equal(modules, []string{"crc32c_generic"}) {
				t.Errorf("crypto-crc32c is %v, want crc32c_generic", modules)
			}
			if b, err := fs.ReadFile(k.firmware, "nic.bin"); err != nil || string(b) != "firmware" {
				t.Errorf("firmware = %q, %v", b, err)
			}
		})
	}
}

// xfsImage and btrfsImage are as much of a file system as is needed to tell
// which it is.
func xfsImage() []byte { return append([]byte("XFSB"), make([]byte, 128<<10)...) }

func btrfsImage() []byte {
	b := make([]byte, 128<<10)
	copy(b[64<<10+64:], "_BHRfS_M")
	return b
}

// completeInitrd has all modules of a small kernel but brd, so that the root
// is not needed for anything else.
func completeInitrd(t *testing.T, withBRD bool) []byte {
	initrd := newArchive()
	for _, name := range []string{"brd", "loop", "squashfs", "overlay", "isofs", "ext4"} {
		if name == "brd" && !withBRD {
			continue
		}
		initrd.file(path.Join("lib/modules", testRelease, "kernel", name+".ko"), depmodtest.Module("depends="), 0o644)
	}
	return archiveBytes(t, initrd)
}

// TestUnreadableRoot: a root of a kind that cannot be read does no harm as
// long as the initrd has what is needed, and is named when it has not.
func TestUnreadableRoot(t *testing.T) {
	for name, rootfs := range map[string][]byte{"xfs": xfsImage(), "btrfs": btrfsImage()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parts := defaultParts(t)
			parts.rootfs, parts.initrd, parts.container = rootfs, completeInitrd(t, true), []string{"-comp", "gzip"}
			c := Config{ISO: makeISO(t, parts), Root: t.TempDir(), Arch: "amd64", Cache: t.TempDir()}
			if _, err := List(context.Background(), c); err != nil {
				t.Errorf("List() = %v, want none: the initrd has all modules", err)
			}
			parts.initrd = completeInitrd(t, false)
			c.ISO = makeISO(t, parts)
			_, err := List(context.Background(), c)
			for _, want := range []string{"brd (the RAM disk", "LiveOS/rootfs.img is " + name, c.ISO} {
				if !errorContains(err, want) {
					t.Errorf("List() = %v, want an error with %q", err, want)
				}
			}
		})
	}
}

func TestKernelFromISOErrors(t *testing.T) {
	tests := []struct {
		name   string
		goarch string
		change func(*isoParts)
		want   string
	}{
		{"no kernel", "amd64", func(p *isoParts) { p.kernel = nil }, "neither boot/<arch>/loader/linux nor a boot menu"},
		{"another architecture", "arm64", func(*isoParts) {}, "-arch amd64"},
		{"not a kernel", "amd64", func(p *isoParts) { p.kernel = []byte("text") }, "not a Linux kernel"},
		{"modules of another kernel", "amd64", func(p *isoParts) {
			p.kernel = kernelimagetest.BzImage("5.10 (u@h)", []byte("k"))
		}, "modules of kernel 5.10 are not in"},
		{"nothing to be read", "amd64", func(p *isoParts) { p.initrd, p.container = []byte("x"), nil }, "the ISO's initrd cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parts := defaultParts(t)
			tt.change(&parts)
			if _, said, err := isoKernel(t, tt.goarch, makeISO(t, parts)); !errorContains(err, tt.want) {
				t.Errorf("kernelOf() = %v, want an error with %q; reported:\n%s", err, tt.want, said)
			}
		})
	}
	text := filepath.Join(t.TempDir(), "text")
	write(t, text, []byte("text"))
	if _, _, err := isoKernel(t, "amd64", text); !errorContains(err, "not an ISO 9660 image") {
		t.Errorf("kernelOf(text) = %v, want that it is no ISO", err)
	}
	if _, _, err := isoKernel(t, "amd64", text+"none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("kernelOf(no file) = %v, want fs.ErrNotExist", err)
	}
}
