package disk

import (
	"cmp"
	"strings"
)

// usbID is what usb_id calls the disk that the SCSI device is: "Kingston_DataTraveler_0123456789-0:0". Where the interface speaks SCSI, the
// names are the SCSI device's, and target and unit are part of it, since the units of a card reader share the serial number.
func usbID(dev node) string {
	face, ok := dev.above("usb", "usb_interface")
	if !ok {
		return ""
	}
	usb, ok := face.above("usb", "usb_device")
	if !ok {
		return ""
	}
	var vendor, model, unit string
	if class := face.attr("bInterfaceSubClass"); face.attr("bInterfaceClass") == "08" && (class == "06" || class == "02") {
		if address := strings.Split(dev.base(), ":"); len(address) == 4 {
			vendor, model = word(dev.attr("vendor")), word(dev.attr("model"))
			unit = "-" + address[2] + ":" + address[3]
		}
	}
	if vendor == "" {
		vendor = word(cmp.Or(usb.attr("manufacturer"), usb.attr("idVendor")))
	}
	if model == "" {
		model = word(cmp.Or(usb.attr("product"), usb.attr("idProduct")))
	}
	name := vendor + "_" + model
	if serial := usb.attr("serial"); usbSerial(serial) {
		name += "_" + word(serial)
	}
	return name + unit
}

// usbSerial says whether a serial number can be believed: Microsoft's rules for it name the characters, and devices without a
// number that send garbage break them.
func usbSerial(s string) bool {
	return word(s) != "" && strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7f || r == ',' }) < 0
}
