package rtnl

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// Change gives the link a name, a hardware address and an MTU, and sets it up or down, in this order. Where the kernel or the driver wants a link to be
// down for that, it is down for a moment, unless it has addresses, which it would lose.
func (s *System) Change(link network.Link, c network.Change) error {
	if c.Name != "" {
		change := func() error { return set(link, 0, text(unix.IFLA_IFNAME, c.Name)) }
		if err := whileDown(link, change); err != nil {
			return ip(err, "link set", link.Name, "name", c.Name)
		}
		link.Name = c.Name
	}
	if c.MAC != "" {
		mac, err := net.ParseMAC(c.MAC)
		if err == nil {
			err = whileDown(link, func() error { return set(link, 0, nl.NewRtAttr(unix.IFLA_ADDRESS, mac)) })
		}
		if err != nil {
			return ip(err, "link set", link.Name, "address", c.MAC)
		}
	}
	if c.MTU != 0 {
		if err := whileDown(link, func() error { return set(link, 0, number(unix.IFLA_MTU, c.MTU)) }); err != nil {
			return ip(err, "link set", link.Name, "mtu", c.MTU)
		}
	}
	if c.Up {
		_ = answerForItself(link) // from the beginning on; where it matters, Configure tells the error
		if err := up(link); err != nil {
			return ip(err, "link set", link.Name, "up")
		}
	}
	if c.Down {
		if err := down(link); err != nil {
			return ip(err, "link set", link.Name, "down")
		}
	}
	return nil
}

// set changes a link: its flags among unix.IFF_UP if up is that or its negative, and its attributes.
func set(link network.Link, up int, attributes ...nl.NetlinkRequestData) error {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(link.Index)
	if up != 0 {
		m.Change = unix.IFF_UP
	}
	if up > 0 {
		m.Flags = unix.IFF_UP
	}
	return request(unix.RTM_SETLINK, 0, append([]nl.NetlinkRequestData{m}, attributes...)...)
}

func up(link network.Link) error { return set(link, 1) }

func down(link network.Link) error { return set(link, -1) }

// whileDown makes a change, and if the link is too busy for it while it is up, takes it down for that.
func whileDown(link network.Link, change func() error) error {
	err := change()
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	now, lookup := netlink.LinkByIndex(link.Index)
	if lookup != nil || now.Attrs().Flags&net.FlagUp == 0 {
		return err
	}
	addresses, lookup := netlink.AddrList(now, netlink.FAMILY_ALL)
	if lookup != nil {
		return err
	}
	for _, a := range addresses {
		if a.Scope == unix.RT_SCOPE_UNIVERSE {
			return fmt.Errorf("%w: it must be down for that, and would lose its address %v", err, a.IPNet)
		}
	}
	if err := down(link); err != nil {
		return fmt.Errorf("set it down for that: %w", err)
	}
	return errors.Join(change(), up(link))
}

// Join makes port a port of the bond or bridge of that name, and sets it up. A bond takes a port only while that is down.
func (s *System) Join(port network.Link, master string) error {
	m, err := netlink.LinkByName(master)
	if err != nil {
		return ip(err, "link set", port.Name, "master", master)
	}
	if now, err := netlink.LinkByIndex(port.Index); err == nil && now.Attrs().MasterIndex == m.Attrs().Index {
		return nil // it joined already: what led here was said before
	}
	if m.Type() == "bond" {
		if err := down(port); err != nil {
			return ip(err, "link set", port.Name, "down")
		}
	}
	if err := set(port, 0, number(unix.IFLA_MASTER, m.Attrs().Index)); err != nil {
		return ip(err, "link set", port.Name, "master", master)
	}
	if err := up(port); err != nil {
		return ip(err, "link set", port.Name, "up")
	}
	if m.Type() == "bridge" {
		if err := pin(m, port); err != nil {
			return ip(err, "link set", master, "address", port.MAC)
		}
	}
	return s.joined(master, port)
}

// pin gives a bridge for good the hardware address that its first port gave it. Otherwise it would take that of the next port if that is lower,
// and its lease be another machine's.
func pin(bridge netlink.Link, port network.Link) error {
	const chosen = "3" // NET_ADDR_SET of <linux/netdevice.h>: somebody chose it
	name := bridge.Attrs().Name
	if kind, err := os.ReadFile("/sys/class/net/" + name + "/addr_assign_type"); err == nil && strings.TrimSpace(string(kind)) == chosen {
		return nil
	}
	return set(network.Link{Index: bridge.Attrs().Index, Name: name}, 0, nl.NewRtAttr(unix.IFLA_ADDRESS, port.MAC))
}
