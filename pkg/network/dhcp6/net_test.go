package dhcp6_test

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
	"github.com/liveboot/liveboot/pkg/network/dhcp6"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/pkg/network/router"
)

var (
	resolver = netip.MustParseAddr("fd00:1::53")
	pool     = [2]netip.Addr{netip.MustParseAddr("fd00:1::100"), netip.MustParseAddr("fd00:1::1ff")}
)

// cable makes eth0, which has carrier, with the link "lan" of the far side at its other end, which has the address fd00:1::1.
func cable(t *testing.T, n *nettest.Net) network.Link {
	t.Helper()
	n.Veth("eth0", "lan")
	n.FarSysctl("ipv6/conf/lan/accept_dad", "0") // a server that is ready before its client
	n.FarIP("address add fd00:1::1/64 dev lan nodad")
	if err := router.Prepare("/proc/sys", "eth0"); err != nil {
		t.Fatal(err)
	}
	n.IP("link set eth0 address 02:00:00:00:00:01")
	n.IP("link set eth0 up")
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	return network.Link{Index: i.Index, Name: i.Name, MAC: i.HardwareAddr}
}

// server starts a server with a name server, a search list and an NTP server to tell.
func server(n *nettest.Net, args ...string) *nettest.Server {
	return n.Dnsmasq(append([]string{
		"--interface=lan", "--dhcp-option=option6:dns-server,[fd00:1::53]", "--dhcp-option=option6:domain-search,a.example,b.example",
		"--dhcp-option=option6:sntp-server,[fd00:1::123]",
	}, args...)...)
}

const (
	stateful  = "--dhcp-range=fd00:1::100,fd00:1::1ff,64,2m"
	stateless = "--dhcp-range=fd00:1::,ra-stateless,64,1h"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func ignore(int) {}

// checkManaged checks a lease by DHCPv6.
func checkManaged(t *testing.T, lease network.Lease) {
	t.Helper()
	if a := lease.Address.Addr(); a.Less(pool[0]) || pool[1].Less(a) || lease.Address.Bits() != 128 {
		t.Errorf("the address is %v, want one from %v to %v with 128 bits", lease.Address, pool[0], pool[1])
	}
	if lease.Method != network.DHCP6 || lease.FromKernel {
		t.Errorf("the method is %v, from the kernel: %v; want dhcp6, false", lease.Method, lease.FromKernel)
	}
	// dnsmasq takes a few seconds off, by chance.
	if lease.Valid != 2*time.Minute || lease.Renew <= 0 || lease.Renew >= lease.Rebind || lease.Rebind >= lease.Valid {
		t.Errorf("valid for %v, renewed after %v, rebound after %v, want 2m, 1m, 1m45s or a little less", lease.Valid, lease.Renew, lease.Rebind)
	}
	checkRest(t, lease)
}

// checkRest checks what goes with an address.
func checkRest(t *testing.T, lease network.Lease) {
	t.Helper()
	if !slices.Equal(lease.Resolvers, []netip.Addr{resolver}) {
		t.Errorf("the resolvers are %v, want %v", lease.Resolvers, resolver)
	}
	if want := []string{"a.example", "b.example"}; !slices.Equal(lease.Search, want) {
		t.Errorf("the search list is %v, want %v", lease.Search, want)
	}
	if want := netip.MustParseAddr("fd00:1::123"); !slices.Equal(lease.NTP, []netip.Addr{want}) {
		t.Errorf("the NTP servers are %v, want %v", lease.NTP, want)
	}
	if !lease.Server.IsLinkLocalUnicast() || lease.Server.Zone() != "eth0" {
		t.Errorf("the server is %v, want a link-local address on eth0", lease.Server)
	}
}

// An address from a server that is there alone: taken, renewed, rebound, and given back.
func TestServer(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		s := server(n, stateful)
		client := dhcp6.Client{}
		start := time.Now()
		lease, err := client.Acquire(within(t, 30*time.Second), link, ignore)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("from carrier to a lease: %v", time.Since(start))
		checkManaged(t, lease)
		// The identifiers that other clients are told to use.
		if line := s.Wait(`DHCPREPLY\(lan\)`); !strings.HasSuffix(strings.TrimSpace(line), "00:03:00:01:02:00:00:00:00:01") {
			t.Errorf("the server gave the address to %q, want the DUID-LL", line)
		}
		for _, rebind := range []bool{false, true} {
			renewed, err := client.Renew(within(t, 30*time.Second), link, lease, rebind)
			if err != nil || renewed.Address != lease.Address {
				t.Errorf("Renew(rebind %v) = %v, %v, want %v", rebind, renewed.Address, err, lease.Address)
			}
			checkManaged(t, renewed)
		}
		s.Wait(`DHCPREBIND`)
		if got, want := s.Count(`DHCPRENEW`), 1; got != want {
			t.Errorf("%d DHCPRENEW, want %d", got, want)
		}
		if err := client.Decline(within(t, 30*time.Second), link, lease); err != nil {
			t.Error(err)
		}
		s.Wait(`DHCPDECLINE`)
		other, err := client.Acquire(within(t, 30*time.Second), link, ignore)
		if err != nil || other.Address == lease.Address {
			t.Errorf("after Decline, Acquire = %v, %v, want an address other than that", other.Address, err)
		}
	})
}

