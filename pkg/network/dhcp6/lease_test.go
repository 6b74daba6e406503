package dhcp6

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/liveboot/liveboot/pkg/network"
)

var (
	eth0   = network.Link{Index: 2, Name: "eth0", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	from   = netip.MustParseAddr("fe80::1%eth0")
	ours   = netip.MustParseAddr("2001:db8::100")
	others = netip.MustParseAddr("2001:db8::200")

	compare = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
)

// given is an association with addresses that are valid for two hours and preferred for one, and options.
func given(addresses ...netip.Addr) *dhcpv6.OptIANA {
	ia := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}, T1: 30 * time.Minute, T2: 48 * time.Minute}
	for _, a := range addresses {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice(), PreferredLifetime: time.Hour, ValidLifetime: 2 * time.Hour})
	}
	return ia
}

func status(code iana.StatusCode, text string) dhcpv6.Option {
	return &dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: text}
}

// changed returns an association after a change to it and its only address.
func changed(change func(*dhcpv6.OptIANA, *dhcpv6.OptIAAddress)) *dhcpv6.OptIANA {
	ia := given(ours)
	change(ia, ia.Options.OneAddress())
	return ia
}

// reply is what a server sends, as it arrives.
func reply(t testing.TB, options ...dhcpv6.Option) answer {
	t.Helper()
	m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply}
	for _, o := range options {
		m.AddOption(o)
	}
	arrived, err := dhcpv6.MessageFromBytes(m.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return answer{arrived, from}
}

func TestLeaseFrom(t *testing.T) {
	ip := net.ParseIP
	basic := network.Lease{
		Method: network.DHCP6, Address: netip.PrefixFrom(ours, 128), Server: from,
		Valid: 2 * time.Hour, Renew: 30 * time.Minute, Rebind: 48 * time.Minute,
	}
	with := func(change func(*network.Lease)) network.Lease {
		l := basic
		change(&l)
		return l
	}
	for _, tt := range []struct {
		name    string
		options []dhcpv6.Option
		want    network.Lease
	}{
		{"address", []dhcpv6.Option{given(ours)}, basic},
		{"success, said twice", []dhcpv6.Option{status(iana.StatusSuccess, "fine"), changed(func(ia *dhcpv6.OptIANA, _ *dhcpv6.OptIAAddress) {
			ia.Options.Add(status(iana.StatusSuccess, ""))
		})}, basic},
		{"the usual", []dhcpv6.Option{
			given(ours), dhcpv6.OptDNS(ip("2001:db8::53"), ip("fe80::53"), ip("2001:db8::53"), ip("::"), ip("ff02::1")),
			dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{"a.example", "b.example", "a.example"}}),
			&dhcpv6.OptNTPServer{Suboptions: dhcpv6.Options{ntp("2001:db8::123")}}, dhcpv6.OptSNTP(ip("2001:db8::124")),
		}, with(func(l *network.Lease) {
			l.Resolvers = []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("fe80::53%eth0")}
			l.Search = []string{"a.example", "b.example"}
			l.NTP = []netip.Addr{netip.MustParseAddr("2001:db8::123"), netip.MustParseAddr("2001:db8::124")}
		})},
		{"a domain with a line of its own for resolv.conf", []dhcpv6.Option{
			given(ours), dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{"a\nnameserver 192.0.2.1"}}),
		}, basic},
		{"the second address of two", []dhcpv6.Option{given(netip.MustParseAddr("fe80::1"), ours)}, basic},
		{"the association of another link first", []dhcpv6.Option{&dhcpv6.OptIANA{IaId: [4]byte{9}}, given(ours)}, basic},
		{"times left to the client", []dhcpv6.Option{changed(func(ia *dhcpv6.OptIANA, _ *dhcpv6.OptIAAddress) { ia.T1, ia.T2 = 0, 0 })}, basic},
		{"for ever", []dhcpv6.Option{changed(func(ia *dhcpv6.OptIANA, a *dhcpv6.OptIAAddress) {
			ia.T1, ia.T2, a.PreferredLifetime, a.ValidLifetime = forever, forever, forever, forever
		})}, with(func(l *network.Lease) { l.Valid, l.Renew, l.Rebind = 0, 0, 0 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := leaseFrom(reply(t, tt.options...), eth0, netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Message) == 0 || got.Since.IsZero() {
				t.Errorf("leaseFrom = %+v, want the message and its time too", got)
			}
			got.Message, got.Since = nil, time.Time{}
			if diff := cmp.Diff(tt.want, got, compare); diff != "" {
				t.Errorf("leaseFrom (-want +got):\n%s", diff)
			}
		})
	}
}

func ntp(s string) *dhcpv6.NTPSuboptionSrvAddr {
	a := dhcpv6.NTPSuboptionSrvAddr(net.ParseIP(s))
	return &a
}

