package netid

import (
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A slot is a place for a card that firmware has a number for.
type slot struct {
	number uint64
	// unique says that the number stands for one function in all domains.
	unique bool
}

// slots is where the kernel lists hot-plug slots, Documentation/ABI/testing/sysfs-bus-pci.
const slots = "bus/pci/slots"

// slot finds the slot of a PCI device.
func (d device) slot(scheme Scheme) (slot, bool) {
	if scheme.has(firmwareSun) {
		if number, ok := d.sunSlot(); ok {
			return slot{number: number}, true
		}
	}
	return d.hotplugSlot(scheme)
}

// sunSlot is the slot user number of ACPI, of the device or of the port above it.
func (d device) sunSlot() (uint64, bool) {
	if number, ok := d.sun(); ok {
		return number, true
	}
	port, ok := d.ancestor("pci", "")
	if !ok || port.bridge() && !d.multifunction() {
		return 0, false
	}
	return port.sun()
}

func (d device) sun() (uint64, bool) {
	number, ok := d.number("firmware_node/sun")
	return number, ok && number > 0
}

// hotplugSlot is the slot of the device or, if it has none, of the nearest PCI device above that has one.
func (d device) hotplugSlot(scheme Scheme) (slot, bool) {
	entries, err := fs.ReadDir(d.sys, slots)
	if err != nil {
		return slot{}, false
	}
	for holder, ok := d, true; ok; holder, ok = holder.ancestor("pci", "") {
		if id, ok := holder.attribute("function_id"); ok && scheme.has(functionID) {
			return functionSlot(id, entries)
		}
		number, found := holder.slotByAddress(entries)
		if !found {
			continue
		}
		if scheme.has(bridgeNoSlot) && holder.bridge() && !(scheme.has(bridgeMultifunctionSlot) && d.multifunction()) {
			return slot{}, false
		}
		return slot{number: number}, true
	}
	return slot{}, false
}

// functionSlot is a slot of the s390, which is named for the id of the function that is in it (Documentation/s390/pci.rst).
func functionSlot(id string, entries []fs.DirEntry) (slot, bool) {
	number, err := strconv.ParseUint(id, 0, 32)
	if err != nil || number == 0 {
		return slot{}, false
	}
	for _, e := range entries {
		if e.Name() == fmt.Sprintf("%08x", number) {
			return slot{number: number, unique: true}, true
		}
	}
	return slot{}, false
}

// slotByAddress finds the slot with the address of the device, which is without the function: "0000:00:05". Slots whose name
// is not just a number have no name for udev.
func (d device) slotByAddress(entries []fs.DirEntry) (uint64, bool) {
	for _, e := range entries {
		number, err := strconv.ParseUint(e.Name(), 0, 32)
		if err != nil || number == 0 {
			continue
		}
		address, ok := device{d.sys, path.Join(slots, e.Name())}.attribute("address")
		if ok && strings.HasPrefix(d.base(), address) {
			return number, true
		}
	}
	return 0, false
}
