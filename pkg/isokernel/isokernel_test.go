package isokernel

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/bootmenu"
	"github.com/liveboot/liveboot/pkg/iso"
	"github.com/liveboot/liveboot/pkg/iso/isotest"
	"github.com/liveboot/liveboot/pkg/kernelimage"
	"github.com/liveboot/liveboot/pkg/kernelimage/kernelimagetest"
	"github.com/liveboot/liveboot/pkg/live"
	"github.com/liveboot/liveboot/pkg/needs"
)

func TestFind(t *testing.T) {
	amd64 := string(kernelimagetest.BzImage("6.1.0-56-amd64 (user@host) #1 SMP", []byte("kernel")))
	other := string(kernelimagetest.BzImage("6.12 (user@host) #1 SMP", []byte("kernel")))
	arm64 := string(kernelimagetest.Arm64("6.1.0-arm64 (user@host) #1 SMP"))
	const kiwi = "boot/x86_64/loader/"
	tests := []struct {
		name    string
		files   map[string]string
		arch    string
		kernel  string
		release string
		initrds []string
		entry   string
		options string
	}{
		{"KIWI without a menu", map[string]string{kiwi + "linux": amd64, kiwi + "initrd": "i"}, "amd64", kiwi + "linux", "6.1.0-56-amd64", []string{kiwi + "initrd"}, "", ""},
		{"KIWI", map[string]string{
			kiwi + "linux": amd64, kiwi + "initrd": "i", "other": other,
			"boot/grub/grub.cfg": "menuentry Other { linux /other }\nmenuentry Live { linux ($root)/" + kiwi + "linux root=live:CDLABEL=X quiet }\n",
		}, "amd64", kiwi + "linux", "6.1.0-56-amd64", []string{kiwi + "initrd"}, "Live", "quiet"},
		{"KIWI on arm64", map[string]string{"boot/aarch64/loader/linux": arm64, "boot/aarch64/loader/initrd": "i"}, "arm64", "boot/aarch64/loader/linux", "6.1.0-arm64", []string{"boot/aarch64/loader/initrd"}, "", ""},
		{"what the menu says", map[string]string{
			"live/vmlinuz": amd64, "live/initrd": "i", "live/more": "m",
			"boot/grub/grub.cfg": "menuentry Gone { linux /gone }\nmenuentry Live { linux /live/vmlinuz boot=live splash --- x\ninitrd /live/initrd /live/more }\n",
		}, "amd64", "live/vmlinuz", "6.1.0-56-amd64", []string{"live/initrd", "live/more"}, "Live", "splash"},
		{"KIWI's kernel without an initrd", map[string]string{kiwi + "linux": amd64}, "amd64", kiwi + "linux", "6.1.0-56-amd64", nil, "", ""},
		{"KIWI's kernel with the menu's initrd", map[string]string{
			kiwi + "linux": amd64, "i": "i", "boot/grub/grub.cfg": "menuentry Live { linux /" + kiwi + "linux quiet\ninitrd /i }\n",
		}, "amd64", kiwi + "linux", "6.1.0-56-amd64", []string{"i"}, "Live", "quiet"},
		{"KIWI's place has no kernel", map[string]string{
			kiwi + "linux": "text", kiwi + "initrd": "i", "l": other, "boot/grub/grub.cfg": "menuentry Live { linux /l }\n",
		}, "amd64", "l", "6.12", nil, "Live", ""},
		{"odd entries first", map[string]string{
			"memtest": "memtest", "arm": arm64, "l": other, "link": amd64, "folder/x": "x",
			"boot/grub/grub.cfg": "menuentry Memtest { linux /memtest }\nmenuentry ARM { linux /arm }\nmenuentry Folder { linux /folder }\n" +
				"menuentry \"No initrd\" { linux /link\ninitrd /none }\nmenuentry \"Below a file\" { linux /l/x }\nmenuentry Live { linux /l splash }\n",
		}, "amd64", "l", "6.12", nil, "Live", "splash"},
		{"an architecture's own branch of the menu", map[string]string{
			"a": arm64, "x": amd64, "boot/grub/grub.cfg": "if [ $grub_cpu = arm64 ]; then k=/a; else k=/x; fi\nmenuentry Live { linux $k }\n",
		}, "arm64", "a", "6.1.0-arm64", nil, "Live", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := Find(bytes.NewReader(isotest.Image("X", tt.files)), tt.arch)
			if err != nil {
				t.Fatal(err)
			}
			var initrds []string
			for _, f := range k.Initrds {
				initrds = append(initrds, f.Path)
				if b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size)); err != nil || string(b) != tt.files[f.Path] {
					t.Errorf("%s = %q, %v", f.Path, b, err)
				}
			}
			if k.Image.Path != tt.kernel || k.Info.Release != tt.release || k.Entry != tt.entry || k.Options != tt.options || !slices.Equal(initrds, tt.initrds) {
				t.Errorf("Find = %s %s %q of %q with %q, want %s %s %q of %q with %q", k.Image.Path, k.Info.Release, k.Options, k.Entry, initrds, tt.kernel, tt.release, tt.options, tt.entry, tt.initrds)
			}
		})
	}
}