// A server that commits itself at once.
func TestRapidCommit(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		s := server(n, stateful, "--dhcp-rapid-commit")
		lease, err := dhcp6.Client{}.Acquire(within(t, 30*time.Second), link, ignore)
		if err != nil {
			t.Fatal(err)
		}
		checkManaged(t, lease)
		if got := s.Count(`DHCPREQUEST|DHCPADVERTISE`); got != 0 {
			t.Errorf("%d messages more than needed", got)
		}
	})
}

// A server that lost its leases is asked for the same address anew.
func TestServerForgot(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		s := server(n, stateful)
		lease, err := dhcp6.Client{}.Acquire(within(t, 30*time.Second), link, ignore)
		if err != nil {
			t.Fatal(err)
		}
		s.Stop()
		s = server(n, stateful)
		renewed, err := dhcp6.Client{}.Renew(within(t, 30*time.Second), link, lease, true)
		if err != nil || renewed.Address != lease.Address {
			t.Errorf("Renew = %v, %v, want %v", renewed.Address, err, lease.Address)
		}
		s.Wait(`DHCPREPLY`)
	})
}

// A server that has no address for us says so.
func TestNoAddress(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		server(n, "--dhcp-range=fd00:1::,static,64,2m")
		_, err := dhcp6.Client{}.Acquire(within(t, 30*time.Second), link, ignore)
		if err == nil || !strings.Contains(err.Error(), "dhcp6 on eth0: the server fe80::") || !strings.Contains(err.Error(), "NoAddrsAvail") {
			t.Errorf("Acquire: %v, want that the server answers NoAddrsAvail", err)
		}
	})
}

// Nobody answers.
func TestSilence(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		link := cable(t, n)
		attempts := 0
		_, err := dhcp6.Client{}.Acquire(within(t, 4*time.Second), link, func(n int) { attempts = n })
		// How many there are in this time depends on the machine.
		if want := fmt.Sprintf("dhcp6 on eth0: no answer to %d SOLICIT: context deadline exceeded", attempts); err == nil || err.Error() != want || attempts < 2 {
			t.Errorf("Acquire: %v, want %q, and 2 attempts or more", err, want)
		}
	})
}

// Other machine, same link-local address.
func TestDuplicateLinkLocal(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan")
		n.FarIP("address add fe80::ff:fe00:1/64 dev lan nodad")
		n.IP("link set eth0 address 02:00:00:00:00:01")
		n.IP("link set eth0 up")
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		_, err = dhcp6.Client{}.Acquire(within(t, 30*time.Second), network.Link{Index: i.Index, Name: i.Name, MAC: i.HardwareAddr}, ignore)
		if !errors.As(err, new(*network.DuplicateError)) {
			t.Errorf("Acquire: %v, want a *network.DuplicateError", err)
		}
	})
}

