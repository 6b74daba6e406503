package router_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/pkg/network/router"
)

// cable makes eth0, which is down and prepared, with the link "lan" of the far side at its other end, which has the address fd00:1::1.
func cable(t *testing.T, n *nettest.Net) network.Link {
	t.Helper()
	n.Veth("eth0", "lan")
	// A router that waits for its own addresses each time that carrier comes would be the slower of the two.
	n.FarSysctl("ipv6/conf/lan/accept_dad", "0")
	n.FarIP("address add fd00:1::1/64 dev lan nodad")
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := router.Prepare("/proc/sys", "eth0"); err != nil {
		t.Fatal(err)
	}
	return network.Link{Index: i.Index, Name: i.Name, MAC: i.HardwareAddr}
}

// farLinkLocal is the address under which dnsmasq speaks, as soon as the far side's kernel lets it.
func farLinkLocal(t *testing.T, n *nettest.Net) netip.Addr {
	t.Helper()
	for _, word := range strings.Fields(n.FarIP("-6 address show dev lan scope link")) {
		if p, err := netip.ParsePrefix(word); err == nil {
			return p.Addr().WithZone("eth0")
		}
	}
	t.Fatal("the far side has no link-local address")
	return netip.Addr{}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A router that advertises a prefix, itself as resolver and a search list.
func TestAutoFromDnsmasq(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		n.IP("link set eth0 up") // for the far side's address
		dns := n.Dnsmasq("--interface=lan", "--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,1h",
			"--dhcp-option=option6:dns-server,[fd00:1::53],[fe80::]", "--dhcp-option=option6:domain-search,a.example,b.example")
		dns.Wait(`RTR-ADVERT\(lan\) fd00:1::`)
		server := farLinkLocal(t, n)
		n.IP("link set eth0 down")

		attempts := 0
		n.IP("link set eth0 up")
		start := time.Now()
		lease, err := router.Auto{}.Acquire(within(t, 30*time.Second), link, func(n int) { attempts = n })
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("from carrier to a usable address: %v, after %d solicitations", time.Since(start), attempts)
		if !netip.MustParsePrefix("fd00:1::/64").Contains(lease.Address.Addr()) || lease.Address.Bits() != 64 {
			t.Errorf("the address is %v, want one of fd00:1::/64", lease.Address)
		}
		if want := []netip.Addr{netip.MustParseAddr("fd00:1::53"), server}; !slices.Equal(lease.Resolvers, want) {
			t.Errorf("the resolvers are %v, want %v", lease.Resolvers, want)
		}
		if want := []string{"a.example", "b.example"}; !slices.Equal(lease.Search, want) {
			t.Errorf("the search list is %v, want %v", lease.Search, want)
		}
		if lease.Method != network.Auto6 || !lease.FromKernel || lease.Server != server || lease.Gateway() != server {
			t.Errorf("method %v, from the kernel %v, server %v, gateway %v; want auto6, true, and twice %v",
				lease.Method, lease.FromKernel, lease.Server, lease.Gateway(), server)
		}
		if lease.Valid < 59*time.Minute || lease.Valid > time.Hour {
			t.Errorf("valid for %v, want an hour", lease.Valid)
		}
		if attempts == 0 {
			t.Error("no attempt was counted")
		}
		dial(t, n, lease)

		renewed, err := router.Auto{}.Renew(within(t, 30*time.Second), link, lease, false)
		if err != nil || renewed.Address != lease.Address {
			t.Errorf("Renew = %v, %v, want the address %v", renewed.Address, err, lease.Address)
		}
		lease.Address = netip.MustParsePrefix("fd00:1::77/64")
		if _, err := (router.Auto{}).Renew(within(t, 30*time.Second), link, lease, false); !errors.Is(err, network.ErrLost) {
			t.Errorf("Renew of an address that is not there: %v, want %v", err, network.ErrLost)
		}
	})
}

// dial connects from the address to the far side: it is usable.
func dial(t *testing.T, n *nettest.Net, lease network.Lease) {
	t.Helper()
	n.Far(func() error {
		l, err := net.Listen("tcp6", "[fd00:1::1]:80")
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	})
	from := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(lease.Address.Addr(), 0))}
	c, err := from.DialContext(within(t, 10*time.Second), "tcp6", "[fd00:1::1]:80")
	if err != nil {
		t.Errorf("the address is not usable: %v", err)
		return
	}
	c.Close()
}

