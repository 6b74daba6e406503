package netid

import (
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
)

// A place is where a function is on the PCI bus, and how many it has.
type place struct {
	domain, bus, slot, function uint64
	// shared says that the card has several functions, so that a name needs the number.
	shared bool
}

// placeOf reads a place out of the name of a device: domain, bus and slot in hexadecimal, "0000:03:00.1".
func (d device) placeOf(scheme Scheme) (place, bool) {
	domain, rest, _ := strings.Cut(d.base(), ":")
	bus, rest, _ := strings.Cut(rest, ":")
	slot, function, _ := strings.Cut(rest, ".")
	var p place
	for _, f := range []struct {
		text  string
		base  int
		value *uint64
	}{{domain, 16, &p.domain}, {bus, 16, &p.bus}, {slot, 16, &p.slot}, {function, 10, &p.function}} {
		n, err := strconv.ParseUint(f.text, f.base, 32)
		if err != nil {
			return place{}, false
		}
		*f.value = n
	}
	if enabled, _ := d.attribute("ari_enabled"); enabled == "1" && scheme.has(ari) {
		// Slot and function are one number of eight bits then, PCI Express Base Specification, section 6.13.
		p.function += p.slot * 8
	}
	p.shared = d.multifunction()
	return p, true
}

// domainName is empty for the usual domain, 0.
func (p place) domainName() string {
	if p.domain == 0 {
		return ""
	}
	return fmt.Sprintf("P%d", p.domain)
}

// functionName is empty for the only function of a card.
func (p place) functionName() string {
	if p.function == 0 && !p.shared {
		return ""
	}
	return fmt.Sprintf("f%d", p.function)
}

// The header type in the configuration space, include/uapi/linux/pci_regs.h.
const (
	pciHeaderType     = 0x0e
	pciMultifunction  = 0x80
	pciBridgeSubclass = "04"
)

// multifunction says whether the card has several functions. Only the first bytes are read: some cards hang on others.
func (d device) multifunction() bool {
	f, err := d.sys.Open(path.Join(d.path, "config"))
	if err != nil {
		return false
	}
	defer f.Close()
	var header [pciHeaderType + 1]byte
	_, err = io.ReadFull(f, header[:])
	return err == nil && header[pciHeaderType]&pciMultifunction != 0
}

// bridge says whether the device is a PCI bridge of any kind: its modalias has the class 06 or another, and the subclass 04, in
// "…bc06sc04i00".
func (d device) bridge() bool {
	modalias, _ := d.attribute("modalias")
	last := strings.LastIndexByte(modalias, 's')
	return strings.HasPrefix(modalias, "pci:") && strings.HasPrefix(modalias[max(last, 0):], "sc"+pciBridgeSubclass)
}

// virtual returns the physical function of a virtual one (SR-IOV), and the suffix that tells it from its siblings.
func (d device) virtual() (physical device, suffix string, ok bool) {
	physical, ok = d.linked("physfn")
	if !ok {
		return device{}, "", false
	}
	for i := 0; ; i++ {
		function, ok := physical.linked(fmt.Sprintf("virtfn%d", i))
		switch {
		case !ok:
			return device{}, "", false
		case function.path == d.path:
			return physical, fmt.Sprintf("v%d", i), true
		}
	}
}

// pci names a card on PCI, with nothing but virtio between.
func (n *namer) pci() {
	card, ok := n.onBehindVirtio("pci")
	if !ok {
		return
	}
	suffix := ""
	if n.scheme.has(sriovV) {
		if physical, s, ok := card.virtual(); ok {
			card, suffix = physical, s
		}
	}
	if index, ok := card.onboardIndex(n.scheme); ok {
		n.Onboard = fmt.Sprintf("o%d", index) + n.port() + suffix
	}
	n.pciPlace(card, suffix)
}

// pciPlace makes the names for a place on PCI, of the card itself or of the controller of another bus.
func (n *namer) pciPlace(card device, suffix string) {
	p, ok := card.placeOf(n.scheme)
	if !ok {
		return
	}
	suffix = p.functionName() + n.port() + suffix
	n.Path = p.domainName() + fmt.Sprintf("p%ds%d", p.bus, p.slot) + suffix
	slot, ok := card.slot(n.scheme)
	switch {
	case ok && slot.unique:
		n.Slot = fmt.Sprintf("s%d", slot.number) + suffix
	case ok:
		n.Slot = p.domainName() + fmt.Sprintf("s%d", slot.number) + suffix
	}
}

// onboardIndex is the number that firmware gives to a device on the main board, by ACPI (_DSM) or SMBIOS (type 41).
func (d device) onboardIndex(scheme Scheme) (uint64, bool) {
	index, ok := d.number("acpi_index")
	if !ok {
		index, ok = d.number("index")
	}
	// Some firmware has nonsense there, VMware 2^24 - 1.
	highest := uint64(1<<14 - 1)
	if scheme.has(index16) {
		highest = 1<<16 - 1
	}
	if !ok || index > highest || index == 0 && !scheme.has(zeroIndex) {
		return 0, false
	}
	return index, true
}

// port tells the ports of one function apart, by the name on the front panel or by the number.
func (n *namer) port() string {
	// Most drivers have no such name, and reading is an error then.
	if name, ok := n.attribute("phys_port_name"); ok && name != "" {
		if function, ok := representor(name); ok && n.scheme.has(sriovR) {
			return "r" + function
		}
		return "n" + name
	}
	if port, ok := n.number("dev_port"); ok && port > 0 {
		return fmt.Sprintf("d%d", port)
	}
	return ""
}

// representor returns the number of the virtual function in the name of a port that stands for one: "pf0vf12".
func representor(port string) (string, bool) {
	rest, ok := strings.CutPrefix(port, "pf")
	physical, virtual, found := strings.Cut(rest, "vf")
	if _, err := strconv.ParseUint(physical, 10, 32); !ok || !found || err != nil {
		return "", false
	}
	end := 0
	for end < len(virtual) && virtual[end] >= '0' && virtual[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(virtual[:end], 10, 31)
	return strconv.FormatUint(n, 10), err == nil
}
