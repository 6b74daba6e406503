package dhcp4

import (
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"math"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/liveboot/liveboot/pkg/network"
)

// Firmware is what PXE firmware says of the machine, RFC 4578.
type Firmware struct {
	// Arch is the value of option 93, as IANA registers them ("Processor Architecture Types"), and Interface that of 94. Both are left
	// out where Interface is zero.
	Arch      uint16
	Interface [3]byte
	// UUID is the machine's, as SMBIOS stores it, the value of option 97 behind its type; zero leaves it out.
	UUID [16]byte
}

// ReadFirmware finds out what firmware started the machine, from sysfs at /sys. goarch is a runtime.GOARCH.
func ReadFirmware(sysfs fs.FS, goarch string) Firmware {
	var f Firmware
	_, err := fs.Stat(sysfs, "firmware/efi")
	efi := err == nil
	// The versions of the interface that UEFI's and BIOS's network drivers have, UNDI 3.0 and 2.1.
	switch {
	case goarch == "amd64" && efi:
		f.Arch, f.Interface = 7, [3]byte{1, 3, 0}
		if size, err := fs.ReadFile(sysfs, "firmware/efi/fw_platform_size"); err == nil && strings.TrimSpace(string(size)) == "32" {
			f.Arch = 6
		}
	case goarch == "amd64":
		f.Arch, f.Interface = 0, [3]byte{1, 2, 1}
	case goarch == "arm64" && efi:
		f.Arch, f.Interface = 11, [3]byte{1, 3, 0}
	}
	if text, err := fs.ReadFile(sysfs, "class/dmi/id/product_uuid"); err == nil {
		f.UUID = wireUUID(strings.TrimSpace(string(text)))
	}
	return f
}

// wireUUID reads a UUID as the kernel prints it, and returns it as SMBIOS stores it and firmware sends it: the first three fields have
// their least octet first. It is zero for what is none.
func wireUUID(text string) [16]byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != 16 {
		return [16]byte{}
	}
	uuid := [16]byte(raw)
	binary.LittleEndian.PutUint32(uuid[0:], binary.BigEndian.Uint32(raw[0:]))
	binary.LittleEndian.PutUint16(uuid[4:], binary.BigEndian.Uint16(raw[4:]))
	binary.LittleEndian.PutUint16(uuid[6:], binary.BigEndian.Uint16(raw[6:]))
	return uuid
}

// options returns the options 93, 94 and 97.
func (f Firmware) options() []dhcpv4.Option {
	var options []dhcpv4.Option
	if f.Interface != [3]byte{} {
		options = append(options,
			dhcpv4.OptGeneric(dhcpv4.OptionClientSystemArchitectureType, binary.BigEndian.AppendUint16(nil, f.Arch)),
			dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, f.Interface[:]),
		)
	}
	if f.UUID != [16]byte{} {
		options = append(options, dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, f.UUID[:]...)))
	}
	return options
}

// maxSize is the largest message that we take, option 57: what fits into a packet of Ethernet, whether a server counts its headers or not.
const maxSize = 1500 - 28

// bare returns a message with what all must have. The client identifier is that of PXE firmware and of KIWI's live systems, hardware
// type and address (RFC 2132, section 9.14): the same address is given to all three.
func bare(kind dhcpv4.MessageType, link network.Link) (*dhcpv4.DHCPv4, error) {
	return dhcpv4.New(
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithHwAddr(link.MAC),
		dhcpv4.WithOption(dhcpv4.OptClientIdentifier(append([]byte{1}, link.MAC...))),
	)
}

// message returns a message that asks for all that a lease can have.
func (c Client) message(kind dhcpv4.MessageType, link network.Link) (*dhcpv4.DHCPv4, error) {
	m, err := bare(kind, link)
	if err != nil {
		return nil, err
	}
	// Classless routes stand before the router, RFC 3442.
	m.UpdateOption(dhcpv4.OptParameterRequestList(
		dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
		dhcpv4.OptionHostName, dhcpv4.OptionDomainName, dhcpv4.OptionRootPath, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionNTPServers,
		dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue, dhcpv4.OptionDNSDomainSearchList,
	))
	m.UpdateOption(dhcpv4.OptMaxMessageSize(maxSize))
	for _, o := range c.Firmware.options() {
		m.UpdateOption(o)
	}
	return m, nil
}

// seconds is a time for the field "secs".
func seconds(d time.Duration) uint16 { return uint16(min(d/time.Second, math.MaxUint16)) }

// because returns a server's words, if there are any, in brackets.
func because(m *dhcpv4.DHCPv4) string {
	if m.Message() == "" {
		return ""
	}
	return " (" + strings.ToValidUTF8(m.Message(), "?") + ")"
}
