package uptest

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// The zero Config gets an address by DHCP where there is no more than that, without waiting for IPv6.
func TestDHCP4(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		l := newLAN(t, n, "port")
		server := l.dhcp("--dhcp-option=option:mtu,1400", "--dhcp-option=option:domain-search,a.example")
		up := up(t, network.Config{}, "10.1.0.1")
		active, lease := primary(t, up, "eth0", network.DHCP4)
		if !prefix("10.1.0.0/24").Contains(lease.Address.Addr()) || lease.Address.Bits() != 24 || lease.Gateway() != addr("10.1.0.1") {
			t.Errorf("the lease is %+v, want an address of 10.1.0.0/24 and the gateway 10.1.0.1", lease)
		}
		if active.Link.Kind != "" || !slices.Equal(lease.Resolvers, []netip.Addr{addr("10.1.0.53")}) || !slices.Equal(lease.Search, []string{"a.example"}) {
			t.Errorf("the lease is %+v, want the resolver 10.1.0.53 and a.example", lease)
		}
		contains(t, n.IP("address show dev eth0"), lease.Address.String(), "valid_lft", "mtu 1400")
		contains(t, n.IP("route show"), "default via 10.1.0.1 dev eth0 proto dhcp src "+lease.Address.Addr().String())
		if got := server.Count(`DHCPDISCOVER`); got > 5 { // which take half a minute
			t.Errorf("%d DISCOVERs were sent", got)
		}
	})
}

// The lease is renewed while the network is up, and the kernel knows.
func TestRenewal(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		server := newLAN(t, n, "port").dhcp("--dhcp-option=option:T1,4", "--dhcp-option=option:T2,60")
		up := up(t, by(network.DHCP4), "10.1.0.1")
		_, before := primary(t, up, "eth0", network.DHCP4)
		server.Wait(`DHCPACK`) // behind all that was said before
		discovers := server.Count(`DHCPDISCOVER`)
		server.WaitN(`DHCPACK`, 2)
		_, after := primary(t, up, "eth0", network.DHCP4)
		if before.Address != after.Address {
			t.Errorf("the address is %v after it was renewed, want %v", after.Address, before.Address)
		}
		if got := server.Count(`DHCPDISCOVER`) - discovers; got > 0 {
			t.Errorf("%d DISCOVERs, want none to renew", got)
		}
		fetch(t, "10.1.0.1")
	})
}

// Somebody has the address that the server gives: it is declined, and another one is taken.
func TestDuplicate4(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		l := newLAN(t, n, "port")
		n.FarIP("address add 10.1.0.77/32 dev lan")
		n.IP("link set eth0 address 02:00:00:00:00:01")
		server := l.dhcp("--dhcp-host=02:00:00:00:00:01,10.1.0.77")
		up := up(t, by(network.DHCP4), "10.1.0.1")
		_, lease := primary(t, up, "eth0", network.DHCP4)
		if lease.Address.Addr() == addr("10.1.0.77") {
			t.Errorf("the address is %v, which somebody else has", lease.Address)
		}
		server.Wait(`DHCPDECLINE\(lan\) 10\.1\.0\.77`)
	})
}

// A single address, and a gateway that no subnet holds: option 121 of a cloud's network. It goes before option 3 (RFC 3442).
func TestGatewayOutside(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		n.Bridge("lan", "port")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		n.FarIP("address add 192.168.100.1/32 dev lan")
		n.Bridge("web")
		n.FarIP("address add 10.99.0.1/24 dev web")
		serve(t, n, "10.99.0.1:80")
		lan{n, "lan"}.dhcp("--dhcp-option=option:netmask,255.255.255.255", "--dhcp-option=option:router,10.1.0.9",
			"--dhcp-option=option:classless-static-route,192.168.100.1/32,0.0.0.0,0.0.0.0/0,192.168.100.1")
		up(t, by(network.DHCP4), "10.99.0.1")
		contains(t, n.IP("route show"), "default via 192.168.100.1 dev eth0 proto dhcp", "192.168.100.1 dev eth0 proto dhcp scope link")
		if routes := n.IP("route show"); strings.Contains(routes, "10.1.0.9") {
			t.Errorf("the routes are %s, want none of option 3", routes)
		}
	})
}

// A static address, with its own MTU and hardware address; no server is asked.
func TestStatic4(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		server := newLAN(t, n, "port").dhcp()
		n.FarIP("link set port mtu 9000")
		n.FarIP("link set lan mtu 9000")
		up(t, only(network.Interface{
			Link: network.Selector{Name: "eth0"}, Methods: []network.Method{network.Static},
			Address: prefix("10.1.0.7/24"), Gateway: addr("10.1.0.1"), MTU: 9000, MAC: "02:00:00:00:00:09",
		}), "10.1.0.1")
		contains(t, n.IP("address show dev eth0"), "inet 10.1.0.7/24", "mtu 9000", "link/ether 02:00:00:00:00:09", "valid_lft forever")
		contains(t, n.IP("route show"), "default via 10.1.0.1 dev eth0 proto static")
		if got := server.Count(`DHCPDISCOVER`); got != 0 {
			t.Errorf("%d DISCOVERs, want none", got)
		}
	})
}
