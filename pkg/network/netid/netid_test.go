package netid

import (
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	enxMAC = "enx525400123456"
	// pciRoot, port and bridge are the beginnings of trees.
	pciRoot = "devices/pci0000:00 \n"
	port    = pciRoot + "devices/pci0000:00/0000:00:1c.0 @pci modalias=pci:v00001B36d0000000Csv00sd00bc06sc04i00\n"
)

func TestFor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		scheme string
		in     string
		want   Candidates
		choice string
	}{
		{"on the root bus", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/eth0 @net`,
			Candidates{Path: "enp0s3", MAC: enxMAC}, "enp0s3"},
		{"numbers are decimal in names", "", pciRoot + `
devices/pci0000:00/0000:1f:1a.0 @pci
devices/pci0000:00/0000:1f:1a.0/net/eth0 @net`,
			Candidates{Path: "enp31s26", MAC: enxMAC}, "enp31s26"},
		{"virtio", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/virtio0 @virtio
devices/pci0000:00/0000:00:03.0/virtio0/net/eth0 @net`,
			Candidates{Path: "enp0s3", MAC: enxMAC}, "enp0s3"},
		{"virtio without PCI", "", `
devices/platform
devices/platform/a003e00.virtio_mmio @platform
devices/platform/a003e00.virtio_mmio/virtio0 @virtio
devices/platform/a003e00.virtio_mmio/virtio0/net/eth0 @net`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"another domain", "", `
devices/pci10000:e0
devices/pci10000:e0/10000:e1:00.0 @pci
devices/pci10000:e0/10000:e1:00.0/net/eth0 @net`,
			Candidates{Path: "enP65536p225s0", MAC: enxMAC}, "enP65536p225s0"},
		{"the function of several", "", pciRoot + `
devices/pci0000:00/0000:00:05.0 @pci functions=many
devices/pci0000:00/0000:00:05.0/net/eth0 @net`,
			Candidates{Path: "enp0s5f0", MAC: enxMAC}, "enp0s5f0"},
		{"a function that is not 0", "", pciRoot + `
devices/pci0000:00/0000:00:05.1 @pci
devices/pci0000:00/0000:00:05.1/net/eth0 @net`,
			Candidates{Path: "enp0s5f1", MAC: enxMAC}, "enp0s5f1"},
		{"ARI: slot and function are one number", "", pciRoot + `
devices/pci0000:00/0000:03:01.2 @pci ari_enabled=1
devices/pci0000:00/0000:03:01.2/net/eth0 @net`,
			Candidates{Path: "enp3s1f10", MAC: enxMAC}, "enp3s1f10"},
		{"ARI before v239", "v238", pciRoot + `
devices/pci0000:00/0000:03:01.2 @pci ari_enabled=1
devices/pci0000:00/0000:03:01.2/net/eth0 @net`,
			Candidates{Path: "enp3s1f2", MAC: enxMAC}, "enp3s1f2"},
		{"the port of a function by its number", "", pciRoot + `
devices/pci0000:00/0000:04:00.0 @pci
devices/pci0000:00/0000:04:00.0/net/eth1 @net dev_port=1`,
			Candidates{Path: "enp4s0d1", MAC: enxMAC}, "enp4s0d1"},
		{"the port of a function by its name", "", pciRoot + `
devices/pci0000:00/0000:04:00.0 @pci acpi_index=2
devices/pci0000:00/0000:04:00.0/net/eth1 @net dev_port=1 phys_port_name=p1`,
			Candidates{Onboard: "eno2np1", Path: "enp4s0np1", MAC: enxMAC}, "eno2np1"},
		{"a representor", "v255", pciRoot + `
devices/pci0000:00/0000:04:00.0 @pci
devices/pci0000:00/0000:04:00.0/net/eth1 @net phys_port_name=pf0vf12`,
			Candidates{Path: "enp4s0r12", MAC: enxMAC}, "enp4s0r12"},
		{"a representor before v254", "", pciRoot + `
devices/pci0000:00/0000:04:00.0 @pci
devices/pci0000:00/0000:04:00.0/net/eth1 @net phys_port_name=pf0vf12`,
			Candidates{Path: "enp4s0npf0vf12", MAC: enxMAC}, "enp4s0npf0vf12"},
		{"a name that is too long is passed over", "", pciRoot + `
devices/pci0000:00/0000:04:00.0 @pci acpi_index=1
devices/pci0000:00/0000:04:00.0/net/eth1 @net phys_port_name=frontpanelport
bus/pci/slots/7/ address=0000:04:00`,
			Candidates{Onboard: "eno1nfrontpanelport", Slot: "ens7nfrontpanelport", Path: "enp4s0nfrontpanelport", MAC: enxMAC}, "eth1"},
		{"onboard by ACPI", "", pciRoot + `
devices/pci0000:00/0000:00:19.0 @pci acpi_index=1 index=7
devices/pci0000:00/0000:00:19.0/net/eth0 @net`,
			Candidates{Onboard: "eno1", Path: "enp0s25", MAC: enxMAC}, "eno1"},
		{"onboard by SMBIOS", "", pciRoot + `
devices/pci0000:00/0000:00:19.0 @pci index=7 label=NIC1
devices/pci0000:00/0000:00:19.0/net/eth0 @net`,
			Candidates{Onboard: "eno7", Path: "enp0s25", MAC: enxMAC}, "eno7"},
		{"onboard 0", "", pciRoot + `
devices/pci0000:00/0000:00:19.0 @pci acpi_index=0
devices/pci0000:00/0000:00:19.0/net/eth0 @net`,
			Candidates{Onboard: "eno0", Path: "enp0s25", MAC: enxMAC}, "eno0"},
		{"onboard 0 before v240", "v239", pciRoot + `
devices/pci0000:00/0000:00:19.0 @pci acpi_index=0
devices/pci0000:00/0000:00:19.0/net/eth0 @net`,
			Candidates{Path: "enp0s25", MAC: enxMAC}, "enp0s25"},
		{"onboard 65535", "", pciRoot + `
devices/pci0000:00/0000:00:19.0 @pci acpi_index=65535
devices/pci0000:00/0000:00:19.0/net/eth0 @net`,
			Candidates{Onboard: "eno65535", Path: "enp0s25", MAC: enxMAC}, "eno65535"},
		{"onboard 65535 before v249", "v247", pciRoot + `
devices/pci0000:00/0000:00:19.0 @pci acpi_index=65535
devices/pci0000:00/0000:00:19.0/net/eth0 @net`,
			Candidates{Path: "enp0s25", MAC: enxMAC}, "enp0s25"},
		{"onboard nonsense", "", pciRoot + `
devices/pci0000:00/0000:00:19.0 @pci acpi_index=16777215
devices/pci0000:00/0000:00:19.0/net/eth0 @net`,
			Candidates{Path: "enp0s25", MAC: enxMAC}, "enp0s25"},
		{"a virtual function", "", pciRoot + `
devices/pci0000:00/0000:05:00.0 @pci functions=many virtfn0->../0000:05:02.0 virtfn1->../0000:05:02.1
devices/pci0000:00/0000:05:02.1 @pci physfn->../0000:05:00.0
devices/pci0000:00/0000:05:02.1/net/eth3 @net addr_assign_type=1
bus/pci/slots/4/ address=0000:05:00`,
			Candidates{Slot: "ens4f0v1", Path: "enp5s0f0v1"}, "ens4f0v1"},
		{"a virtual function before v239", "v238", pciRoot + `
devices/pci0000:00/0000:05:00.0 @pci functions=many virtfn0->../0000:05:02.0 virtfn1->../0000:05:02.1
devices/pci0000:00/0000:05:02.1 @pci physfn->../0000:05:00.0
devices/pci0000:00/0000:05:02.1/net/eth3 @net addr_assign_type=1`,
			Candidates{Path: "enp5s2f1"}, "enp5s2f1"},
		{"a virtual function in a guest", "", pciRoot + `
devices/pci0000:00/0000:05:02.1 @pci
devices/pci0000:00/0000:05:02.1/net/eth3 @net`,
			Candidates{Path: "enp5s2f1", MAC: enxMAC}, "enp5s2f1"},
		{"USB", "", pciRoot + `
devices/pci0000:00/0000:00:14.0 @pci
devices/pci0000:00/0000:00:14.0/usb1 @usb devtype=usb_device
devices/pci0000:00/0000:00:14.0/usb1/1-2 @usb devtype=usb_device idVendor=0525 idProduct=a4a2
devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0 @usb devtype=usb_interface
devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/net/usb0 @net`,
			Candidates{Path: "enp0s20u2", MAC: enxMAC, USB: true}, enxMAC},
		{"USB behind a hub, another configuration and interface", "", pciRoot + `
devices/pci0000:00/0000:00:14.0 @pci
devices/pci0000:00/0000:00:14.0/usb1 @usb devtype=usb_device
devices/pci0000:00/0000:00:14.0/usb1/1-2.3 @usb devtype=usb_device
devices/pci0000:00/0000:00:14.0/usb1/1-2.3/1-2.3:2.1 @usb devtype=usb_interface
devices/pci0000:00/0000:00:14.0/usb1/1-2.3/1-2.3:2.1/net/usb0 @net
bus/pci/slots/2/ address=0000:00:14`,
			Candidates{Slot: "ens2u2u3c2i1", Path: "enp0s20u2u3c2i1", MAC: enxMAC, USB: true}, enxMAC},
		{"USB without a MAC of its own keeps the kernel's name", "", pciRoot + `
devices/pci0000:00/0000:00:14.0 @pci
devices/pci0000:00/0000:00:14.0/usb1/1-2 @usb devtype=usb_device
devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0 @usb devtype=usb_interface
devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/net/usb0 @net addr_assign_type=1`,
			Candidates{Path: "enp0s20u2", USB: true}, "usb0"},
		{"USB of a Dell remote controller", "", pciRoot + `
devices/pci0000:00/0000:00:14.0 @pci
devices/pci0000:00/0000:00:14.0/usb1/1-2 @usb devtype=usb_device idVendor=413c idProduct=a102
devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0 @usb devtype=usb_interface
devices/pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/net/usb0 @net`,
			Candidates{Database: "idrac", Path: "enp0s20u2", MAC: enxMAC, USB: true}, enxMAC},
		{"USB behind a controller on the chip", "", `
devices/platform
devices/platform/fe980000.usb @platform
devices/platform/fe980000.usb/usb1/1-1 @usb devtype=usb_device
devices/platform/fe980000.usb/usb1/1-1/1-1:1.0 @usb devtype=usb_interface
devices/platform/fe980000.usb/usb1/1-1/1-1:1.0/net/eth0 @net`,
			Candidates{MAC: enxMAC, USB: true}, enxMAC},
		{"USB behind a controller on the chip since v253", "v253", `
devices/platform
devices/platform/fe980000.usb @platform
devices/platform/fe980000.usb/usb1/1-1 @usb devtype=usb_device
devices/platform/fe980000.usb/usb1/1-1/1-1:1.0 @usb devtype=usb_interface
devices/platform/fe980000.usb/usb1/1-1/1-1:1.0/net/eth0 @net`,
			Candidates{Path: "enu1", MAC: enxMAC, USB: true}, enxMAC},
		{"Broadcom's bus", "", pciRoot + `
devices/pci0000:00/0000:02:00.0 @pci
devices/pci0000:00/0000:02:00.0/bcma0:1 @bcma
devices/pci0000:00/0000:02:00.0/bcma0:1/net/wlan0 @net devtype=wlan`,
			Candidates{Path: "wlp2s0b1", MAC: "wlx525400123456"}, "wlp2s0b1"},
		{"Broadcom's bus, core 0", "", pciRoot + `
devices/pci0000:00/0000:02:00.0 @pci
devices/pci0000:00/0000:02:00.0/bcma0:0 @bcma
devices/pci0000:00/0000:02:00.0/bcma0:0/net/eth0 @net`,
			Candidates{Path: "enp2s0", MAC: enxMAC}, "enp2s0"},
		{"Hyper-V", "", `
devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00 @acpi
devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/f8b3781a @vmbus
devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/f8b3781a/net/eth0 @net`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"a PCI card that Hyper-V passes through", "", `
devices/LNXSYSTM:00/VMBUS:00/47505500/pci7870:00
devices/LNXSYSTM:00/VMBUS:00/47505500/pci7870:00/7870:00:02.0 @pci
devices/LNXSYSTM:00/VMBUS:00/47505500/pci7870:00/7870:00:02.0/net/eth1 @net`,
			Candidates{Path: "enP30832p0s2", MAC: enxMAC}, "enP30832p0s2"},
		{"Xen", "", `
devices/vif-0 @xen
devices/vif-0/net/eth0 @net`,
			Candidates{Slot: "enX0", MAC: enxMAC}, "enX0"},
		{"Xen, a number with leading zeros", "", `
devices/vif-00 @xen
devices/vif-00/net/eth0 @net`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"Xen before v250", "v249", `
devices/vif-0 @xen
devices/vif-0/net/eth0 @net`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"Xen, the host's end", "", `
devices/vif-3-0 @xen-backend
devices/vif-3-0/net/vif3.0 @net`,
			Candidates{MAC: enxMAC}, "vif3.0"},
		{"ACPI on arm64", "", `
devices/platform
devices/platform/HISI00C2:00 @platform
devices/platform/HISI00C2:00/net/eth0 @net`,
			Candidates{Path: "enahisic2i0", MAC: enxMAC}, "enahisic2i0"},
		{"ACPI on arm64, a vendor of three letters", "", `
devices/platform
devices/platform/APM0D05:1f @platform
devices/platform/APM0D05:1f/net/eth0 @net`,
			Candidates{Path: "enaapmd05i31", MAC: enxMAC}, "enaapmd05i31"},
		{"a platform device with a number of one digit", "", `
devices/platform
devices/platform/HISI00C2:0 @platform
devices/platform/HISI00C2:0/net/eth0 @net`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"a platform device whose model is no number", "", `
devices/platform
devices/platform/HISI00G2:00 @platform
devices/platform/HISI00G2:00/net/eth0 @net`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"a platform device that ACPI does not describe", "", `
devices/platform
devices/platform/fd580000.ethernet @platform
devices/platform/fd580000.ethernet/net/eth0 @net`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"device tree", "", `
devices/platform
devices/platform/fd580000.ethernet @platform of_node->../../../firmware/devicetree/base/scb/ethernet@7d580000
devices/platform/fd580000.ethernet/net/eth0 @net
firmware/devicetree/base/aliases/ ethernet0=/soc/other ethernet1=/scb/ethernet@7d580000`,
			Candidates{Onboard: "end1", MAC: enxMAC}, "end1"},
		{"device tree before v252", "v251", `
devices/platform
devices/platform/fd580000.ethernet @platform of_node->../../../firmware/devicetree/base/scb/ethernet@7d580000
devices/platform/fd580000.ethernet/net/eth0 @net
firmware/devicetree/base/aliases/ ethernet0=/scb/ethernet@7d580000`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"device tree, no number", "", `
devices/platform
devices/platform/fd580000.ethernet @platform of_node->../../../firmware/devicetree/base/scb/ethernet@7d580000
devices/platform/fd580000.ethernet/net/eth0 @net
firmware/devicetree/base/aliases/ ethernet=/scb/ethernet@7d580000`,
			Candidates{Onboard: "end0", MAC: enxMAC}, "end0"},
		{"device tree, ethernet and ethernet0", "", `
devices/platform
devices/platform/fd580000.ethernet @platform of_node->../../../firmware/devicetree/base/scb/ethernet@7d580000
devices/platform/fd580000.ethernet/net/eth0 @net
firmware/devicetree/base/aliases/ ethernet=/soc/other ethernet0=/scb/ethernet@7d580000`,
			Candidates{MAC: enxMAC}, "eth0"},
		{"device tree, a port of a switch", "v257", `
devices/platform
devices/platform/2188000.ethernet @platform of_node->../../../firmware/devicetree/base/soc/ethernet
devices/platform/2188000.ethernet/net/eth0 @net of_node->../../../../../firmware/devicetree/base/soc/ethernet/port@1
firmware/devicetree/base/aliases/ ethernet0=/soc/ethernet ethernet1=/soc/ethernet/port@1`,
			Candidates{Onboard: "end1", MAC: enxMAC}, "end1"},
		{"IBM Z", "", `
devices/qeth
devices/qeth/0.0.0600 @ccwgroup
devices/qeth/0.0.0600/net/eth0 @net`,
			Candidates{Path: "enc600", MAC: enxMAC}, "enc600"},
		{"IBM Z, virtio", "", `
devices/css0/0.0.0003/0.0.0000 @ccw
devices/css0/0.0.0003/0.0.0000/virtio3 @virtio
devices/css0/0.0.0003/0.0.0000/virtio3/net/eth0 @net`,
			Candidates{Path: "enc0", MAC: enxMAC}, "enc0"},
		{"a MAC of eight octets", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/eth0 @net address=02:00:5e:10:00:00:00:01`,
			Candidates{Path: "enp0s3"}, "enp0s3"},
		{"a MAC that was set", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/eth0 @net addr_assign_type=3`,
			Candidates{Path: "enp0s3"}, "enp0s3"},
		{"a name that the kernel calls predictable", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/swp1 @net name_assign_type=2`,
			Candidates{Path: "enp0s3", MAC: enxMAC, Keep: true}, "swp1"},
		{"a name that somebody gave", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/lan0 @net name_assign_type=4`,
			Candidates{Path: "enp0s3", MAC: enxMAC, Keep: true}, "lan0"},
		{"a kernel that does not say who gave the name", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/eth0 @net name_assign_type=absent`,
			Candidates{Path: "enp0s3", MAC: enxMAC}, "enp0s3"},
		{"InfiniBand", "", pciRoot + `
devices/pci0000:00/0000:01:00.0 @pci
devices/pci0000:00/0000:01:00.0/net/ib0 @net type=32 address=80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1`,
			Candidates{Path: "ibp1s0"}, "ibp1s0"},
		{"InfiniBand before v240", "v239", pciRoot + `
devices/pci0000:00/0000:01:00.0 @pci
devices/pci0000:00/0000:01:00.0/net/ib0 @net type=32`,
			Candidates{}, "ib0"},
		{"mobile broadband", "", pciRoot + `
devices/pci0000:00/0000:01:00.0 @pci
devices/pci0000:00/0000:01:00.0/net/wwan0 @net devtype=wwan`,
			Candidates{Path: "wwp1s0", MAC: "wwx525400123456"}, "wwp1s0"},
		{"no hardware", "", `
devices/virtual/net/dummy0 @net addr_assign_type=1`,
			Candidates{}, "dummy0"},
		{"loopback", "", `
devices/virtual/net/lo @net type=772`,
			Candidates{}, "lo"},
		{"a VLAN stands on another link", "", pciRoot + `
devices/pci0000:00/0000:00:03.0 @pci
devices/pci0000:00/0000:00:03.0/net/eth0.5 @net ifindex=3 name_assign_type=3`,
			Candidates{Keep: true}, "eth0.5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sys := tree(t, tt.in)
			scheme, err := ParseScheme(tt.scheme)
			if err != nil {
				t.Fatal(err)
			}
			kernel := onlyLink(t, sys)
			tt.want.Kernel = kernel
			got, err := For(sys, kernel, scheme)
			if err != nil {
				t.Fatalf("For(%s) = %v", kernel, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("For(%s) (-want +got):\n%s", kernel, diff)
			}
			if name := got.Name(); name != tt.choice {
				t.Errorf("For(%s).Name() = %s, want %s", kernel, name, tt.choice)
			}
		})
	}
}

// onlyLink is the name of the one link in a tree.
func onlyLink(t *testing.T, sys fs.FS) string {
	t.Helper()
	links, err := fs.ReadDir(sys, "class/net")
	if err != nil || len(links) != 1 {
		t.Fatalf("links in the tree: %v, %v, want one", links, err)
	}
	return links[0].Name()
}
