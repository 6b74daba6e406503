package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a machine in the test of a whole system can't have.
func TestIdentity(t *testing.T) {
	// usb is a disk with an interface of that class, these attributes of the USB device, and of the SCSI one.
	usb := func(class, device, scsi string) string {
		return fmt.Sprintf(`
devices/pci/usb1 usb usb_device
devices/pci/usb1/1-2 usb usb_device idVendor=0781 idProduct=5581 %s
devices/pci/usb1/1-2/1-2:1.0 usb usb_interface bInterfaceClass=08 bInterfaceSubClass=%s
devices/pci/usb1/1-2/1-2:1.0/host7 scsi scsi_host
devices/pci/usb1/1-2/1-2:1.0/host7/target7:0:1 scsi scsi_target
devices/pci/usb1/1-2/1-2:1.0/host7/target7:0:1/7:0:1:3 scsi scsi_device type=0 %s
devices/pci/usb1/1-2/1-2:1.0/host7/target7:0:1/7:0:1:3/block/sda block disk removable=1
`, device, class, scsi)
	}
	const usbDisk = "devices/pci/usb1/1-2/1-2:1.0/host7/target7:0:1/7:0:1:3/block/sda"
	for _, tt := range []struct {
		name, tree, disk string
		ids, others      []string
		model            string
	}{
		{
			"a stick", usb("06", "serial=AA~01 product=Ultra", "vendor=SanDisk model=Ultra~Fit"), usbDisk,
			[]string{"usb-SanDisk_Ultra_Fit_AA_01-1:3"}, nil, "SanDisk Ultra Fit",
		},
		{
			"one whose number is garbage", usb("06", "serial=1,2", "vendor=SanDisk model=Ultra~Fit"), usbDisk,
			[]string{"usb-SanDisk_Ultra_Fit-1:3"}, nil, "SanDisk Ultra Fit",
		},
		{
			"one that speaks something else", usb("05", "serial=1 manufacturer=Maker~Inc. product=Box", "vendor=a model=b"), usbDisk,
			[]string{"usb-Maker_Inc._Box_1"}, nil, "a b",
		},
		{"one without names", usb("06", "", ""), usbDisk, []string{"usb-0781_5581-1:3"}, nil, ""},
		{
			"an NVMe disk", `
devices/pci/nvme/nvme0 nvme - model=Fast~~Disk/2~~ serial=S~1~
devices/pci/nvme/nvme0/nvme0n1 block disk nsid=1 wwid=eui.1122334455667788
`, "devices/pci/nvme/nvme0/nvme0n1",
			[]string{"nvme-Fast__Disk_2_S_1", "nvme-Fast__Disk_2_S_1_1", "nvme-eui.1122334455667788"}, nil, "Fast Disk/2",
		},
		{
			"one with two spaces in its model", `
devices/pci/nvme/nvme0 nvme - model=Fast~~Disk serial=S1
devices/pci/nvme/nvme0/nvme0n1 block disk
`, "devices/pci/nvme/nvme0/nvme0n1", []string{"nvme-Fast_Disk_S1", "nvme-Fast__Disk_S1"}, nil, "Fast Disk",
		},
		{
			"persistent memory", `
devices/ndbus0/region0/namespace0.0 nd - uuid=1c3b9f0e-6f5a-4f7e-9d0b-2b6d2f3c4d5e
devices/ndbus0/region0/namespace0.0/block/pmem0 block disk
`, "devices/ndbus0/region0/namespace0.0/block/pmem0", []string{"pmem-1c3b9f0e-6f5a-4f7e-9d0b-2b6d2f3c4d5e"}, nil, "",
		},
		{
			"device-mapper", "devices/virtual/block/dm-0 block disk dm/name=cow dm/uuid=CRYPT-LUKS2-1c3b\n", "devices/virtual/block/dm-0",
			[]string{"dm-name-cow", "dm-uuid-CRYPT-LUKS2-1c3b"}, []string{"mapper/cow"}, "device-mapper",
		},
		{
			"FireWire", `
devices/pci/host0 scsi scsi_host
devices/pci/host0/target0:0:0/0:0:0:0 scsi scsi_device ieee1394_id=0010b92000e1d2a5:0:0 vendor=LaCie model=D2
devices/pci/host0/target0:0:0/0:0:0:0/block/sda block disk
`, "devices/pci/host0/target0:0:0/0:0:0:0/block/sda", []string{"ieee1394-0010b92000e1d2a5:0:0"}, nil, "LaCie D2",
		},
		{
			"the boot area of a card", `
devices/platform/mmc0/mmc0:0001 mmc - name=eMMC serial=0x1
devices/platform/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot0 block disk
`, "devices/platform/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot0", nil, nil, "eMMC",
		},
	} {
		p := prober{System{Command: func(string, []byte, []byte) error { return errors.New("refused") }}}
		got := p.identity(node{tree(t, tt.tree), tt.disk}, "/dev/x")
		if diff := cmp.Diff([]any{tt.ids, tt.others, tt.model}, []any{got.ids, got.others, got.model}); diff != "" {
			t.Errorf("%s: by-id, other names and model (-want +got):\n%s", tt.name, diff)
		}
	}
}

// A disk is asked for what the kernel does not keep, unless it is a USB one.
func TestAsked(t *testing.T) {
	const disk = "devices/pci/host0/target0:0:0/0:0:0:0/block/sda"
	answers := map[string][]byte{
		"\x12\x01\x80": []byte("\x00\x80\x00\x0212"), "\x12\x01\x83": page83(one(1, 3, "\x50\x00\xc5\x00\x15\xea\x71\xab")),
		"\x85\x08\x0e": identifyPage("Disk", "1", 0),
	}
	for _, tt := range []struct {
		name, above, vendor string
		want                []string
	}{
		{
			"ATA", "devices/pci pci -", "ATA",
			[]string{"ata-Disk_1", "scsi-35000c50015ea71ab", "scsi-SATA_Disk_12", "scsi-SATA_Disk_12", "wwn-0x5000c50015ea71ab"},
		},
		{"SCSI", "devices/pci pci -", "Maker", []string{"scsi-35000c50015ea71ab", "scsi-SMaker_Disk_12", "wwn-0x5000c50015ea71ab"}},
		{"USB", "devices/pci usb usb_interface", "Maker", []string{"ata-Disk_1"}},
	} {
		lines := tt.above + `
devices/pci/host0 scsi scsi_host
devices/pci/host0/target0:0:0/0:0:0:0 scsi scsi_device type=0 model=Disk vendor=` + tt.vendor + `
` + disk + ` block disk removable=0
`
		p := prober{System{Command: func(path string, cdb, data []byte) error {
			answer, ok := answers[string(cdb[:3])]
			if !ok || path != "/dev/sda" {
				return errors.New("refused")
			}
			copy(data, answer)
			return nil
		}}}
		got := p.identity(node{tree(t, lines), disk}, "/dev/sda")
		if diff := cmp.Diff(slices.Compact(tt.want), got.ids); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", tt.name, diff)
		}
		if !strings.HasSuffix(got.model, "Disk") {
			t.Errorf("%s: model %q", tt.name, got.model)
		}
	}
}