func TestFindErrors(t *testing.T) {
	const linux, initrd = "boot/x86_64/loader/linux", "boot/x86_64/loader/initrd"
	good := kernelimagetest.BzImage("6.1.0 (user@host) #1 SMP", bytes.Repeat([]byte("kernel"), 1000))
	for _, tt := range []struct {
		name  string
		image []byte
		want  error
	}{
		{"no ISO", make([]byte, 1<<16), iso.ErrNotISO},
		{"no kernel", isotest.Image("X", map[string]string{"a": "b"}), ErrNoKernel},
		{"another machine's kernel only", isotest.Image("X", map[string]string{"boot/aarch64/loader/linux": "k"}), ErrNoKernel},
		{"no initrd", isotest.Image("X", map[string]string{"l": string(good), "syslinux.cfg": "label a\nkernel /l\ninitrd /i"}), fs.ErrNotExist},
		{"of several that do not fit, the first counts", isotest.Image("X", map[string]string{linux: "not a kernel", "l": string(good[:3000]), "syslinux.cfg": "label a\nkernel /l"}), kernelimage.ErrNotKernel},
		{"text", isotest.Image("X", map[string]string{linux: "not a kernel", initrd: "i"}), kernelimage.ErrNotKernel},
		{"cut off", isotest.Image("X", map[string]string{linux: string(good[:3000]), initrd: "i"}), kernelimage.ErrTruncated},
	} {
		if _, err := Find(bytes.NewReader(tt.image), "amd64"); !errors.Is(err, tt.want) {
			t.Errorf("Find(%s) = %v, want %v", tt.name, err, tt.want)
		}
	}
	arm := isotest.Image("X", map[string]string{linux: string(kernelimagetest.Arm64("6.1.0 (u@h) #1")), initrd: "i"})
	var other *ArchError
	if _, err := Find(bytes.NewReader(arm), "amd64"); !errors.As(err, &other) || *other != (ArchError{linux, "arm64", "amd64"}) {
		t.Errorf("Find(kernel of another architecture) = %v, want an ArchError", err)
	}
}

// TestSizes: an image may claim anything.
func TestSizes(t *testing.T) {
	kernel := string(kernelimagetest.BzImage("6.1.0 (user@host) #1 SMP", []byte("kernel")))
	fsys := func(linux, initrd int64) fs.FS {
		return sized{fstest.MapFS{"l": {Data: []byte(kernel)}, "i": {Data: []byte("i")}, "j": {Data: []byte("j")}}, map[string]int64{"l": linux, "i": initrd, "j": initrd}}
	}
	for _, tt := range []struct {
		linux, initrd int64
		want          string
	}{
		{kernelMax, initrdMax / 2, ""},
		{kernelMax + 1, 1, "the kernel l has"},
		{1 << 62, 1, "the kernel l has"},
		{1, initrdMax/2 + 1, "the initrd j has"},
		{1, 1 << 62, "the initrd i has"},
	} {
		_, err := openEntry(fsys(tt.linux, tt.initrd), bootmenu.Entry{Kernel: "l", Initrds: []string{"i", "j"}})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("openEntry(kernel of %d, two initrds of %d bytes) = %v, want %q", tt.linux, tt.initrd, err, tt.want)
		}
	}
}

// sized is a file system that claims sizes.
type sized struct {
	fs.FS
	sizes map[string]int64
}

func (s sized) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	return claiming{f, f.(io.ReaderAt), s.sizes[name]}, err
}

type claiming struct {
	fs.File
	io.ReaderAt
	size int64
}

func (c claiming) Stat() (fs.FileInfo, error) { return c, nil }
func (c claiming) Size() int64                { return c.size }
func (c claiming) Name() string               { return "" }
func (c claiming) Mode() fs.FileMode          { return 0 }
func (c claiming) ModTime() time.Time         { return time.Time{} }
func (c claiming) IsDir() bool                { return false }
func (c claiming) Sys() any                   { return nil }

func TestOptions(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"root=live:CDLABEL=CDROM rd.live.image console=ttyS0 rd.live.overlay.persistent rd.live.overlay.cowfs=ext4 quiet": "console=ttyS0 quiet",
		`BOOT_IMAGE=/linux initrd=/initrd boot=live findiso=/x.iso a="b c" nomodeset`:                                     `a="b c" nomodeset`,
		"splash --- quiet":       "splash",
		"splash -- single":       "splash",
		"--- quiet":              "",
		"rd.live.dir=X rd.debug": "rd.live.dir=X",
		"rdinit=/x init=/x ramdisk-size=1 brd.rd_size=1 nvme_core.io_timeout=9 systemd.unit=a": "nvme_core.io_timeout=9 systemd.unit=a",
		"iso-scan/filename=/x rootovl modprobe.blacklist=e1000e net.ifnames=0 network=a":       "network=a",
		`a=x"y root=evil" b`: "b",
		`"a root=evil" b`:    "b",
		`b a"`:               "b",
		`a="b c`:             `a="b c"`,
		"a\x00b c":           "c",
	} {
		if got := Options(in); got != want {
			t.Errorf("Options(%q) = %q, want %q", in, got, want)
		}
	}
}

