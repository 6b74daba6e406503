package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// An image boots without any option on the kernel's line: they are baked in. It has all kinds of segments, microcode in
// front and firmware among them, and the compressions that the kernel needs for them.
func TestBakedIn(t *testing.T) {
	full(t)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	firmware := t.TempDir()
	for name, content := range map[string]string{"tigon/tg3.bin": "firmware", "intel-ucode/06-ff-01": "microcode"} {
		file := filepath.Join(firmware, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, compression := range []initramfs.Compression{initramfs.Zstd, initramfs.Gzip, initramfs.XZ} {
		t.Run(string(compression), func(t *testing.T) {
			t.Parallel()
			url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage}), nil)
			dir := t.TempDir()
			m, err := initramfs.Build(t.Context(), initramfs.Config{
				Kernel: kernel.Image, Modules: kernel.Modules, Output: dir, Version: "test", Compression: compression,
				Firmware: firmware, Microcode: true, Options: "ip=dhcp root=live:" + url,
				Drivers: []string{"tg3"}, NoDrivers: []string{"drivers/net/ethernet/...", "drivers/scsi/...", "drivers/gpu/...", "fs/xfs/...", "fs/btrfs/..."},
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Segments) != 5 {
				t.Errorf("the initrd has segments %+v, want microcode, base, modules, firmware, site", m.Segments)
			}
			vm := boot(t, "", func(c *qemu.Config) {
				c.Kernel, c.Initrd = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd")
			})
			checkLive(t, vm.facts(), liveiso.RootfsImage)
			vm.exits("guest-shutdown")
		})
	}
}
