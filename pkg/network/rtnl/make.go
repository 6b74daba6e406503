package rtnl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
)

// Make makes a VLAN on parent, a Bond or a Bridge, in place of a link of that name and kind that is there already: the bonding driver makes
// a bond0 of its own when it is loaded. A bridge passes packets at once: it has no forward delay, and no spanning tree protocol.
func (s *System) Make(v network.Virtual, parent network.Link) error {
	switch v := v.(type) {
	case network.VLAN:
		if err := add(v.Name, "vlan", parent.Index, nl.NewRtAttr(unix.IFLA_VLAN_ID, nl.Uint16Attr(uint16(v.ID)))); err != nil {
			return ip(err, "link add link", parent.Name, "name", v.Name, "type vlan id", v.ID)
		}
		return nil
	case network.Bridge:
		if err := add(v.Name, "bridge", 0, number(unix.IFLA_BR_FORWARD_DELAY, 0), number(unix.IFLA_BR_STP_STATE, 0)); err != nil {
			return ip(err, "link add", v.Name, "type bridge forward_delay 0 stp_state 0")
		}
		return nil
	case network.Bond:
		if err := add(v.Name, "bond", 0); err != nil {
			return ip(err, "link add", v.Name, "type bond")
		}
		if err := s.setOptions(v); err != nil {
			return errors.Join(err, remove(v.Name, "bond"))
		}
		return nil
	}
	return fmt.Errorf("make the link %s: no way to make a %T", v.LinkName(), v)
}

// add makes a link, in place of one of the same name and kind.
func add(name, kind string, parent int, data ...*nl.RtAttr) error {
	if err := remove(name, kind); err != nil {
		return err
	}
	err := create(name, kind, parent, data)
	if errors.Is(err, unix.EEXIST) {
		// The bonding driver was loaded by the request itself, and made its bond0.
		if err := remove(name, kind); err != nil {
			return err
		}
		err = create(name, kind, parent, data)
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%w: the kernel has no links of kind %s, its module (%s) is not in the image, or not loaded", err, kind, module(kind))
	}
	return err
}

func module(kind string) string {
	switch kind {
	case "vlan":
		return "8021q"
	case "bond":
		return "bonding"
	}
	return kind
}

func create(name, kind string, parent int, data []*nl.RtAttr) error {
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(unix.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	if len(data) > 0 {
		inner := info.AddRtAttr(unix.IFLA_INFO_DATA, nil)
		for _, d := range data {
			inner.AddChild(d)
		}
	}
	attributes := []nl.NetlinkRequestData{nl.NewIfInfomsg(unix.AF_UNSPEC), text(unix.IFLA_IFNAME, name)}
	if parent != 0 {
		attributes = append(attributes, number(unix.IFLA_LINK, parent))
	}
	return request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, append(attributes, info)...)
}

// remove removes a link of that name, if it is of that kind.
func remove(name, kind string) error {
	old, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a link of that name: %w", err)
	}
	if old.Type() != kind {
		return fmt.Errorf("%w: another link (%s) has that name", unix.EEXIST, old.Type())
	}
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(old.Attrs().Index)
	if err := request(unix.RTM_DELLINK, 0, m); err != nil {
		return fmt.Errorf("remove the old link of that name: %w", err)
	}
	return nil
}
