package integration

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/kiwi"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/initrd/initrdtest"
	"github.com/liveboot/liveboot/qemu"
)

// An administrator has nothing but a live ISO: kernel and initrd are made out of it, without root and without mounting it, and
// boot over the network. The ISO is a real one of KIWI's, of which the initrd lacks the driver of the RAM disk.
func TestISOPair(t *testing.T) {
	t.Parallel()
	iso, err := kiwi.ISO(context.WithoutCancel(t.Context()), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	bootISOPair(t, iso)
}

// The same with KIWI's default compression, xz with the filter for x86 code, and with modules on which nobody ran depmod.
func TestISOPairXZ(t *testing.T) {
	full(t)
	t.Parallel()
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	bootISOPair(t, isoOfKernel(t, kernel, "-comp", "xz", "-Xbcj", "x86", "-b", "1M"))
}

// bootISOPair makes the pair out of an ISO and boots a small live ISO with it.
func bootISOPair(t *testing.T, iso string) {
	t.Helper()
	dir := t.TempDir()
	manifest, err := initramfs.Build(t.Context(), initramfs.Config{
		ISO: iso, Root: t.TempDir(), Output: dir, Version: "test", Report: func(s string) { t.Log(s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage}), nil)
	m := boot(t, "ip=dhcp root=live:"+url, func(c *qemu.Config) {
		c.Kernel, c.Initrd = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd")
	})
	f := m.facts()
	checkLive(t, f, liveiso.RootfsImage)
	if f.Release != manifest.Kernel {
		t.Errorf("the live system runs on kernel %s, want that of the ISO, %s", f.Release, manifest.Kernel)
	}
	for _, module := range []string{"brd", "ext4", "virtio_net"} {
		if !slices.Contains(f.Modules, module) {
			t.Errorf("modules loaded: %v, want %s among them", f.Modules, module)
		}
	}
	m.exits("guest-shutdown")
}

// isoOfKernel makes an ISO as KIWI does, with as much of a root as has the modules that a boot here needs. Its initrd has
// one of them.
func isoOfKernel(t *testing.T, k qemu.Kernel, container ...string) string {
	t.Helper()
	work, release := t.TempDir(), filepath.Base(k.Modules)
	root := filepath.Join(work, "root")
	modules := filepath.Join(root, "usr/lib/modules", release)
	for _, part := range []string{
		"modules.builtin", "modules.builtin.modinfo", "modules.order", "kernel/crypto", "kernel/lib", "kernel/arch", "kernel/drivers/block",
		"kernel/drivers/cdrom", "kernel/drivers/virtio", "kernel/net/core", "kernel/fs/ext4", "kernel/fs/jbd2", "kernel/fs/isofs", "kernel/fs/mbcache.ko",
		"kernel/fs/overlayfs", "kernel/fs/squashfs", "kernel/drivers/net/net_failover.ko",
	} {
		if err := liveiso.CopyTree(filepath.Join(k.Modules, part), filepath.Join(modules, part)); err != nil {
			t.Fatal(err)
		}
	}
	driver, err := os.ReadFile(filepath.Join(k.Modules, "kernel/drivers/net/virtio_net.ko"))
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(k.Image)
	if err != nil {
		t.Fatal(err)
	}
	initrd := initrdtest.Newc("usr/lib/modules/" + release + "/kernel/drivers/net/virtio_net.ko " + string(driver))
	loader, live, packed := filepath.Join(work, "cd/boot/x86_64/loader"), filepath.Join(work, "cd/LiveOS"), filepath.Join(work, "container/LiveOS")
	if err := errors.Join(
		os.MkdirAll(loader, 0o755), os.MkdirAll(live, 0o755), os.MkdirAll(packed, 0o755),
		os.WriteFile(filepath.Join(loader, "linux"), image, 0o644), os.WriteFile(filepath.Join(loader, "initrd"), initrd, 0o644),
	); err != nil {
		t.Fatal(err)
	}
	iso := filepath.Join(work, "live.iso")
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-d", root, filepath.Join(packed, "rootfs.img"), "256M"},
		append([]string{"mksquashfs", filepath.Dir(packed), filepath.Join(live, "squashfs.img"), "-no-progress", "-quiet"}, container...),
		{"xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "CDROM", "-o", iso, filepath.Join(work, "cd")},
	} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
	}
	return iso
}
