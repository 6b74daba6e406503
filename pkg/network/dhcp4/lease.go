package dhcp4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/liveboot/liveboot/pkg/network"
)

// Where the fields sname and file of a message lie, RFC 2131, section 2.
const snameStart, fileStart, fileEnd = 44, 108, 236

// parse reads a message. Options may go on in the fields file and sname, RFC 2132, section 9.3. Some servers forget the end of the options.
func parse(packet []byte) (*dhcpv4.DHCPv4, error) {
	m, err := dhcpv4.FromBytes(append(bytes.Clone(packet), dhcpv4.OptionEnd.Code()))
	if err != nil {
		return nil, err
	}
	overload := m.Options.Get(dhcpv4.OptionOptionOverload)
	if len(overload) != 1 {
		return m, nil
	}
	for bit, field := range [][]byte{packet[fileStart:fileEnd], packet[snameStart:fileStart]} {
		if overload[0]&(1<<bit) == 0 {
			continue
		}
		if err := m.Options.FromBytes(field); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// The smallest MTU that is believed: RFC 2132, section 5.1, allows 68, but some servers send it as a placeholder, and no download fits
// through that.
const minMTU = 576

// infinite is a lease time that never ends, RFC 2131, section 3.3.
const infinite = (1<<32 - 1) * time.Second

// leaseFrom reads the acknowledgement of a message that was sent at that time.
func leaseFrom(ack *dhcpv4.DHCPv4, sent time.Time) (network.Lease, error) {
	address, ok := unicast(ack.YourIPAddr)
	if !ok {
		return network.Lease{}, fmt.Errorf("the server %v acknowledged without an address", ack.ServerIdentifier())
	}
	bits, err := prefixLength(ack, address)
	if err != nil {
		return network.Lease{}, err
	}
	lease := network.Lease{
		Method:    network.DHCP4,
		Address:   netip.PrefixFrom(address, bits),
		Routes:    routes(ack),
		Resolvers: addresses(ack.DNS()),
		NTP:       addresses(ack.NTPServers()),
		Search:    search(ack),
		Hostname:  hostname(ack.HostName()),
		RootPath:  text(ack.RootPath()),
		Valid:     ack.IPAddressLeaseTime(0),
		Since:     sent,
	}
	lease.Server, _ = unicast(ack.ServerIdentifier())
	lease.BootServer, _ = unicast(ack.ServerIPAddr)
	if lease.Valid == infinite {
		lease.Valid = 0
	}
	lease.Renew, lease.Rebind = renewal(ack, lease.Valid)
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= minMTU {
		lease.MTU = int(mtu)
	}
	return lease, nil
}

// prefixLength reads the subnet mask. Without one it is that of the address's class.
func prefixLength(ack *dhcpv4.DHCPv4, address netip.Addr) (int, error) {
	mask := ack.SubnetMask()
	ones, size := mask.Size()
	switch {
	case len(mask) > 0 && size == 0:
		return 0, fmt.Errorf("the server %v gave the subnet mask %v, which is none", ack.ServerIdentifier(), net.IP(mask))
	case ones > 0:
		return ones, nil
	}
	ones, size = net.IP(address.AsSlice()).DefaultMask().Size()
	if size == 0 {
		ones = address.BitLen()
	}
	return ones, nil
}

// renewal returns when to renew and when to rebind a lease, from its begin on: as the server says, if that makes sense, or else as RFC
// 2131, section 4.4.5, has it.
func renewal(ack *dhcpv4.DHCPv4, valid time.Duration) (renew, rebind time.Duration) {
	if valid == 0 {
		return 0, 0
	}
	rebind = duration(ack, dhcpv4.OptionRebindingTimeValue)
	if rebind <= 0 || rebind > valid {
		rebind = valid * 7 / 8
	}
	renew = duration(ack, dhcpv4.OptionRenewTimeValue)
	if renew <= 0 || renew > rebind {
		renew = min(valid/2, rebind)
	}
	return renew, rebind
}

func duration(ack *dhcpv4.DHCPv4, code dhcpv4.OptionCode) time.Duration {
	value := ack.Options.Get(code)
	if len(value) != 4 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint32(value)) * time.Second
}

// routes returns the classless static routes or, only where there are none, the one by the first router (RFC 3442).
func routes(ack *dhcpv4.DHCPv4) []network.Route {
	var routes []network.Route
	for _, r := range ack.ClasslessStaticRoute() {
		destination, ok := netip.AddrFromSlice(r.Dest.IP.To4())
		if !ok {
			continue
		}
		ones, _ := r.Dest.Mask.Size()
		// RFC 3442 has the client clear the bits that the mask leaves out; the kernel refuses such a route.
		route := network.Route{Destination: netip.PrefixFrom(destination, ones).Masked()}
		route.Gateway, _ = unicast(r.Router) // 0.0.0.0: the destination is on the link
		routes = append(routes, route)
	}
	if routers := addresses(ack.Router()); len(routes) == 0 && len(routers) > 0 {
		routes = append(routes, network.Route{Destination: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: routers[0]})
	}
	return routes
}

// unicast returns an address that a single machine can have.
func unicast(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || ip.Equal(net.IPv4bcast) {
		return netip.Addr{}, false
	}
	return a, true
}

// addresses leaves out placeholders, such as resolvers 0.0.0.0.
func addresses(ips []net.IP) []netip.Addr {
	var list []netip.Addr
	for _, ip := range ips {
		if a, ok := unicast(ip); ok {
			list = append(list, a)
		}
	}
	return list
}

// search returns the search list or, only where there is none, the domain, which some servers fill with several (RFC 3397). Names that
// are none are left out: they come to stand in resolv.conf(5).
func search(ack *dhcpv4.DHCPv4) []string {
	names := strings.Fields(text(ack.DomainName()))
	if labels := ack.DomainSearch(); labels != nil {
		names = labels.Labels
	}
	var list []string
	for _, name := range names {
		name = strings.TrimSuffix(name, ".")
		valid := len(name) <= 253
		for label := range strings.SplitSeq(name, ".") {
			valid = valid && isLabel(label)
		}
		if valid {
			list = append(list, name)
		}
	}
	return list
}

// hostname returns the name without the domain that some servers add; empty if it is none.
func hostname(name string) string {
	label, _, _ := strings.Cut(text(name), ".")
	if !isLabel(label) || label == "localhost" {
		return ""
	}
	return label
}

// isLabel reports whether s is a part of a name, RFC 1123, section 2.1; underscores are in use, too.
func isLabel(s string) bool {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' && !strings.ContainsFunc(s, bad)
}

// text is a string option, without the zero byte with which some servers end it.
func text(s string) string { return strings.TrimRight(s, "\x00") }
