package handover

import (
	"crypto/sha1"
	"fmt"
	"net/netip"
	"strings"

	"github.com/liveboot/liveboot/pkg/network"
)

// networkManager returns the files for NetworkManager: the profile, below devices/ that the profile is active on the link, and the last lease.
// They are those that it writes itself to survive a restart. It then takes over the link with its addresses and routes as they are, ports and
// all, and asks for the leased address with a REQUEST.
func (c *connection) networkManager() []File {
	const dir = "run/NetworkManager/"
	device := newUnit()
	device.section("device")
	device.set("managed", "true")
	device.set("connection-uuid", c.uuid())
	files := []File{
		// A profile that others can read is refused.
		{Path: dir + "system-connections/liveboot-" + c.link.Name + ".nmconnection", Mode: 0o600, Content: c.profile()},
		{Path: fmt.Sprintf("%sdevices/%d", dir, c.link.Index), Mode: 0o644, Content: device.text},
	}
	if c.leased.IsValid() {
		files = append(files, File{
			Path: fmt.Sprintf("%sinternal-%s-%s.lease", dir, c.uuid(), c.link.Name), Mode: 0o644,
			Content: fmt.Appendf(nil, "# Made by liveboot.\nADDRESS=%v\n", c.leased),
		})
	}
	return files
}

// uuid names the profile: the same on every boot of this machine, RFC 9562, section 5.5.
func (c *connection) uuid() string { return uuidOf(c.link) }

func uuidOf(l network.Link) string {
	c := connection{link: l}
	name := l.Name
	if l.Kind == card {
		name = c.hardware().String()
	}
	id := sha1.Sum([]byte("\x1c\x9f\x0b\x5e\x0d\x6a\x4a\x7e\x9d\x0e\x53\x2b\x7a\x61\x94\xf3" + l.Kind + " " + name))
	id[6], id[8] = id[6]&0x0f|0x50, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}

// profile is the keyfile, nm-settings-keyfile(5).
func (c *connection) profile() []byte {
	u := newUnit()
	u.section("connection")
	u.set("id", "liveboot "+c.link.Name)
	u.set("uuid", c.uuid())
	if c.link.Kind == card {
		u.set("type", "ethernet")
	} else {
		u.set("type", c.link.Kind)
		u.set("interface-name", c.link.Name)
	}
	// Before the profiles of the image, for a cable that is pulled and plugged in again.
	u.set("autoconnect-priority", "100")
	if c.master != nil {
		u.set("master", uuidOf(*c.master))
		u.set("slave-type", c.master.Kind)
	}
	c.wired(u)
	c.virtual(u)
	if c.master != nil {
		return u.text
	}
	c.ip(u, netip.Addr.Is4)
	c.ip(u, netip.Addr.Is6)
	return u.text
}

// wired writes what all links on an Ethernet have. The card is picked by its hardware address, since the live system may have another name for it.
func (c *connection) wired(u *unit) {
	if c.link.Kind != card && c.mtu == 0 && c.mac == "" {
		return
	}
	u.section("ethernet")
	if c.link.Kind == card {
		u.set("mac-address", strings.ToUpper(c.hardware().String()))
	}
	if c.mac != "" {
		u.set("cloned-mac-address", strings.ToUpper(c.mac))
	}
	if c.mtu != 0 {
		u.set("mtu", fmt.Sprint(c.mtu))
	}
}

// virtual writes what a link that is made of others needs to be made again.
func (c *connection) virtual(u *unit) {
	switch c.link.Kind {
	case vlan:
		u.section("vlan")
		u.set("id", fmt.Sprint(c.vlanID))
		if c.parent != nil {
			u.set("parent", c.parent.Name)
		}
	case bond:
		u.section("bond")
		for _, o := range c.options {
			u.set(o.Name, o.Value)
		}
	case bridge:
		u.section("bridge")
		u.set("stp", "false")
	}
}

// ip writes the section of one version of IP.
func (c *connection) ip(u *unit, of func(netip.Addr) bool) {
	v4 := of(netip.IPv4Unspecified())
	if v4 {
		u.section("ipv4")
	} else {
		u.section("ipv6")
	}
	method, gateway := c.method(v4)
	u.set("method", method)
	n := 0
	for _, l := range c.static {
		if of(l.Address.Addr()) {
			n++
			u.set(fmt.Sprintf("address%d", n), own(l).String())
		}
	}
	if gateway.IsValid() {
		u.set("gateway", gateway.String())
	}
	c.nmRoutes(u, of, gateway)
	var resolvers strings.Builder
	for _, r := range c.resolvers {
		if of(r) && r.Zone() == "" { // which it has no way to write
			resolvers.WriteString(r.String() + ";")
		}
	}
	if resolvers.Len() != 0 && method != "disabled" {
		u.set("dns", resolvers.String())
	}
	if v4 && method == "auto" {
		u.set("dhcp-client-id", "mac")
	}
	switch {
	case method == "disabled":
	case v4:
		u.set("route-metric", fmt.Sprint(c.metric4))
	default:
		u.set("route-metric", fmt.Sprint(c.metric6))
		// The kernel's own way to make addresses, and what the initramfs told the server.
		u.set("addr-gen-mode", "eui64")
		u.set("dhcp-duid", "ll")
		u.set("dhcp-iaid", fmt.Sprint(c.iaid()))
	}
	if c.ignoreDNS && method == "auto" {
		u.set("ignore-auto-dns", "true")
	}
}

// method returns how addresses are got, and the gateway for those that nobody leased.
func (c *connection) method(v4 bool) (method string, gateway netip.Addr) {
	static := false
	for _, l := range c.static {
		if l.Address.Addr().Is4() == v4 {
			static = true
			if g := l.Gateway(); g.IsValid() {
				gateway = g
			}
		}
	}
	switch {
	case c.below:
		return "disabled", gateway
	case v4 && c.dhcp4, !v4 && c.ra:
		return "auto", gateway
	case static:
		return "manual", gateway
	case !v4:
		return "link-local", gateway
	}
	return "disabled", gateway
}

// nmRoutes writes the routes but the default one, which follows from the gateway.
func (c *connection) nmRoutes(u *unit, of func(netip.Addr) bool, gateway netip.Addr) {
	n := 0
	for _, l := range c.static {
		if l.Peer.IsValid() && of(l.Peer) { // which an address cannot have
			n++
			u.set(fmt.Sprintf("route%d", n), alone(l.Peer).String())
		}
	}
	for _, r := range c.routes {
		if !of(r.Destination.Addr()) || r.Destination.Bits() == 0 && r.Gateway == gateway {
			continue
		}
		n++
		route := r.Destination.String()
		if r.Gateway.IsValid() {
			route += "," + r.Gateway.String()
		}
		u.set(fmt.Sprintf("route%d", n), route)
		if r.onLink {
			u.set(fmt.Sprintf("route%d_options", n), "onlink=true")
		}
	}
}
