// Package network gives the machine an address, a route and a resolver.
//
// It takes what a Config asks for, gives the links their names, sets VLANs, bonds and bridges up, and asks for an address on all links
// at once, for as long as the Config allows; the first link from which the image's host answers wins. Kernel, Client, Prober and
// the other fields of an Environment are all that it sees of the machine, so that the order of things can be tried without one.
package network

import (
	"net"
	"net/netip"
	"strings"
	"time"
)

// A Config says how to bring up the network. The zero Config asks for an address of any kind on every link.
type Config struct {
	// Interfaces are what is asked for, by link. Those without a Link are for every link that no other names. None at all is
	// the same as one with the zero Interface.
	Interfaces []Interface
	// Ignored links are not touched.
	Ignored []Selector
	// Boot is the link over which the image is to come, when Interfaces has several; the zero Selector leaves it to who answers first.
	Boot Selector
	// Naming says how links get their names.
	Naming Naming
	// VLANs, Bonds and Bridges are links made of others.
	VLANs   []VLAN
	Bonds   []Bond
	Bridges []Bridge
	// Routes are added to those of a lease.
	Routes []StaticRoute
	// Resolvers are asked before those of a lease.
	Resolvers []netip.Addr
	// IgnorePeerDNS leaves a lease's resolvers and search list unused.
	IgnorePeerDNS bool
	// Hostname of the machine; empty takes that of the lease.
	Hostname string
	// Timeouts bound the waiting.
	Timeouts Timeouts
}

// An Interface says how a link gets its addresses, as one ip= of dracut.cmdline(7) does.
type Interface struct {
	// Link picks the link; the zero Selector stands for all that no other Interface picks.
	Link Selector
	// Methods are tried side by side. None means DefaultMethods.
	Methods []Method
	// Address with the length of its subnet's prefix, for Static.
	Address netip.Prefix
	// Peer is the other end of a point-to-point link; the zero Addr if there is none.
	Peer netip.Addr
	// Gateway of the default route, for Static; the zero Addr if there is none.
	Gateway netip.Addr
	// Resolvers are asked before those of the lease.
	Resolvers []netip.Addr
	// NTP servers are asked before those of the lease.
	NTP      []netip.Addr
	Hostname string
	// BootServer is where the boot loader came from; the zero Addr leaves it to the lease.
	BootServer netip.Addr
	// MTU in bytes; 0 leaves that of the lease, or of the link.
	MTU int
	// MAC is the hardware address to be set, lower case with colons; empty leaves the link's.
	MAC string
}

// A Method is a way to get an address.
type Method string

// The methods.
const (
	// DHCP4 is RFC 2131.
	DHCP4 Method = "dhcp"
	// DHCP6 asks a DHCPv6 server for an address, RFC 8415; routes come from router advertisements.
	DHCP6 Method = "dhcp6"
	// Auto6 takes an address of the prefix that a router advertises, RFC 4862, and its resolvers, RFC 8106; where the router says that
	// DHCPv6 has other configuration, also the resolvers of that.
	Auto6 Method = "auto6"
	// Either6 is Auto6, and DHCP6 where the router says that addresses are managed.
	Either6 Method = "either6"
	// Link6 is content with the link-local address.
	Link6 Method = "link6"
	// Static takes Interface.Address.
	Static Method = "static"
)

// DefaultMethods work on IPv4 networks, on IPv6 networks, and on those that have both.
func DefaultMethods() []Method { return []Method{DHCP4, Either6} }

func (i Interface) methods() []Method {
	if len(i.Methods) == 0 {
		return DefaultMethods()
	}
	return i.Methods
}

// Naming says how links get their names.
type Naming struct {
	// Kernel keeps the kernel's names (net.ifnames=0); without it they are those of systemd's udev.
	Kernel bool
	// Scheme is the version of udev's rules ("v252"); empty is the default.
	Scheme string
	// Rules name single links, and go before everything else.
	Rules []NameRule
	// Lan0 names the card that appears first lan0 (rd.kiwi.live.pxe).
	Lan0 bool
}

// A NameRule gives the link with the hardware address MAC (lower case, colons) a name.
type NameRule struct{ Name, MAC string }

// A VLAN is a virtual LAN of IEEE 802.1Q on another link.
type VLAN struct {
	Name   string
	Parent Selector
	// ID is from 1 to 4094.
	ID int
}

// A Bond is several links that work as one, see the kernel's Documentation/networking/bonding.rst.
type Bond struct {
	Name  string
	Ports []Selector
	// Options have the names and values of the bonding driver ("mode": "802.3ad"), in the order in which they were written.
	Options []BondOption
	// MTU in bytes; 0 leaves the driver's.
	MTU int
}

// A BondOption is one option of the bonding driver.
type BondOption struct{ Name, Value string }

// A Bridge is an Ethernet bridge.
type Bridge struct {
	Name  string
	Ports []Selector
}

// A StaticRoute is a route that was asked for.
type StaticRoute struct {
	Route
	// Link it leads over; the zero Selector takes that in whose subnet the gateway is.
	Link Selector
}

