package rtnl

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// A gateway that no subnet holds is asked for on the link, as networks with single addresses need it.
func TestGatewayOutside(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		n.FarIP("address add 192.168.100.1/32 dev lan0")
		n.FarIP("route add 10.1.0.5/32 dev lan0")
		n.FarIP("link add far0 type bridge")
		n.FarIP("link set far0 up")
		n.FarIP("address add 10.99.0.1/24 dev far0")
		configure(t, s, eth0, "10.1.0.5/32", via("0.0.0.0/0", "192.168.100.1"))
		contains(t, n.IP("-4 route show"), `default via 192\.168\.100\.1 dev eth0 .*onlink`)
		talk(t, n, "10.99.0.1", 1500)
		configure(t, s, eth0, "fd00:1::5/128", via("::/0", "fd00:9::1"))
		contains(t, n.IP("-6 route show"), `default via fd00:9::1 dev eth0 .*onlink`)
	})
}

// Two links can be in one subnet, each with its own routes, and what is taken from one the other keeps.
func TestOneSubnet(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		n.Veth("eth1", "lan1")
		n.Bridge("lan", "lan0", "lan1")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		eth1 := raise(t, s, "eth1")
		first := configure(t, s, eth0, "10.1.0.5/24", via("0.0.0.0/0", "10.1.0.1"))
		configure(t, s, eth1, "10.1.0.6/24", via("0.0.0.0/0", "10.1.0.1"))
		configure(t, s, eth0, "fd00:1::5/64", via("::/0", "fe80::1"))
		configure(t, s, eth1, "fd00:1::6/64", via("::/0", "fe80::1"))
		four, six := n.IP("-4 route show"), n.IP("-6 route show")
		contains(t, four, `default via 10\.1\.0\.1 dev eth0`, `default via 10\.1\.0\.1 dev eth1`, `10\.1\.0\.0/24 dev eth0`, `10\.1\.0\.0/24 dev eth1`)
		contains(t, six, `default via fe80::1 dev eth0`, `default via fe80::1 dev eth1`, `fd00:1::/64 dev eth0`, `fd00:1::/64 dev eth1`)
		metrics := map[string]bool{}
		for line := range strings.Lines(four + six) {
			if words := strings.Fields(line); words[0] == "default" {
				metrics[after(words, "metric")] = true
			}
		}
		if len(metrics) != 4 {
			t.Errorf("the default routes have the metrics %v, want four different ones", metrics)
		}
		for _, link := range []string{"eth0", "eth1", "eth0", "eth1"} {
			n.FarIP("neighbour flush dev lan")
			talkOver(t, n, link, "10.1.0.1", 1500)
		}
		if err := s.Remove(eth0, first); err != nil {
			t.Error(err)
		}
		left := n.IP("-4 route show")
		contains(t, left, `default via 10\.1\.0\.1 dev eth1`, `10\.1\.0\.0/24 dev eth1`)
		lacks(t, left, `eth0`)
		talk(t, n, "10.1.0.1", 1500)
	})
}

func TestRouteFails(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		lease := network.Lease{Method: network.Static, Address: netip.MustParsePrefix("10.1.0.5/24")}
		for _, tt := range []struct {
			name string
			in   network.Route
			want string
		}{
			{"broadcast", via("10.2.0.0/16", "10.1.0.255"), "ip route replace 10.2.0.0/16 via 10.1.0.255 dev eth0 metric "},
			{"multicast outside", via("0.0.0.0/0", "224.0.0.1"), "ip route replace 0.0.0.0/0 via 224.0.0.1 dev eth0 onlink metric "},
		} {
			lease.Routes = []network.Route{tt.in}
			err := s.Configure(t.Context(), eth0, lease)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || !strings.HasSuffix(err.Error(), ": invalid argument: Nexthop has invalid gateway") {
				t.Errorf("%s: Configure() = %v, want %s", tt.name, err, tt.want)
			}
		}
	})
}

// What the kernel learnt from a router stays as it is, whatever the lease says of it; other routes are set beside it.
func TestFromKernel(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		n.IP("address add fd00:1::77/64 dev eth0 nodad valid_lft 500 preferred_lft 400")
		n.IP("route add default via fe80::1 dev eth0 proto ra metric 1024")
		lease := network.Lease{
			Method: network.Auto6, FromKernel: true, Address: netip.MustParsePrefix("fd00:1::77/64"),
			Routes: []network.Route{via("::/0", "fe80::1%eth0"), via("fd00:1::/64", ""), via("fd00:5::/64", "fd00:1::9")},
		}
		before := routes6(n)
		if err := s.Configure(t.Context(), eth0, lease); err != nil {
			t.Fatal(err)
		}
		contains(t, n.IP("-6 address show dev eth0"), `valid_lft (500|49\d)sec preferred_lft (400|39\d)sec`)
		contains(t, routes6(n), `fd00:5::/64 via fd00:1::9 dev eth0 proto static`)
		if got, want := strings.Count(routes6(n), "\n"), strings.Count(before, "\n")+1; got != want {
			t.Errorf("%d routes, want %d: %s", got, want, routes6(n))
		}
		if err := s.Remove(eth0, lease); err != nil {
			t.Error(err)
		}
		if got := routes6(n); got != before {
			t.Errorf("after Remove:\n%s\nwant\n%s", got, before)
		}
		contains(t, n.IP("-6 address show dev eth0"), `fd00:1::77/64`)
	})
}

// The routes of a lease that is behind come after those of every link that is not, whatever their indexes; and a link that is set down has none.
func TestBehind(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		n.Veth("eth1", "lan1")
		eth1 := raise(t, s, "eth1")
		lease := network.Lease{
			Method: network.Static, Address: netip.MustParsePrefix("10.1.0.5/24"), Behind: true,
			Routes: []network.Route{via("0.0.0.0/0", "10.1.0.1")},
		}
		if err := s.Configure(t.Context(), eth0, lease); err != nil {
			t.Fatal(err)
		}
		configure(t, s, eth1, "10.1.0.6/24", via("0.0.0.0/0", "10.1.0.1"))
		contains(t, n.IP("-4 route show"), `default via 10\.1\.0\.1 dev eth0 .*metric 20\d\d`, `10\.1\.0\.0/24 dev eth0 .*metric 20\d\d`)
		contains(t, n.IP("route get 203.0.113.1"), ` dev eth1 `)
		contains(t, n.IP("route get 10.1.0.77"), ` dev eth1 `)
		if err := s.Change(eth1, network.Change{Down: true}); err != nil {
			t.Fatal(err)
		}
		lacks(t, n.IP("-4 route show"), `eth1`)
	})
}
