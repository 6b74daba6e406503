package rtnl

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

func lease6(address string, valid time.Duration) network.Lease {
	return network.Lease{Method: network.DHCP6, Address: netip.MustParsePrefix(address), Valid: valid, Since: time.Now()}
}

// An IPv6 address can be used when Configure returns, and is not tried again when its lease is renewed.
func TestLease6(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		for _, tt := range []struct{ name, address string }{{"DHCPv6", "fd00:1::5/128"}, {"subnet", "fd00:2::5/64"}} {
			t.Run(tt.name, func(t *testing.T) {
				lease := lease6(tt.address, 100*time.Second)
				lease.Routes = []network.Route{via("fd00:7::/48", "fe80::1%eth0")}
				empty := routes6(n)
				if err := s.Configure(t.Context(), eth0, lease); err != nil {
					t.Fatal(err)
				}
				addresses := n.IP("-6 address show dev eth0 scope global")
				contains(t, addresses, `inet6 `+tt.address+` (metric \d+ )?scope global dynamic`, `valid_lft (100|9\d)sec`)
				lacks(t, addresses, "tentative", "dadfailed")
				contains(t, n.IP("-6 route show"), `fd00:7::/48 via fe80::1 dev eth0 proto dhcp metric 1\d\d\d `)
				lease.Valid, lease.Since = 1000*time.Second, time.Now()
				// Another try would not end without carrier, or, where the kernel takes silence for an answer, not for minutes.
				n.Sysctl("ipv6/conf/eth0/dad_transmits", "300")
				n.Unplug("eth0")
				poll(t, "no carrier", func() bool { return strings.Contains(n.IP("link show eth0"), "DOWN ") }) // DOWN or LOWERLAYERDOWN
				bounded, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if err := s.Configure(bounded, eth0, lease); err != nil {
					t.Errorf("renewed: %v", err)
				}
				n.Plug("eth0")
				n.Sysctl("ipv6/conf/eth0/dad_transmits", "1")
				contains(t, n.IP("-6 address show dev eth0 scope global"), `valid_lft (1000|99\d)sec`)
				if err := s.Remove(eth0, lease); err != nil {
					t.Error(err)
				}
				if got := routes6(n); got != empty {
					t.Errorf("routes after Remove:\n%s\nwant\n%s", got, empty)
				}
				lacks(t, n.IP("-6 address show dev eth0"), "fd00:")
			})
		}
	})
}

// Somebody else has the address: of a lease, which the kernel takes away then, and of a static one, which it keeps unused.
func TestDuplicate6(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		n.FarIP("address add fd00:1::5/64 dev lan0 nodad")
		for _, tt := range []struct {
			name  string
			valid time.Duration
		}{{"lease", 100 * time.Second}, {"static", 0}} {
			lease := lease6("fd00:1::5/64", tt.valid)
			var duplicate *network.DuplicateError
			err := s.Configure(t.Context(), eth0, lease)
			if !errors.As(err, &duplicate) || duplicate.Address != lease.Address.Addr() {
				t.Errorf("%s: Configure() = %v, want a *network.DuplicateError", tt.name, err)
			}
			if err := s.Remove(eth0, lease); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			lacks(t, n.IP("-6 address show dev eth0"), "fd00:")
		}
	})
}

// Without carrier nobody can be asked: the wait ends with its context, or with the link.
func TestDuplicateUnknown(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		s, eth0 := near(t, n)
		// A kernel that has seen a carrier once asks without one, too, and believes the silence. A question takes a second.
		n.Sysctl("ipv6/conf/eth0/dad_transmits", "300")
		n.Unplug("eth0")
		// Not the carrier alone: IPv6 learns of it a little later.
		poll(t, "no carrier", func() bool { return strings.Contains(n.IP("link show eth0"), "DOWN ") }) // DOWN or LOWERLAYERDOWN
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := s.Configure(ctx, eth0, lease6("fd00:1::5/64", 0))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "address fd00:1::5 on eth0: wait for duplicate address detection") {
			t.Errorf("Configure() without carrier = %v, want that the time is over", err)
		}
		result := make(chan error)
		go func() { result <- s.Configure(t.Context(), eth0, lease6("fd00:1::6/64", 0)) }()
		poll(t, "the address", func() bool { return strings.Contains(n.IP("-6 address show dev eth0"), "fd00:1::6/64") })
		n.IP("link set eth0 down")
		if err := <-result; !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("Configure() while the link is set down = %v, want that", err)
		}
		n.IP("link set eth0 up")
		n.Sysctl("ipv6/conf/eth0/disable_ipv6", "1")
		err = s.Configure(t.Context(), eth0, lease6("fd00:1::7/64", 0))
		if err == nil || !strings.HasPrefix(err.Error(), "ip address replace fd00:1::7/64 dev eth0: permission denied") {
			t.Errorf("Configure() without IPv6 = %v, want what the kernel says", err)
		}
	})
}