// Nobody speaks.
func TestAutoWithoutRouter(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		n.IP("link set eth0 up")
		attempts := 0
		_, err := router.Auto{Router: 3 * time.Second}.Acquire(within(t, 30*time.Second), link, func(n int) { attempts = n })
		// How many there are in this time depends on the machine.
		if want := fmt.Sprintf("auto6 on eth0: no router advertisement after %d solicitations", attempts); err == nil || err.Error() != want {
			t.Errorf("Acquire: %v, want %q", err, want)
		}
		if attempts < 2 {
			t.Errorf("%d attempts were counted, want 2 or more", attempts)
		}
	})
}

// The router speaks only after a while, as behind a switch that keeps silent: nothing waits for its next periodic advertisement.
func TestAutoLateRouter(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		n.IP("link set eth0 up")
		type result struct {
			lease network.Lease
			err   error
		}
		results, sent := make(chan result), make(chan struct{}, 100)
		go func() {
			lease, err := router.Auto{}.Acquire(within(t, 60*time.Second), link, func(int) { sent <- struct{}{} })
			results <- result{lease, err}
		}()
		<-sent
		<-sent
		n.Dnsmasq("--interface=lan", "--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,1h")
		if r := <-results; r.err != nil || !r.lease.Address.IsValid() {
			t.Errorf("Acquire = %v, %v, want an address", r.lease.Address, r.err)
		}
	})
}

func TestLink(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		n.IP("link set eth0 up")
		start := time.Now()
		lease, err := router.Link{}.Acquire(within(t, 30*time.Second), link, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("from carrier to a usable link-local address: %v", time.Since(start))
		if !lease.Address.Addr().IsLinkLocalUnicast() || lease.Address.Bits() != 64 || !lease.FromKernel || lease.Method != network.Link6 {
			t.Errorf("Acquire = %+v, want a link-local address of the kernel's", lease)
		}
		if show := n.IP("-6 address show dev eth0 tentative"); show != "" {
			t.Errorf("an address is still tentative:\n%s", show)
		}
		if renewed, err := (router.Link{}).Renew(t.Context(), link, lease, false); err != nil || renewed.Address != lease.Address {
			t.Errorf("Renew = %v, %v, want %v", renewed.Address, err, lease.Address)
		}
	})
}

// The other end has the link-local address that the kernel will make.
func TestDuplicate(t *testing.T) {
	clients := map[string]network.Client{"link": router.Link{}, "auto": router.Auto{}}
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			nettest.Run(t, func(t *testing.T, n *nettest.Net) {
				link := cable(t, n)
				n.IP("link set eth0 address 02:00:00:00:00:01")
				n.FarIP("address add fe80::ff:fe00:1/64 dev lan nodad")
				n.IP("link set eth0 up")
				_, err := client.Acquire(within(t, 30*time.Second), link, func(int) {})
				var duplicate *network.DuplicateError
				if !errors.As(err, &duplicate) || duplicate.Address != netip.MustParseAddr("fe80::ff:fe00:1") {
					t.Errorf("Acquire: %v, want that fe80::ff:fe00:1 is a duplicate", err)
				}
			})
		})
	}
}

// Only the address that the kernel makes of the prefix is taken.
func TestDuplicateOfPrefix(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		n.IP("link set eth0 address 02:00:00:00:00:01")
		link.MAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
		n.FarIP("address add fd00:1::ff:fe00:1/64 dev lan nodad")
		n.IP("link set eth0 up")
		n.Dnsmasq("--interface=lan", "--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,1h")
		_, err := router.Auto{}.Acquire(within(t, 30*time.Second), link, func(int) {})
		var duplicate *network.DuplicateError
		if !errors.As(err, &duplicate) || duplicate.Address != netip.MustParseAddr("fd00:1::ff:fe00:1") {
			t.Errorf("Acquire: %v, want that fd00:1::ff:fe00:1 is a duplicate", err)
		}
	})
}

// IPv6 that is off, or slowed down, is set right, even on a link that is up.
func TestAutoWhereIPv6WasOff(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		for name, value := range map[string]string{"disable_ipv6": "1", "accept_ra": "0", "autoconf": "0", "router_solicitation_delay": "1"} {
			n.Sysctl("ipv6/conf/eth0/"+name, value)
		}
		n.IP("link set eth0 up")
		n.Dnsmasq("--interface=lan", "--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,1h")
		if lease, err := (router.Auto{}).Acquire(within(t, 30*time.Second), link, func(int) {}); err != nil || !lease.Address.IsValid() {
			t.Errorf("Acquire = %v, %v, want an address", lease.Address, err)
		}
	})
}