// TestClients tries all methods in networks of all kinds.
func TestClients(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method network.Method
		server []string // nil means that there is none
		check  func(*testing.T, network.Lease)
		// wantErr is in the error.
		wantErr string
	}{
		{"auto6 of a router that advertises all",
			network.Auto6, []string{"--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,1h"}, checkAdvertised, ""},
		{"either6 of a router that advertises all",
			network.Either6, []string{"--enable-ra", "--dhcp-range=fd00:1::,ra-names,slaac,64,1h"}, checkAdvertised, ""},
		{"auto6 with stateless DHCPv6", network.Auto6, []string{"--enable-ra", stateless}, checkAutonomous, ""},
		{"either6 with stateless DHCPv6", network.Either6, []string{"--enable-ra", stateless}, checkAutonomous, ""},
		{"either6 where addresses are managed", network.Either6, []string{"--enable-ra", stateful}, checkManaged, ""},
		{"either6 where addresses are managed and made",
			network.Either6, []string{"--enable-ra", "--dhcp-range=fd00:1::100,fd00:1::1ff,slaac,64,2m"}, checkManaged, ""},
		{"either6 where no router speaks", network.Either6, []string{stateful}, checkManaged, ""},
		{"dhcp6 where no router speaks", network.DHCP6, []string{stateful}, checkManaged, ""},
		{"dhcp6 with a router", network.DHCP6, []string{"--enable-ra", stateful}, checkManaged, ""},
		{"link6 where nobody speaks", network.Link6, nil, checkLink, ""},
		{"auto6 where addresses are managed", network.Auto6, []string{"--enable-ra", stateful}, nil,
			"but says that DHCPv6 gives addresses (ip=dhcp6)"},
		{"either6 where nobody speaks", network.Either6, nil, nil, " solicitations, and no answer by DHCPv6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nettest.Run(t, func(t *testing.T, n *nettest.Net) {
				link := cable(t, n)
				if slices.Contains(tt.server, stateless) {
					// An address that can be used is not held back for long for what DHCPv6 has to tell. It is to be tried for duplicates for as
					// long as a busy machine may take for that.
					if _, err := (router.Link{}).Acquire(within(t, 30*time.Second), link, nil); err != nil {
						t.Fatal(err)
					}
					n.Sysctl("ipv6/conf/eth0/dad_transmits", "3")
				}
				if tt.server != nil {
					server(n, tt.server...)
				}
				start := time.Now()
				client := dhcp6.Clients(network.Timeouts{Router: 6 * time.Second})[tt.method]
				lease, err := client.Acquire(within(t, 30*time.Second), link, ignore)
				t.Logf("%v after carrier: %+v, %v", time.Since(start), lease, err)
				switch {
				case tt.check == nil && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
					t.Errorf("Acquire: %v, want an error with %q", err, tt.wantErr)
				case tt.check != nil && err != nil:
					t.Errorf("Acquire: %v, want a lease", err)
				case tt.check != nil:
					tt.check(t, lease)
				}
			})
		})
	}
}

func checkLink(t *testing.T, lease network.Lease) {
	t.Helper()
	if want := netip.MustParsePrefix("fe80::ff:fe00:1/64"); lease.Address != want || !lease.FromKernel {
		t.Errorf("the address is %v, want %v", lease.Address, want)
	}
}

// checkAdvertised checks a lease all of which comes from the router: that has no NTP server to tell.
func checkAdvertised(t *testing.T, lease network.Lease) {
	t.Helper()
	if len(lease.NTP) != 0 {
		t.Errorf("the NTP servers are %v, want none", lease.NTP)
	}
	lease.NTP = []netip.Addr{netip.MustParseAddr("fd00:1::123")}
	checkAutonomous(t, lease)
}

// checkAutonomous checks a lease by the kernel, with what goes with it from the router or by DHCPv6.
func checkAutonomous(t *testing.T, lease network.Lease) {
	t.Helper()
	if want := netip.MustParsePrefix("fd00:1::ff:fe00:1/64"); lease.Address != want || lease.Method != network.Auto6 || !lease.FromKernel {
		t.Errorf("the address is %v by %v, want %v by auto6", lease.Address, lease.Method, want)
	}
	checkRest(t, lease)
}
