package disk

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A node is a device's folder in /sys, Documentation/ABI/testing/sysfs-devices. That of no device has no files.
type node struct {
	sys fs.FS
	// path below /sys, without symbolic links: "devices/pci0000:00/0000:00:03.0".
	path string
}

// follow returns the device that the symbolic link name leads to. All links of sysfs are relative, and their folders are none themselves.
func follow(sys fs.FS, name string) (node, error) {
	target, err := fs.ReadLink(sys, name)
	if err != nil {
		return node{}, err
	}
	p := path.Join(path.Dir(name), target)
	if !fs.ValidPath(p) {
		return node{}, fmt.Errorf("%s leads out of the folder, to %s", name, target)
	}
	return node{sys, p}, nil
}

// base is the name of the device on its bus.
func (n node) base() string { return path.Base(n.path) }

// has says whether there is such a file.
func (n node) has(name string) bool {
	_, err := fs.Stat(n.sys, path.Join(n.path, name))
	return err == nil
}

// bytes returns what a file of the device holds, nil if it can't be read.
func (n node) bytes(name string) []byte {
	if n.sys == nil {
		return nil
	}
	data, err := fs.ReadFile(n.sys, path.Join(n.path, name))
	if err != nil {
		return nil
	}
	return data
}

// attr returns the text of a file of the device without the white space at its end, "" if it can't be read.
func (n node) attr(name string) string { return strings.TrimRight(text(n.bytes(name)), " \t\r\n\v\f") }

// number returns the decimal number in a file of the device, 0 if there is none.
func (n node) number(name string) int64 {
	v, err := strconv.ParseInt(n.attr(name), 10, 64)
	if err != nil {
		return 0
	}
	return v
}

// subsystem is the bus or the class.
func (n node) subsystem() string {
	target, err := fs.ReadLink(n.sys, path.Join(n.path, "subsystem"))
	if err != nil {
		return ""
	}
	return path.Base(target)
}

// devtype tells kinds of devices of one subsystem apart.
func (n node) devtype() string {
	for line := range strings.Lines(n.attr("uevent")) {
		if value, ok := strings.CutPrefix(line, "DEVTYPE="); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// parent is the nearest device above. Folders that only sort, as "block" does, have no uevent.
func (n node) parent() (node, bool) {
	for p := path.Dir(n.path); p != "."; p = path.Dir(p) {
		if above := (node{n.sys, p}); above.has("uevent") {
			return above, true
		}
	}
	return node{}, false
}

// chain is the device and those above it, from the nearest on.
func (n node) chain(yield func(node) bool) {
	for d, ok := n, true; ok; d, ok = d.parent() {
		if !yield(d) {
			return
		}
	}
}

// above is the nearest device above that is of the subsystem and, unless that is empty, of the devtype.
func (n node) above(subsystem, devtype string) (node, bool) {
	for d := range n.chain {
		if d.path != n.path && d.subsystem() == subsystem && (devtype == "" || d.devtype() == devtype) {
			return d, true
		}
	}
	return node{}, false
}

// inherited is the attribute of the device, or of the nearest one above that has it and not empty: ATTRS{name}=="?*" in a rule of udev.
func (n node) inherited(name string) string {
	for d := range n.chain {
		if value := d.attr(name); value != "" {
			return value
		}
	}
	return ""
}

// last is the highest of the devices above that follow each other in one subsystem.
func (n node) last(subsystem string) node {
	for {
		above, ok := n.parent()
		if !ok || above.subsystem() != subsystem {
			return n
		}
		n = above
	}
}

// class returns the device of that name in a class.
func (n node) class(class, name string) (node, bool) {
	d, err := follow(n.sys, path.Join("class", class, name))
	return d, err == nil
}

// trailing is the number at the end of the device's name, "" if there is none.
func (n node) trailing() string {
	name := n.base()
	return name[len(strings.TrimRight(name, "0123456789")):]
}
