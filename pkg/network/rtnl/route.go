package rtnl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// Metric is what orders routes that Configure makes to the same destination, lowest first. Those of IPv4 are behind the 50 that network managers
// give VPNs, and before the 100 of the cards that they configure by themselves: the link over which the machine was booted goes first.
// Those of leases that are Behind come after all others.
func Metric(link network.Link, a netip.Addr, behind bool) int {
	last := 0
	if behind {
		last = 2000
	}
	if a.Is4() {
		return last + 60 + min(link.Index, 39)
	}
	return last + 1024 + link.Index
}

// route is a route of a lease on a link.
type route struct {
	network.Route
	link     network.Link
	source   netip.Addr // the zero Addr: the kernel picks one
	protocol uint8
	behind   bool // see network.Lease
	onLink   bool // the gateway is to be asked for although no subnet of the link holds it
}

func newRoute(link network.Link, lease network.Lease, r network.Route) route {
	n := route{Route: r, link: link, protocol: unix.RTPROT_STATIC, behind: lease.Behind}
	if lease.Method == network.DHCP4 || lease.Method == network.DHCP6 {
		n.protocol = unix.RTPROT_DHCP
	}
	if own := lease.Address.Addr(); own.Is4() && !lease.FromKernel {
		// The kernel takes the route away together with the address.
		n.source = own
	}
	subnet := lease.Address
	if lease.Peer.IsValid() {
		subnet = netip.PrefixFrom(lease.Peer, lease.Peer.BitLen())
	}
	n.onLink = r.Gateway.IsValid() && !subnet.Contains(r.Gateway) && !r.Gateway.IsLinkLocalUnicast()
	return n
}

// replace sets the route, also if it is there.
func (r route) replace() error {
	if err := request(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, r.message()...); err != nil {
		return r.failed("replace", err)
	}
	return nil
}

// remove takes the route away, if it is there.
func (r route) remove() error {
	err := request(unix.RTM_DELROUTE, 0, r.message()...)
	if err == nil || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return r.failed("delete", err)
}

func (r route) message() []nl.NetlinkRequestData {
	m := nl.NewRtMsg()
	m.Family = uint8(family(r.Destination.Addr()))
	m.Dst_len = uint8(r.Destination.Bits())
	m.Protocol = r.protocol
	if !r.Gateway.IsValid() && r.Destination.Addr().Is4() {
		m.Scope = unix.RT_SCOPE_LINK
	}
	if r.onLink {
		m.Flags = unix.RTNH_F_ONLINK
	}
	data := []nl.NetlinkRequestData{m, number(unix.RTA_OIF, r.link.Index), number(unix.RTA_PRIORITY, Metric(r.link, r.Destination.Addr(), r.behind))}
	if r.Destination.Bits() > 0 {
		data = append(data, nl.NewRtAttr(unix.RTA_DST, r.Destination.Masked().Addr().AsSlice()))
	}
	if r.Gateway.IsValid() {
		data = append(data, nl.NewRtAttr(unix.RTA_GATEWAY, r.Gateway.AsSlice()))
	}
	if r.source.IsValid() {
		data = append(data, nl.NewRtAttr(unix.RTA_PREFSRC, r.source.AsSlice()))
	}
	return data
}

func (r route) failed(verb string, err error) error {
	words := []any{"route", verb, r.Destination}
	if r.Gateway.IsValid() {
		words = append(words, "via", r.Gateway)
	}
	words = append(words, "dev", r.link.Name)
	if r.onLink {
		words = append(words, "onlink")
	}
	return ip(err, append(words, "metric", Metric(r.link, r.Destination.Addr(), r.behind))...)
}

// missing returns those routes that the link does not have, of whatever metric.
func missing(link network.Link, routes []network.Route) ([]network.Route, error) {
	there, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{LinkIndex: link.Index}, netlink.RT_FILTER_OIF)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list the routes of %s: %w", link.Name, err)
	}
	return slices.DeleteFunc(slices.Clone(routes), func(wanted network.Route) bool {
		return slices.ContainsFunc(there, func(r netlink.Route) bool { return same(r, wanted) })
	}), nil
}

func same(r netlink.Route, wanted network.Route) bool {
	gateway, _ := netip.AddrFromSlice(r.Gw)
	if gateway.Unmap() != wanted.Gateway.WithZone("") {
		return false
	}
	if r.Dst == nil {
		return wanted.Destination.Bits() == 0 && (r.Family == netlink.FAMILY_V4) == wanted.Destination.Addr().Is4()
	}
	address, _ := netip.AddrFromSlice(r.Dst.IP)
	bits, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits) == wanted.Destination.Masked()
}
