package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/liveboot/liveboot/integration/udevguest/report"
	"github.com/liveboot/liveboot/pkg/needs"
	"github.com/liveboot/liveboot/qemu"
)

// A shelf is a machine with disks.
type shelf struct {
	name      string
	full      bool
	arguments []string
	// controllers are the devices that disks are plugged into.
	controllers []string
	disks       []shelfDisk
	// modules are the drivers.
	modules []string
}

// A shelfDisk is a disk of a guest: a device of QEMU, without its drive, and what is on it. An empty one is a drive without a medium.
type shelfDisk struct {
	device  string
	content func(*testing.T, string)
	// parts is the number of its partitions.
	parts int
}

// Disks and partitions of every kind have the names that udev gives them: in a guest with Debian's udev, package disk has every link that
// udev makes for the same device.
func TestDiskNames(t *testing.T) {
	for _, s := range []shelf{expressShelf(), pciShelf()} {
		t.Run(s.name, func(t *testing.T) {
			if s.full {
				full(t)
			}
			t.Parallel()
			r := askForDisks(t, s)
			if len(r.Disks) == 0 {
				t.Fatal("the guest found no disks")
			}
			for _, d := range r.Disks {
				t.Logf("%s\n\tudev %s\n\tours %s", d.About, strings.Join(d.Udev, "\n\t     "), strings.Join(d.Ours, "\n\t     "))
				if len(d.Udev) == 0 {
					t.Errorf("%s: udev has no name for it", d.Name)
				}
				for _, link := range d.Udev {
					if !slices.Contains(d.Ours, link) {
						t.Errorf("%s: udev names it %s, and we do not", d.Name, link)
					}
					if !slices.Contains(d.Asked, link) {
						t.Errorf("%s: udev names it %s, and we do not when the kernel does not help", d.Name, link)
					}
				}
			}
			keepRecord(t, s, r)
		})
	}
}

