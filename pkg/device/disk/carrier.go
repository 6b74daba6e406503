package disk

import (
	"fmt"
	"strconv"
	"strings"
)

// A scsiAddress is host:channel:target:lun.
type scsiAddress struct {
	host, channel, target int
	lun                   uint64
}

func parseAddress(s string) (scsiAddress, bool) {
	var a scsiAddress
	n, err := fmt.Sscanf(s, "%d:%d:%d:%d", &a.host, &a.channel, &a.target, &a.lun)
	return a, n == 4 && err == nil
}

// unit is the logical unit: a number, or beyond 255 the first two levels of SAM-5 4.7 as the kernel packs them (scsilun_to_int).
func (a scsiAddress) unit() string {
	if a.lun < 256 {
		return fmt.Sprintf("lun-%d", a.lun)
	}
	return fmt.Sprintf("lun-0x%04x%04x00000000", a.lun&0xffff, a.lun>>16&0xffff)
}

func hostNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "host")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil
}

// plainSCSI names a device by its address, where hosts are counted from the first of their controller on.
func plainSCSI(host node, a scsiAddress) string {
	lowest, _ := lowestHost(host)
	return fmt.Sprintf("scsi-%d:%d:%d:%d", a.host-lowest, a.channel, a.target, a.lun)
}

// ata names a disk by the port of its controller; the part behind the point is the drive on a cable, or the port of a multiplier.
// Before version 248, udev left it out.
func ata(host node, a scsiAddress) []string {
	above, ok := host.parent()
	if !ok {
		return nil
	}
	port, ok := host.class("ata_port", above.base())
	number := port.attr("port_no")
	if !ok || number == "" {
		return nil
	}
	drive := a.target
	if a.channel != 0 {
		return []string{fmt.Sprintf("ata-%s.%d.0", number, a.channel), "ata-" + number}
	}
	return []string{fmt.Sprintf("ata-%s.%d", number, drive), "ata-" + number}
}

func fibreChannel(dev node, a scsiAddress) string {
	target, ok := dev.above("scsi", "scsi_target")
	if !ok {
		return ""
	}
	remote, _ := dev.class("fc_transport", target.base())
	port := remote.attr("port_name")
	if port == "" {
		return ""
	}
	return "fc-" + port + "-" + a.unit()
}

func iscsi(dev node, a scsiAddress) string {
	for session := range dev.chain {
		number, ok := strings.CutPrefix(session.base(), "session")
		if !ok {
			continue
		}
		s, _ := dev.class("iscsi_session", session.base())
		c, _ := dev.class("iscsi_connection", "connection"+number+":0")
		target, address, port := s.attr("targetname"), c.attr("persistent_address"), c.attr("persistent_port")
		if target == "" || address == "" || port == "" {
			return ""
		}
		return fmt.Sprintf("ip-%s:%s-iscsi-%s-%s", address, port, target, a.unit())
	}
	return ""
}

// hyperV names a disk by the GUID of the virtual machine's controller.
func hyperV(dev node, a scsiAddress) string {
	host, ok := dev.above("scsi", "scsi_host")
	if !ok {
		return ""
	}
	controller, ok := host.parent()
	if !ok {
		return ""
	}
	guid := controller.attr("device_id")
	if !strings.HasPrefix(guid, "{") || !strings.HasSuffix(guid, "}") {
		return ""
	}
	return "vmbus-" + strings.ReplaceAll(guid[1:len(guid)-1], "-", "") + "-" + a.unit()
}

// sas names a disk by the phy that it is plugged into, and one that is behind several phys by its own address.
func sas(dev node, a scsiAddress) string {
	target, ok := dev.above("scsi", "scsi_target")
	if !ok {
		return ""
	}
	end, ok := target.parent()
	if !ok {
		return ""
	}
	device, ok := dev.class("sas_device", end.base())
	if !ok {
		return ""
	}
	above, _ := end.parent()
	port, ok := dev.class("sas_port", above.base())
	if !ok {
		return ""
	}
	if port.attr("num_phys") != "1" {
		return "sas-" + device.attr("sas_address") + "-" + a.unit()
	}
	phy := "phy" + device.attr("phy_identifier") + "-" + a.unit()
	behind, _ := above.parent()
	if expander, ok := dev.class("sas_device", behind.base()); ok {
		return "sas-exp" + expander.attr("sas_address") + "-" + phy
	}
	return "sas-" + phy
}
