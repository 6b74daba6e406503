package integration

import (
	"context"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/integration/kiwi"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// kiwiDisk is the size of a disk for the real live ISO, in MiB.
const kiwiDisk = 2048

// kiwiISO is the real live ISO.
func kiwiISO(t *testing.T) string {
	t.Helper()
	iso, err := kiwi.ISO(context.WithoutCancel(t.Context()), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return iso
}

// The real live ISO is kept on a disk: three boots by us, the second without a network card. Then the machine boots from the disk alone, by the boot
// loader, kernel and initramfs of the ISO, and those find the same data; and so do we after that.
func TestKIWIPersistent(t *testing.T) {
	for _, fileSystem := range []string{"ext4", "xfs"} {
		t.Run(fileSystem, func(t *testing.T) {
			full(t)
			t.Parallel()
			iso := kiwiISO(t)
			disk := blankDisk(t, kiwiDisk)
			words := "livetest.poweroff " + persistent + "/dev/sda rd.live.overlay.cowfs=" + fileSystem + " root=live:" + nginx(t, iso, nil)
			on := lies{"/dev/sda1", "/dev/sda3", fileSystem}
			for i, change := range []func(*qemu.Config){named("first"), func(c *qemu.Config) { c.Name, c.NICs = "second", nil }, named("third")} {
				m := bootWithin(t, kiwiTime, words, onDisk(disk), change, kiwiMemory)
				m.boots(i + 1)
				m.exits("guest-shutdown")
				checkTable(t, disk)
				checkClean(t, disk, on)
			}
			m := bootWithin(t, kiwiTime, "", named("standalone"), onDisk(disk), kiwiMemory, fromDisk)
			m.boots(4)
			m.insist(regexp.MustCompile(`root@.*# $`))
			m.enter("systemctl poweroff")
			m.exits("guest-shutdown")
			again := bootWithin(t, kiwiTime, words, named("again"), onDisk(disk), kiwiMemory)
			again.boots(5)
			again.exits("guest-shutdown")
			checkClean(t, disk, on)
		})
	}
}

// The ISO was written to the disk with dd, and its own initramfs has made the writable layer: we find it, and what is in it.
func TestKIWIOwnLayer(t *testing.T) {
	full(t)
	t.Parallel()
	disk := blankDisk(t, kiwiDisk)
	insertAt(t, kiwiISO(t), disk, 0)
	first := bootWithin(t, kiwiTime, "", named("standalone"), onDisk(disk), kiwiMemory, fromDisk)
	first.boots(1)
	first.insist(regexp.MustCompile(`root@.*# $`))
	first.enter("systemctl poweroff")
	first.exits("guest-shutdown")
	words := "livetest.poweroff " + persistent + "/dev/sda root=live:http://10.0.2.2/gone.iso"
	second := bootWithin(t, kiwiTime, words, named("ours"), onDisk(disk), kiwiMemory, noCard)
	second.boots(2)
	second.exits("guest-shutdown")
}

func kiwiMemory(c *qemu.Config) { c.MemoryMiB = 2048 }

// fromDisk leaves the start to the disk's boot loader.
func fromDisk(c *qemu.Config) { c.Kernel, c.Initrd, c.Append = "", "", nil }

// boots waits until the real live system is up and has reported, and makes sure that it knows of so many boots.
func (m *machine) boots(want int) {
	m.t.Helper()
	line := m.see(regexp.MustCompile(kiwi.Up+` .*root=LiveOS_rootfs boots=(\d+)`), anyFailure())
	if got := line.Groups[1]; got != strconv.Itoa(want) {
		m.t.Errorf("the live system was booted %s times as far as it knows, want %d", got, want)
	}
	m.see(regexp.MustCompile(regexp.QuoteMeta(kiwi.End)))
	report := kiwiReport(m.Lines())
	if got := strings.TrimSpace(report["systemctl"]); got != "running" {
		m.t.Errorf("the live system is %s, want running", got)
	}
	m.t.Logf("boot %d: up after %.1f s; memory available: %s", want, line.Line.At.Seconds(), strings.TrimSpace(report["MemAvailable"]))
}

// checkClean makes sure that the writable layer was unmounted: its log has nothing to replay.
func checkClean(t *testing.T, disk string, on lies) {
	t.Helper()
	file := extract(t, disk, on.layerNumber())
	name, args, clean := needs.Program(t, "dumpe2fs", "e2fsprogs"), []string{"-h", file}, `Filesystem state: +clean\n`
	if on.fileSystem == "xfs" {
		name, args, clean = needs.Program(t, "xfs_logprint", "xfsprogs"), []string{"-t", file}, `state: <CLEAN>`
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil || !regexp.MustCompile(clean).Match(out) || strings.Contains(string(out), "needs_recovery") {
		t.Errorf("%s: %v, want %s and no needs_recovery in:\n%.2000s", name, err, clean, out)
	}
	checkFileSystem(t, disk, on)
}
