package disk

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// An inquiry is what every SCSI device says of itself, SPC-4 6.6.2.
type inquiry struct{ vendor, model string } // 8 and 16 bytes, filled up with spaces

const vendorLength, modelLength = 8, 16

// parseInquiry reads the answer of INQUIRY. One that is too short, or none, is made up from what sysfs has as text.
func parseInquiry(data []byte, dev node) inquiry {
	if len(data) >= 16+modelLength {
		return inquiry{string(data[8:16]), string(data[16 : 16+modelLength])}
	}
	return inquiry{fmt.Sprintf("%-*s", vendorLength, dev.attr("vendor")), fmt.Sprintf("%-*s", modelLength, dev.attr("model"))}
}

// A designator is a name of a logical unit, SPC-4 7.8.6.
type designator struct {
	kind  byte   // of the names: 0 is the vendor's own, 1 T10, 2 EUI-64, 3 NAA, 8 a SCSI name
	value string // text as it stands there, binary as hexadecimal digits
}

// Kinds of designators.
const (
	kindVendor = 0
	kindT10    = 1
	kindEUI64  = 2
	kindNAA    = 3
	kindName   = 8
)

// parsePage83 returns the designators of the page Device Identification, SPC-4 7.8.6.
func parsePage83(page []byte) []designator {
	if len(page) < 7 || page[1] != 0x83 {
		return nil
	}
	length := int(page[2])<<8 | int(page[3])
	if page[6] != 0 {
		// Before SPC-2 the page was a name and nothing else. In a designator this byte is reserved.
		body := page[4:]
		return []designator{{kindNAA, hex.EncodeToString(body[:min(len(body), int(page[3]))])}}
	}
	var all []designator
	for rest := page[4:min(len(page), 4+length)]; len(rest) >= 4; {
		n := int(rest[3])
		if len(rest) < 4+n {
			break
		}
		head, body := rest[:4], rest[4:4+n]
		rest = rest[4+n:]
		association, codeSet, kind := head[1]>>4&3, head[0]&0xf, head[1]&0xf
		if association != 0 || n == 0 { // other than of the logical unit
			continue
		}
		switch {
		case codeSet == 1:
			all = append(all, designator{kind, hex.EncodeToString(body)})
		case codeSet == 2, kind == kindName: // ASCII; a SCSI name is UTF-8
			all = append(all, designator{kind, text(body)})
		}
	}
	return all
}

// parsePage80 returns the serial number of the page Unit Serial Number, SPC-4 7.8.15.
func parsePage80(page []byte) string {
	if len(page) < 4 || page[1] != 0x80 {
		return ""
	}
	return text(page[4:min(len(page), 4+int(page[3]))])
}

// scsiIDs are the names below disk/by-id that scsi_id gives, which takes the first of them that a device has, and those of sg3_utils'
// rules (SUSE, Red Hat), which gives all.
func scsiIDs(inq inquiry, serial string, designators []designator) []string {
	var ids []string
	add := func(prefix, value string) {
		if joinWords(value) != "" {
			ids = append(ids, replaceChars(prefix+joinWords(value), ""))
		}
	}
	words := joinWords(inq.vendor) + "_" + joinWords(inq.model) + "_"
	for _, d := range designators {
		switch d.kind {
		case kindVendor:
			// scsi_id puts the names of fixed length together, which differs if one fills its place.
			add("scsi-", "0"+inq.vendor+inq.model+d.value)
			add("scsi-0"+words, d.value)
		case kindT10, kindEUI64, kindNAA:
			add("scsi-"+string('0'+d.kind), d.value)
		case kindName:
			add("scsi-8", d.value)
		}
		if d.kind == kindNAA {
			add("wwn-0x", d.value[:min(len(d.value), 32)])
		}
	}
	if joinWords(serial) != "" {
		add("scsi-", "S"+inq.vendor+inq.model+serial)
		add("scsi-S"+words, serial)
	}
	return ids
}

// pageSize is how much of a page is asked for: the length must fit in a byte for old devices.
const pageSize = 254

// page returns a page of vital product data. The kernel keeps the usual ones, except of devices that call themselves old.
func (p *prober) page(dev node, path string, number byte) []byte {
	if page := dev.bytes(fmt.Sprintf("vpd_pg%x", number)); page != nil || p.onUSB(dev) {
		return page
	}
	page := make([]byte, pageSize)
	if err := p.command(path, []byte{opInquiry, 1, number, 0, pageSize, 0}, page); err != nil {
		return nil
	}
	return page
}

// onUSB says whether a SCSI device is a USB one. Many of those hang when they are asked for pages, so the kernel does not, nor does udev.
func (p *prober) onUSB(dev node) bool {
	_, ok := dev.above("usb", "")
	return ok
}

// scsi returns the names below disk/by-id of a SCSI device, and what people call it.
func (p *prober) scsi(disk, dev node, path string) (ids []string, model string) {
	inq := parseInquiry(dev.bytes("inquiry"), dev)
	vendor, kind, usb := strings.TrimSpace(inq.vendor), dev.attr("type"), p.onUSB(dev)
	model = strings.TrimSpace(vendor + " " + strings.TrimSpace(inq.model))

	packet := kind == "5"
	if vendor == "ATA" || packet && dev.number("scsi_level") >= 6 || usb && disk.attr("removable") == "0" {
		if ata, err := p.identify(dev, path, packet); err == nil {
			ids, model = append(ids, ata.ids()...), strings.Join(strings.Fields(ata.model), " ")
		}
	}
	if name := usbID(dev); usb && name != "" {
		ids = append(ids, "usb-"+name)
	}
	ids = append(ids, scsiIDs(inq, parsePage80(p.page(dev, path, 0x80)), parsePage83(p.page(dev, path, 0x83)))...)
	if id := dev.inherited("ieee1394_id"); id != "" {
		ids = append(ids, "ieee1394-"+joinWords(id))
	}
	return ids, model
}
