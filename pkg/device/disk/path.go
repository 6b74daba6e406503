package disk

import (
	"io/fs"
	"path"
	"strings"
)

// A route is the way to a disk, collected from the disk upwards, as path_id does it.
type route struct {
	disk node
	// names of the way so far; several where versions of udev differ.
	names []string
	// bus says that a device on the way has a place of its own in the machine, transport that the disk has one on it. Without both, the
	// names would not be unique.
	bus, transport bool
}

// paths are the names below disk/by-path of a disk, in all versions of udev.
func paths(disk node) []string {
	r := route{disk: disk}
	for dev, ok := disk, true; ok; {
		if dev, ok = r.step(dev); ok {
			dev, ok = dev.parent()
		}
	}
	if !r.bus || !r.transport {
		return nil
	}
	return r.names
}

// prepend puts a step before those of the way so far; several names if versions of udev differ on it.
func (r *route) prepend(step ...string) {
	if r.names == nil {
		r.names = step
		return
	}
	var all []string
	for _, s := range step {
		for _, name := range r.names {
			all = append(all, s+"-"+name)
		}
	}
	r.names = all
}

// step adds what dev contributes. It returns the device to go on above of, which is not dev where that stands for several.
func (r *route) step(dev node) (node, bool) {
	switch subsystem := dev.subsystem(); subsystem {
	case "scsi":
		r.transport = true
		return r.scsi(dev)
	case "usb":
		r.transport = true
		return r.usb(dev), true
	case "virtio":
		r.transport = true
		return dev.last(subsystem), true
	case "pci", "acpi", "xen":
		r.prepend(subsystem + "-" + dev.base())
		r.bus = true
		return dev.last(subsystem), true
	case "platform", "amba", "scm", "ccw", "ccwgroup", "iucv":
		r.prepend(subsystem + "-" + dev.base())
		r.bus, r.transport = true, true
		return dev.last(subsystem), true
	case "nvme", "nvme-subsystem":
		return r.nvme(dev, subsystem)
	case "spi":
		if number := dev.trailing(); number != "" {
			r.prepend("cs-" + number)
			return dev.last(subsystem), true
		}
	case "bcma":
		if _, core, ok := strings.Cut(dev.base(), ":"); ok {
			r.prepend("bcma-" + core)
			r.transport = true
		}
	}
	return dev, true
}

// usb adds the port. Newer versions of udev tell the two hubs of one controller apart by their revision.
func (r *route) usb(dev node) node {
	_, port, ok := strings.Cut(dev.base(), "-")
	if kind := dev.devtype(); !ok || kind != "usb_interface" && kind != "usb_device" {
		return dev
	}
	hub := dev.last("usb")
	step := []string{"usb-0:" + port}
	if revision := usbRevision(hub); revision != "" {
		step = append(step, "usbv"+revision+"-0:"+port)
	}
	r.prepend(step...)
	return hub
}

// usbRevision is that of a root hub, by the protocol in its device descriptor (USB 2.0 11.23.1, USB 3.2 10.15.1): 0 full speed or without a
// transaction translator, 1 and 2 with one or several, 3 SuperSpeed.
func usbRevision(hub node) string {
	switch protocol := hub.attr("bDeviceProtocol"); protocol {
	case "00":
		if hub.attr("speed") == "480" {
			return "2"
		}
		return "1"
	case "01", "02":
		return "2"
	case "03":
		return "3"
	}
	return ""
}

// nvme adds the namespace. With multipath, a disk is below a virtual device, and where that is reached is found by the number that it
// has in common with a controller: nvme0n1 is behind nvme0.
func (r *route) nvme(dev node, subsystem string) (node, bool) {
	nsid := r.disk.attr("nsid")
	if nsid == "" {
		return dev, true
	}
	r.prepend("nvme-" + nsid)
	if subsystem == "nvme-subsystem" {
		digits := strings.TrimPrefix(r.disk.base(), "nvme")
		digits = digits[:len(digits)-len(strings.TrimLeft(digits, "0123456789"))]
		controller, ok := r.disk.class("nvme", "nvme"+digits)
		if !ok || strings.HasPrefix(controller.path, "devices/virtual/") { // over a network
			return dev, false
		}
		dev = controller
	}
	r.bus, r.transport = true, true
	return dev.last("nvme"), true
}

// scsi adds a SCSI device. Each way to carry SCSI has a name of its own for it.
func (r *route) scsi(dev node) (node, bool) {
	if dev.devtype() != "scsi_device" {
		return dev, true
	}
	if id := dev.attr("ieee1394_id"); id != "" {
		r.prepend("ieee1394-0x" + id)
		r.bus = true
		return dev.last("scsi"), true
	}
	address, ok := parseAddress(dev.base())
	if !ok {
		return dev, false
	}
	for _, carrier := range []struct {
		sign string
		name func(node, scsiAddress) string
		bus  bool
	}{
		{"/rport-", fibreChannel, true},
		{"/end_device-", sas, true},
		{"/session", iscsi, true},
		{"/vmbus_", hyperV, false},
		{"/VMBUS", hyperV, false},
	} {
		if !strings.Contains(dev.path, carrier.sign) {
			continue
		}
		name := carrier.name(dev, address)
		if name == "" {
			return dev, false
		}
		r.prepend(name)
		r.bus = r.bus || carrier.bus
		return dev, true
	}
	host, ok := dev.above("scsi", "scsi_host")
	if !ok {
		return dev, false
	}
	plain := plainSCSI(host, address)
	if strings.Contains(dev.path, "/ata") {
		if names := ata(host, address); names != nil {
			r.prepend(append(names, plain)...)
			return dev, true
		}
	}
	r.prepend(plain)
	return host, true
}

// lowestHost is the lowest number of the SCSI hosts that are beside host.
func lowestHost(host node) (int, bool) {
	entries, err := fs.ReadDir(host.sys, path.Dir(host.path))
	if err != nil {
		return 0, false
	}
	lowest, found := 0, false
	for _, e := range entries {
		if n, ok := hostNumber(e.Name()); ok && (!found || n < lowest) {
			lowest, found = n, true
		}
	}
	return lowest, found
}
