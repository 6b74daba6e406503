package handover

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/liveboot/liveboot/pkg/network"
)

// The kinds of a network.Link.
const (
	card   = ""
	vlan   = "vlan"
	bond   = "bond"
	bridge = "bridge"
)

// A connection is what a network manager is to do with one link, independent of who it is.
type connection struct {
	link    network.Link
	primary bool
	// pinned says that the name of the card is one that the live system would not find by itself.
	pinned bool

	// below is set on links that only carry others: ports of bonds and bridges, and parents of VLANs. They have no addresses.
	below  bool
	master *network.Link

	// Of virtual links, what they were asked to be.
	vlanID  int
	parent  *network.Link
	options []network.BondOption

	// dhcp4 asks a DHCPv4 server; leased is the address that it gave, where it did.
	dhcp4  bool
	leased netip.Addr
	// dhcp6 asks a DHCPv6 server whatever the router advertisements say; ra heeds those. Without either, linkLocal tells that the
	// link-local address is enough.
	dhcp6, ra, linkLocal bool
	// static are the addresses that nobody leased.
	static []network.Lease
	// routes are those beside the leases'.
	routes    []staticRoute
	resolvers []netip.Addr
	ignoreDNS bool
	// mtu in bytes, and mac, if they were asked for.
	mtu int
	mac string
	// hostname, if it was asked for.
	hostname string
	// metric of the routes of IPv4, and of those of IPv6 that are not from a router.
	metric4, metric6 int
}

// staticRoute is a route and whether its gateway is outside of the link's subnets.
type staticRoute struct {
	network.Route
	onLink bool
}

// connections returns one for each link that is active or below one that is.
func connections(s State) []connection {
	links := s.links()
	var all []connection
	for _, a := range s.Active {
		c := connection{link: a.Link, primary: a.Primary, pinned: s.pinned(a.Link), ignoreDNS: s.Config.IgnorePeerDNS}
		c.made(s, links)
		c.addressed(s, a)
		all = append(all, c)
	}
	used := s.used(links)
	for _, l := range links {
		if !used[l.Index] {
			continue
		}
		c := connection{link: l, pinned: s.pinned(l), below: true}
		c.made(s, links)
		all = append(all, c)
	}
	return all
}

// links returns every link that the state names, once, by index.
func (s State) links() []network.Link {
	var links []network.Link
	add := func(l network.Link) {
		if !l.Gone && !slices.ContainsFunc(links, func(other network.Link) bool { return other.Index == l.Index }) {
			links = append(links, l)
		}
	}
	for _, a := range s.Active {
		add(a.Link)
		for _, p := range a.Ports {
			p.Master = a.Link.Index
			add(p)
		}
		if a.Parent != nil {
			add(*a.Parent)
		}
	}
	for _, l := range s.Links {
		add(l)
	}
	slices.SortFunc(links, func(a, b network.Link) int { return cmp.Compare(a.Index, b.Index) })
	return links
}

// used returns the indexes of the links that are active and, with the value true, of those that only carry such.
func (s State) used(links []network.Link) map[int]bool {
	used := make(map[int]bool)
	for _, a := range s.Active {
		used[a.Link.Index] = false
	}
	// A port of a bond under a VLAN under a bridge: each round finds the next layer.
	for found := true; found; {
		found = false
		for _, l := range links {
			if _, known := used[l.Index]; known || !s.carries(l, links, used) {
				continue
			}
			used[l.Index], found = true, true
		}
	}
	return used
}

// carries reports whether one of the used links stands on l.
func (s State) carries(l network.Link, links []network.Link, used map[int]bool) bool {
	return slices.ContainsFunc(links, func(above network.Link) bool {
		if _, ok := used[above.Index]; !ok {
			return false
		}
		parent := s.parentOf(above, links)
		return l.Master == above.Index || parent != nil && parent.Index == l.Index
	})
}

// parentOf returns the link that a VLAN is on, or nil.
func (s State) parentOf(l network.Link, links []network.Link) *network.Link {
	if l.Kind != vlan {
		return nil
	}
	for _, a := range s.Active {
		if a.Link.Index == l.Index && a.Parent != nil {
			return a.Parent
		}
	}
	for _, v := range s.Config.VLANs {
		for _, p := range links {
			// Another VLAN on the same card has its hardware address, a port of a bond that of the bond.
			if v.Name == l.Name && p.Index != l.Index && p.Master == 0 && v.Parent.Matches(p) && (p.Kind != vlan || v.Parent.Name == p.Name) {
				return &p
			}
		}
	}
	return nil
}

