package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/pkg/mkfs"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// mkfsTime is how long one machine may take with all disks, under TCG.
const mkfsTime = 15 * time.Minute

// mkfsSize is that of the disks, and mkfsGrown after they have grown, in bytes.
const (
	mkfsSize  = 320 << 20
	mkfsGrown = 1 << 30
)

// madeDisk is a disk on which the machine makes a file system.
type madeDisk struct {
	fileSystem string
	sectorSize int
	file       string
}

// A person has file systems made for the writable layer, and uses them until they are full, loses the power while writing, and gives them
// more space: the kernel complains of nothing, and the file systems' own checks find nothing afterwards. KERNEL and MODULES do so with
// another kernel, from Linux 5.10 on.
func TestMadeFileSystems(t *testing.T) {
	full(t)
	t.Parallel()
	notShort(t)
	needs.Program(t, "fio", "fio")
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	// With one processor: QEMU's translator trips over a kernel that patches its code while another processor runs it.
	c := qemu.Config{
		Kernel: kernel.Image, Initrd: mkfsInitrd(t, kernel), MemoryMiB: 1024, NoReboot: true,
		Append: []string{"console=ttyS0", "quiet", "panic=-1", "mkfsguest.tree=" + filepath.Join(kernel.Modules, "kernel/fs")},
		Extra: []string{
			"-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap", "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
		},
	}
	disks := garbageDisks(t)
	var names []string
	for i, d := range disks {
		names = append(names, d.fileSystem)
		c.Extra = append(c.Extra, "-drive", fmt.Sprintf("if=none,id=made%d,format=raw,cache=unsafe,file=%s", i, d.file),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=made%d,logical_block_size=%d,physical_block_size=%d", i, d.sectorSize, d.sectorSize))
	}
	c.Append = append(c.Append, "mkfsguest.make="+strings.Join(names, ","))

	useDisks(t, c, "load", disks).exits("guest-shutdown")
	checkDisks(t, disks)
	if err := useDisks(t, c, "cut", disks).Kill(); err != nil {
		t.Fatal(err)
	}
	for _, d := range disks {
		if err := os.Truncate(d.file, mkfsGrown); err != nil {
			t.Fatal(err)
		}
	}
	useDisks(t, c, "grow", disks).exits("guest-shutdown")
	checkDisks(t, disks)
}

// garbageDisks are disks for every file system and both sizes of sectors, which are not empty.
func garbageDisks(t *testing.T) []madeDisk {
	t.Helper()
	garbage := bytes.Repeat([]byte("garbage."), mkfsSize/8)
	var disks []madeDisk
	for _, f := range mkfs.Formatters() {
		for _, sectorSize := range []int{512, 4096} {
			d := madeDisk{f.Name, sectorSize, filepath.Join(t.TempDir(), "disk")}
			if err := os.WriteFile(d.file, garbage, 0o600); err != nil {
				t.Fatal(err)
			}
			disks = append(disks, d)
		}
	}
	return disks
}

// useDisks starts a machine and waits until each disk is through the phase.
func useDisks(t *testing.T, c qemu.Config, phase string, disks []madeDisk) *machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), mkfsTime)
	t.Cleanup(cancel)
	c.Name, c.Append = phase, append(slices.Clone(c.Append), "mkfsguest="+phase)
	m := &machine{VM: qemu.Start(t, c), t: t, ctx: ctx}
	failed := regexp.MustCompile(`mkfsguest: failed: .*`)
	// The kernel's words for a file system that is damaged, in ext4's and in XFS's messages.
	damaged := regexp.MustCompile(`(?i)EXT4-fs error|JBD2: .*(error|fail)|XFS .*(corruption|internal error|shutting down|metadata I/O error)`)
	// When all write at once, which is under way first is left open.
	done := regexp.MustCompile(`mkfsguest: /dev/vd.: ` + phase + ` \w+`)
	for range disks {
		m.see(done, failed, damaged)
	}
	return m
}

// checkDisks has the file systems' own programs look for damage.
func checkDisks(t *testing.T, disks []madeDisk) {
	t.Helper()
	for _, d := range disks {
		name, args := needs.Program(t, "e2fsck", "e2fsprogs"), []string{"-fn", d.file}
		if d.fileSystem == "xfs" {
			name, args = needs.Program(t, "xfs_repair", "xfsprogs"), []string{"-n", "-f", d.file}
		}
		if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
			t.Errorf("%s with sectors of %d: %s: %v\n%s", d.fileSystem, d.sectorSize, strings.Join(args, " "), err, out)
		}
	}
}

// mkfsInitrd is an initramfs with mkfsguest and the modules that it needs.
func mkfsInitrd(t *testing.T, kernel qemu.Kernel) string {
	t.Helper()
	dir := t.TempDir()
	init := filepath.Join(dir, "mkfsguest")
	command(t, "go", "build", "-o", init, "./mkfsguest")
	program, err := os.ReadFile(init)
	if err != nil {
		t.Fatal(err)
	}
	records := append([]cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1), cpio.StaticFile("init", string(program), 0o755),
	}, moduleRecords(t, kernel.Modules, "virtio_pci", "virtio_blk", "9p", "9pnet_virtio", "ext4", "xfs", "overlay")...)
	return writeInitrd(t, records)
}
