package uptest

import (
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// The image's host is given by its name, which only the resolver of the lease knows.
func TestByName(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		server []string
		want   network.Method
	}{
		{"DHCPv4", []string{"--dhcp-range=10.1.0.100,10.1.0.150,255.255.255.0,10m", "--address=/image.test/10.1.0.1", "--dhcp-option=option:dns-server,10.1.0.1"}, network.DHCP4},
		{"router", []string{"--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,10m", "--address=/image.test/fd00:1::1", "--dhcp-option=option6:dns-server,[fe80::]"}, network.Auto6},
		{"DHCPv6", []string{"--enable-ra", "--dhcp-range=fd00:1::100,fd00:1::1ff,64,10m", "--address=/image.test/fd00:1::1", "--dhcp-option=option6:dns-server,[fd00:1::1]"}, network.DHCP6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nettest.Run(t, func(t *testing.T, n *nettest.Net) {
				n.Veth("eth0", "port")
				server := newLAN(t, n, "port").dnsmasq(append([]string{"--port=53", "--log-queries"}, tt.server...)...)
				up, err := network.Up(within(t, limit), network.Config{}, environment(t, "image.test"))
				if err != nil {
					t.Fatal(err)
				}
				defer up.Close()
				primary(t, up, "eth0", tt.want)
				server.Wait(`config image\.test is `)
			})
		})
	}
}

// The name is known to nobody: that is what the error says.
func TestUnknownName(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port")
		newLAN(t, n, "port").dhcp("--port=53", "--dhcp-option=option:dns-server,10.1.0.1", "--local=/test/")
		_, err := network.Up(within(t, limit), shorter(by(network.DHCP4)), environment(t, "no-such-host.test"))
		if err == nil {
			t.Fatal("Up found a host without a name")
		}
		contains(t, err.Error(), "eth0 (", "look up no-such-host.test", "10.1.0.1")
	})
}

// A static route is set beside what the lease has, and the interface that the boot is to come over is waited for.
func TestRoutesAndBoot(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port0")
		n.Veth("eth1", "port1")
		newLAN(t, n, "port0", "port1").dhcp()
		c := network.Config{
			Interfaces: []network.Interface{
				{Link: network.Selector{Name: "eth0"}, Methods: []network.Method{network.DHCP4}},
				{Link: network.Selector{Name: "eth1"}, Methods: []network.Method{network.Static}, Address: prefix("10.1.0.9/24")},
			},
			Boot:   network.Selector{Name: "eth1"},
			Routes: []network.StaticRoute{{Route: network.Route{Destination: prefix("10.77.0.0/16"), Gateway: addr("10.1.0.1")}, Link: network.Selector{Name: "eth1"}}},
		}
		primary(t, up(t, c, "10.1.0.1"), "eth1", network.Static)
		contains(t, n.IP("route show"), "10.77.0.0/16 via 10.1.0.1 dev eth1 proto static")
	})
}
