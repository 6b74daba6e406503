package rtnl

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

func TestBroadcast(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"10.1.2.3/24", "10.1.2.255"}, {"10.1.2.3/30", "10.1.2.3"}, {"10.1.2.3/8", "10.255.255.255"}, {"10.1.2.3/22", "10.1.3.255"}, {"10.1.2.3/0", "255.255.255.255"},
	} {
		if got := broadcast(netip.MustParsePrefix(tt.in)); got.String() != tt.want {
			t.Errorf("broadcast(%s) = %v, want %s", tt.in, got, tt.want)
		}
	}
}

func TestLifetime(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name  string
		valid time.Duration
		since time.Duration // before now
		want  uint32
		err   string
	}{
		{"for ever", 0, time.Hour, infinite, ""},
		{"new", 20 * time.Second, 0, 20, ""},
		{"half", 20 * time.Second, 9500 * time.Millisecond, 11, ""},
		{"over", 20 * time.Second, 25 * time.Second, 0, "the lease ran out 5s ago"},
		{"very long", 1 << 62, 0, infinite - 1, ""},
	} {
		got, err := lifetime(network.Lease{Valid: tt.valid, Since: now.Add(-tt.since)}, now)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: lifetime() = %d, %v, want %d, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// routes6 are the IPv6 routes, without the time that they have left.
func routes6(n *nettest.Net) string {
	return regexp.MustCompile(` expires \d+sec`).ReplaceAllString(n.IP("-6 route show"), "")
}

// near is a machine with one link that is up.
func near(t *testing.T, n *nettest.Net) (*System, network.Link) {
	t.Helper()
	n.Veth("eth0", "lan0")
	s := new(System)
	l := raise(t, s, "eth0")
	// IPv6 learns of the carrier a little later, and makes its own address and route then.
	poll(t, "the link-local route", func() bool { return strings.Contains(routes6(n), "fe80::/64 dev eth0") })
	return s, l
}

// contains fails the test unless the output has a match of each expression.
func contains(t *testing.T, output string, expressions ...string) {
	t.Helper()
	for _, e := range expressions {
		if !regexp.MustCompile(e).MatchString(output) {
			t.Errorf("no %q in:\n%s", e, output)
		}
	}
}

// lacks fails the test if the output has a match of one of them.
func lacks(t *testing.T, output string, expressions ...string) {
	t.Helper()
	for _, e := range expressions {
		if regexp.MustCompile(e).MatchString(output) {
			t.Errorf("%q in:\n%s", e, output)
		}
	}
}

func TestLease4(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		lease := network.Lease{
			Method: network.DHCP4, Address: netip.MustParsePrefix("10.1.0.5/24"), Valid: 100 * time.Second, Since: time.Now().Add(-40 * time.Second),
			Routes: []network.Route{via("0.0.0.0/0", "10.1.0.1"), via("10.7.0.0/16", "10.1.0.2"), via("192.168.9.1/32", "")},
		}
		empty := n.IP("-4 address show dev eth0") + n.IP("-4 route show table all")
		for _, lifetime := range []string{`valid_lft (60|5\d)sec preferred_lft (60|5\d)sec`, `valid_lft (1000|99\d)sec`} {
			if err := s.Configure(t.Context(), eth0, lease); err != nil {
				t.Fatal(err)
			}
			addresses := n.IP("-4 address show dev eth0")
			contains(t, addresses, `inet 10\.1\.0\.5/24 metric \d\d brd 10\.1\.0\.255 scope global dynamic`, lifetime)
			if got := strings.Count(addresses, "inet "); got != 1 {
				t.Errorf("%d addresses, want one: %s", got, addresses)
			}
			contains(t, n.IP("-4 route show"),
				`(?m)^default via 10\.1\.0\.1 dev eth0 proto dhcp src 10\.1\.0\.5 metric \d\d `,
				`(?m)^10\.7\.0\.0/16 via 10\.1\.0\.2 dev eth0 proto dhcp src 10\.1\.0\.5 metric \d\d `,
				`(?m)^10\.1\.0\.0/24 dev eth0 proto kernel scope link src 10\.1\.0\.5 metric \d\d `,
				`(?m)^192\.168\.9\.1 dev eth0 proto dhcp scope link src 10\.1\.0\.5 metric \d\d `)
			// It is renewed.
			lease.Since, lease.Valid = time.Now(), 1000*time.Second
		}
		for range 2 { // what is gone is no error
			if err := s.Remove(eth0, lease); err != nil {
				t.Error(err)
			}
			if left := n.IP("-4 address show dev eth0") + n.IP("-4 route show table all"); left != empty {
				t.Errorf("left after Remove:\n%s\nwant\n%s", left, empty)
			}
		}
	})
}

