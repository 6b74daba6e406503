package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// System is the Kernel that runs, in the network namespace of the process.
type System struct{}

// Watch sends the Ethernet links that there are and then their changes.
func (System) Watch(ctx context.Context) (<-chan Link, error) {
	updates := make(chan netlink.LinkUpdate)
	done := make(chan struct{})
	if err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{ListExisting: true}); err != nil {
		return nil, fmt.Errorf("watch links: %w", err)
	}
	links := make(chan Link)
	go func() {
		defer close(links)
		// The library's sender blocks until what it has to say is taken.
		defer func() {
			close(done)
			for range updates {
			}
		}()
		for {
			select {
			case update, ok := <-updates:
				if !ok {
					return
				}
				link, ok := linkFrom(update)
				if !ok {
					continue
				}
				select {
				case links <- link:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return links, nil
}

// linkFrom leaves out what is no Ethernet card: the loopback, tunnels, and links that software made.
func linkFrom(update netlink.LinkUpdate) (Link, bool) {
	a := update.Attrs()
	if a.EncapType != "ether" || a.Flags&net.FlagLoopback != 0 || len(a.HardwareAddr) != 6 {
		return Link{}, false
	}
	switch update.Type() {
	case "device", "veth": // a card, or its like in a test's namespace
	default:
		return Link{}, false
	}
	return Link{
		Index:   a.Index,
		Name:    a.Name,
		MAC:     a.HardwareAddr,
		Up:      a.Flags&net.FlagUp != 0,
		Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
		Gone:    update.Header.Type == unix.RTM_DELLINK,
	}, true
}

// SetUp sets the link up.
func (System) SetUp(link Link) error {
	if err := netlink.LinkSetUp(handle(link)); err != nil {
		return fmt.Errorf("ip link set %s up: %w", link.Name, err)
	}
	return nil
}

func handle(link Link) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: link.Index, Name: link.Name}}
}

// SetMTU sets the largest packet that the link sends, in bytes.
func (System) SetMTU(link Link, mtu int) error {
	if err := netlink.LinkSetMTU(handle(link), mtu); err != nil {
		return fmt.Errorf("ip link set %s mtu %d: %w", link.Name, mtu, err)
	}
	return nil
}

// Configure gives the link the address and routes of lease. What is there already is replaced.
func (System) Configure(link Link, lease Lease) error {
	device := handle(link)
	// Without a lifetime: the kernel would take the address away in the middle of a download that outlasts the lease.
	address := &netlink.Addr{IPNet: ipNet(lease.Address)}
	if err := netlink.AddrReplace(device, address); err != nil {
		return fmt.Errorf("ip address replace %v dev %s: %w", lease.Address, link.Name, err)
	}
	for _, r := range lease.Routes {
		route := &netlink.Route{LinkIndex: link.Index, Dst: ipNet(r.Destination), Protocol: unix.RTPROT_DHCP}
		if r.Gateway.IsValid() {
			route.Gw = r.Gateway.AsSlice()
			// A gateway outside the subnet (/32 addresses, cloud networks) is reached on the link all the same.
			if !lease.Address.Masked().Contains(r.Gateway) {
				route.Flags = int(netlink.FLAG_ONLINK)
			}
		} else {
			route.Scope = netlink.SCOPE_LINK
		}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("ip route replace %v via %v dev %s: %w", r.Destination, r.Gateway, link.Name, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
