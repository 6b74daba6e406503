package handover

import "fmt"

// networkd returns the files for systemd-networkd and, where a name or a hardware address needs it, for udev, systemd.link(5). Those of /run, /etc and /usr/lib are sorted by name
// together, and the first that matches a link counts: 05 is before what images bring.
//
// Bonds, bridges and VLANs get no .netdev file: they exist, and networkd leaves what it did not make. For the same reason the links below
// them are not managed: packets pass through them all the time.
func (c *connection) networkd() []File {
	var files []File
	add := func(suffix string, u *unit) {
		files = append(files, File{Path: "run/systemd/network/05-liveboot-" + c.link.Name + suffix, Mode: 0o644, Content: u.text})
	}
	switch {
	case c.pinned:
		u := newUnit()
		c.match(u)
		u.section("Link")
		u.set("Name", c.link.Name)
		u.set("AlternativeNamesPolicy", "database onboard slot path")
		add(".link", u)
	case c.link.Kind != card:
		// A bridge has the address of a port; udev would give it another, and the server another lease to that.
		u := newUnit()
		u.section("Match")
		u.set("OriginalName", c.link.Name)
		u.set("Type", c.link.Kind)
		u.section("Link")
		u.set("MACAddressPolicy", "none")
		add(".link", u)
	}
	u := newUnit()
	c.match(u)
	if c.below {
		u.section("Link")
		u.set("Unmanaged", "yes")
	} else {
		c.networkUnit(u)
	}
	add(".network", u)
	return files
}

// noGenerator keeps systemd-network-generator(8) from reading the kernel command line once more. What it would make of ip= and the like is
// there already, and it fails, and with it the state of the system, at the forms that it does not know: PXELINUX's, or hardware addresses.
//
// The folder is that of `systemctl set-property --runtime`. In /run/systemd/system it would be more usual, but where that is programs believe
// that systemd runs, sd_booted(3), which it may not.
func noGenerator() File {
	u := newUnit()
	u.section("Unit")
	u.set("ConditionPathExists", "!/"+descriptionPath)
	return File{Path: "run/systemd/system.control/systemd-network-generator.service.d/liveboot.conf", Mode: 0o644, Content: u.text}
}

// match picks the link. A card is known by its hardware address, which its VLANs, bonds and bridges have as well: Type tells them apart, and is
// understood by every version, which Kind is not. What is made of others has the name that it was given.
func (c *connection) match(u *unit) {
	u.section("Match")
	switch {
	case c.link.Kind != card:
		u.set("Name", c.link.Name)
		u.set("Type", c.link.Kind)
	case len(c.link.PermanentMAC) != 0:
		u.set("PermanentMACAddress", c.link.PermanentMAC.String())
		u.set("Type", "ether")
	default:
		u.set("MACAddress", c.link.MAC.String())
		u.set("Type", "ether")
	}
}

// networkUnit writes the sections of a .network file behind the first.
func (c *connection) networkUnit(u *unit) {
	u.section("Link")
	u.set("RequiredForOnline", yes(c.primary))
	if c.mtu != 0 {
		u.set("MTUBytes", fmt.Sprint(c.mtu))
	}
	u.section("Network")
	u.set("DHCP", map[[2]bool]string{{}: "no", {true, false}: "ipv4", {false, true}: "ipv6", {true, true}: "yes"}[[2]bool{c.dhcp4, c.dhcp6}])
	u.set("IPv6AcceptRA", yes(c.ra))
	// Without this networkd takes away the address that it finds, and asks anybody for another. With it the address stays, also when a lease
	// runs out that nobody renewed, as is usual for a machine whose root comes over the network.
	u.set("KeepConfiguration", "yes")
	for _, r := range c.resolvers {
		u.set("DNS", r.String())
	}
	for _, l := range c.static {
		u.section("Address")
		u.set("Address", own(l).String())
		if l.Peer.IsValid() {
			u.set("Peer", alone(l.Peer).String())
		}
		u.set("RouteMetric", c.metric(l.Address.Addr()))
	}
	for _, r := range c.routes {
		u.section("Route")
		u.set("Destination", r.Destination.String())
		if r.Gateway.IsValid() {
			u.set("Gateway", r.Gateway.String())
		}
		if r.onLink {
			u.set("GatewayOnLink", "yes")
		}
		u.set("Metric", c.metric(r.Destination.Addr()))
	}
	c.clientSections(u)
}

// clientSections say how servers are asked, and what of their answers is used: all that the initramfs used.
func (c *connection) clientSections(u *unit) {
	use := yes(!c.ignoreDNS)
	if c.dhcp4 {
		u.section("DHCPv4")
		u.set("ClientIdentifier", "mac")
		u.set("RouteMetric", fmt.Sprint(c.metric4))
		u.set("UseDNS", use)
		u.set("UseDomains", use)
		u.set("UseMTU", yes(c.mtu == 0))
		if c.hostname != "" {
			u.set("UseHostname", "no")
		}
	}
	if !c.ra {
		return
	}
	u.section("IPv6AcceptRA")
	u.set("UseDNS", use)
	u.set("UseDomains", use)
	u.section("DHCPv6")
	u.set("DUIDType", "link-layer")
	u.set("IAID", fmt.Sprint(c.iaid()))
	u.set("UseDNS", use)
	u.set("UseDomains", use)
	if c.dhcp6 {
		u.set("WithoutRA", "solicit")
	}
}
