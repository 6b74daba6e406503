package rtnl

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// bond makes a bond named bond0, and must succeed. The options are "name=value", separated by blanks.
func bond(t *testing.T, s *System, options string) network.Link {
	t.Helper()
	return makeLink(t, s, network.Bond{Name: "bond0", Options: bondOptions(options)}, network.Link{})
}

func bondOptions(s string) (options []network.BondOption) {
	for word := range strings.FieldsSeq(s) {
		name, value, _ := strings.Cut(word, "=")
		options = append(options, network.BondOption{Name: name, Value: value})
	}
	return options
}

// option reads an option of bond0 back.
func option(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/sys/class/net/bond0/bonding", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Every option of the driver is set and read back, by name and by number.
func TestBondOptions(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		n.Veth("eth0", "lan0")
		n.Veth("eth1", "lan1")
		var s System
		for _, tt := range []struct{ options, file, want string }{
			{"", "mode", "balance-rr 0"},
			{"", "miimon", "100"},
			{"mode=active-backup", "mode", "active-backup 1"},
			{"mode=4", "mode", "802.3ad 4"},
			{"miimon=50", "miimon", "50"},
			{"updelay=200 miimon=50", "updelay", "200"},
			{"downdelay=150 miimon=50", "downdelay", "150"},
			{"peer_notif_delay=300 mode=1 miimon=100", "peer_notif_delay", "300"},
			{"use_carrier=0", "use_carrier", "0"},
			{"arp_ip_target=10.1.0.1 arp_interval=500 mode=1", "arp_interval", "500"},
			{"arp_ip_target=10.1.0.1 arp_interval=500 mode=1", "miimon", "0"},
			{"arp_ip_target=10.1.0.1,10.1.0.9 arp_interval=500", "arp_ip_target", "10.1.0.1 10.1.0.9"},
			{"arp_validate=all arp_interval=500 mode=1", "arp_validate", "all 3"},
			{"arp_all_targets=all arp_interval=500 mode=1", "arp_all_targets", "all 1"},
			{"primary_reselect=better mode=1", "primary_reselect", "better 1"},
			{"fail_over_mac=active mode=1", "fail_over_mac", "active 1"},
			{"xmit_hash_policy=layer3+4 mode=balance-xor", "xmit_hash_policy", "layer3+4 1"},
			{"xmit_hash_policy=encap3+4 mode=802.3ad", "xmit_hash_policy", "encap3+4 4"},
			{"resend_igmp=5", "resend_igmp", "5"},
			{"num_grat_arp=3", "num_grat_arp", "3"},
			{"num_unsol_na=4", "num_unsol_na", "4"},
			{"all_slaves_active=1", "all_slaves_active", "1"},
			{"min_links=2 mode=4", "min_links", "2"},
			{"lp_interval=7 mode=balance-alb", "lp_interval", "7"},
			{"packets_per_slave=8", "packets_per_slave", "8"},
			{"lacp_rate=fast mode=4", "lacp_rate", "fast 1"},
			{"ad_select=bandwidth mode=4", "ad_select", "bandwidth 1"},
			{"ad_actor_sys_prio=1000 mode=4", "ad_actor_sys_prio", "1000"},
			{"ad_user_port_key=5 mode=4", "ad_user_port_key", "5"},
			{"ad_actor_system=02:00:00:00:00:11 mode=4", "ad_actor_system", "02:00:00:00:00:11"},
			{"tlb_dynamic_lb=0 mode=balance-tlb", "tlb_dynamic_lb", "0"},
			{"lacp_active=off mode=4", "lacp_active", "off 0"},
			{"arp_missed_max=5 arp_interval=100 mode=1", "arp_missed_max", "5"},
			{"primary=eth1 mode=1", "primary", "eth1"},
			{"active_slave=eth1 mode=1", "active_slave", "eth1"},
			{"queue_id=eth1:2", "queue_id", "eth0:0 eth1:2"},
		} {
			t.Run(tt.options+" "+tt.file, func(t *testing.T) {
				bond(t, &s, tt.options)
				join(t, &s, "eth0", "bond0")
				join(t, &s, "eth1", "bond0")
				if got := option(t, tt.file); got != tt.want {
					t.Errorf("%s = %q after %s, want %q", tt.file, got, tt.options, tt.want)
				}
			})
		}
	})
}