// keepRecord writes what package disk was answered to the folder that LIVEBOOT_RECORD names: the testdata of its own tests.
func keepRecord(t *testing.T, s shelf, r report.Disks) {
	t.Helper()
	dir := os.Getenv("LIVEBOOT_RECORD")
	if dir == "" {
		return
	}
	data, err := json.MarshalIndent(r.Record, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, s.name+".json"), append(data, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// askForDisks starts a machine with the disks, and returns its report.
func askForDisks(t *testing.T, s shelf) report.Disks {
	t.Helper()
	notShort(t)
	kernel, err := qemu.HostKernel()
	if err != nil {
		t.Fatal(err)
	}
	count, dir := 0, t.TempDir()
	c := qemu.Config{
		Kernel: kernel.Image, Initrd: diskInitrd(t, kernel, s.modules), MemoryMiB: 512, NoReboot: true, Extra: slices.Clone(s.arguments),
	}
	for _, d := range s.controllers {
		c.Extra = append(c.Extra, "-device", d)
	}
	for i, d := range s.disks {
		count += 1 + d.parts
		device := d.device
		if d.content != nil {
			file := filepath.Join(dir, fmt.Sprintf("disk%d", i))
			d.content(t, file)
			c.Extra = append(c.Extra, "-drive", fmt.Sprintf("if=none,id=drive%d,format=raw,cache=unsafe,file=%s", i, file))
			device += fmt.Sprintf(",drive=drive%d", i)
		}
		c.Extra = append(c.Extra, "-device", device)
	}
	c.Append = []string{"console=ttyS0", "quiet", "panic=-1", fmt.Sprintf("%s%d", report.DiskCount, count)}
	r, err := report.ParseDisks(udevReport(t, c))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expressShelf has disks of all kinds that a machine of today has.
func expressShelf() shelf {
	return shelf{
		name: "express",
		controllers: []string{
			"virtio-scsi-pci,id=vscsi,addr=5",
			"lsi53c895a,id=lsi,addr=6",
			"mptsas1068,id=sas,addr=7",
			"qemu-xhci,id=usb,addr=8",
			"sdhci-pci,addr=9",
			"usb-uas,id=uas,bus=usb.0,port=2",
			"nvme-subsys,id=group,nqn=group",
			"nvme,id=nvme1,serial=SHARED 01,subsys=group,addr=a",
		},
		disks: []shelfDisk{
			{"ide-hd,bus=ide.0,model=Fast Disk/2 (v1),serial=QM  0001,wwn=0x5000c50015ea71aa", gptDisk, 3},
			{"ide-hd,bus=ide.1", mbrDisk, 3},
			{"ide-cd,bus=ide.2,serial=CD0001", disc, 0},
			{"virtio-blk-pci,serial=virtio one,addr=b", gptDisk, 3},
			{"virtio-blk-pci,addr=c", plainDisk, 0},
			{"scsi-hd,bus=vscsi.0,scsi-id=0,lun=0,serial=0123456789,wwn=0x5000c50015ea71ab", gptDisk, 3},
			{"scsi-hd,bus=vscsi.0,scsi-id=3,lun=300,device_id=by-its-drive", mbrDisk, 3},
			{"scsi-hd,bus=vscsi.0,scsi-id=4,vendor=Maker,product=A model of 16 ch,serial=S#1", plainDisk, 0},
			{"scsi-cd,bus=vscsi.0,scsi-id=5,serial=CD0002", disc, 0},
			{"scsi-hd,bus=lsi.0,scsi-id=1,serial=parallel", gptDisk, 3},
			{"scsi-hd,bus=sas.0,scsi-id=0,wwn=0x5000c50015ea71ac,serial=serial of sas", gptDisk, 3},
			{"nvme,serial=nvme #0,addr=d", gptDisk, 3},
			{"nvme-ns,bus=nvme1,nsid=3,uuid=1c3b9f0e-6f5a-4f7e-9d0b-2b6d2f3c4d5e", mbrDisk, 3},
			{"nvme-ns,bus=nvme1,nsid=4,eui64=0x1122334455667788", plainDisk, 0},
			{"usb-storage,bus=usb.0,port=1,removable=on,serial=stick-1", hybridDisk, 2},
			{"usb-storage,bus=usb.0,port=3,removable=off", gptDisk, 3},
			{"scsi-hd,bus=uas.0,scsi-id=0,lun=0,serial=uas1", gptDisk, 3},
			{"sd-card", mbrDisk, 3},
		},
		modules: []string{
			"ahci", "sd_mod", "sr_mod", "virtio_pci", "virtio_blk", "virtio_scsi", "sym53c8xx", "mptsas", "nvme", "xhci_pci", "usb_storage", "uas",
			"sdhci_pci", "mmc_block",
		},
	}
}

// pciShelf has disks of older machines.
func pciShelf() shelf {
	return shelf{
		name: "pci", full: true,
		arguments:   []string{"-machine", "pc"},
		controllers: []string{"piix3-usb-uhci,id=uhci,addr=5", "usb-ehci,id=ehci,addr=6", "megasas,id=raid,addr=7", "mptsas1068,id=sas,addr=8"},
		disks: []shelfDisk{
			{"ide-hd,bus=ide.0,unit=0,serial=master", mbrDisk, 3},
			{"ide-hd,bus=ide.0,unit=1,serial=slave", gptDisk, 3},
			{"ide-cd,bus=ide.1,unit=0", nil, 0},
			{"ide-cd,bus=ide.1,unit=1", disc, 0},
			{"usb-storage,bus=uhci.0,port=1", mbrDisk, 3},
			{"usb-storage,bus=ehci.0,port=1,serial=fast", hybridDisk, 2},
			{"scsi-hd,bus=raid.0,scsi-id=0,serial=raid disk", gptDisk, 3},
			{"scsi-hd,bus=sas.0,scsi-id=2,wwn=0x5000c50015ea71ad", plainDisk, 0},
		},
		modules: []string{"ata_piix", "sd_mod", "sr_mod", "uhci_hcd", "ehci_pci", "usb_storage", "megaraid_sas", "mptsas"},
	}
}

// blank makes an image of 64 MiB, a power of two as memory cards have it.
func blank(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 64<<20); err != nil {
		t.Fatal(err)
	}
}

// gptDisk has a GPT, names with spaces and letters beyond ASCII, an ext4, a vfat, and a swap area.
func gptDisk(t *testing.T, file string) {
	blank(t, file)
	partition(t, file, `label: gpt
first-lba: 34
start=1MiB, size=16MiB, name="data of/mine"
start=17MiB, size=8MiB, name="Größe_1"
start=25MiB, size=8MiB
`)
	command(t, needs.Program(t, "mkfs.ext4", "e2fsprogs"), "-q", "-F", "-L", `my "data"\1`, "-E", "offset=1048576", file, "16M")
	inside(t, file, 17<<20, 8<<20, needs.Program(t, "mkfs.vfat", "dosfstools"), "-n", "FAT DISK")
	inside(t, file, 25<<20, 8<<20, needs.Program(t, "mkswap", "util-linux"), "-L", "swap")
}

// mbrDisk has an MBR with a logical partition.
func mbrDisk(t *testing.T, file string) {
	blank(t, file)
	partition(t, file, `label: dos
start=1MiB, size=8MiB, type=83
start=16MiB, size=16MiB, type=5
start=17MiB, size=8MiB, type=83
`)
	inside(t, file, 1<<20, 8<<20, needs.Program(t, "mkfs.ext4", "e2fsprogs"), "-q", "-F", "-L", "first")
	inside(t, file, 17<<20, 8<<20, needs.Program(t, "mkfs.ext4", "e2fsprogs"), "-q", "-F", "-L", "logical")
}

// plainDisk has a file system without a partition table.
func plainDisk(t *testing.T, file string) {
	blank(t, file)
	command(t, needs.Program(t, "mkfs.ext4", "e2fsprogs"), "-q", "-F", "-L", "whole", file)
}

// disc is an ISO.
func disc(t *testing.T, file string) {
	command(t, needs.Program(t, "xorriso", "xorriso"), "-outdev", "stdio:"+file, "-volid", "LIVE DISC", "-map", "diskid_test.go", "/file",
		"-padding", "4M")
}

// hybridDisk is an ISO that is a disk with partitions too.
func hybridDisk(t *testing.T, file string) {
	efi := filepath.Join(t.TempDir(), "efi")
	if err := os.WriteFile(efi, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, needs.Program(t, "mkfs.vfat", "dosfstools"), "-n", "EFI", efi)
	command(t, needs.Program(t, "xorriso", "xorriso"), "-outdev", "stdio:"+file, "-volid", "CDROM", "-map", "diskid_test.go", "/file",
		"-boot_image", "any", "partition_offset=16", "-boot_image", "any", "appended_part_as=gpt", "-append_partition", "2", "0xef", efi)
}

// partition writes a partition table.
func partition(t *testing.T, file, script string) {
	t.Helper()
	input := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(input, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "sh", "-c", needs.Program(t, "sfdisk", "fdisk")+` -q --no-reread --no-tell-kernel "$0" <"$1"`, file, input)
}

// inside has a program make something in a file of that size, and puts it at that offset of an image, both in bytes.
func inside(t *testing.T, image string, offset, size int64, program string, args ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, program, append(args, file)...)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, offset); err != nil {
		t.Fatal(err)
	}
}