// pinned reports whether l is a card whose name was asked for. A name by the rules of udev is found again by the live system's own.
func (s State) pinned(l network.Link) bool {
	if l.Kind != card {
		return false
	}
	return s.Config.Naming.Lan0 && l.Name == "lan0" || slices.ContainsFunc(s.Config.Naming.Rules, func(r network.NameRule) bool {
		return r.Name == l.Name && network.Selector{MAC: r.MAC}.Matches(l)
	})
}

// made fills in what a link consists of and belongs to.
func (c *connection) made(s State, links []network.Link) {
	for _, l := range links {
		if l.Index == c.link.Master && l.Index != 0 {
			c.master = &l
		}
	}
	for _, v := range s.Config.VLANs {
		if v.Name == c.link.Name {
			c.vlanID = v.ID
		}
	}
	c.parent = s.parentOf(c.link, links)
	for _, b := range s.Config.Bonds {
		if b.Name == c.link.Name {
			c.options, c.mtu = b.Options, b.MTU
		}
	}
}

// addressed fills in where the addresses come from.
func (c *connection) addressed(s State, a network.Active) {
	config, i := s.Config, a.Interface
	methods := i.Methods
	if len(methods) == 0 {
		methods = network.DefaultMethods()
	}
	for _, lease := range a.Leases {
		methods = append(slices.Clip(methods), lease.Method)
		switch lease.Method {
		case network.Static:
			c.static = append(c.static, lease)
		case network.DHCP4:
			c.leased = lease.Address.Addr()
		}
		c.routed(config, a, lease)
	}
	c.dhcp4 = slices.Contains(methods, network.DHCP4)
	c.dhcp6 = slices.Contains(methods, network.DHCP6)
	c.linkLocal = slices.Contains(methods, network.Link6)
	// A machine listens to routers unless it was told all that they could say.
	asked := c.dhcp6 || slices.Contains(methods, network.Auto6) || slices.Contains(methods, network.Either6)
	c.ra = asked || !c.linkLocal && !slices.ContainsFunc(c.static, func(l network.Lease) bool { return l.Address.Addr().Is6() && l.Gateway().IsValid() })
	c.linkLocal = c.linkLocal && !c.ra
	for _, r := range slices.Concat(config.Resolvers, i.Resolvers) {
		if !slices.Contains(c.resolvers, r) {
			c.resolvers = append(c.resolvers, r)
		}
	}
	c.mtu = cmp.Or(i.MTU, c.mtu)
	c.mac = i.MAC
	c.hostname = cmp.Or(i.Hostname, config.Hostname)
	c.metric6 = routerMetric
	if s.Metric == nil {
		return
	}
	c.metric4 = s.Metric(a.Link, netip.IPv4Unspecified())
	if slices.ContainsFunc(c.static, func(l network.Lease) bool { return l.Address.Addr().Is6() }) {
		c.metric6 = s.Metric(a.Link, netip.IPv6Unspecified())
	}
}

// routerMetric is what the kernel gives the routes that routers advertise, and all of IPv6 that say nothing.
const routerMetric = 1024

// routed takes over those routes of a lease that no server will give again: all of a static one, and those that were asked for.
func (c *connection) routed(config network.Config, a network.Active, lease network.Lease) {
	for _, r := range lease.Routes {
		asked := slices.ContainsFunc(config.Routes, func(s network.StaticRoute) bool { return s.Route == r })
		if lease.Method != network.Static && !asked {
			continue
		}
		near := !r.Gateway.IsValid() || r.Gateway.IsLinkLocalUnicast() || slices.ContainsFunc(a.Leases, func(l network.Lease) bool { return l.Address.Masked().Contains(r.Gateway) })
		c.routes = append(c.routes, staticRoute{r, !near})
	}
}

// hardware is the address by which a card is known again: its own, which it keeps in a bond and when it is given another.
func (c *connection) hardware() net.HardwareAddr {
	if len(c.link.PermanentMAC) != 0 {
		return c.link.PermanentMAC
	}
	return c.link.MAC
}

// iaid is the identity association that DHCPv6 leases belong to, RFC 8415, section 12: the last four octets of the hardware address.
func (c *connection) iaid() uint32 {
	if len(c.link.MAC) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(c.link.MAC[len(c.link.MAC)-4:])
}

// metric is that of the static routes to addresses like a.
func (c *connection) metric(a netip.Addr) string {
	if a.Is4() {
		return fmt.Sprint(c.metric4)
	}
	return fmt.Sprint(c.metric6)
}

// own is the address as the link has it: with a peer, that alone is on the link.
func own(l network.Lease) netip.Prefix {
	if l.Peer.IsValid() {
		return alone(l.Address.Addr())
	}
	return l.Address
}

func alone(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