// What is not in /sys, as ip(8) shows it; or the kernel is too old, and that is said.
func TestBondOptionsByNetlink(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		var s System
		bond(t, &s, "ns_ip6_target=fd00::1,fd00::2 mode=1 arp_interval=100")
		if got := n.IP("-d link show bond0"); !strings.Contains(got, "ns_ip6_target fd00::1,fd00::2 ") {
			t.Errorf("the bond is %s, want two targets", got)
		}
		l := link(t, "bond0")
		m := nl.NewIfInfomsg(unix.AF_UNSPEC)
		m.Index = int32(l.Index)
		for number, want := range map[int]bool{attribute("ns_ip6_target"): true, 250: false} {
			if got, err := has(m, number); got != want || err != nil {
				t.Errorf("has(%d) = %v, %v, want %v", number, got, err, want)
			}
		}
		bond(t, &s, "mode=4")
		if err := setOption("bond0", network.BondOption{Name: "coupled_control", Value: "off"}); err != nil && !errors.Is(err, errNoOption) {
			t.Errorf("coupled_control=off: %v, want success, or that the driver does not have it", err)
		}
	})
}

// An option that cannot be set is named, and no half-made bond is left.
func TestBondOptionsFail(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		var s System
		for _, tt := range []struct{ name, options, want string }{
			{"unknown", "mod=1", "ip link set bond0 type bond mod 1: the bonding driver has no such option"},
			{"path", "../mtu=1", "ip link set bond0 type bond ../mtu 1: the bonding driver has no such option"},
			{"value", "mode=best", "ip link set bond0 type bond mode best: invalid argument: the bonding driver does not take this value"},
			{"mode", "lacp_rate=fast mode=active-backup", "ip link set bond0 type bond lacp_rate fast: permission denied: a bond of this mode does not have it"},
			{"target", "arp_interval=100 arp_ip_target=no", "ip link set bond0 type bond arp_ip_target no: operation not permitted: the bonding driver does not take this value"},
			{"target of IPv6", "arp_interval=100 ns_ip6_target=no", `ip link set bond0 type bond ns_ip6_target no: "no" is no IPv6 address`},
			{"flag", "mode=4 coupled_control=maybe", `ip link set bond0 type bond coupled_control maybe: "maybe" is neither on nor off`},
		} {
			t.Run(tt.name, func(t *testing.T) {
				err := s.Make(network.Bond{Name: "bond0", Options: bondOptions(tt.options)}, network.Link{})
				if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("Make() of a bond with %s = %v, want %s", tt.options, err, tt.want)
				}
				if links := n.IP("link show"); strings.Contains(links, "bond0") {
					t.Errorf("a bond is left: %s", links)
				}
			})
		}
	})
}

// Traffic goes on over the other port when the primary loses its carrier, and comes back to it.
func TestActiveBackup(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		n.Veth("eth0", "lan0")
		n.Veth("eth1", "lan1")
		n.Bridge("lan", "lan0", "lan1")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		var s System
		renamed := change(t, &s, "eth1", network.Change{Name: "enp2s0"})
		renamed.KernelName = "eth1"
		bond(t, &s, "mode=active-backup primary=eth1 miimon=20")
		join(t, &s, "eth0", "bond0")
		if err := s.Join(renamed, "bond0"); err != nil {
			t.Fatal(err)
		}
		bond0 := raise(t, &s, "bond0")
		configure(t, &s, bond0, "10.1.0.2/24")
		for _, port := range []string{"eth0", "enp2s0"} {
			l := link(t, port)
			if l.Master != bond0.Index || !l.Up || l.MAC.String() != bond0.MAC.String() || len(l.PermanentMAC) != 6 {
				t.Errorf("the port is %+v, want it up, with the master %d and its own hardware address as the permanent one", l, bond0.Index)
			}
		}
		waitOption(t, "active_slave", "enp2s0")
		talk(t, n, "10.1.0.1", 1500)
		n.FarIP("link set lan1 down")
		waitOption(t, "active_slave", "eth0")
		talk(t, n, "10.1.0.1", 1500)
		n.FarIP("link set lan1 up")
		waitOption(t, "active_slave", "enp2s0")
	})
}

