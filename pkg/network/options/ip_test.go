package options

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/liveboot/liveboot/pkg/network"
)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestIP(t *testing.T) {
	eth0 := network.Selector{Name: "eth0"}
	card := network.Selector{MAC: "52:54:00:12:34:56"}
	only := func(methods ...network.Method) Setup { return Setup{Interface: network.Interface{Methods: methods}} }
	on := func(link network.Selector, methods ...network.Method) Setup {
		return Setup{Interface: network.Interface{Link: link, Methods: methods}}
	}
	static := func(change func(*Setup)) Setup {
		s := Setup{Interface: network.Interface{
			Link: eth0, Methods: []network.Method{network.Static}, Address: prefix("192.0.2.9/24"), Gateway: addr("192.0.2.1"), Hostname: "host",
		}}
		change(&s)
		return s
	}
	same := func(*Setup) {}
	resolvers := func(list ...string) func(*Setup) {
		return func(s *Setup) {
			for _, r := range list {
				s.Resolvers = append(s.Resolvers, addr(r))
			}
		}
	}
	six := Setup{Interface: network.Interface{
		Link: eth0, Methods: []network.Method{network.Static}, Address: prefix("2001:db8::9/64"), Gateway: addr("2001:db8::1"),
		Resolvers: []netip.Addr{addr("2001:db8::53"), addr("fe80::1%eth0")},
	}}
	pxelinux := Setup{
		Interface:  network.Interface{Methods: []network.Method{network.Static}, Address: prefix("10.0.2.15/24"), Gateway: addr("10.0.2.2")},
		BootServer: addr("10.0.2.4"),
	}
	bare := func(p string) Setup {
		return Setup{Interface: network.Interface{Methods: []network.Method{network.Static}, Address: prefix(p)}, Bare: true}
	}
	for _, tt := range []struct {
		name, in string
		want     Setup
	}{
		{"nothing is the default", "", Setup{}},
		{"dhcp", "dhcp", only(network.DHCP4)},
		{"on", "on", only(network.DHCP4)},
		{"any", "any", only(network.DHCP4)},
		{"single-dhcp", "single-dhcp", only(network.DHCP4)},
		{"dhcp6", "dhcp6", only(network.DHCP6)},
		{"auto6", "auto6", only(network.Auto6)},
		{"either6", "either6", only(network.Either6)},
		{"link6", "link6", only(network.Link6)},
		{"a list, without repetition", "dhcp,auto6,on,dhcp6", only(network.DHCP4, network.Auto6, network.DHCP6)},
		{"off", "off", Setup{Off: true}},
		{"none", "none", Setup{Off: true}},
		{"none beside another", "none,auto6", only(network.Auto6)},
		{"off on one", "eth0:off", Setup{Interface: network.Interface{Link: eth0}, Off: true}},

		{"interface", "eth0:dhcp", on(eth0, network.DHCP4)},
		{"interface, list", "eth0:dhcp,dhcp6", on(eth0, network.DHCP4, network.DHCP6)},
		{"interface, link6, which dracut's own pattern forgets", "eth0:link6", on(eth0, network.Link6)},
		{"interface, default methods", "eth0:", on(eth0)},
		{"hardware address", "52-54-00-12-34-56:dhcp", on(card, network.DHCP4)},
		{"hardware address with colons, upper case", "52:54:00:12:34:56:dhcp", on(card, network.DHCP4)},
		{"no interface", ":dhcp", only(network.DHCP4)},
		{"MTU", "eth0.5:dhcp:1400", Setup{Interface: network.Interface{Link: network.Selector{Name: "eth0.5"}, Methods: []network.Method{network.DHCP4}, MTU: 1400}}},
		{
			"MTU and hardware address", "eth0:dhcp:1400:02:00:00:00:0A:01",
			Setup{Interface: network.Interface{Link: eth0, Methods: []network.Method{network.DHCP4}, MTU: 1400, MAC: "02:00:00:00:0a:01"}},
		},
		{"hardware address without MTU", "eth0:dhcp::02-00-00-00-0a-01", Setup{Interface: network.Interface{Link: eth0, Methods: []network.Method{network.DHCP4}, MAC: "02:00:00:00:0a:01"}}},

		{"long, dotted mask", "192.0.2.9::192.0.2.1:255.255.255.0:host:eth0:none", static(same)},
		{"long, prefix length", "192.0.2.9::192.0.2.1:24:host:eth0:off", static(same)},
		{"long, length behind the address", "192.0.2.9/24::192.0.2.1::host:eth0:static", static(same)},
		{"long, both lengths", "192.0.2.9/24::192.0.2.1:24:host:eth0:none", static(same)},
		{"long, mask by class", "192.0.2.9::192.0.2.1::host:eth0:none", static(same)},
		{"long, no method", "192.0.2.9::192.0.2.1:24:host:eth0", static(same)},
		{"long, empty method and fields", "192.0.2.9::192.0.2.1:24:host:eth0::::", static(same)},
		{"long, mask of class A", "10.0.0.9:::::eth0:none", static(func(s *Setup) { s.Address, s.Gateway, s.Hostname = prefix("10.0.0.9/8"), netip.Addr{}, "" })},
		{"long, mask of class B", "172.16.0.9:::::eth0:none", static(func(s *Setup) { s.Address, s.Gateway, s.Hostname = prefix("172.16.0.9/16"), netip.Addr{}, "" })},
		{"long, hardware address", "192.0.2.9::192.0.2.1:24:host:52:54:00:12:34:56:none", static(func(s *Setup) { s.Link = card })},
		{"long, host name with domain", "192.0.2.9::192.0.2.1:24:host.example.org:eth0:none", static(func(s *Setup) { s.Hostname = "host.example.org" })},
		{"long, gateway outside the subnet", "192.0.2.9::198.51.100.1:24:host:eth0:none", static(func(s *Setup) { s.Gateway = addr("198.51.100.1") })},
		{"long, gateway that is none", "192.0.2.9::0.0.0.0:24:host:eth0:none", static(func(s *Setup) { s.Gateway = netip.Addr{} })},
		{"long, peer", "192.0.2.9:192.0.2.1:192.0.2.1:24:host:eth0:none", static(func(s *Setup) { s.Peer = addr("192.0.2.1") })},
		{"long, peer with length", "192.0.2.9:192.0.2.1/30:192.0.2.1:24:host:eth0:none", static(func(s *Setup) { s.Peer, s.Address = addr("192.0.2.1"), prefix("192.0.2.9/30") })},
		{"long, peer alone", "192.0.2.9:192.0.2.1:192.0.2.1::host:eth0:none", static(func(s *Setup) { s.Peer, s.Address = addr("192.0.2.1"), prefix("192.0.2.9/32") })},
		{"long, MTU", "192.0.2.9::192.0.2.1:24:host:eth0:none:9000", static(func(s *Setup) { s.MTU = 9000 })},
		{"long, MTU and hardware address", "192.0.2.9::192.0.2.1:24:host:eth0:none:9000:02:00:00:00:0a:01", static(func(s *Setup) { s.MTU, s.MAC = 9000, "02:00:00:00:0a:01" })},
		{"long, hardware address alone", "192.0.2.9::192.0.2.1:24:host:eth0:none::02-00-00-00-0a-01", static(func(s *Setup) { s.MAC = "02:00:00:00:0a:01" })},
		{"long, resolver", "192.0.2.9::192.0.2.1:24:host:eth0:none:192.0.2.53", static(resolvers("192.0.2.53"))},
		{"long, resolvers", "192.0.2.9::192.0.2.1:24:host:eth0:none:192.0.2.53:[2001:db8::53]", static(resolvers("192.0.2.53", "2001:db8::53"))},
		{"long, second resolver only", "192.0.2.9::192.0.2.1:24:host:eth0:none::192.0.2.53", static(resolvers("192.0.2.53"))},
		{"long, resolver that is none", "192.0.2.9::192.0.2.1:24:host:eth0:none:0.0.0.0:192.0.2.53", static(resolvers("192.0.2.53"))},
		{"long, the kernel's time server", "192.0.2.9::192.0.2.1:24:host:eth0:none:192.0.2.53::192.0.2.123", static(func(s *Setup) {
			resolvers("192.0.2.53")(s)
			s.NTP = addr("192.0.2.123")
		})},
		{"long, IPv6", "[2001:db8::9]::[2001:db8::1]:64::eth0:none:[2001:db8::53]:[fe80::1%eth0]", six},
		{"long, IPv6, length behind the bracket", "[2001:db8::9]/64::[2001:db8::1]:::eth0:none:[2001:db8::53]:[fe80::1%eth0]", six},
		{"long, IPv6, length in the bracket", "[2001:db8::9/64]::[2001:db8::1]:::eth0:none:[2001:db8::53]:[fe80::1%eth0]", six},
		{"long, IPv6, no length", "[2001:db8::9]::[2001:db8::1]:::eth0:none:[2001:db8::53]:[fe80::1%eth0]", six},
		{"long, dhcp with extras", "::::host:eth0:dhcp:9000", Setup{Interface: network.Interface{Link: eth0, Methods: []network.Method{network.DHCP4}, Hostname: "host", MTU: 9000}}},
		{"long, dhcp, resolver", ":::::eth0:dhcp:192.0.2.53", Setup{Interface: network.Interface{Link: eth0, Methods: []network.Method{network.DHCP4}, Resolvers: []netip.Addr{addr("192.0.2.53")}}}},
		{"long, no interface", "::::host::dhcp", Setup{Interface: network.Interface{Methods: []network.Method{network.DHCP4}, Hostname: "host"}}},
		{"long, nothing but a host name", "::::host:eth0", Setup{Interface: network.Interface{Link: eth0, Hostname: "host"}}},
		{"long, off", ":::::eth0:off", Setup{Interface: network.Interface{Link: eth0}, Off: true}},
		{"long, an address and dhcp", "192.0.2.9::192.0.2.1:24:host:eth0:dhcp", static(func(s *Setup) { s.Methods = append(s.Methods, network.DHCP4) })},
		{"long, an address and auto6", "192.0.2.9::192.0.2.1:24:host:eth0:none,auto6", static(func(s *Setup) { s.Methods = append(s.Methods, network.Auto6) })},

		{"PXELINUX", "10.0.2.15:10.0.2.4:10.0.2.2:255.255.255.0", pxelinux},
		{"PXELINUX, no gateway", "10.0.2.15:10.0.2.4:0.0.0.0:255.255.255.0", func() Setup { s := pxelinux; s.Gateway = netip.Addr{}; return s }()},
		{"PXELINUX's form, cut short", "192.0.2.15:192.0.2.4", func() Setup {
			s := pxelinux
			s.Address, s.Gateway, s.BootServer = prefix("192.0.2.15/24"), netip.Addr{}, addr("192.0.2.4")
			return s
		}()},
		{"Anaconda", "192.0.2.9", bare("192.0.2.9/24")},
		{"Anaconda, length", "192.0.2.9/28", bare("192.0.2.9/28")},
		{"Anaconda, IPv6", "[2001:db8::9]", bare("2001:db8::9/64")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := IP(tt.in)
			if diff := cmp.Diff(tt.want, got, comparable); diff != "" || err != nil {
				t.Errorf("IP(%q): %v (-want +got):\n%s", tt.in, err, diff)
			}
		})
	}
}

func TestIPMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"unknown method", "dchp", []string{`"dchp"`, "want dhcp"}},
		{"unknown method of an interface", "eth0:dchp", []string{`"dchp"`}},
		{"an interface alone", "eth0", []string{`"eth0"`, "want dhcp"}},
		{"an empty word in a list", "dhcp,", []string{`""`}},
		{"ibft", "ibft", []string{"ibft", "iSCSI"}},
		{"ibft of an interface", "eth0:ibft", []string{"ibft"}},
		{"bootp", "bootp", []string{"bootp"}},
		{"static without an address", ":::::eth0:static", []string{"static needs an address"}},
		{"interface too long", "averyveryverylongname:dhcp", []string{"averyveryverylongname", "15 bytes"}},
		{"interface with a slash", "a/b:dhcp", []string{"a/b"}},
		{"interface with a space", "::::: eth0:dhcp", []string{`" eth0"`}},
		{"MTU", "eth0:dhcp:15OO", []string{"15OO", "from 68 to 65535"}},
		{"MTU too small", "eth0:dhcp:10", []string{`"10"`}},
		{"hardware address", "eth0:dhcp:1400:02-00-00", []string{"02-00-00", "six octets"}},
		{"hardware address of a group", "eth0:dhcp::01-00-5e-00-00-01", []string{"01-00-5e-00-00-01"}},
		{"no hardware address", "eth0:dhcp::00-00-00-00-00-00", []string{"00-00-00-00-00-00"}},
		{"too many fields", "eth0:dhcp:1400:02-00-00-00-0a-01:x", []string{`"x"`, "too many"}},
		{"too many fields, long", "192.0.2.9:::24::eth0:none:1500:02-00-00-00-0a-01:x", []string{`"x"`, "too many"}},
		{"address", "192.0.2.300::192.0.2.1:24::eth0:none", []string{"192.0.2.300", "want 192.0.2.1"}},
		{"group address", "224.0.0.1::192.0.2.1:24::eth0:none", []string{"224.0.0.1"}},
		{"broadcast address", "255.255.255.255::192.0.2.1:24::eth0:none", []string{"255.255.255.255"}},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:::64::eth0:none", []string{"::ffff:192.0.2.1"}},
		{"address with zone", "[fe80::1%eth0]:::64::eth0:none", []string{"zone"}},
		{"zone of a global address", ":::::eth0:dhcp6:[2001:db8::1%eth0]", []string{"zone"}},
		{"IPv6 without brackets", "2001:db8::9::64:host:eth0:none", []string{`"2001"`, "[2001:db8::1]"}},
		{"bracket left open", "[2001:db8::9:::64::eth0:none", []string{"bracket"}},
		{"bracket in a bracket", "[[2001:db8::9]]:::64::eth0:none", []string{"bracket"}},
		{"mask with holes", "192.0.2.9:::255.0.255.0::eth0:none", []string{"255.0.255.0", "255.255.255.0"}},
		{"mask too long", "192.0.2.9:::33::eth0:none", []string{`"33"`}},
		{"no mask at all", "192.0.2.9:::0::eth0:none", []string{`"0"`}},
		{"dotted mask of IPv6", "[2001:db8::9]:::255.255.255.0::eth0:none", []string{"255.255.255.0", "want 64"}},
		{"two masks", "192.0.2.9/24:::255.255.0.0::eth0:none", []string{"255.255.0.0", "24"}},
		{"host name", "192.0.2.9:::24:ho st:eth0:none", []string{"ho st"}},
		{"host name with a hyphen at its end", "::::host-:eth0:dhcp", []string{"host-"}},
		{"gateway of another kind", "192.0.2.9::[2001:db8::1]:24::eth0:none", []string{"gateway", "both IPv4"}},
		{"peer of another kind", "192.0.2.9:[2001:db8::1]::24::eth0:none", []string{"peer", "both IPv4"}},
		{"PXELINUX's server", "10.0.2.15:server:10.0.2.2:255.255.255.0", []string{`"server"`}},
		{"several", "192.0.2.300::192.0.2.x:33:-:eth0/:nnoe:15", []string{"192.0.2.300", "192.0.2.x", `"-"`, "eth0/", "nnoe", `"15"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := IP(tt.in)
			if err == nil {
				t.Fatalf("IP(%q) = %+v, want an error", tt.in, got)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("IP(%q) = %v, want an error with %q", tt.in, err, want)
				}
			}
		})
	}
}

func TestComplete(t *testing.T) {
	for _, tt := range []struct {
		name, in, gateway, mask, host string
		want                          network.Interface
		wantErr                       bool
	}{
		{"all", "10.0.0.9", "10.0.0.1", "255.255.254.0", "host", network.Interface{Address: prefix("10.0.0.9/23"), Gateway: addr("10.0.0.1"), Hostname: "host"}, false},
		{"nothing", "10.0.0.9", "", "", "", network.Interface{Address: prefix("10.0.0.9/8")}, false},
		{"no gateway", "10.0.0.9", "0.0.0.0", "24", "", network.Interface{Address: prefix("10.0.0.9/24")}, false},
		{"IPv6", "[2001:db8::9]", "2001:db8::1", "48", "", network.Interface{Address: prefix("2001:db8::9/48"), Gateway: addr("2001:db8::1")}, false},
		{"gateway of another kind", "10.0.0.9", "2001:db8::1", "", "", network.Interface{}, true},
		{"mask", "10.0.0.9", "", "255.0.255.0", "", network.Interface{}, true},
		{"host name", "10.0.0.9", "", "", "-", network.Interface{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := IP(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			var gateway netip.Addr
			if tt.gateway != "" {
				gateway = addr(tt.gateway)
			}
			err = Complete(&s.Interface, gateway, tt.mask, tt.host)
			if (err != nil) != tt.wantErr {
				t.Fatalf("Complete: %v, want error %v", err, tt.wantErr)
			}
			tt.want.Methods = []network.Method{network.Static}
			if diff := cmp.Diff(tt.want, s.Interface, comparable); diff != "" && !tt.wantErr {
				t.Errorf("Complete (-want +got):\n%s", diff)
			}
		})
	}
}

// format writes a Setup in its long form, or in the short one where that is all it needs.
func format(s Setup) string {
	bracket := func(a netip.Addr) string {
		switch {
		case !a.IsValid():
			return ""
		case a.Is6():
			return "[" + a.String() + "]"
		}
		return a.String()
	}
	var words []string
	for _, m := range s.Methods {
		if m != network.Static {
			words = append(words, string(m))
		}
	}
	if s.Off || len(words) == 0 && s.Address.IsValid() {
		words = []string{"none"}
	}
	mask := ""
	if s.Address.IsValid() {
		mask = fmt.Sprint(s.Address.Bits())
	}
	f := []string{bracket(s.Address.Addr()), bracket(s.Peer), bracket(s.Gateway), mask, s.Hostname, s.Link.String(), strings.Join(words, ",")}
	if len(s.Resolvers) > 0 {
		r := append(s.Resolvers, netip.Addr{})
		f = append(f, bracket(r[0]), bracket(r[1]), bracket(s.NTP))
	} else {
		mtu := ""
		if s.MTU > 0 {
			mtu = fmt.Sprint(s.MTU)
		}
		f = append(f, mtu, strings.ReplaceAll(s.MAC, ":", "-"))
	}
	return strings.Join(f, ":")
}

// FuzzIP: no panic; what is accepted is valid, and can be written and read again.
func FuzzIP(f *testing.F) {
	for _, seed := range []string{
		"dhcp,dhcp6", "eth0:dhcp:1400:02-00-00-00-0a-01", "192.0.2.9:192.0.2.1/30:192.0.2.1:24:host:eth0:none:192.0.2.53:[2001:db8::53]:192.0.2.1",
		"[2001:db8::9]/64::[fe80::1%eth0]:::52:54:00:12:34:56:none", "10.0.2.15:10.0.2.4:10.0.2.2:255.255.255.0", "192.0.2.9",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s, err := IP(value)
		if err != nil {
			return
		}
		static := len(s.Methods) > 0 && s.Methods[0] == network.Static
		if static != s.Address.IsValid() || s.Address.IsValid() && s.Address.Bits() < 1 {
			t.Fatalf("IP(%q) = %+v: the address does not fit the methods", value, s)
		}
		if (s.Link != network.Selector{}) && network.ParseSelector(s.Link.String()) != s.Link {
			t.Fatalf("IP(%q) = %+v: the link cannot be written", value, s)
		}
		if s.Bare || s.BootServer.IsValid() {
			return // the long form has no place for them
		}
		if len(s.Resolvers) == 0 && s.NTP.IsValid() {
			return // the time server's field counts only behind a resolver's
		}
		again, err := IP(format(s))
		if diff := cmp.Diff(s, again, comparable, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("IP(%q), written as %q: %v (-first +again):\n%s", value, format(s), err, diff)
		}
	})
}
