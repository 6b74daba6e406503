package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/probe"
	"github.com/liveboot/liveboot/qemu"
)

// scanned is where isoDisk has the ISO.
const scanned = "/boot/live.iso"

// isoFile is the line with which a boot loader starts an ISO in a file: root= is what stands in the ISO's own configuration.
const isoFile = "root=live:CDLABEL=" + liveiso.VolumeID + " iso-scan/filename=" + scanned + " "

// layerFile is the default of rd.live.cowfile.path=, at the top of the file system with the ISO.
const layerFile = "live_system.cow"

// A boot loader has started an ISO that is a file on a disk. What the live system writes is in memory, and not one byte of the disk is changed.
func TestISOFile(t *testing.T) {
	for _, fileSystem := range []string{"ext4", "vfat", "xfs", "btrfs"} {
		t.Run(fileSystem, func(t *testing.T) {
			full(t)
			t.Parallel()
			disk := isoDisk(t, fileSystem)
			before := sum(t, disk)
			m := boot(t, isoFile, onDisk(disk), noCard)
			checkPersistent(t, m.facts(), lies{iso: `/dev/loop\d+`}, "")
			m.exits("guest-shutdown")
			if sum(t, disk) != before {
				t.Error("the disk was changed")
			}
		})
	}
}

// Beside the ISO there is a file that keeps what the live system writes; the first boot makes it.
func TestISOFilePersistent(t *testing.T) {
	for _, tt := range []struct {
		on, layer string
		mib       int64
		full      bool
	}{
		{"vfat", "ext4", 64, false},
		{"vfat", "xfs", 300, true},
		{"ext4", "ext4", 64, true},
		{"ext4", "xfs", 300, true},
		{"xfs", "ext4", 64, true},
		{"btrfs", "ext4", 64, true},
	} {
		t.Run(tt.layer+" on "+tt.on, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			disk := isoDisk(t, tt.on)
			others := sum(t, extract(t, disk, "1"))
			words := fmt.Sprintf("%s rd.live.overlay.persistent rd.live.overlay.cowfs=%s rd.live.cowfile.mbsize=%d ", isoFile, tt.layer, tt.mib)
			want := lies{`/dev/loop\d+`, "/dev/loop0", tt.layer}
			first := boot(t, words+keep("first"), named("first"), onDisk(disk), noCard)
			checkPersistent(t, first.facts(), want, "")
			first.exits("guest-shutdown")
			if tt.on == "ext4" || tt.on == "vfat" {
				checkLayerFile(t, disk, tt.on, tt.layer, tt.mib<<20)
			}
			second := boot(t, words, named("second"), onDisk(disk), noCard)
			checkPersistent(t, second.facts(), want, "first\n")
			second.exits("guest-shutdown")
			if sum(t, extract(t, disk, "1")) != others {
				t.Error("a file system in which the ISO is not was changed")
			}
		})
	}
}

// The file for what is written goes where rd.live.cowfile.path= says, which may be a folder that is not there yet.
func TestISOFileLayerPath(t *testing.T) {
	full(t)
	t.Parallel()
	disk := isoDisk(t, "ext4")
	words := isoFile + "rd.live.overlay.persistent rd.live.cowfile.mbsize=64 rd.live.cowfile.path=/kept/live/changes "
	want := lies{`/dev/loop\d+`, "/dev/loop0", "ext4"}
	first := boot(t, words+keep("first"), named("first"), onDisk(disk), noCard)
	checkPersistent(t, first.facts(), want, "")
	first.exits("guest-shutdown")
	second := boot(t, words, named("second"), onDisk(disk), noCard)
	checkPersistent(t, second.facts(), want, "first\n")
	second.exits("guest-shutdown")
}

// The file system with the ISO has no place for the file: the boot stops, and leaves nothing behind; with =auto it goes on in memory.
func TestISOFileNoSpace(t *testing.T) {
	full(t)
	t.Parallel()
	disk := isoDisk(t, "ext4")
	words := isoFile + "rd.live.cowfile.mbsize=1000 rd.live.overlay.persistent"
	first := boot(t, words, named("first"), onDisk(disk), noCard)
	first.fails(target, `no space left on device`)
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second := boot(t, words+"=auto", named("second"), onDisk(disk), noCard)
	checkPersistent(t, second.facts(), lies{iso: `/dev/loop\d+`}, "")
	second.hasSaid(warned(`nothing that the live system writes is kept: .*no space left on device`))
	second.exits("guest-shutdown")
}