// liveISO makes a live ISO whose root has these files, in a file system image inside the container or in the container itself.
func liveISO(t *testing.T, image bool, files ...string) []byte {
	t.Helper()
	work := t.TempDir()
	root, container := filepath.Join(work, "root"), filepath.Join(work, "container")
	for _, name := range files {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("content"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "usr/lib"), 0o755), os.Symlink("usr/lib", filepath.Join(root, "lib"))); err != nil {
		t.Fatal(err)
	}
	if image {
		if err := os.MkdirAll(filepath.Join(container, "LiveOS"), 0o755); err != nil {
			t.Fatal(err)
		}
		tool(t, "e2fsprogs", "mkfs.ext4", "-q", "-F", "-d", root, filepath.Join(container, "LiveOS/rootfs.img"), "4M")
	} else {
		container = root
	}
	return packed(t, container)
}

// packed makes an ISO with a folder in a squashfs.
func packed(t *testing.T, container string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "squashfs.img")
	tool(t, "squashfs-tools", "mksquashfs", container, file, "-quiet", "-no-progress", "-comp", "zstd")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return isotest.Image("LIVE", map[string]string{"LiveOS/squashfs.img": string(b)})
}

func tool(t *testing.T, debian, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(needs.Program(t, name, debian), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func TestRootModules(t *testing.T) {
	spec := live.Spec{Dir: "LiveOS", Container: "squashfs.img"}
	files := []string{"proc/x", "usr/lib/modules/6.1/modules.dep", "usr/lib/modules/5.10/modules.dep", "usr/lib/modules/left-over/kernel/a.ko", "usr/lib/modules/file"}
	for name, image := range map[string]bool{"image in the container": true, "the container is the root": false} {
		versions, root, err := RootModules(bytes.NewReader(liveISO(t, image, files...)), spec)
		if diff := cmp.Diff([]string{"5.10", "6.1"}, versions); diff != "" || err != nil {
			t.Errorf("%s: RootModules: %v (-want +got):\n%s", name, err, diff)
			continue
		}
		if b, err := fs.ReadFile(root, "lib/modules/6.1/modules.dep"); err != nil || string(b) != "content" {
			t.Errorf("%s: modules.dep = %q, %v", name, b, err)
		}
	}
	if versions, root, err := RootModules(bytes.NewReader(liveISO(t, false, "proc/x")), spec); versions != nil || root == nil || err != nil {
		t.Errorf("RootModules(no modules) = %v, %v, want none", versions, err)
	}
}

func TestRootErrors(t *testing.T) {
	spec := live.Spec{Dir: "LiveOS", Container: "squashfs.img"}
	xfs := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(xfs, "LiveOS"), 0o755), os.WriteFile(filepath.Join(xfs, "LiveOS/rootfs.img"), append([]byte("XFSB"), make([]byte, 1<<17)...), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		image []byte
		want  UnreadableError
	}{
		{"xfs", packed(t, xfs), UnreadableError{Name: "LiveOS/rootfs.img", Kind: "xfs"}},
		{"nothing known", isotest.Image("X", map[string]string{"LiveOS/squashfs.img": string(make([]byte, 1<<17))}), UnreadableError{Name: "LiveOS/squashfs.img"}},
	} {
		_, _, err := RootModules(bytes.NewReader(tt.image), spec)
		var got *UnreadableError
		if !errors.As(err, &got) || *got != tt.want {
			t.Errorf("RootModules(%s) = %v, want %v", tt.name, err, &tt.want)
		}
	}
	journal := make([]byte, 1<<17) // an ext4 that was not unmounted
	copy(journal[1024+56:], "\x53\xef")
	journal[1024+76], journal[1024+96] = 1, 4
	var unreadable *UnreadableError
	unknown := liveISO(t, false, "proc/x")
	unknown[bytes.Index(unknown, []byte("hsqs"))+20] = 9 // the compression
	if _, _, err := RootModules(bytes.NewReader(unknown), spec); !errors.As(err, &unreadable) || unreadable.Kind != "squashfs" || unreadable.Err == nil {
		t.Errorf("RootModules(compression that is not known) = %v, want an UnreadableError with the cause", err)
	}
	unreadable = nil
	if _, err := Root(bytes.NewReader(isotest.Image("X", map[string]string{"LiveOS/squashfs.img": string(journal)})), spec); !errors.As(err, &unreadable) || unreadable.Kind != "ext4" || unreadable.Err == nil {
		t.Errorf("Root(ext4 with a journal) = %v, want an UnreadableError with the cause", err)
	}
	if _, err := Root(bytes.NewReader(isotest.Image("X", nil)), spec); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Root(no container) = %v, want %v", err, fs.ErrNotExist)
	}
}
