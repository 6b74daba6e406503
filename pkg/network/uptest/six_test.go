package uptest

import (
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// Networks that have IPv6 only, of every kind.
func TestIPv6Only(t *testing.T) {
	t.Parallel()
	const stateful = "--dhcp-range=fd00:1::100,fd00:1::1ff,64,10m"
	for _, tt := range []struct {
		name   string
		server []string
		config network.Config
		want   network.Method
	}{
		{"DHCPv6 found by itself", []string{"--enable-ra", stateful}, network.Config{}, network.DHCP6},
		{"SLAAC found by itself", []string{"--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,10m"}, network.Config{}, network.Auto6},
		{"dhcp6", []string{"--enable-ra", stateful}, by(network.DHCP6), network.DHCP6},
		{"auto6", []string{"--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,10m"}, by(network.Auto6), network.Auto6},
		{"auto6 with stateless DHCPv6", []string{"--enable-ra", "--dhcp-range=fd00:1::,ra-stateless,64,10m"}, by(network.Auto6), network.Auto6},
		{"static", nil, only(network.Interface{Methods: []network.Method{network.Static}, Address: prefix("fd00:1::7/64"), Gateway: addr("fd00:1::1")}), network.Static},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nettest.Run(t, func(t *testing.T, n *nettest.Net) {
				n.Veth("eth0", "port")
				n.Bridge("lan", "port")
				n.FarIP("address add fd00:1::1/64 nodad dev lan")
				n.FarSysctl("ipv6/conf/all/forwarding", "1")
				serve(t, n, "[fd00:1::1]:80")
				if tt.server != nil {
					lan{n, "lan"}.dnsmasq(append([]string{"--dhcp-option=option6:dns-server,[fd00:1::53]"}, tt.server...)...)
				}
				up := up(t, tt.config, "fd00:1::1")
				_, lease := primary(t, up, "eth0", tt.want)
				contains(t, n.IP("-6 address show dev eth0"), lease.Address.String())
				if tt.want != network.Static && (len(lease.Resolvers) != 1 || lease.Resolvers[0] != addr("fd00:1::53")) {
					t.Errorf("the resolvers are %v, want fd00:1::53", lease.Resolvers)
				}
				contains(t, n.IP("-6 route show"), "default via f")
			})
		})
	}
}

// A static address that somebody has is said to be a duplicate.
func TestDuplicate6(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		newLAN(t, n, "port")
		c := only(network.Interface{Methods: []network.Method{network.Static}, Address: prefix("fd00:1::1/64")})
		_, err := network.Up(within(t, limit), shorter(c), environment(t, "fd00:1::1"))
		if err == nil {
			t.Fatal("Up took an address that somebody has")
		}
		contains(t, err.Error(), "eth0", "the address fd00:1::1 is in use by another machine")
	})
}
