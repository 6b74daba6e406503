package rtnl

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// attribute is the number of an option that is not in /sys, or not in that of every kernel; 0 for others. See IFLA_BOND_* of linux/if_link.h.
func attribute(option string) int {
	switch option {
	case "ns_ip6_target": // Linux 5.19
		return 31
	case "coupled_control": // Linux 6.9
		return 32
	case "broadcast_neighbor": // Linux 6.17
		return 33
	}
	return 0
}

// ask sets an option that is not in /sys.
func ask(bond string, o network.BondOption) error {
	number := attribute(o.Name)
	if number == 0 {
		return errNoOption
	}
	wanted, err := value(number, o)
	if err != nil {
		return err
	}
	l, err := netlink.LinkByName(bond)
	if err != nil {
		return err
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(unix.IFLA_INFO_KIND, nl.NonZeroTerminated("bond"))
	info.AddRtAttr(unix.IFLA_INFO_DATA, nil).AddChild(wanted)
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(l.Attrs().Index)
	if err := request(unix.RTM_NEWLINK, 0, m, info); err != nil {
		return err
	}
	// A kernel that does not know the option passes over it in silence.
	known, err := has(m, number)
	if err == nil && !known {
		return errNoOption
	}
	return err
}

// has says whether the kernel tells an option of the bond.
func has(bond *nl.IfInfomsg, number int) (bool, error) {
	r := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	r.AddData(bond)
	messages, err := r.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return false, err
	}
	for _, m := range messages {
		attributes, err := nl.ParseRouteAttrAsMap(m[bond.Len():])
		for _, inner := range []uint16{unix.IFLA_LINKINFO, unix.IFLA_INFO_DATA} {
			if err != nil {
				return false, err
			}
			attributes, err = nl.ParseRouteAttrAsMap(attributes[inner].Value)
		}
		_, plain := attributes[uint16(number)]
		_, nested := attributes[uint16(number)|unix.NLA_F_NESTED]
		if plain || nested || err != nil {
			return plain || nested, err
		}
	}
	return false, nil
}

// value is an option that is not in /sys, as the kernel takes it.
func value(number int, o network.BondOption) (*nl.RtAttr, error) {
	switch {
	case o.Name == "ns_ip6_target":
		list := nl.NewRtAttr(number, nil)
		for i, target := range strings.Split(o.Value, ",") {
			a, err := netip.ParseAddr(target)
			if err != nil || !a.Is6() {
				return nil, fmt.Errorf("%q is no IPv6 address: %w", target, unix.EINVAL)
			}
			list.AddRtAttr(i, a.AsSlice())
		}
		return list, nil
	case o.Value == "on" || o.Value == "1":
		return nl.NewRtAttr(number, nl.Uint8Attr(1)), nil
	case o.Value == "off" || o.Value == "0":
		return nl.NewRtAttr(number, nl.Uint8Attr(0)), nil
	}
	return nil, fmt.Errorf("%q is neither on nor off: %w", o.Value, unix.EINVAL)
}