// The kernel takes an address away whose time is over, with its routes.
func TestLeaseExpires(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		lease := network.Lease{
			Method: network.DHCP4, Address: netip.MustParsePrefix("10.1.0.5/24"), Valid: time.Second, Since: time.Now(),
			Routes: []network.Route{via("0.0.0.0/0", "10.1.0.1")},
		}
		if err := s.Configure(t.Context(), eth0, lease); err != nil {
			t.Fatal(err)
		}
		contains(t, n.IP("-4 route show"), `default via`)
		poll(t, "no routes", func() bool { return n.IP("-4 route show") == "" })
		lacks(t, n.IP("-4 address show dev eth0"), `inet `)
	})
}

func TestStatic4(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		lease := configure(t, s, eth0, "10.1.0.5/24", via("0.0.0.0/0", "10.1.0.1"))
		contains(t, n.IP("-4 address show dev eth0"), `scope global eth0\n\s+valid_lft forever preferred_lft forever`)
		contains(t, n.IP("-4 route show"), `(?m)^default via 10\.1\.0\.1 dev eth0 proto static `)
		if err := s.Remove(eth0, lease); err != nil {
			t.Error(err)
		}
		// A link with another machine only, and a single address.
		for _, tt := range []struct {
			name  string
			lease network.Lease
			want  string
		}{
			{"peer", network.Lease{Address: netip.MustParsePrefix("10.1.0.5/24"), Peer: netip.MustParseAddr("10.1.0.6")}, `inet 10\.1\.0\.5 peer 10\.1\.0\.6/32 metric`},
			{"/31", network.Lease{Address: netip.MustParsePrefix("10.1.0.5/31")}, `inet 10\.1\.0\.5/31 metric \d+ scope`},
		} {
			tt.lease.Method = network.Static
			tt.lease.Routes = []network.Route{via("0.0.0.0/0", "10.1.0.6")}
			if err := s.Configure(t.Context(), eth0, tt.lease); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			contains(t, n.IP("-4 address show dev eth0"), tt.want)
			if err := s.Remove(eth0, tt.lease); err != nil {
				t.Error(err)
			}
			lacks(t, n.IP("-4 address show dev eth0"), "inet ")
		}
	})
}

// Nobody else's routes and addresses go away with those of a lease.
func TestRemoveLeavesOthers(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		n.IP("address add 10.3.0.1/24 dev eth0")
		n.IP("route add 10.7.0.0/16 via 10.3.0.9 dev eth0")
		n.IP("route add default via 10.3.0.9 dev eth0 metric 5")
		before := n.IP("-4 route show table all") + n.IP("-4 -o address show dev eth0")
		lease := configure(t, s, eth0, "10.1.0.5/24", via("0.0.0.0/0", "10.1.0.1"), via("10.7.0.0/16", "10.1.0.1"))
		if err := s.Remove(eth0, lease); err != nil {
			t.Error(err)
		}
		if got := n.IP("-4 route show table all") + n.IP("-4 -o address show dev eth0"); got != before {
			t.Errorf("after Remove:\n%s\nwant\n%s", got, before)
		}
	})
}

// A lease without an address has routes.
func TestRoutesOnly(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		before := n.IP("-4 route show table all")
		lease := network.Lease{Method: network.Static, Routes: []network.Route{via("10.7.0.0/16", "10.1.0.1"), via("10.8.0.0/16", "")}}
		if err := s.Configure(t.Context(), eth0, lease); err != nil {
			t.Fatal(err)
		}
		contains(t, n.IP("-4 route show"), `10\.7\.0\.0/16 via 10\.1\.0\.1 dev eth0 proto static metric \d\d onlink`, `10\.8\.0\.0/16 dev eth0 proto static`)
		if err := s.Remove(eth0, lease); err != nil {
			t.Error(err)
		}
		if got := n.IP("-4 route show table all"); got != before {
			t.Errorf("routes after Remove:\n%s\nwant\n%s", got, before)
		}
	})
}
