package rtnl

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

func TestChange(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		var s System
		l := change(t, &s, "eth0", network.Change{Name: "enp3s0", MAC: "02:00:00:00:00:07", MTU: 1400, Up: true})
		if l.Name != "enp3s0" || l.MAC.String() != "02:00:00:00:00:07" || l.MTU != 1400 || !l.Up {
			t.Errorf("the link is %+v after the change, want enp3s0, 02:00:00:00:00:07, 1400, up", l)
		}
		l = change(t, &s, "enp3s0", network.Change{Name: "lan0"})
		if !l.Up {
			t.Error("a link that was up is down after it got another name")
		}
		before := l
		if l = change(t, &s, "lan0", network.Change{}); l.Name != before.Name || l.MTU != before.MTU || !l.Up {
			t.Errorf("the link is %+v after a change of nothing, want %+v", l, before)
		}
	})
}

// Some drivers change the hardware address of a link only while it is down, and so do kernels before 6.2 with its name.
func TestWhileDown(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		var s System
		eth0 := change(t, &s, "eth0", network.Change{Up: true})
		made := 0
		picky := func() error {
			if link(t, "eth0").Up {
				return fmt.Errorf("driver: %w", unix.EBUSY)
			}
			made++
			return nil
		}
		if err := whileDown(eth0, picky); err != nil || made != 1 || !link(t, "eth0").Up {
			t.Errorf("whileDown() = %v, made %d times, up %v, want it made once and the link up", err, made, link(t, "eth0").Up)
		}
		configure(t, &s, eth0, "10.1.0.2/24")
		if err := whileDown(eth0, picky); err == nil || !strings.Contains(err.Error(), "would lose its address 10.1.0.2/24") || made != 1 {
			t.Errorf("whileDown() of a link with an address = %v, made %d times, want that it would lose it", err, made)
		}
	})
}

func TestChangeFails(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		n.Veth("eth1", "lan1")
		var s System
		for _, tt := range []struct {
			name string
			in   network.Change
			want string
		}{
			{"taken", network.Change{Name: "eth1"}, "ip link set eth0 name eth1: file exists"},
			{"too long", network.Change{Name: "abcdefghijklmnopq"}, "ip link set eth0 name abcdefghijklmnopq: "},
			{"no address", network.Change{MAC: "02:00"}, "ip link set eth0 address 02:00: address 02:00: invalid MAC address"},
			{"multicast", network.Change{MAC: "01:00:5e:00:00:01"}, "ip link set eth0 address 01:00:5e:00:00:01: cannot assign requested address"},
			{"too large", network.Change{MTU: 70000}, "ip link set eth0 mtu 70000: invalid argument: mtu greater than device maximum"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				err := s.Change(link(t, "eth0"), tt.in)
				if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("Change(%+v) = %v, want %s", tt.in, err, tt.want)
				}
			})
		}
		gone := link(t, "eth1")
		n.IP("link delete eth1")
		if err := s.Change(gone, network.Change{Up: true}); err == nil || err.Error() != "ip link set eth1 up: no such device" {
			t.Errorf("Change() of a link that is gone = %v, want no such device", err)
		}
	})
}

func TestMTU(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan0")
		n.FarIP("address add 10.1.0.1/24 dev lan0")
		n.FarIP("link set lan0 mtu 9000")
		var s System
		l := raise(t, &s, "eth0")
		configure(t, &s, l, "10.1.0.2/24")
		for _, mtu := range []int{1400, 9000} {
			change(t, &s, "eth0", network.Change{MTU: mtu})
			talk(t, n, "10.1.0.1", mtu)
		}
	})
}

// A bridge keeps the hardware address of its first port when one with a lower address joins.
func TestBridgeKeepsAddress(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s := new(System)
		if err := s.Make(network.Bridge{Name: "br0"}, network.Link{}); err != nil {
			t.Fatal(err)
		}
		for _, port := range []struct{ name, mac string }{{"eth0", "02:00:00:00:00:77"}, {"eth1", "02:00:00:00:00:11"}} {
			n.Veth(port.name, "far-"+port.name)
			n.IP("link set " + port.name + " address " + port.mac)
			if err := s.Join(raise(t, s, port.name), "br0"); err != nil {
				t.Fatal(err)
			}
		}
		contains(t, n.IP("link show br0"), `link/ether 02:00:00:00:00:77 `)
	})
}
