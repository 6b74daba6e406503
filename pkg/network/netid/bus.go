package netid

import (
	"fmt"
	"strconv"
	"strings"
)

// usb names a USB card after the ports through which it is plugged in: "1-2.3:1.0" is port 3 of a hub at port 2 of bus 1, in
// configuration 1 with interface 0, which are not mentioned.
func (n *namer) usb() {
	function, ok := n.ancestor("usb", "usb_interface")
	if !ok {
		return
	}
	_, rest, hasPorts := strings.Cut(function.base(), "-")
	ports, rest, hasConfiguration := strings.Cut(rest, ":")
	configuration, number, hasInterface := strings.Cut(rest, ".")
	if !hasPorts || !hasConfiguration || !hasInterface {
		return
	}
	suffix := "u" + strings.ReplaceAll(ports, ".", "u")
	if configuration != "1" {
		suffix += "c" + configuration
	}
	if number != "0" {
		suffix += "i" + number
	}
	if controller, ok := function.ancestor("pci", ""); ok {
		n.pciPlace(controller, suffix)
	} else if n.scheme.has(usbHost) {
		n.Path = suffix
	}
}

// bcma names a card on Broadcom's bus inside a chip: "bcma0:1" is core 1 of bus 0. Core 0 is not mentioned.
func (n *namer) bcma() {
	core, ok := n.ancestor("bcma", "")
	if !ok {
		return
	}
	bridge, ok := core.ancestor("pci", "")
	if !ok {
		return
	}
	_, number, _ := strings.Cut(core.base(), ":")
	c, err := strconv.ParseUint(number, 10, 32)
	switch {
	case err != nil:
	case c == 0:
		n.pciPlace(bridge, "")
	default:
		n.pciPlace(bridge, fmt.Sprintf("b%d", c))
	}
}

// ccw names a card on the channel subsystem of IBM Z: "0.0.0600" becomes c600.
func (n *namer) ccw() {
	card, ok := n.onBehindVirtio("ccwgroup", "ccw")
	if id := card.base(); ok && (len(id) == 8 || len(id) == 9) {
		short := strings.TrimLeft(id, ".0")
		if short == "" {
			short = "0"
		}
		n.Path = "c" + short
	}
}

// platform names a card that ACPI describes, as on arm64: "HISI00C2:00" is the vendor with three or four characters, the model with
// four hexadecimal digits, and the number of the device.
func (n *namer) platform() {
	card, ok := n.on("platform")
	if !ok || card.path != "devices/platform/"+card.base() {
		return
	}
	id, instance, _ := strings.Cut(card.base(), ":")
	vendorEnd := len(id) - 4
	if vendorEnd != 3 && vendorEnd != 4 || len(instance) != 2 {
		return
	}
	for _, b := range []byte(id[:vendorEnd]) {
		letter := b >= 'A' && b <= 'Z'
		// A vendor of PNP has letters only, one of ACPI also digits.
		if digit := b >= '0' && b <= '9'; !letter && (!digit || vendorEnd == 3) {
			return
		}
	}
	model, err1 := strconv.ParseUint(id[vendorEnd:], 16, 16)
	number, err2 := strconv.ParseUint(instance, 16, 8)
	if err1 == nil && err2 == nil {
		n.Path = fmt.Sprintf("a%s%xi%d", strings.ToLower(id[:vendorEnd]), model, number)
	}
}

// xen names a virtual interface of a Xen guest: devices/vif-0.
func (n *namer) xen() {
	card, ok := n.on("xen")
	if !ok || !n.scheme.has(xenVIF) {
		return
	}
	text, ok := strings.CutPrefix(card.path, "devices/vif-")
	number, err := strconv.ParseUint(text, 10, 32)
	if ok && err == nil && strconv.FormatUint(number, 10) == text {
		n.Slot = "X" + text
	}
}
