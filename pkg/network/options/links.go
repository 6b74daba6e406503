package options

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/liveboot/liveboot/pkg/network"
)

// VLAN reads the value of vlan=, <name>:<parent>. The name says the number, in one of four styles: vlan0005, vlan5, eth0.0005, eth0.5.
func VLAN(value string) (network.VLAN, error) {
	var m mistakes
	f, err := split(value)
	if err != nil {
		return network.VLAN{}, err
	}
	if len(f) != 2 || f[0] == "" || f[1] == "" {
		m.add("%q is no VLAN: want a name and the interface below it, vlan5:eth0 or eth0.5:eth0 say", value)
		return network.VLAN{}, m.err()
	}
	v := network.VLAN{Name: m.name("the VLAN", f[0]), Parent: m.link(f[1])}
	digits, ok := strings.CutPrefix(v.Name, "vlan")
	if dot := strings.LastIndexByte(v.Name, '.'); dot > 0 {
		digits, ok = v.Name[dot+1:], true
	}
	id, err := strconv.ParseUint(digits, 10, 16)
	switch {
	case !ok || err != nil:
		m.add("the VLAN name %q says no number: want vlan5, vlan0005, eth0.5 or eth0.0005", v.Name)
	case id < 1 || id > 4094:
		m.add("the VLAN name %q says the number %d: want one from 1 to 4094", v.Name, id)
	case v.Parent.Name == v.Name:
		m.add("the VLAN %q cannot be on itself", v.Name)
	}
	v.ID = int(id)
	if err := m.err(); err != nil {
		return network.VLAN{}, err
	}
	return v, nil
}

// ports reads a comma list of interfaces that are to belong to master.
func (m *mistakes) ports(master, list string) []network.Selector {
	var ports []network.Selector
	seen := make(map[network.Selector]bool)
	for word := range strings.SplitSeq(list, ",") {
		port := m.link(word)
		switch {
		case word == "":
			m.add("%s has a port without a name: want interfaces separated by commas, eth0,eth1 say", master)
		case port == network.Selector{Name: master}:
			m.add("%s cannot be a port of itself", master)
		case port != network.Selector{} && seen[port]:
			m.add("%s has the port %s twice", master, word)
		}
		seen[port] = true
		ports = append(ports, port)
	}
	return ports
}

// Bridge reads the value of bridge=, <name>:<ports>. Without a value it is br0:eth0, as dracut has it.
func Bridge(value string) (network.Bridge, error) {
	if value == "" {
		value = "br0:eth0"
	}
	var m mistakes
	f, err := split(value)
	if err != nil {
		return network.Bridge{}, err
	}
	if len(f) != 2 {
		m.add("%q is no bridge: want a name and its ports, br0:eth0,eth1 say", value)
		return network.Bridge{}, m.err()
	}
	b := network.Bridge{Name: m.name("the bridge", f[0]), Ports: m.ports(f[0], f[1])}
	if err := m.err(); err != nil {
		return network.Bridge{}, err
	}
	return b, nil
}

// Route reads the value of rd.route=, <net>[/<mask>]:[<gateway>][:<interface>]. Bits behind the mask are cleared, since the kernel refuses
// them and dracut's own manual has them.
func Route(value string) (network.StaticRoute, error) {
	var m mistakes
	f, err := split(value)
	if err != nil {
		return network.StaticRoute{}, err
	}
	f = append(f, "", "", "")
	var r network.StaticRoute
	r.Destination = m.destination(f[0])
	r.Gateway = m.address("the gateway", f[1])
	r.Link = m.link(f[2])
	m.end(f, 3)
	if f[1] == "" && f[2] == "" {
		m.add("the route to %s leads nowhere: want a gateway or an interface behind it, 192.0.2.0/24:192.0.2.1:eth0 say", f[0])
	}
	m.sameKind("gateway", r.Gateway, "network", r.Destination.Addr())
	if err := m.err(); err != nil {
		return network.StaticRoute{}, err
	}
	return r, nil
}

// destination reads a network; one without a mask is a single machine.
func (m *mistakes) destination(s string) netip.Prefix {
	text, mask, found := strings.Cut(unbracket(s), "/")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		m.add("%q is no network: want 192.0.2.0/24 or [2001:db8::]/32, say", s)
		return netip.Prefix{}
	}
	bits := a.BitLen()
	if zero, ok := dottedMask(mask); mask == "0" || ok && zero == 0 {
		bits = 0 // the default route
	} else if found {
		bits = m.mask(mask, a)
	}
	if bits < 0 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// IfName reads the value of ifname=, <name>:<mac>.
func IfName(value string) (network.NameRule, error) {
	var m mistakes
	name, mac, found := strings.Cut(value, ":")
	if !found {
		m.add("%q is no name for a card: want bootnet:52:54:00:12:34:56, say", value)
		return network.NameRule{}, m.err()
	}
	r := network.NameRule{Name: m.name("the interface", name), MAC: m.mac(mac)}
	if name == "lo" {
		m.add("%q is the name of the loopback: want another", name)
	}
	if err := m.err(); err != nil {
		return network.NameRule{}, err
	}
	return r, nil
}

// Bootif reads the value of BOOTIF=, as PXELINUX's SYSAPPEND 2 and other boot loaders write it: the hardware type of ARP (01 is Ethernet),
// which may be missing, and the address, with "-" or ":" between.
func Bootif(value string) (network.Selector, error) {
	var m mistakes
	mac := strings.ReplaceAll(value, ":", "-")
	if hardware, rest, found := strings.Cut(mac, "-"); found && strings.Count(mac, "-") == 6 {
		if hardware != "01" {
			m.add("%q is an interface of the hardware type %s: want Ethernet, which is 01", value, hardware)
			return network.Selector{}, m.err()
		}
		mac = rest
	}
	if strings.Count(mac, "-") != 5 || m.mac(mac) == "" {
		m = mistakes{}
		m.add("%q is no card: want 01- and its hardware address, 01-52-54-00-12-34-56 say", value)
		return network.Selector{}, m.err()
	}
	return network.ParseSelector(mac), nil
}

// Link reads the name or hardware address of an interface, the value of bootdev= say.
func Link(value string) (network.Selector, error) {
	var m mistakes
	if value == "" {
		m.add("no interface: want a name like eth0, or a hardware address like 52-54-00-12-34-56")
	}
	return m.link(value), m.err()
}

// Nameserver reads the address of another machine, the value of nameserver= or gateway=, with brackets or without. It is the zero Addr for
// 0.0.0.0 and [::], which boot loaders write where they know none.
func Nameserver(value string) (netip.Addr, error) {
	var m mistakes
	if value == "" {
		m.add("no address: want 192.0.2.1 or 2001:db8::1, say")
	}
	return m.address("a server", value), m.err()
}
