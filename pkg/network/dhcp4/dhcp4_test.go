package network

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

func TestLeaseFrom(t *testing.T) {
	ip := net.ParseIP
	server := dhcpv4.OptServerIdentifier(ip("10.0.2.2"))
	mask := dhcpv4.OptSubnetMask(net.CIDRMask(24, 32))
	basic := Lease{Address: netip.MustParsePrefix("10.0.2.15/24"), Server: netip.MustParseAddr("10.0.2.2")}
	everywhere := netip.MustParsePrefix("0.0.0.0/0")
	with := func(change func(*Lease)) Lease {
		l := basic
		change(&l)
		return l
	}
	for _, tt := range []struct {
		name    string
		address string
		options []dhcpv4.Option
		want    Lease
		wantErr bool
	}{
		{"address and mask", "10.0.2.15", []dhcpv4.Option{server, mask}, basic, false},
		{"no mask", "10.0.2.15", []dhcpv4.Option{server}, with(func(l *Lease) { l.Address = netip.MustParsePrefix("10.0.2.15/32") }), false},
		{"the usual", "10.0.2.15", []dhcpv4.Option{
			server, mask, dhcpv4.OptRouter(ip("10.0.2.1"), ip("10.0.2.9")), dhcpv4.OptDNS(ip("10.0.2.3"), ip("0.0.0.0")), dhcpv4.OptDomainName("example.org"),
			dhcpv4.OptIPAddressLeaseTime(time.Hour), dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0x23, 0x28}),
		}, with(func(l *Lease) {
			l.Routes = []Route{{everywhere, netip.MustParseAddr("10.0.2.1")}}
			l.Resolvers = []netip.Addr{netip.MustParseAddr("10.0.2.3")}
			l.Search, l.Valid, l.MTU = []string{"example.org"}, time.Hour, 9000
		}), false},
		{"classless routes go before the router, RFC 3442", "10.0.2.15", []dhcpv4.Option{
			server, mask, dhcpv4.OptRouter(ip("10.0.2.1")),
			dhcpv4.OptClasslessStaticRoute(
				&dhcpv4.Route{Dest: &net.IPNet{IP: ip("192.0.2.77").To4(), Mask: net.CIDRMask(24, 32)}, Router: ip("0.0.0.0")},
				&dhcpv4.Route{Dest: &net.IPNet{IP: ip("0.0.0.0").To4(), Mask: net.CIDRMask(0, 32)}, Router: ip("192.0.2.1")},
			),
		}, with(func(l *Lease) {
			l.Routes = []Route{{Destination: netip.MustParsePrefix("192.0.2.0/24")}, {everywhere, netip.MustParseAddr("192.0.2.1")}}
		}), false},
		{"search list goes before the domain", "10.0.2.15", []dhcpv4.Option{
			server, mask, dhcpv4.OptDomainName("example.org"), dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{"a.example", "b.example"}}),
		}, with(func(l *Lease) { l.Search = []string{"a.example", "b.example"} }), false},
		{"an MTU that is a placeholder", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 68})}, basic, false},
		{"infinite lease", "10.0.2.15", []dhcpv4.Option{server, mask, dhcpv4.OptIPAddressLeaseTime((1<<32 - 1) * time.Second)}, basic, false},
		{"no address", "0.0.0.0", []dhcpv4.Option{server, mask}, Lease{}, true},
		{"a mask with holes", "10.0.2.15", []dhcpv4.Option{server, dhcpv4.OptSubnetMask(net.IPMask{255, 0, 255, 0})}, Lease{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ack, err := dhcpv4.New(dhcpv4.WithYourIP(ip(tt.address)))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range tt.options {
				ack.UpdateOption(o)
			}
			got, err := leaseFrom(ack)
			if (err != nil) != tt.wantErr {
				t.Fatalf("leaseFrom: %v, want error %v", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Errorf("leaseFrom (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzLeaseFrom: whatever the server sends, there is no panic, and a lease has an address.
func FuzzLeaseFrom(f *testing.F) {
	ack, err := dhcpv4.New(dhcpv4.WithYourIP(net.ParseIP("10.0.2.15")), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.ParseIP("10.0.2.2")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ack.ToBytes())
	f.Fuzz(func(t *testing.T, packet []byte) {
		ack, err := dhcpv4.FromBytes(packet)
		if err != nil {
			return
		}
		if lease, err := leaseFrom(ack); err == nil && !lease.Address.IsValid() {
			t.Errorf("leaseFrom(%x) = %+v, which has no address", packet, lease)
		}
	})
}
