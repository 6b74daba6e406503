package template

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Where Linux shows what the firmware says, below /sys: SMBIOS tables (Documentation/ABI/testing/sysfs-class-dmi) and, where there is
// one, the device tree, whose /serial-number ends with a zero byte (Devicetree Specification 2.3).
const (
	dmiUUID          = "class/dmi/id/product_uuid"
	dmiSerial        = "class/dmi/id/product_serial"
	deviceTreeSerial = "firmware/devicetree/base/serial-number"
)

// ReadFirmware reads UUID and Serial from a file system like /sys. What the firmware does not tell, or tells with a filler, stays empty.
func ReadFirmware(sys fs.FS, facts *Facts) error {
	uuid, err1 := read(sys, dmiUUID)
	serial, err2 := read(sys, dmiSerial)
	var err3 error
	if serial == "" {
		serial, err3 = read(sys, deviceTreeSerial)
	}
	// The kernel writes it in lower case, other tools do not: the name on a server is one.
	facts.UUID, facts.Serial = strings.ToLower(uuid), serial
	return errors.Join(err1, err2, err3)
}

// read returns the text of a file, and "" if there is none.
func read(sys fs.FS, name string) (string, error) {
	b, err := fs.ReadFile(sys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read what the firmware says: %w", err)
	}
	text := strings.TrimSpace(strings.TrimRight(string(b), "\x00"))
	if filler(text) {
		return "", nil
	}
	return text, nil
}

// filler tells what makers of boards leave in the place of a UUID or a serial number. It is the same on many machines, so it names none.
func filler(text string) bool {
	switch strings.ToLower(text) {
	case "not specified", "not applicable", "none", "n/a", "default string", "system serial number", "to be filled by o.e.m.", "unknown", "invalid":
		return true
	}
	// All zeros, all ones (SMBIOS 3.7, 7.2.1: not there, not set).
	return strings.Trim(text, "0-") == "" || strings.Trim(text, "fF-") == ""
}