// Timeouts bound each kind of waiting, from the moment it begins. Zero values mean those of DefaultTimeouts.
type Timeouts struct {
	// Link is for a link to appear, Carrier for the first carrier on any of them, Lease for an address after that.
	Link, Carrier, Lease time.Duration
	// Answer is for the image's host to answer, from a lease on.
	Answer time.Duration
	// Router is for a router advertisement or, where none comes, for what DHCPv6 gives; Duplicate for the kernel's duplicate
	// address detection. Both are within Lease.
	Router, Duplicate time.Duration
}

// DefaultTimeouts are generous: a driver may load firmware for many seconds, and a switch that runs the spanning tree
// protocol passes no packet for 30 to 50 seconds after it gave carrier.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Link: 60 * time.Second, Carrier: 60 * time.Second, Lease: 75 * time.Second, Answer: 20 * time.Second,
		Router: 60 * time.Second, Duplicate: 50 * time.Second,
	}
}

// OrDefault returns t with the defaults in place of zeros.
func (t Timeouts) OrDefault() Timeouts {
	d := DefaultTimeouts()
	for _, f := range []struct{ value, fallback *time.Duration }{
		{&t.Link, &d.Link}, {&t.Carrier, &d.Carrier}, {&t.Lease, &d.Lease}, {&t.Answer, &d.Answer}, {&t.Router, &d.Router}, {&t.Duplicate, &d.Duplicate},
	} {
		if *f.value == 0 {
			*f.value = *f.fallback
		}
	}
	return t
}

// A Selector picks links, by name or by hardware address. Of the two at most one is set; the zero Selector picks every link.
type Selector struct {
	Name string
	MAC  string // lower case, separated by colons
}

// ParseSelector reads a link as it is written on a command line: a hardware address with "-" or ":" between its six
// octets, or else a name.
func ParseSelector(s string) Selector {
	if mac, err := net.ParseMAC(strings.ReplaceAll(s, "-", ":")); err == nil && len(mac) == 6 {
		return Selector{MAC: mac.String()}
	}
	return Selector{Name: s}
}

// String returns the selector as it can be written on a command line.
func (s Selector) String() string {
	if s.MAC != "" {
		return strings.ReplaceAll(s.MAC, ":", "-")
	}
	return s.Name
}

// Matches reports whether l is picked: by its name or the one that the kernel gave it first.
func (s Selector) Matches(l Link) bool {
	switch {
	case s.MAC != "":
		return s.MAC == l.MAC.String() || s.MAC == l.PermanentMAC.String()
	case s.Name != "":
		return s.Name == l.Name || s.Name == l.KernelName
	}
	return true
}

// A Link is a network interface as the kernel has it at one moment.
type Link struct {
	Index int
	Name  string
	// KernelName is the name it had before it was renamed; empty if it was not.
	KernelName string
	MAC        net.HardwareAddr
	// PermanentMAC is that of the card, where the kernel tells it; a port of a bond has another in MAC.
	PermanentMAC net.HardwareAddr
	// Kind is "" for a card, and "vlan", "bond" or "bridge" for links that are made of others.
	Kind string
	// Master is the index of the bond or bridge that it is a port of, or 0.
	Master int
	// MTU in bytes.
	MTU int
	// Up is what was asked of it; Carrier is whether it has a peer (IFF_LOWER_UP).
	Up, Carrier bool
	// Gone says that it was removed.
	Gone bool
}

// A Lease is what a link is to be configured with.
type Lease struct {
	Method Method
	// Address with the length of its subnet's prefix.
	Address netip.Prefix
	// Peer is the other end of a point-to-point link; the zero Addr if there is none.
	Peer netip.Addr
	// FromKernel says that the kernel set address and routes itself (stateless autoconfiguration) and looks after them.
	FromKernel bool
	// Behind says that its routes come after those of all leases that are not: the image comes over another link.
	Behind bool
	// Server is the one that gave the lease, or the router that advertised the prefix.
	Server netip.Addr
	Routes []Route
	// MTU in bytes; 0 leaves the link's.
	MTU int
	// Resolvers, link-local ones with their zone.
	Resolvers []netip.Addr
	Search    []string
	// Hostname of this machine, without the domain.
	Hostname string
	// NTP servers.
	NTP []netip.Addr
	// BootServer is the server to boot from (siaddr, next-server), RootPath what option 17 of RFC 2132 says.
	BootServer netip.Addr
	RootPath   string
	// Valid is how long the address may be used from Since on, 0 for ever; after Renew its server is to be asked for more, after
	// Rebind any server. Zero values of these two mean what the protocol's standard says.
	Valid, Renew, Rebind time.Duration
	Since                time.Time
	// Message is the server's last message, for the Client that renews the lease. It is not for anybody else.
	Message []byte
}

// A Route is a way to a destination. A gateway that is not set means that the destination is on the link itself.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
}

// Gateway returns the gateway of the default route, or the zero Addr.
func (l Lease) Gateway() netip.Addr {
	for _, r := range l.Routes {
		if r.Destination.Bits() == 0 {
			return r.Gateway
		}
	}
	return netip.Addr{}
}
