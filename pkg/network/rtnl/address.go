package rtnl

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// Configure gives the link the address of the lease for the time that is left of it, and the lease's routes. An address and routes that are there
// already get new lifetimes and are no error. For an IPv6 address it waits until the kernel's duplicate address detection (RFC 4862,
// section 5.4) is through, which is not before the link has carrier. A lease without an address has its routes set only.
//
// A link that was set up by Change, or has an IPv4 address, answers ARP requests for its own addresses only (arp_ignore of the kernel's
// ip-sysctl.rst).
//
// Of a lease that is FromKernel only those routes are set that the kernel does not have on the link.
func (s *System) Configure(ctx context.Context, link network.Link, lease network.Lease) error {
	routes := lease.Routes
	switch {
	case lease.FromKernel:
		var err error
		if routes, err = missing(link, routes); err != nil {
			return err
		}
	case lease.Address.IsValid():
		if err := address(ctx, link, lease); err != nil {
			return err
		}
	}
	for _, r := range routes {
		if err := newRoute(link, lease, r).replace(); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes the address and the routes away again. What is gone already is no error.
func (s *System) Remove(link network.Link, lease network.Lease) error {
	var errs []error
	for _, r := range slices.Backward(lease.Routes) {
		errs = append(errs, newRoute(link, lease, r).remove())
	}
	if !lease.Address.IsValid() || lease.FromKernel {
		return errors.Join(errs...)
	}
	if lease.Address.Addr().Is6() {
		// Of an address that expires the kernel leaves the route to the subnet until it expires itself.
		subnet := newRoute(link, lease, network.Route{Destination: lease.Address.Masked()})
		subnet.protocol = unix.RTPROT_KERNEL
		errs = append(errs, subnet.remove())
	}
	err := request(unix.RTM_DELADDR, 0, addressMessage(link, lease, 0)...)
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		errs = append(errs, ip(err, "address delete", lease.Address, "dev", link.Name))
	}
	return errors.Join(errs...)
}

// address sets the address, and waits until it can be used.
func address(ctx context.Context, link network.Link, lease network.Lease) error {
	left, err := lifetime(lease, time.Now())
	if err != nil {
		return fmt.Errorf("address %v on %s: %w", lease.Address, link.Name, err)
	}
	set := func() error {
		if err := request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, addressMessage(link, lease, left)...); err != nil {
			return ip(err, "address replace", lease.Address, "dev", link.Name)
		}
		return nil
	}
	if lease.Address.Addr().Is4() {
		if err := answerForItself(link); err != nil {
			return err
		}
		return set()
	}
	return unique(ctx, link, lease.Address.Addr(), set)
}

// answerForItself makes the link answer ARP requests for its own addresses only. The kernel's default is to answer on every link for the addresses of
// all, so of two links on one switch each would get what was meant for the other; nobody who listens on one link alone would hear it.
func answerForItself(link network.Link) error {
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+link.Name+"/arp_ignore", []byte("1"), 0); err != nil {
		return fmt.Errorf("sysctl net.ipv4.conf.%s.arp_ignore=1: %w", link.Name, err)
	}
	return nil
}

// infinite is the lifetime of an address that does not expire.
const infinite = math.MaxUint32

// lifetime is the time in seconds for which the address of the lease may still be used.
func lifetime(lease network.Lease, now time.Time) (uint32, error) {
	if lease.Valid == 0 {
		return infinite, nil
	}
	left := lease.Since.Add(lease.Valid).Sub(now)
	if left <= 0 {
		return 0, fmt.Errorf("the lease ran out %v ago", -left.Round(time.Second))
	}
	return uint32(min((left+time.Second-1)/time.Second, infinite-1)), nil
}

// addressMessage is the address for the kernel, with its lifetime in seconds; 0 leaves that out.
func addressMessage(link network.Link, lease network.Lease, left uint32) []nl.NetlinkRequestData {
	local := lease.Address.Addr()
	m := nl.NewIfAddrmsg(family(local))
	m.Index = uint32(link.Index)
	m.Prefixlen = uint8(lease.Address.Bits())
	remote := local
	if lease.Peer.IsValid() {
		// As with ip(8), the peer alone is on the link then.
		remote = lease.Peer
		m.Prefixlen = uint8(remote.BitLen())
	}
	data := []nl.NetlinkRequestData{m, nl.NewRtAttr(unix.IFA_LOCAL, local.AsSlice()), nl.NewRtAttr(unix.IFA_ADDRESS, remote.AsSlice())}
	if left == 0 {
		return data
	}
	if local.Is4() && m.Prefixlen < 31 { // RFC 3021
		data = append(data, nl.NewRtAttr(unix.IFA_BROADCAST, broadcast(lease.Address).AsSlice()))
	}
	// The metric is that of the route to the subnet.
	times := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Valid: left, Prefered: left}}
	return append(data, nl.NewRtAttr(unix.IFA_CACHEINFO, times.Serialize()), number(unix.IFA_RT_PRIORITY, Metric(link, local, lease.Behind)))
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// broadcast is the last address of an IPv4 subnet.
func broadcast(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := range a {
		bits := min(max(p.Bits()-8*i, 0), 8)
		a[i] |= byte(0xff >> bits)
	}
	return netip.AddrFrom4(a)
}
