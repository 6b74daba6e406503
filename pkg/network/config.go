// Package network gives the machine an address, a route and a resolver.
//
// It takes what a Config asks for, waits for links and their carrier for as long as the Config allows, and asks for a lease on
// all of them at once; the first lease wins. The kernel's links are seen through the Kernel interface and DHCP through a Client,
// so that the order of things can be tried without either.
package network

import (
	"net"
	"net/netip"
	"strings"
	"time"
)

// A Config says how to bring up the network. The zero Config asks for DHCPv4 on every link.
type Config struct {
	// Link restricts the work to one link: a kernel name ("eth0") or a hardware address. Empty means every Ethernet link.
	Link Selector
	// Resolvers are asked before those of the lease.
	Resolvers []netip.Addr
	// IgnorePeerDNS leaves the lease's resolvers unused.
	IgnorePeerDNS bool
	// Timeouts bound the waiting.
	Timeouts Timeouts
}

// Timeouts bound each kind of waiting, from the moment it begins. Zero values mean those of DefaultTimeouts.
type Timeouts struct {
	// Link is for a link to appear, Carrier for the first carrier on any of them, Lease for the first lease after that.
	Link, Carrier, Lease time.Duration
}

// DefaultTimeouts are generous: a driver may load firmware for many seconds, and a switch that runs the spanning tree
// protocol passes no packet for 30 to 50 seconds after it gave carrier.
func DefaultTimeouts() Timeouts {
	return Timeouts{Link: 60 * time.Second, Carrier: 60 * time.Second, Lease: 75 * time.Second}
}

func (t Timeouts) orDefault() Timeouts {
	d := DefaultTimeouts()
	for _, f := range []struct{ value, fallback *time.Duration }{{&t.Link, &d.Link}, {&t.Carrier, &d.Carrier}, {&t.Lease, &d.Lease}} {
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

// Matches reports whether l is picked.
func (s Selector) Matches(l Link) bool {
	switch {
	case s.MAC != "":
		return s.MAC == l.MAC.String()
	case s.Name != "":
		return s.Name == l.Name
	}
	return true
}

// A Link is a network interface as the kernel has it at one moment.
type Link struct {
	Index int
	Name  string
	MAC   net.HardwareAddr
	// Up is what was asked of it; Carrier is whether it has a peer (IFF_LOWER_UP).
	Up, Carrier bool
	// Gone says that it was removed.
	Gone bool
}

// A Lease is what a link is to be configured with.
type Lease struct {
	// Address with the length of its subnet's prefix.
	Address netip.Prefix
	// Server is the one that gave the lease.
	Server netip.Addr
	Routes []Route
	// MTU in bytes; 0 leaves the link's.
	MTU       int
	Resolvers []netip.Addr
	Search    []string
	// Valid is how long the address may be used; 0 is for ever.
	Valid time.Duration
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