// A bond without options sends over its ports in turn, and leaves out one without carrier.
func TestBalanceRR(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		n.Veth("eth0", "lan0")
		n.Veth("eth1", "lan1")
		n.Bridge("lan", "lan0", "lan1")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		n.Unplug("eth1")
		var s System
		bond(t, &s, "")
		join(t, &s, "eth0", "bond0")
		join(t, &s, "eth1", "bond0")
		configure(t, &s, raise(t, &s, "bond0"), "10.1.0.2/24")
		for range 4 {
			talk(t, n, "10.1.0.1", 1500)
		}
		if got := n.IP("-d link show eth1"); !strings.Contains(got, "mii_status DOWN") {
			t.Errorf("the port without carrier is %s, want its mii_status DOWN", got)
		}
	})
}

// The bond finds its partner, a bond on the far side, and both ports carry.
func TestLACP(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		n.Veth("eth0", "lan0")
		n.Veth("eth1", "lan1")
		n.FarIP("link add agg type bond mode 802.3ad miimon 100 lacp_rate fast")
		for _, port := range []string{"lan0", "lan1"} {
			n.FarIP("link set " + port + " down")
			n.FarIP("link set " + port + " master agg")
			n.FarIP("link set " + port + " up")
		}
		n.FarIP("link set agg up")
		n.FarIP("address add 10.1.0.1/24 dev agg")
		var s System
		bond(t, &s, "mode=802.3ad lacp_rate=fast xmit_hash_policy=layer2+3")
		join(t, &s, "eth0", "bond0")
		join(t, &s, "eth1", "bond0")
		configure(t, &s, raise(t, &s, "bond0"), "10.1.0.2/24")
		partner := strings.Fields(n.FarIP("-o link show agg"))
		waitOption(t, "ad_partner_mac", after(partner, "link/ether"))
		waitOption(t, "ad_num_ports", "2")
		talk(t, n, "10.1.0.1", 1500)
	})
}

// after is the word after another one.
func after(words []string, word string) string {
	for i := range words[:len(words)-1] {
		if words[i] == word {
			return words[i+1]
		}
	}
	return ""
}

// A bond of that name that is there already, as the driver's own is, is replaced; and a VLAN can sit on a bond.
func TestBondAnew(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Needs("bond")
		n.Needs("vlan")
		n.Veth("eth0", "lan0")
		n.FarIP("link add link lan0 name lan0.9 type vlan id 9")
		n.FarIP("link set lan0.9 up")
		n.FarIP("address add 10.9.0.1/24 dev lan0.9")
		n.IP("link add bond0 type bond mode 4")
		var s System
		bond(t, &s, "mode=active-backup")
		if got := option(t, "mode"); got != "active-backup 1" {
			t.Errorf("mode = %q, want active-backup 1", got)
		}
		join(t, &s, "eth0", "bond0")
		bond0 := raise(t, &s, "bond0")
		makeLink(t, &s, network.VLAN{Name: "bond0.9", ID: 9}, bond0)
		configure(t, &s, raise(t, &s, "bond0.9"), "10.9.0.2/24")
		talk(t, n, "10.9.0.1", 1500)
	})
}

// waitOption waits until the driver has come to a value.
func waitOption(t *testing.T, name, want string) {
	t.Helper()
	poll(t, name+" is "+want, func() bool { return option(t, name) == want })
}
