package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// The live ISO is a CD, and is booted from there. There is no network card.
func TestCD(t *testing.T) {
	for _, tt := range []struct {
		name, words string
		warning     string // empty for none
		full        bool
	}{
		{"by label", "root=live:CDLABEL=" + liveiso.VolumeID, "", false},
		{"by the kernel's name", "root=live:/dev/sr0", "", true},
		{"to be kept if possible", "root=live:CDLABEL=" + liveiso.VolumeID + " rd.live.overlay.persistent=auto", "nothing that the live system writes is kept: /dev/sr0 .*cannot be written to", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			m := boot(t, tt.words, withCD(liveISO(t, liveiso.Config{Layout: liveiso.RootfsImage})), noCard)
			checkPersistent(t, m.facts(), lies{iso: "/dev/sr0"}, "")
			if tt.warning != "" {
				m.hasSaid(warned(tt.warning))
			}
			m.neverSaid(said(network, ""))
			m.exits("guest-shutdown")
		})
	}
}

// What the live system writes cannot be kept on a CD, and nobody has said that it may be lost.
func TestCDPersistent(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "rd.live.overlay.persistent root=live:CDLABEL="+liveiso.VolumeID, withCD(smallISO(t)), noCard)
	m.fails(target, `/dev/sr0 .*cannot be written to`)
}

// There is no CD with that label: the message says which there is.
func TestCDNotThere(t *testing.T) {
	full(t)
	t.Parallel()
	m := boot(t, "root=live:CDLABEL=OTHER", withCD(smallISO(t)), noCard)
	m.see(warned(`waiting for CDLABEL=OTHER`), anyFailure())
	m.fails(target, `CDLABEL=OTHER.*/dev/sr0 .*"`+liveiso.VolumeID+`"`)
}

// Somebody has written the ISO to a USB stick. It is booted from there, and not one byte of the stick is changed.
func TestStick(t *testing.T) {
	full(t)
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT})
	for _, tt := range []struct{ name, root, device string }{
		{"by label", "LABEL=" + liveiso.VolumeID, "/dev/sda1"},
		{"by UUID", "UUID=" + volumeUUID(t, iso), "/dev/sda1"},
		{"by the kernel's name", "/dev/sda", "/dev/sda"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stick := copied(t, iso)
			before := sum(t, stick)
			m := boot(t, "root=live:"+tt.root, onStick(stick), noCard)
			checkPersistent(t, m.facts(), lies{iso: tt.device}, "")
			m.exits("guest-shutdown")
			if sum(t, stick) != before {
				t.Error("the stick was changed")
			}
		})
	}
}

// A stick gets a writable layer behind the ISO, and what the first boot writes is there at the second.
func TestStickPersistent(t *testing.T) {
	for _, tt := range []struct {
		name, root string
		table      liveiso.Table
		want       lies
	}{
		{"GPT by label", "LABEL=" + liveiso.VolumeID, liveiso.GPT, lies{"/dev/sda1", "/dev/sda3", "xfs"}},
		{"MBR by the kernel's name", "/dev/sda", liveiso.MBR, lies{"/dev/sda1", "/dev/sda3", "ext4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			full(t)
			t.Parallel()
			iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: tt.table})
			stick := copied(t, iso)
			words := "rd.live.overlay.persistent rd.live.overlay.cowfs=" + tt.want.fileSystem + " root=live:" + tt.root + " "
			first := boot(t, words+keep("first"), named("first"), onStick(stick), noCard)
			checkPersistent(t, first.facts(), tt.want, "")
			first.exits("guest-shutdown")
			checkTable(t, stick)
			checkImage(t, stick, iso, tt.table)
			second := boot(t, words, named("second"), onStick(stick), noCard)
			checkPersistent(t, second.facts(), tt.want, "first\n")
			second.exits("guest-shutdown")
		})
	}
}

// An ISO that was not made for disks has no boot sector: it is booted, and not changed.
func TestStickWithoutBootSector(t *testing.T) {
	full(t)
	t.Parallel()
	stick := copied(t, smallISO(t))
	before := sum(t, stick)
	m := boot(t, "rd.live.overlay.persistent=auto root=live:CDLABEL="+liveiso.VolumeID, onStick(stick), noCard)
	checkPersistent(t, m.facts(), lies{iso: "/dev/sda"}, "")
	m.hasSaid(warned(`nothing that the live system writes is kept: /dev/sda .*boot sector`))
	m.exits("guest-shutdown")
	if sum(t, stick) != before {
		t.Error("the stick was changed")
	}
}

// A stick that is as large as the ISO has no place for a writable layer.
func TestStickFull(t *testing.T) {
	full(t)
	t.Parallel()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT})
	m := boot(t, "rd.live.overlay.persistent root=live:LABEL="+liveiso.VolumeID, withDisk(qemu.Disk{File: iso, Bus: qemu.USB, Options: []string{"snapshot=on"}}), noCard)
	m.fails(overlay, `/dev/sda: .*no space for a partition: the image ends at \d+, the disk at \d+ bytes`)
}

// A stick whose switch is set to read-only.
func TestStickReadOnly(t *testing.T) {
	full(t)
	t.Parallel()
	iso := liveISO(t, liveiso.Config{Layout: liveiso.Squashfs, Table: liveiso.GPT})
	stick := withDisk(qemu.Disk{File: iso, Bus: qemu.USB, ReadOnly: true})
	m := boot(t, "rd.live.overlay.persistent=auto root=live:LABEL="+liveiso.VolumeID, stick, noCard)
	checkPersistent(t, m.facts(), lies{iso: "/dev/sda1"}, "")
	m.hasSaid(warned(`nothing that the live system writes is kept: /dev/sda .*cannot be written to`))
}

func withCD(iso string) func(*qemu.Config) { return func(c *qemu.Config) { c.CDROM = iso } }

func onStick(file string) func(*qemu.Config) {
	return withDisk(qemu.Disk{File: file, Bus: qemu.USB})
}

// volumeUUID is what blkid(8) calls the UUID of an ISO: the time at which it was made.
func volumeUUID(t *testing.T, iso string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), needs.Program(t, "blkid", "util-linux"), "-p", "-s", "UUID", "-o", "value", iso).Output()
	if err != nil {
		t.Fatalf("blkid: %v", err)
	}
	return strings.TrimSpace(string(out))
}
