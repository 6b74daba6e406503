package daemon

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// expiring is the rest of an address's lifetime with which it is kept for ever. Who renews leases does it long before, and is left alone.
const expiring = 90 * time.Second

// keepAddresses makes sure that the machine does not lose the addresses by which it reaches servers, nor the routes that go with them: the
// kernel takes away what nobody renews. There may be no network manager in the live system, or one that stands still since it waits for a
// part of the root, which will never come if the address goes. An address that somebody takes away is gone.
func keepAddresses(servers []netip.Addr) error {
	own := make(map[netip.Addr]bool)
	for _, server := range servers {
		if address, ok := localTo(server); ok {
			own[address] = true
		}
	}
	if len(own) == 0 {
		return nil
	}
	list := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
	list.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	messages, err := list.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, m := range messages {
		address, ends := forever(m)
		if !own[address] || !ends {
			continue
		}
		set := nl.NewNetlinkRequest(unix.RTM_NEWADDR, unix.NLM_F_REPLACE|unix.NLM_F_ACK)
		set.AddRawData(m)
		if _, err := set.Execute(unix.NETLINK_ROUTE, 0); err != nil {
			return fmt.Errorf("keep the address %v: %w", address, err)
		}
	}
	return nil
}

// localTo returns the address that packets to a server have. Nothing is sent.
func localTo(server netip.Addr) (netip.Addr, bool) {
	const discard = 9
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, discard)))
	if err != nil {
		return netip.Addr{}, false
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), true
}

// forever tells which address a message of rtnetlink(7) is about, and whether it ends soon; in the message it no longer does. All else in it
// is as it was, so that it can be sent back.
func forever(message []byte) (address netip.Addr, ends bool) {
	const header = unix.SizeofIfAddrmsg
	if len(message) < header {
		return address, false
	}
	attributes, err := nl.ParseRouteAttr(message[header:])
	if err != nil {
		return address, false
	}
	var local netip.Addr
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_ADDRESS: // which is the peer's where there is one
			address, _ = netip.AddrFromSlice(a.Value)
		case unix.IFA_CACHEINFO: // struct ifa_cacheinfo: preferred and valid lifetime in seconds, and two stamps
			if len(a.Value) < 8 {
				return netip.Addr{}, false
			}
			ends = binary.NativeEndian.Uint32(a.Value[4:]) < uint32(expiring/time.Second)
			for i := range 8 {
				a.Value[i] = 0xff
			}
		}
	}
	if local.IsValid() {
		address = local
	}
	return address, ends
}
