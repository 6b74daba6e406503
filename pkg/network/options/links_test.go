package options

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/network"
)

// A test is a value and what is to come of it: want, or an error that has wantErr in it.
type test[T any] struct {
	name, in string
	want     T
	wantErr  string
}

func check[T any](t *testing.T, function string, read func(string) (T, error), tests []test[T]) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(tt.in)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("%s(%q) = %+v, %v, want an error with %q", function, tt.in, got, err, tt.wantErr)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got, comparable); diff != "" || err != nil {
				t.Errorf("%s(%q): %v (-want +got):\n%s", function, tt.in, err, diff)
			}
		})
	}
}

func names(list ...string) []network.Selector {
	var selectors []network.Selector
	for _, name := range list {
		selectors = append(selectors, network.Selector{Name: name})
	}
	return selectors
}

func TestVLAN(t *testing.T) {
	none := network.VLAN{}
	check(t, "VLAN", VLAN, []test[network.VLAN]{
		{"plus number, padded", "vlan0005:eth0", network.VLAN{Name: "vlan0005", Parent: network.Selector{Name: "eth0"}, ID: 5}, ""},
		{"plus number", "vlan5:eth0", network.VLAN{Name: "vlan5", Parent: network.Selector{Name: "eth0"}, ID: 5}, ""},
		{"device and number, padded", "eth0.0005:eth0", network.VLAN{Name: "eth0.0005", Parent: network.Selector{Name: "eth0"}, ID: 5}, ""},
		{"device and number", "bond0.4094:bond0", network.VLAN{Name: "bond0.4094", Parent: network.Selector{Name: "bond0"}, ID: 4094}, ""},
		{"VLAN in a VLAN", "vlan5.6:vlan5", network.VLAN{Name: "vlan5.6", Parent: network.Selector{Name: "vlan5"}, ID: 6}, ""},
		{"hardware address", "vlan5:52-54-00-12-34-56", network.VLAN{Name: "vlan5", Parent: network.Selector{MAC: "52:54:00:12:34:56"}, ID: 5}, ""},
		{"hardware address with colons", "vlan5:52:54:00:12:34:56", network.VLAN{Name: "vlan5", Parent: network.Selector{MAC: "52:54:00:12:34:56"}, ID: 5}, ""},
		{"number 0", "vlan0:eth0", none, "from 1 to 4094"},
		{"number 4095", "eth0.4095:eth0", none, "4095"},
		{"no number", "storage:eth0", none, "storage"},
		{"number without style", "ens18:ens18.5", none, "ens18"},
		{"on itself", "eth0.5:eth0.5", none, "itself"},
		{"no parent", "vlan5", none, "want a name and the interface"},
		{"empty parent", "vlan5:", none, "want a name and the interface"},
		{"name too long", "averylongname.0005:eth0", none, "15 bytes"},
		{"nothing", "", none, "want a name"},
	})
}

func TestBridge(t *testing.T) {
	none := network.Bridge{}
	check(t, "Bridge", Bridge, []test[network.Bridge]{
		{"default", "", network.Bridge{Name: "br0", Ports: names("eth0")}, ""},
		{"one port", "br1:eth0", network.Bridge{Name: "br1", Ports: names("eth0")}, ""},
		{"two ports", "br1:bond0,52-54-00-12-34-56", network.Bridge{Name: "br1", Ports: []network.Selector{{Name: "bond0"}, {MAC: "52:54:00:12:34:56"}}}, ""},
		{"no ports", "br0", none, "want a name and its ports"},
		{"empty ports", "br0:", none, "port without a name"},
		{"port of itself", "br0:br0", none, "itself"},
		{"a port twice", "br0:eth0,eth0", none, "twice"},
		{"no name", ":eth0", none, "has no name"},
		{"too much", "br0:eth0:eth1", none, "want a name and its ports"},
	})
}

