package uptest

import (
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// named asks for DHCP on one link.
func named(name string) []network.Interface {
	return []network.Interface{{Link: network.Selector{Name: name}, Methods: []network.Method{network.DHCP4}}}
}

func TestVLAN(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("vlan")
		n.Veth("eth0", "trunk")
		n.FarIP("link add link trunk name trunk.5 type vlan id 5")
		n.FarIP("link set trunk.5 up")
		onLink(t, n, "trunk.5").dhcp()
		c := network.Config{VLANs: []network.VLAN{{Name: "vlan5", Parent: network.Selector{Name: "eth0"}, ID: 5}}, Interfaces: named("vlan5")}
		active, _ := primary(t, up(t, c, "10.1.0.1"), "vlan5", network.DHCP4)
		if active.Link.Kind != "vlan" || active.Parent == nil || active.Parent.Name != "eth0" {
			t.Errorf("the link is %+v, want a VLAN on eth0", active)
		}
	})
}

// A bond of every kind that a switch or another machine can be at the other end of, with one port without a cable.
func TestBond(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, mode, far string }{
		{"active-backup", "active-backup", ""},
		{"802.3ad", "802.3ad", "802.3ad miimon 100 lacp_rate fast"},
		{"balance-rr", "balance-rr", "balance-rr miimon 100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nettest.Run(t, func(t *testing.T, n *nettest.Net) {
				n.Needs("bond")
				n.Veth("eth0", "port0")
				n.Veth("eth1", "port1")
				n.Veth("eth2", "port2")
				if tt.far == "" {
					n.Bridge("lan", "port0", "port1")
				} else {
					n.FarIP("link add lan type bond mode " + tt.far)
					for _, port := range []string{"port0", "port1"} {
						n.FarIP("link set " + port + " down")
						n.FarIP("link set " + port + " master lan")
					}
					n.FarIP("link set lan up")
				}
				n.FarIP("link set port1 down")
				onLink(t, n, "lan").dhcp()
				c := network.Config{
					Bonds: []network.Bond{{
						Name: "bond0", Ports: []network.Selector{{Name: "eth0"}, {Name: "eth1"}},
						Options: []network.BondOption{{Name: "mode", Value: tt.mode}},
					}},
					Interfaces: named("bond0"),
				}
				active, _ := primary(t, up(t, c, "10.1.0.1"), "bond0", network.DHCP4)
				if active.Link.Kind != "bond" || len(active.Ports) != 2 || active.Ports[0].Name != "eth0" || active.Ports[1].Name != "eth1" {
					t.Errorf("the link is %+v, want a bond of eth0 and eth1", active)
				}
			})
		})
	}
}

func TestVLANOnBond(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		n.Needs("vlan")
		n.Veth("eth0", "trunk")
		n.FarIP("link add link trunk name trunk.9 type vlan id 9")
		n.FarIP("link set trunk.9 up")
		onLink(t, n, "trunk.9").dhcp()
		c := network.Config{
			Bonds: []network.Bond{{
				Name: "bond0", Ports: []network.Selector{{Name: "eth0"}}, Options: []network.BondOption{{Name: "mode", Value: "active-backup"}},
			}},
			VLANs:      []network.VLAN{{Name: "bond0.9", Parent: network.Selector{Name: "bond0"}, ID: 9}},
			Interfaces: named("bond0.9"),
		}
		primary(t, up(t, c, "10.1.0.1"), "bond0.9", network.DHCP4)
	})
}

func TestBridge(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		n.Veth("eth1", "other")
		newLAN(t, n, "port").dhcp()
		c := network.Config{
			Bridges:    []network.Bridge{{Name: "br0", Ports: []network.Selector{{Name: "eth0"}, {Name: "eth1"}}}},
			Interfaces: named("br0"),
		}
		active, _ := primary(t, up(t, c, "10.1.0.1"), "br0", network.DHCP4)
		if active.Link.Kind != "bridge" || len(active.Ports) != 2 {
			t.Errorf("the link is %+v, want a bridge with two ports", active)
		}
	})
}
