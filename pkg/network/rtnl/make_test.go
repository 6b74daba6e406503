package rtnl

import (
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// make makes a virtual link, and must succeed.
func makeLink(t *testing.T, s *System, v network.Virtual, parent network.Link) network.Link {
	t.Helper()
	if err := s.Make(v, parent); err != nil {
		t.Fatal(err)
	}
	return link(t, v.LinkName())
}

func join(t *testing.T, s *System, port, master string) {
	t.Helper()
	if err := s.Join(link(t, port), master); err != nil {
		t.Fatal(err)
	}
}

// Packets pass with the tag and without, each in its own network.
func TestVLAN(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("vlan")
		n.Veth("eth0", "lan")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		n.FarIP("link add link lan name lan.5 type vlan id 5")
		n.FarIP("link set lan.5 up")
		n.FarIP("address add 10.5.0.1/24 dev lan.5")
		var s System
		parent := raise(t, &s, "eth0")
		if l := makeLink(t, &s, network.VLAN{Name: "vlan0005", ID: 5}, parent); l.Kind != "vlan" || l.Up || l.MAC.String() != parent.MAC.String() {
			t.Errorf("the VLAN is %+v, want it down with its parent's hardware address", l)
		}
		configure(t, &s, raise(t, &s, "vlan0005"), "10.5.0.2/24")
		configure(t, &s, parent, "10.1.0.2/24")
		talk(t, n, "10.5.0.1", 1500)
		talk(t, n, "10.1.0.1", 1500)
		makeLink(t, &s, network.VLAN{Name: "vlan0005", ID: 6}, parent)
		if got := n.IP("-d link show vlan0005"); !strings.Contains(got, "id 6") {
			t.Errorf("the VLAN that was made anew is %s, want the id 6", got)
		}
		for _, tt := range []struct {
			name string
			in   network.VLAN
			want string
		}{
			{"range", network.VLAN{Name: "a", ID: 4095}, "ip link add link eth0 name a type vlan id 4095: numerical result out of range: "},
			{"name", network.VLAN{Name: "eth0", ID: 7}, "ip link add link eth0 name eth0 type vlan id 7: file exists: another link (veth) has that name"},
			{"twice", network.VLAN{Name: "b", ID: 6}, "ip link add link eth0 name b type vlan id 6: file exists"},
		} {
			if err := s.Make(tt.in, parent); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%s: Make(%+v) = %v, want %s", tt.name, tt.in, err, tt.want)
			}
		}
	})
}

// A bridge forwards at once, between its ports and from the machine.
func TestBridge(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		n.Veth("eth1", "lan1")
		n.FarIP("address add 10.1.0.1/24 dev lan1")
		var s System
		if l := makeLink(t, &s, network.Bridge{Name: "br0"}, network.Link{}); l.Kind != "bridge" || l.Up {
			t.Errorf("the bridge is %+v, want a bridge that is down", l)
		}
		if got := n.IP("-d link show br0"); !strings.Contains(got, "forward_delay 0 ") || !strings.Contains(got, "stp_state 0 ") {
			t.Errorf("the bridge is %s, want the forward delay 0 and no STP", got)
		}
		join(t, &s, "eth0", "br0")
		join(t, &s, "eth1", "br0")
		br0 := raise(t, &s, "br0")
		for _, port := range []string{"eth0", "eth1"} {
			if l := link(t, port); !l.Up || l.Master != br0.Index {
				t.Errorf("the port is %+v, want it up with the master %d", l, br0.Index)
			}
		}
		configure(t, &s, br0, "10.1.0.2/24")
		talk(t, n, "10.1.0.1", 1500)
	})
}

func TestMakeFails(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		var s System
		if err := s.Make(network.Bridge{Name: "eth0"}, network.Link{}); err == nil ||
			err.Error() != "ip link add eth0 type bridge forward_delay 0 stp_state 0: file exists: another link (veth) has that name" {
			t.Errorf("Make() of a name that is taken = %v, want that it is", err)
		}
		if err := add("x", "no-such-kind", 0); err == nil || !strings.Contains(err.Error(), "its module (no-such-kind) is not in the image") {
			t.Errorf("add(no-such-kind) = %v, want that its module is missing", err)
		}
		if err := s.Join(link(t, "eth0"), "br9"); err == nil || err.Error() != "ip link set eth0 master br9: Link not found" {
			t.Errorf("Join() of no bridge = %v, want that there is none", err)
		}
	})
}