func TestRoute(t *testing.T) {
	none := network.StaticRoute{}
	route := func(destination, gateway, link string) network.StaticRoute {
		r := network.StaticRoute{Route: network.Route{Destination: prefix(destination)}, Link: network.Selector{Name: link}}
		if gateway != "" {
			r.Gateway = addr(gateway)
		}
		return r
	}
	check(t, "Route", Route, []test[network.StaticRoute]{
		{"all", "192.168.200.0/24:192.168.100.222:ens10", route("192.168.200.0/24", "192.168.100.222", "ens10"), ""},
		{"gateway", "192.168.200.0/24:192.168.100.222", route("192.168.200.0/24", "192.168.100.222", ""), ""},
		{"interface", "192.168.200.0/24::ens10", route("192.168.200.0/24", "", "ens10"), ""},
		{"dracut's own IPv6 example, with bits behind the mask", "[2001:DB8:3::/8]:[2001:DB8:2::1]:ens10", route("2000::/8", "2001:db8:2::1", "ens10"), ""},
		{"length behind the bracket", "[2001:db8::]/32:[fe80::1%eth0]", route("2001:db8::/32", "fe80::1%eth0", ""), ""},
		{"dotted mask", "10.0.0.0/255.0.0.0:192.0.2.1", route("10.0.0.0/8", "192.0.2.1", ""), ""},
		{"default route", "0.0.0.0/0:192.0.2.1", route("0.0.0.0/0", "192.0.2.1", ""), ""},
		{"default route, dotted mask", "0.0.0.0/0.0.0.0:192.0.2.1", route("0.0.0.0/0", "192.0.2.1", ""), ""},
		{"default route, IPv6", "[::]/0:[fe80::1]:eth0", route("::/0", "fe80::1", "eth0"), ""},
		{"one machine", "192.0.2.7:192.0.2.1", route("192.0.2.7/32", "192.0.2.1", ""), ""},
		{"nowhere", "192.0.2.0/24::", none, "leads nowhere"},
		{"nothing behind", "192.0.2.0/24", none, "leads nowhere"},
		{"no network", "net:192.0.2.1", none, `"net"`},
		{"mask", "192.0.2.0/33:192.0.2.1", none, `"33"`},
		{"gateway of another kind", "192.0.2.0/24:[2001:db8::1]", none, "both IPv4"},
		{"too much", "192.0.2.0/24:192.0.2.1:eth0:1", none, "too many"},
		{"nothing", "", none, "is no network"},
	})
}

func TestIfName(t *testing.T) {
	none := network.NameRule{}
	check(t, "IfName", IfName, []test[network.NameRule]{
		{"colons", "bootnet:52:54:00:AB:cd:56", network.NameRule{Name: "bootnet", MAC: "52:54:00:ab:cd:56"}, ""},
		{"dashes", "bootnet:52-54-00-12-34-56", network.NameRule{Name: "bootnet", MAC: "52:54:00:12:34:56"}, ""},
		{"longest name", "fifteen.letters:52:54:00:12:34:56", network.NameRule{Name: "fifteen.letters", MAC: "52:54:00:12:34:56"}, ""},
		{"name too long", "sixteen..letters:52:54:00:12:34:56", none, "15 bytes"},
		{"no address", "bootnet", none, "want bootnet:"},
		{"InfiniBand", "ib0:80:00:00:68:fe:80:00:00:00:00:00:00:00:02:c9:03:00:0a:73:d1", none, "six octets"},
		{"group address", "eth0:01:00:5e:00:00:01", none, "01:00:5e"},
		{"the kernel would number it", "eth%d:52:54:00:12:34:56", none, "eth%d"},
		{"loopback", "lo:52:54:00:12:34:56", none, "loopback"},
		{"a folder of /proc", "all:52:54:00:12:34:56", none, `"all"`},
		{"no name", ":52:54:00:12:34:56", none, "has no name"},
	})
}

