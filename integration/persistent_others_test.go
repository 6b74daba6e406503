package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/deploy"
)

// Somebody has written the ISO to the disk, with dd. It is booted from there without a network, and gets a writable layer.
func TestCopiedISO(t *testing.T) {
	for _, table := range []liveiso.Table{liveiso.GPT, liveiso.MBR} {
		t.Run(string(table), func(t *testing.T) {
			full(t)
			t.Parallel()
			iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: table})
			disk := copied(t, iso)
			words := persistent + "/dev/sda rd.live.overlay.cowfs=xfs root=live:http://10.0.2.2/gone.iso "
			want := lies{"/dev/sda1", "/dev/sda3", "xfs"}
			first := boot(t, words+keep("first"), named("first"), onDisk(disk), noCard)
			checkPersistent(t, first.facts(), want, "")
			first.exits("guest-shutdown")
			checkTable(t, disk)
			checkImage(t, disk, iso, table)
			second := boot(t, words, named("second"), onDisk(disk), noCard)
			checkPersistent(t, second.facts(), want, "first\n")
			second.exits("guest-shutdown")
		})
	}
}

// Somebody else has made the partition for the writable layer, with other tools, and a file is in it: the live system has that file.
func TestForeignLayer(t *testing.T) {
	for _, fileSystem := range []string{"ext4", "xfs"} {
		t.Run(fileSystem, func(t *testing.T) {
			if fileSystem != "xfs" {
				full(t)
			}
			t.Parallel()
			disk := copied(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT}))
			addLayer(t, disk, fileSystem)
			// cowfs= is for a layer that is to be made; this one is there.
			m := boot(t, persistent+"/dev/sda rd.live.overlay.cowfs=ext4 root=live:http://10.0.2.2/gone.iso", onDisk(disk), noCard)
			checkPersistent(t, m.facts(), lies{"/dev/sda1", "/dev/sda3", fileSystem}, "from elsewhere\n")
			m.exits("guest-shutdown")
		})
	}
}

// addLayer gives a disk with a copied ISO a writable layer, with the tools that everybody has.
func addLayer(t *testing.T, disk, fileSystem string) {
	t.Helper()
	tool(t, "sgdisk", "gdisk", "-e", disk)
	tool(t, "sgdisk", "gdisk", "-a", "2048", "-n", "3:0:0", disk)
	insert(t, madeLayer(t, fileSystem, partitionOf(t, disk, "3").size), disk, "3")
}

// copied is a disk to which an ISO was written, and nothing else.
func copied(t *testing.T, iso string) (disk string) {
	t.Helper()
	disk = blankDisk(t, smallDisk)
	insertAt(t, iso, disk, 0)
	return disk
}

// madeLayer is a file system labelled "cow" with the folders of an overlay, and a file.
func madeLayer(t *testing.T, fileSystem string, size int64) string {
	t.Helper()
	dir := t.TempDir()
	kept := filepath.Join(dir, "rw", livefacts.KeptFile)
	for _, folder := range []string{"rw", "work"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(kept, []byte("from elsewhere\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := blankDisk(t, 1)
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	if fileSystem == "ext4" {
		tool(t, "mkfs.ext4", "e2fsprogs", "-q", "-F", "-L", deploy.LayerLabel, "-d", dir, file)
		return file
	}
	prototype := filepath.Join(dir, "prototype") // mkfs.xfs(8), -p
	content := fmt.Sprintf("/\n0 0\nd--755 0 0\nrw d--755 0 0\nkept ---644 0 0 %s\n$\nwork d--755 0 0\n$\n$\n", kept)
	if err := os.WriteFile(prototype, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "mkfs.xfs", "xfsprogs", "-q", "-f", "-L", deploy.LayerLabel, "-p", prototype, file)
	return file
}