// diskInitrd builds an initramfs that holds udevguest, Debian's udev with its rules for disks and the programs and libraries that these
// need, and drivers.
func diskInitrd(t *testing.T, kernel qemu.Kernel, modules []string) string {
	t.Helper()
	udevadm := needs.Program(t, "udevadm", "udev")
	files := map[string]string{"init": buildGuest(t), "usr/bin/udevadm": udevadm}
	rules := slices.Concat(matches(t, "/usr/lib/udev/rules.d/60-block.rules"), matches(t, "/usr/lib/udev/rules.d/60-*storage.rules"),
		matches(t, "/usr/lib/udev/rules.d/60-cdrom_id.rules"))
	programs := matches(t, "/usr/lib/udev/*_id")
	for _, name := range slices.Concat(rules, programs) {
		files[strings.TrimPrefix(name, "/")] = name
	}
	for _, program := range append(programs, udevadm) {
		for _, name := range libraries(t, program) {
			files[strings.TrimPrefix(name, "/")] = name
		}
	}
	records := []cpio.Record{
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.Symlink("bin", "usr/bin"), cpio.Symlink("lib", "usr/lib"), cpio.Symlink("lib64", "usr/lib64"),
		cpio.Symlink("usr/lib/systemd/systemd-udevd", "/usr/bin/udevadm"),
	}
	for _, r := range moduleRecords(t, kernel.Modules, modules...) {
		r.Name = "usr/" + r.Name
		records = append(records, r)
	}
	for name, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The folders /lib and /lib64 are links into /usr here, as on Debian.
		if strings.HasPrefix(name, "lib") {
			name = "usr/" + name
		}
		records = append(records, cpio.StaticFile(name, string(data), 0o755))
	}
	return writeInitrd(t, records)
}
