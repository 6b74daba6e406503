package dhcp4

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/liveboot/liveboot/pkg/network"
)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func TestLeaseFrom(t *testing.T) {
	ip, addr := net.ParseIP, netip.MustParseAddr
	server := dhcpv4.OptServerIdentifier(ip("10.0.2.2"))
	mask := dhcpv4.OptSubnetMask(net.CIDRMask(24, 32))
	hour := dhcpv4.OptIPAddressLeaseTime(time.Hour)
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	with := func(changes ...func(*network.Lease)) network.Lease {
		l := network.Lease{
			Method: network.DHCP4, Address: netip.MustParsePrefix("10.0.2.15/24"), Server: addr("10.0.2.2"), Since: time.Unix(1000, 0),
		}
		for _, change := range changes {
			change(&l)
		}
		return l
	}
	bits := func(n int) func(*network.Lease) {
		return func(l *network.Lease) { l.Address = netip.PrefixFrom(l.Address.Addr(), n) }
	}
	times := func(valid, renew, rebind time.Duration) func(*network.Lease) {
		return func(l *network.Lease) { l.Valid, l.Renew, l.Rebind = valid, renew, rebind }
	}
	seconds := func(code dhcpv4.OptionCode, n byte) dhcpv4.Option { return dhcpv4.OptGeneric(code, []byte{0, 0, n, 0}) }
	route := func(destination string, ones int, router string) *dhcpv4.Route {
		return &dhcpv4.Route{Dest: &net.IPNet{IP: ip(destination).To4(), Mask: net.CIDRMask(ones, 32)}, Router: ip(router)}
	}
	for _, tt := range []struct {
		name    string
		address string
		options []dhcpv4.Option
		want    network.Lease
		wantErr string
	}{
		{"address and mask", "10.0.2.15", []dhcpv4.Option{server, mask}, with(), ""},
		{"no mask, so that of the class", "10.0.2.15", []dhcpv4.Option{server}, with(bits(8)), ""},
		{"a mask that is a placeholder", "10.0.2.15", []dhcpv4.Option{server, dhcpv4.OptSubnetMask(net.IPMask{0, 0, 0, 0})}, with(bits(8)), ""},
		{"the usual", "10.0.2.15", []dhcpv4.Option{
			server, mask, hour, dhcpv4.OptRouter(ip("10.0.2.1"), ip("10.0.2.9")), dhcpv4.OptDNS(ip("10.0.2.3"), ip("0.0.0.0")), dhcpv4.OptDomainName("example.org"),
			dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28}), dhcpv4.OptNTPServers(ip("0.0.0.0"), ip("10.0.2.123")),
			dhcpv4.OptHostName("client.example.org\x00"), dhcpv4.OptRootPath("nfs:server\x00"),
		}, with(times(time.Hour, 30*time.Minute, 52*time.Minute+30*time.Second), func(l *network.Lease) {
			l.Routes = []network.Route{{Destination: everywhere, Gateway: addr("10.0.2.1")}}
			l.Resolvers, l.NTP = []netip.Addr{addr("10.0.2.3")}, []netip.Addr{addr("10.0.2.123")}
			l.Search, l.MTU, l.Hostname, l.RootPath = []string{"example.org"}, 9000, "client", "nfs:server"
		}), ""},
		{"a router that is a placeholder", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptRouter(ip("0.0.0.0"), ip("10.0.2.1"))}, with(func(l *network.Lease) {
			l.Routes = []network.Route{{Destination: everywhere, Gateway: addr("10.0.2.1")}}
		}), ""},
		{
			"classless routes go before the router, RFC 3442", "10.0.2.15",
			[]dhcpv4.Option{server, mask, dhcpv4.OptRouter(ip("10.0.2.1")), dhcpv4.OptClasslessStaticRoute(route("192.0.2.77", 25, "0.0.0.0"), route("0.0.0.0", 0, "192.0.2.1"))},
			with(func(l *network.Lease) {
				l.Routes = []network.Route{{Destination: netip.MustParsePrefix("192.0.2.0/25")}, {Destination: everywhere, Gateway: addr("192.0.2.1")}}
			}), "",
		},
		{
			"classless routes that are cut off", "10.0.2.15",
			[]dhcpv4.Option{server, mask, dhcpv4.OptRouter(ip("10.0.2.1")), dhcpv4.OptGeneric(dhcpv4.OptionClasslessStaticRoute, []byte{24, 192, 0})},
			with(func(l *network.Lease) {
				l.Routes = []network.Route{{Destination: everywhere, Gateway: addr("10.0.2.1")}}
			}), "",
		},
		{
			"search list goes before the domain", "10.0.2.15",
			[]dhcpv4.Option{server, mask, dhcpv4.OptDomainName("example.org"), dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"a.example", "b.example"}})},
			with(func(l *network.Lease) { l.Search = []string{"a.example", "b.example"} }), "",
		},
		{"several domains in one", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptDomainName("a.example b.example.")}, with(func(l *network.Lease) { l.Search = []string{"a.example", "b.example"} }), ""},
		{"a domain that would add a line to resolv.conf", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptDomainName("a.example\noptions;x")}, with(func(l *network.Lease) { l.Search = []string{"a.example"} }), ""},
		{"a host name that is none", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptHostName("a b")}, with(), ""},
		{"a host name that says nothing", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptHostName("localhost.localdomain")}, with(), ""},
		{"an MTU that is a placeholder", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 68})}, with(), ""},
		{"infinite lease", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptIPAddressLeaseTime(infinite), seconds(dhcpv4.OptionRenewTimeValue, 1)}, with(), ""},
		{
			"times of the server", "10.0.2.15", []dhcpv4.Option{server, mask, hour, seconds(dhcpv4.OptionRenewTimeValue, 1), seconds(dhcpv4.OptionRebindingTimeValue, 2)},
			with(times(time.Hour, 256*time.Second, 512*time.Second)), "",
		},
		{
			"times in the wrong order", "10.0.2.15", []dhcpv4.Option{server, mask, hour, seconds(dhcpv4.OptionRenewTimeValue, 2), seconds(dhcpv4.OptionRebindingTimeValue, 1)},
			with(times(time.Hour, 256*time.Second, 256*time.Second)), "",
		},
		{
			"times after the end", "10.0.2.15", []dhcpv4.Option{server, mask, hour, seconds(dhcpv4.OptionRenewTimeValue, 200), seconds(dhcpv4.OptionRebindingTimeValue, 200)},
			with(times(time.Hour, 30*time.Minute, 52*time.Minute+30*time.Second)), "",
		},
		{"no address", "0.0.0.0", []dhcpv4.Option{server, mask}, network.Lease{}, "without an address"},
		{"a group's address", "224.0.0.1", []dhcpv4.Option{server, mask}, network.Lease{}, "without an address"},
		{"a mask with holes", "10.0.2.15", []dhcpv4.Option{server, dhcpv4.OptSubnetMask(net.IPMask{255, 0, 255, 0})}, network.Lease{}, "255.0.255.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ack, err := dhcpv4.New(dhcpv4.WithYourIP(ip(tt.address)))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range tt.options {
				ack.UpdateOption(o)
			}
			got, err := leaseFrom(ack, time.Unix(1000, 0))
			if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Fatalf("leaseFrom: %v, want error %q", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, got, comparable); diff != "" {
				t.Errorf("leaseFrom (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParse(t *testing.T) {
	plain := func() *dhcpv4.DHCPv4 {
		m, err := dhcpv4.New(dhcpv4.WithOption(dhcpv4.OptHostName("client")))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ends := plain().ToBytes()
	overload := func(fields byte) []byte {
		m := plain()
		m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionOptionOverload, []byte{fields}))
		m.BootFileName = "\x0f\x04file\xff"
		m.ServerHostName = "\x11\x05sname\xff"
		return m.ToBytes()
	}
	type text struct{ host, domain, root string }
	for _, tt := range []struct {
		name string
		in   []byte
		want text
	}{
		{"padded", ends, text{host: "client"}},
		{"no end", ends[:240+2+len("client")], text{host: "client"}},
		{"no overload", overload(0), text{host: "client"}},
		{"file", overload(1), text{"client", "file", ""}},
		{"sname", overload(2), text{"client", "", "sname"}},
		{"both", overload(3), text{"client", "file", "sname"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parse(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := (text{m.HostName(), m.DomainName(), m.RootPath()}); got != tt.want {
				t.Errorf("parse(%q) = %+v, want %+v", tt.in, got, tt.want)
			}
		})
	}
	if m, err := parse(ends[:200]); err == nil {
		t.Errorf("parse of half a message = %v, want an error", m)
	}
}

// FuzzLeaseFrom: whatever a server sends, there is no panic, and a lease has an address, times in order, and text that cannot break out of
// a line.
func FuzzLeaseFrom(f *testing.F) {
	ack, err := dhcpv4.New(
		dhcpv4.WithYourIP(net.ParseIP("10.0.2.15")), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.ParseIP("10.0.2.2")),
		dhcpv4.WithLeaseTime(3600), dhcpv4.WithDomainSearchList("a.example", "b.example"), dhcpv4.WithOption(dhcpv4.OptHostName("client")),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionOptionOverload, []byte{3})),
	)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ack.ToBytes())
	f.Fuzz(func(t *testing.T, packet []byte) {
		ack, err := parse(packet)
		if err != nil {
			return
		}
		lease, err := leaseFrom(ack, time.Unix(1000, 0))
		if err != nil {
			return
		}
		if !lease.Address.IsValid() || lease.Renew > lease.Rebind || lease.Rebind > lease.Valid {
			t.Errorf("leaseFrom(%x) = %+v", packet, lease)
		}
		for _, name := range append(lease.Search, lease.Hostname) {
			if strings.ContainsAny(name, " \t\n\x00") {
				t.Errorf("leaseFrom(%x) has the name %q", packet, name)
			}
		}
		for _, r := range lease.Routes {
			if !r.Destination.IsValid() || r.Destination != r.Destination.Masked() {
				t.Errorf("leaseFrom(%x) has the route %v", packet, r)
			}
		}
	})
}