func TestBootif(t *testing.T) {
	card := network.Selector{MAC: "52:54:00:ab:cd:56"}
	none := network.Selector{}
	check(t, "Bootif", Bootif, []test[network.Selector]{
		{"PXELINUX", "01-52-54-00-ab-cd-56", card, ""},
		{"upper case", "01-52-54-00-AB-CD-56", card, ""},
		{"without type", "52-54-00-ab-cd-56", card, ""},
		{"colons", "52:54:00:ab:cd:56", card, ""},
		{"colons and type", "01:52:54:00:ab:cd:56", card, ""},
		{"token ring", "06-52-54-00-ab-cd-56", none, "want Ethernet"},
		{"InfiniBand", "20-80-00-00-68-fe-80-00-00-00-00-00-00-00-02-c9-03-00-0a-73-d1", none, "want 01-"},
		{"a name", "eth0", none, "want 01-"},
		{"group address", "01-01-00-5e-00-00-01", none, "want 01-"},
		{"nothing", "", none, "want 01-"},
	})
}

func TestLink(t *testing.T) {
	check(t, "Link", Link, []test[network.Selector]{
		{"name", "enp3s0", network.Selector{Name: "enp3s0"}, ""},
		{"hardware address", "52-54-00-12-34-56", network.Selector{MAC: "52:54:00:12:34:56"}, ""},
		{"slash", "../x", network.Selector{}, `"../x"`},
		{"nothing", "", network.Selector{}, "no interface"},
	})
}

func TestNameserver(t *testing.T) {
	check(t, "Nameserver", Nameserver, []test[netip.Addr]{
		{"IPv4", "192.0.2.53", addr("192.0.2.53"), ""},
		{"IPv6", "2001:db8::53", addr("2001:db8::53"), ""},
		{"brackets", "[2001:db8::53]", addr("2001:db8::53"), ""},
		{"zone", "[fe80::1%eth0]", addr("fe80::1%eth0"), ""},
		{"none", "0.0.0.0", netip.Addr{}, ""},
		{"no IPv6", "::", netip.Addr{}, ""},
		{"a name", "dns.example.org", netip.Addr{}, "dns.example.org"},
		{"nothing", "", netip.Addr{}, "no address"},
	})
}

// FuzzLinks: no panic, and what is accepted has names and numbers that the kernel takes.
func FuzzLinks(f *testing.F) {
	for _, seed := range []string{
		"vlan0005:eth0", "eth0.5:52-54-00-12-34-56", "br0:eth0,eth1", "bond0:eth0,eth1:mode=4,arp_ip_target=192.0.2.1;192.0.2.2:9000", "team0:eth0:lacp",
		"[2001:db8::]/32:[fe80::1%eth0]", "10.0.0.0/255.0.0.0:192.0.2.1:eth0", "bootnet:52:54:00:12:34:56", "01-52-54-00-12-34-56", "192.0.2.53",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		name := func(function, name string) {
			if nameError(name) != nil {
				t.Errorf("%s(%q) accepts the name %q", function, value, name)
			}
		}
		if v, err := VLAN(value); err == nil {
			name("VLAN", v.Name)
			if v.ID < 1 || v.ID > 4094 || v.Parent == (network.Selector{}) {
				t.Errorf("VLAN(%q) = %+v", value, v)
			}
		}
		if b, err := Bond(value); err == nil {
			name("Bond", b.Name)
			if len(b.Ports) == 0 {
				t.Errorf("Bond(%q) = %+v", value, b)
			}
		}
		if b, err := Bridge(value); err == nil {
			name("Bridge", b.Name)
		}
		if b, warning, err := Team(value); err == nil {
			name("Team", b.Name)
			if warning == "" {
				t.Errorf("Team(%q) does not warn", value)
			}
		}
		if r, err := Route(value); err == nil && (!r.Destination.IsValid() || r.Destination != r.Destination.Masked()) {
			t.Errorf("Route(%q) = %+v", value, r)
		}
		if r, err := IfName(value); err == nil {
			name("IfName", r.Name)
		}
		if s, err := Bootif(value); err == nil && s.MAC == "" {
			t.Errorf("Bootif(%q) = %+v", value, s)
		}
		if a, err := Nameserver(value); err == nil && a.IsUnspecified() {
			t.Errorf("Nameserver(%q) = %v", value, a)
		}
	})
}
