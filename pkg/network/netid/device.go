package netid

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A device is a folder of /sys, Documentation/ABI/testing/sysfs-devices.
type device struct {
	sys fs.FS
	// path below /sys, without symbolic links: "devices/pci0000:00/0000:00:03.0".
	path string
}

// openDevice follows the symbolic link that name is. All links of sysfs are relative, and their folders are none themselves.
func openDevice(sys fs.FS, name string) (device, error) {
	target, err := fs.ReadLink(sys, name)
	if err != nil {
		return device{}, err
	}
	p := path.Join(path.Dir(name), target)
	if !fs.ValidPath(p) {
		return device{}, fmt.Errorf("%s leads out of the folder, to %s", name, target)
	}
	return device{sys, p}, nil
}

// attribute returns the text of a file of the device, without what ends its line; a string of the device tree ends with a zero.
func (d device) attribute(name string) (string, bool) {
	data, err := fs.ReadFile(d.sys, path.Join(d.path, name))
	return strings.TrimRight(string(data), "\r\n\x00"), err == nil
}

// number returns the number in a file of the device.
func (d device) number(name string) (uint64, bool) {
	text, ok := d.attribute(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 0, 64)
	return n, err == nil
}

// base is the name of the device on its bus.
func (d device) base() string { return path.Base(d.path) }

// linked returns the device to which a symbolic link of the device leads.
func (d device) linked(name string) (device, bool) {
	other, err := openDevice(d.sys, path.Join(d.path, name))
	return other, err == nil
}

// subsystem is the bus or the class.
func (d device) subsystem() string {
	target, err := fs.ReadLink(d.sys, path.Join(d.path, "subsystem"))
	if err != nil {
		return ""
	}
	return path.Base(target)
}

// devtype tells kinds of devices of one subsystem apart.
func (d device) devtype() string {
	text, _ := d.attribute("uevent")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "DEVTYPE="); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// parent is the nearest device above. Folders that only sort, as "net" does between a card and its links, have no uevent.
func (d device) parent() (device, bool) {
	for p := path.Dir(d.path); p != "."; p = path.Dir(p) {
		if _, err := fs.Stat(d.sys, path.Join(p, "uevent")); err == nil {
			return device{d.sys, p}, true
		}
	}
	return device{}, false
}

// ancestors are the devices above, from the nearest on.
func (d device) ancestors(yield func(device) bool) {
	for parent, ok := d.parent(); ok; parent, ok = parent.parent() {
		if !yield(parent) {
			return
		}
	}
}

// ancestor is the nearest device above that is of the subsystem and, unless that is empty, of the devtype.
func (d device) ancestor(subsystem, devtype string) (device, bool) {
	for a := range d.ancestors {
		if a.subsystem() == subsystem && (devtype == "" || a.devtype() == devtype) {
			return a, true
		}
	}
	return device{}, false
}

// on returns the device on which this one sits directly, if that is of one of the subsystems.
func (d device) on(subsystems ...string) (device, bool) {
	parent, ok := d.parent()
	return parent, ok && parent.isOf(subsystems...)
}

// onBehindVirtio is on, where a virtio device between the two does not count: there is only one to a parent.
func (d device) onBehindVirtio(subsystems ...string) (device, bool) {
	parent, ok := d.parent()
	for ok && parent.subsystem() == "virtio" {
		parent, ok = parent.parent()
	}
	return parent, ok && parent.isOf(subsystems...)
}

func (d device) isOf(subsystems ...string) bool {
	own := d.subsystem()
	for _, s := range subsystems {
		if s == own {
			return true
		}
	}
	return false
}

// behindUSB says whether udev's ID_PATH has "-usb-" in it, for which 73-usb-net-by-mac.link looks: there is a USB device, and above it one
// of a bus with a name of its own.
func (d device) behindUSB() bool {
	usb := false
	for a := range d.ancestors {
		switch {
		case a.subsystem() == "usb":
			usb = usb || strings.Contains(a.base(), "-")
		case usb && a.isOf("pci", "platform", "acpi", "xen", "ccw", "ccwgroup"):
			return true
		}
	}
	return false
}

// physical says whether there is hardware below: DRIVERS=="?*" in a rule of udev.
func (d device) physical() bool {
	for a := range d.ancestors {
		if _, ok := a.linked("driver"); ok {
			return true
		}
	}
	return false
}
