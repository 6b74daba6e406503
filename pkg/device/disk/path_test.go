package disk

import (
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// tree is a folder /sys with these devices, a line each: the path, the subsystem (- for none), the devtype, and attributes name=value,
// where ~ stands for a space. A line "class/x/y -> path" is a symbolic link.
func tree(t *testing.T, lines string) fs.FS {
	t.Helper()
	sys := make(fstest.MapFS)
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(words) == 3 && words[1] == "->" {
			up := strings.Repeat("../", strings.Count(words[0], "/"))
			sys[words[0]] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte(up + words[2])}
			continue
		}
		dir, subsystem, devtype := words[0], words[1], words[2]
		sys[path.Join(dir, "uevent")] = &fstest.MapFile{Data: []byte("DEVTYPE=" + devtype + "\n")}
		if subsystem != "-" {
			sys[path.Join(dir, "subsystem")] = &fstest.MapFile{Mode: fs.ModeSymlink, Data: []byte("../bus/" + subsystem)}
		}
		for _, w := range words[3:] {
			name, value, _ := strings.Cut(w, "=")
			sys[path.Join(dir, name)] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(value, "~", " ") + "\n")}
		}
	}
	return sys
}

// What a machine in the test of a whole system can't have.
func TestPaths(t *testing.T) {
	const (
		hba = "devices/pci0000:00/0000:02:00.0"
		sas = hba + "/host0/port-0:0/expander-0:0/port-0:0:1/end_device-0:0:1"
	)
	sasTree := func(phys, above string) string {
		return hba + " pci -\n" + hba + "/host0 scsi scsi_host\n" + hba + "/host0/port-0:0 - -\n" + hba + "/host0/port-0:0/" + above + ` - -
` + sas + ` - -
` + path.Dir(sas) + ` - -
` + sas + `/target0:0:1 scsi scsi_target
` + sas + `/target0:0:1/0:0:1:0 scsi scsi_device
` + sas + `/target0:0:1/0:0:1:0/block/sda block disk
` + sas + `/sas_device/end_device-0:0:1 - - sas_address=0x5000c50015ea71ab phy_identifier=7
` + hba + `/host0/port-0:0/expander-0:0/sas_device/expander-0:0 - - sas_address=0x500605b0000272bf
` + path.Dir(sas) + `/sas_port/port-0:0:1 - - num_phys=` + phys + `
class/sas_device/end_device-0:0:1 -> ` + sas + `/sas_device/end_device-0:0:1
class/sas_device/expander-0:0 -> ` + hba + `/host0/port-0:0/expander-0:0/sas_device/expander-0:0
class/sas_port/port-0:0:1 -> ` + path.Dir(sas) + `/sas_port/port-0:0:1
`
	}
	for _, tt := range []struct {
		name, tree, disk string
		want             []string
	}{
		{
			"SAS behind an expander", sasTree("1", "expander-0:0"), sas + "/target0:0:1/0:0:1:0/block/sda",
			[]string{"pci-0000:02:00.0-sas-exp0x500605b0000272bf-phy7-lun-0"},
		},
		{
			"SAS with several phys", sasTree("4", "expander-0:0"), sas + "/target0:0:1/0:0:1:0/block/sda",
			[]string{"pci-0000:02:00.0-sas-0x5000c50015ea71ab-lun-0"},
		},
		{
			"Fibre Channel", `
devices/pci0000:00/0000:03:00.0 pci -
devices/pci0000:00/0000:03:00.0/host1 scsi scsi_host
devices/pci0000:00/0000:03:00.0/host1/rport-1:0-0 - -
devices/pci0000:00/0000:03:00.0/host1/rport-1:0-0/target1:0:0 scsi scsi_target
devices/pci0000:00/0000:03:00.0/host1/rport-1:0-0/target1:0:0/1:0:0:65537 scsi scsi_device
devices/pci0000:00/0000:03:00.0/host1/rport-1:0-0/target1:0:0/1:0:0:65537/block/sda block disk
devices/pci0000:00/0000:03:00.0/host1/rport-1:0-0/target1:0:0/fc_transport/target1:0:0 - - port_name=0x21000024ff2c6d92
class/fc_transport/target1:0:0 -> devices/pci0000:00/0000:03:00.0/host1/rport-1:0-0/target1:0:0/fc_transport/target1:0:0
`, "devices/pci0000:00/0000:03:00.0/host1/rport-1:0-0/target1:0:0/1:0:0:65537/block/sda",
			[]string{"pci-0000:03:00.0-fc-0x21000024ff2c6d92-lun-0x0001000100000000"},
		},
		{
			"iSCSI", `
devices/platform - -
devices/platform/host3 scsi scsi_host
devices/platform/host3/session1 - -
devices/platform/host3/session1/target3:0:0 scsi scsi_target
devices/platform/host3/session1/target3:0:0/3:0:0:1 scsi scsi_device
devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sda block disk
devices/platform/host3/session1/iscsi_session/session1 - - targetname=iqn.2001-04.com.example:disk
devices/platform/host3/session1/connection1:0/iscsi_connection/connection1:0 - - persistent_address=192.0.2.1 persistent_port=3260
class/iscsi_session/session1 -> devices/platform/host3/session1/iscsi_session/session1
class/iscsi_connection/connection1:0 -> devices/platform/host3/session1/connection1:0/iscsi_connection/connection1:0
`, "devices/platform/host3/session1/target3:0:0/3:0:0:1/block/sda",
			[]string{"ip-192.0.2.1:3260-iscsi-iqn.2001-04.com.example:disk-lun-1"},
		},
		{
			"Hyper-V", `
devices/LNXSYSTM:00 acpi -
devices/LNXSYSTM:00/VMBUS:01 acpi -
devices/LNXSYSTM:00/VMBUS:01/f8b3781a vmbus - device_id={f8b3781a-1e82-4818-a1c3-63d806ec15bb}
devices/LNXSYSTM:00/VMBUS:01/f8b3781a/host0 scsi scsi_host
devices/LNXSYSTM:00/VMBUS:01/f8b3781a/host0/target0:0:0 scsi scsi_target
devices/LNXSYSTM:00/VMBUS:01/f8b3781a/host0/target0:0:0/0:0:0:2 scsi scsi_device
devices/LNXSYSTM:00/VMBUS:01/f8b3781a/host0/target0:0:0/0:0:0:2/block/sda block disk
`, "devices/LNXSYSTM:00/VMBUS:01/f8b3781a/host0/target0:0:0/0:0:0:2/block/sda",
			[]string{"acpi-VMBUS:01-vmbus-f8b3781a1e824818a1c363d806ec15bb-lun-2"},
		},
		{
			"ATA behind a port multiplier", `
devices/pci0000:00/0000:00:1f.2 pci -
devices/pci0000:00/0000:00:1f.2/ata5 - -
devices/pci0000:00/0000:00:1f.2/ata5/host6 scsi scsi_host
devices/pci0000:00/0000:00:1f.2/ata5/host6/target6:3:0 scsi scsi_target
devices/pci0000:00/0000:00:1f.2/ata5/host6/target6:3:0/6:3:0:0 scsi scsi_device
devices/pci0000:00/0000:00:1f.2/ata5/host6/target6:3:0/6:3:0:0/block/sda block disk
devices/pci0000:00/0000:00:1f.2/ata5/ata_port/ata5 - - port_no=2
class/ata_port/ata5 -> devices/pci0000:00/0000:00:1f.2/ata5/ata_port/ata5
`, "devices/pci0000:00/0000:00:1f.2/ata5/host6/target6:3:0/6:3:0:0/block/sda",
			[]string{"pci-0000:00:1f.2-ata-2", "pci-0000:00:1f.2-ata-2.3.0", "pci-0000:00:1f.2-scsi-0:3:0:0"},
		},
		{
			"FireWire", `
devices/pci0000:00/0000:04:00.0 pci -
devices/pci0000:00/0000:04:00.0/fw1.0 firewire -
devices/pci0000:00/0000:04:00.0/fw1.0/host7 scsi scsi_host
devices/pci0000:00/0000:04:00.0/fw1.0/host7/target7:0:0 scsi scsi_target
devices/pci0000:00/0000:04:00.0/fw1.0/host7/target7:0:0/7:0:0:0 scsi scsi_device ieee1394_id=0010b92000e1d2a5:0:0
devices/pci0000:00/0000:04:00.0/fw1.0/host7/target7:0:0/7:0:0:0/block/sda block disk
`, "devices/pci0000:00/0000:04:00.0/fw1.0/host7/target7:0:0/7:0:0:0/block/sda",
			[]string{"pci-0000:04:00.0-ieee1394-0x0010b92000e1d2a5:0:0"},
		},
		{
			"the boot area of an eMMC on a board", `
devices/platform/soc/fe340000.mmc platform -
devices/platform/soc/fe340000.mmc/mmc_host/mmc0 mmc_host -
devices/platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:0001 mmc -
devices/platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0 block disk
devices/platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot1 block disk
`, "devices/platform/soc/fe340000.mmc/mmc_host/mmc0/mmc0:0001/block/mmcblk0/mmcblk0boot1",
			[]string{"platform-fe340000.mmc-boot1"},
		},
		{
			"virtio on a board", `
devices/platform/a003e00.virtio_mmio platform -
devices/platform/a003e00.virtio_mmio/virtio0 virtio -
devices/platform/a003e00.virtio_mmio/virtio0/block/vda block disk
`, "devices/platform/a003e00.virtio_mmio/virtio0/block/vda", []string{"platform-a003e00.virtio_mmio"},
		},
		{
			"NVMe that several controllers reach", `
devices/virtual/nvme-subsystem/nvme-subsys1 nvme-subsystem -
devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n2 block disk nsid=2
devices/pci0000:00/0000:05:00.0 pci -
devices/pci0000:00/0000:05:00.0/nvme/nvme1 nvme -
class/nvme/nvme1 -> devices/pci0000:00/0000:05:00.0/nvme/nvme1
`, "devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n2", []string{"pci-0000:05:00.0-nvme-2"},
		},
		{
			"NVMe over a network", `
devices/virtual/nvme-subsystem/nvme-subsys1 nvme-subsystem -
devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n2 block disk nsid=2
devices/virtual/nvme-fabrics/ctl/nvme1 nvme -
class/nvme/nvme1 -> devices/virtual/nvme-fabrics/ctl/nvme1
`, "devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n2", nil,
		},
		{
			"a bus without a transport", `
devices/pci0000:00/0000:06:00.0 pci -
devices/pci0000:00/0000:06:00.0/block/xvda block disk
`, "devices/pci0000:00/0000:06:00.0/block/xvda", nil,
		},
	} {
		got := diskPaths(node{tree(t, tt.tree), tt.disk})
		if diff := cmp.Diff(tt.want, compact(got)); diff != "" {
			t.Errorf("%s: by-path (-want +got):\n%s", tt.name, diff)
		}
	}
}