// The disk has sectors of 4096 bytes, in which neither an ISO nor a small file system can be addressed: both are read by other means.
func TestISOFileLargeSectors(t *testing.T) {
	for _, layer := range []string{"ext4", "xfs"} {
		t.Run(layer, func(t *testing.T) {
			full(t)
			t.Parallel()
			disk := withDisk(qemu.Disk{File: isoFileSystem(t, "ext4", smallDisk<<20), Bus: qemu.Virtio, SectorSize: 4096})
			words := isoFile + "rd.live.overlay.persistent rd.live.cowfile.mbsize=300 rd.live.overlay.cowfs=" + layer + " "
			want := lies{`/dev/loop\d+`, "/dev/loop0", layer}
			first := boot(t, words+keep("first"), named("first"), disk, noCard)
			checkPersistent(t, first.facts(), want, "")
			first.exits("guest-shutdown")
			second := boot(t, words, named("second"), disk, noCard)
			checkPersistent(t, second.facts(), want, "first\n")
			second.exits("guest-shutdown")
		})
	}
}

// No file system has the file: the message names all that were looked into.
func TestISOFileNotThere(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "root=live:CDLABEL=CDROM iso-scan/filename=/boot/other.iso", onDisk(isoDisk(t, "vfat")), noCard)
	m.see(warned(`waiting for .*/boot/other\.iso`), anyFailure())
	m.fails(target, `/boot/other\.iso.*/dev/sda1 .*/dev/sda2 `)
}

// The file is there, and is no ISO.
func TestISOFileNoISO(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "root=live:CDLABEL=CDROM iso-scan/filename=/boot/readme", onDisk(isoDisk(t, "ext4")), noCard)
	m.fails(target, `/boot/readme on /dev/sda2 .*not an ISO`)
}

// isoDisk is a disk with two partitions: on the first is a file system with nothing that is looked for, on the second one with the ISO.
func isoDisk(t *testing.T, fileSystem string) string {
	t.Helper()
	disk := blankDisk(t, smallDisk+64)
	tool(t, "sgdisk", "gdisk", "-n1:2048:+32M", "-n2:0:0", disk)
	other := blankDisk(t, 32)
	tool(t, "mkfs.ext4", "e2fsprogs", "-q", "-F", "-L", "other", other)
	insert(t, other, disk, "1")
	insert(t, isoFileSystem(t, fileSystem, partitionOf(t, disk, "2").size), disk, "2")
	return disk
}

// isoFileSystem is a file system of so many bytes with the ISO.
func isoFileSystem(t *testing.T, fileSystem string, size int64) string {
	t.Helper()
	dir := t.TempDir()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage})
	copyFile(t, iso, filepath.Join(dir, scanned))
	if err := os.WriteFile(filepath.Join(dir, "boot/readme"), make([]byte, 64<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	file := blankDisk(t, 1)
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	switch fileSystem {
	case "ext4":
		// Blocks that are no smaller than the sectors of any disk.
		tool(t, "mkfs.ext4", "e2fsprogs", "-q", "-F", "-b", "4096", "-L", "data", "-d", dir, file)
	case "vfat":
		tool(t, "mkfs.vfat", "dosfstools", "-F", "32", "-n", "DATA", file)
		tool(t, "mcopy", "mtools", "-s", "-i", file, filepath.Join(dir, "boot"), "::/")
	case "xfs":
		prototype := filepath.Join(dir, "prototype") // mkfs.xfs(8), -p
		content := fmt.Sprintf("/\n0 0\nd--755 0 0\nboot d--755 0 0\nlive.iso ---644 0 0 %s\n$\n$\n", iso)
		if err := os.WriteFile(prototype, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "mkfs.xfs", "xfsprogs", "-q", "-f", "-p", prototype, file)
	case "btrfs":
		tool(t, "mkfs.btrfs", "btrfs-progs", "-q", "--rootdir", dir, file)
	}
	return file
}

// copyFile copies a file, and makes the folders that it is to be in.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// checkLayerFile looks at the file for what is written, on the second partition of a disk: it has its size, and holds the file system. The tools that
// read ext4 and vfat need no mount.
func checkLayerFile(t *testing.T, disk, fileSystem, layer string, size int64) {
	t.Helper()
	part := extract(t, disk, "2")
	file := filepath.Join(t.TempDir(), layerFile)
	if fileSystem == "vfat" {
		tool(t, "mcopy", "mtools", "-i", part, "::/"+layerFile, file)
	} else {
		tool(t, "e2fsck", "e2fsprogs", "-y", "-E", "journal_only", part)
		tool(t, "debugfs", "e2fsprogs", "-R", "dump /"+layerFile+" "+file, part)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if kind, err := probe.FileSystem(f); err != nil || kind != layer || info.Size() != size {
		t.Errorf("the layer's file is %q (%v) of %d bytes, want %s of %d", kind, err, info.Size(), layer, size)
	}
}
