package integration

import (
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/qemu"
)

// The disk is attached in every way and named in every way; the second time by what is on it, too.
func TestPersistentBuses(t *testing.T) {
	for _, tt := range []struct {
		name          string
		bus           qemu.Bus
		first, second string
		device        string // of a partition, without its number
		full          bool
	}{
		{"AHCI by id", qemu.AHCI, "/dev/disk/by-id/ata-QEMU_HARDDISK_disk0", "/dev/disk/by-label/CDROM", "/dev/sda", true},
		{"AHCI by path", qemu.AHCI, "/dev/disk/by-path/pci-0000:00:1f.2-ata-1", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0", "/dev/sda", true},
		{"virtio", qemu.Virtio, "/dev/vda", "LABEL=CDROM", "/dev/vda", true},
		{"virtio by id", qemu.Virtio, "/dev/disk/by-id/virtio-disk0", "LABEL=CDROM", "/dev/vda", false},
		{"NVMe", qemu.NVMe, "/dev/nvme0n1", "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_disk0", "/dev/nvme0n1p", true},
		{"NVMe by id", qemu.NVMe, "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_disk0", "/dev/nvme0n1", "/dev/nvme0n1p", true},
		{"SCSI", qemu.SCSI, "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_disk0", "/dev/sda", "/dev/sda", true},
		{"USB", qemu.USB, "/dev/sda", "/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_disk0-0:0", "/dev/sda", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT}), nil)
			disk := withDisk(qemu.Disk{File: blankDisk(t, smallDisk), Bus: tt.bus})
			want := lies{tt.device + "1", tt.device + "3", "ext4"}
			first := boot(t, persistent+tt.first+" root=live:"+url+" "+keep("first"), named("first"), disk)
			checkPersistent(t, first.facts(), want, "")
			first.exits("guest-shutdown")
			second := boot(t, persistent+tt.second+" root=live:"+url, named("second"), disk, noCard)
			checkPersistent(t, second.facts(), want, "first\n")
			second.exits("guest-shutdown")
		})
	}
}

// A disk with sectors of 4096 bytes, on which the kernel mounts no ISO, and from which no firmware boots one.
func TestLargeSectors(t *testing.T) {
	for _, fileSystem := range []string{"ext4", "xfs"} {
		t.Run(fileSystem, func(t *testing.T) {
			full(t)
			t.Parallel()
			url := nginx(t, liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage, Table: liveiso.GPT}), nil)
			words := persistent + "/dev/vda rd.live.overlay.cowfs=" + fileSystem + " root=live:" + url + " "
			disk := withDisk(qemu.Disk{File: blankDisk(t, smallDisk), Bus: qemu.Virtio, SectorSize: 4096})
			for i, kept := range []string{"", "first\n"} {
				name := []string{"first", "second"}[i]
				m := boot(t, words+keep(name), named(name), disk)
				f := m.facts()
				layer, _ := f.Mount("/run/overlay/overlayfs")
				checkPersistent(t, f, lies{`/dev/loop\d+`, layer.Source, fileSystem}, kept)
				m.hasSaid(warned(`sectors of 4096 bytes: .*cannot boot`))
				m.exits("guest-shutdown")
			}
		})
	}
}