func TestLeaseFromRefusal(t *testing.T) {
	in := func(code iana.StatusCode, text string) []dhcpv6.Option {
		ia := given()
		ia.Options.Add(status(code, text))
		return []dhcpv6.Option{ia}
	}
	noTime := changed(func(_ *dhcpv6.OptIANA, a *dhcpv6.OptIAAddress) { a.ValidLifetime, a.PreferredLifetime = 0, 0 })
	for _, tt := range []struct {
		name     string
		options  []dhcpv6.Option
		want     netip.Addr
		wantErr  string
		wantLost bool
	}{
		{"of the whole message",
			[]dhcpv6.Option{status(iana.StatusUnspecFail, "")}, netip.Addr{}, "the server fe80::1%eth0 answers UnspecFail", false},
		{"of the association", in(iana.StatusNoAddrsAvail, "pool \"a\"\nempty"), netip.Addr{},
			`the server fe80::1%eth0 answers NoAddrsAvail, "pool \"a\"\nempty"`, false},
		{"of the address", []dhcpv6.Option{changed(func(_ *dhcpv6.OptIANA, a *dhcpv6.OptIAAddress) {
			a.Options.Add(status(iana.StatusNotOnLink, ""))
		})}, netip.Addr{}, "the server fe80::1%eth0 answers NotOnLink", false},
		{"an empty association", []dhcpv6.Option{given()}, netip.Addr{}, "the server fe80::1%eth0 answers NoAddrsAvail", false},
		{"no association", nil, netip.Addr{}, "the server fe80::1%eth0 says nothing of an address", false},
		{"an address without time", []dhcpv6.Option{noTime}, netip.Addr{}, "the server fe80::1%eth0 answers NoAddrsAvail", false},
		{"times that contradict", []dhcpv6.Option{changed(func(ia *dhcpv6.OptIANA, _ *dhcpv6.OptIAAddress) { ia.T1 = time.Hour })}, netip.Addr{},
			"the server fe80::1%eth0 wants a renewal after 1h0m0s and a rebinding before, after 48m0s", false},
		{"preferred longer than valid",
			[]dhcpv6.Option{changed(func(_ *dhcpv6.OptIANA, a *dhcpv6.OptIAAddress) { a.PreferredLifetime = 3 * time.Hour })},
			netip.Addr{}, "the server fe80::1%eth0 answers NoAddrsAvail", false},
		{"renewed, with no more time",
			[]dhcpv6.Option{noTime}, ours, "the server fe80::1%eth0 gives 2001:db8::100 no more time: the server takes the address back", true},
		{"renewed, with another address", []dhcpv6.Option{given(others)}, ours,
			"the server fe80::1%eth0 gives 2001:db8::100 no more time: the server takes the address back", true},
		{"renewed, in another network",
			in(iana.StatusNotOnLink, ""), ours, "the server fe80::1%eth0 answers NotOnLink: the server takes the address back", true},
		{"renewed, but unknown", in(iana.StatusNoBinding, ""), ours, "the server fe80::1%eth0 answers NoBinding", false},
		{"renewed, with a failure", in(iana.StatusUnspecFail, ""), ours, "the server fe80::1%eth0 answers UnspecFail", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lease, err := leaseFrom(reply(t, tt.options...), eth0, tt.want)
			if err == nil || err.Error() != tt.wantErr {
				t.Fatalf("leaseFrom = %v, %v, want the error %q", lease, err, tt.wantErr)
			}
			if got := errors.Is(err, network.ErrLost); got != tt.wantLost {
				t.Errorf("errors.Is(%q, ErrLost) = %v, want %v", err, got, tt.wantLost)
			}
		})
	}
}

// FuzzLeaseFrom: whatever the server sends, there is no panic, and what is found can be used as it is.
func FuzzLeaseFrom(f *testing.F) {
	f.Add(reply(f, given(ours), dhcpv6.OptDNS(net.ParseIP("2001:db8::53"))).ToBytes())
	f.Add(reply(f, status(iana.StatusNoAddrsAvail, "none"), dhcpv6.OptSNTP(net.ParseIP("2001:db8::124"))).ToBytes())
	f.Add(reply(f, given(ours), dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{"a.example"}})).ToBytes())
	f.Fuzz(func(t *testing.T, packet []byte) {
		m, err := dhcpv6.MessageFromBytes(packet)
		if err != nil {
			return
		}
		r := answer{m, from}
		answers(r, solicitation(eth0))
		lease, err := leaseFrom(r, eth0, netip.Addr{})
		if err != nil {
			return
		}
		if !lease.Address.Addr().IsGlobalUnicast() || lease.Valid < 0 || lease.Renew < 0 || lease.Rebind < 0 {
			t.Errorf("leaseFrom(%x) = %+v, whose address or times cannot be", packet, lease)
		}
		for _, d := range lease.Search {
			if strings.ContainsAny(d, " \n") {
				t.Errorf("the domain %q is none", d)
			}
		}
		requestFrom(r, eth0)
	})
}

func TestIdentifiers(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	if got, want := hex.EncodeToString(DUID(mac)), "00030001525400123456"; got != want {
		t.Errorf("DUID(%v) = %s, want %s", mac, got, want)
	}
	if got, want := IAID(mac), uint32(0x00123456); got != want {
		t.Errorf("IAID(%v) = %#x, want %#x", mac, got, want)
	}
}
