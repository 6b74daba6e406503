package integration

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/initramfs"
	"github.com/liveboot/liveboot/integration/debkernel"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// armTime is for a machine whose every instruction is translated.
const armTime = 10 * time.Minute

// A pair for arm64 is built on this machine from Debian's kernel package, and boots a live ISO there.
func TestARM64(t *testing.T) {
	full(t)
	t.Parallel()
	deb, err := debkernel.Package(t.Context(), "arm64")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m, err := initramfs.Build(t.Context(), initramfs.Config{Arch: "arm64", Kernel: deb, Output: dir, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(m.Kernel, "-arm64") || m.Arch != "arm64" {
		t.Errorf("built from kernel %s for %s, want one of Debian's for arm64", m.Kernel, m.Arch)
	}
	url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage, Arch: "arm64"}), nil)
	vm := bootWithin(t, armTime, "ip=dhcp root=live:"+url+" -- single word", func(c *qemu.Config) {
		c.Arch = qemu.ARM64
		c.Kernel, c.Initrd = filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd")
		c.Append[0] = "console=ttyAMA0"
	})
	f := vm.facts()
	checkLive(t, f, liveiso.RootfsImage)
	checkArguments(t, f, "single", "word")
	vm.exits("guest-shutdown")
}
