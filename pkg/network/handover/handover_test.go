package handover

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/liveboot/liveboot/pkg/network"
)

var update = flag.Bool("update", false, "write the golden files")

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, last} }

// eth is a card that is up.
func eth(index int, name string) network.Link {
	return network.Link{Index: index, Name: name, MAC: mac(byte(index)), PermanentMAC: mac(byte(index)), MTU: 1500, Up: true, Carrier: true}
}

// made is a link made of the first card.
func made(index int, name, kind string) network.Link {
	l := eth(2, name)
	l.Index, l.Kind, l.PermanentMAC = index, kind, nil
	return l
}

// port is a card in a bond or bridge; the former gives it its own address.
func port(l network.Link, master network.Link) network.Link {
	l.Master = master.Index
	if master.Kind == bond {
		l.MAC = master.MAC
	}
	return l
}

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
	since  = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)
)

// dhcpLease is what a server usually gives.
func dhcpLease() network.Lease {
	return network.Lease{
		Method: network.DHCP4, Address: prefix("192.0.2.77/24"), Server: addr("192.0.2.2"),
		Routes: []network.Route{{Destination: prefix("0.0.0.0/0"), Gateway: addr("192.0.2.1")}}, Resolvers: []netip.Addr{addr("192.0.2.53")},
		Search: []string{"lab.example"}, Hostname: "node7", NTP: []netip.Addr{addr("192.0.2.123")},
		Valid: time.Hour, Renew: 30 * time.Minute, Since: since,
	}
}

func slaacLease() network.Lease {
	return network.Lease{
		Method: network.Either6, Address: prefix("2001:db8::5054:ff:fe12:3402/64"), FromKernel: true, Server: addr("fe80::1"),
		Routes:    []network.Route{{Destination: prefix("::/0"), Gateway: addr("fe80::1")}},
		Resolvers: []netip.Addr{addr("2001:db8::53")}, Valid: time.Hour, Since: since,
	}
}

// states are the networks of the golden files.
func states() map[string]State {
	e := eth(2, "enp1s0")
	over := func(config network.Config, i network.Interface, leases ...network.Lease) State {
		return State{Config: config, Active: []network.Active{{Link: e, Interface: i, Leases: leases, Primary: true}}}
	}
	v4 := network.Interface{Methods: []network.Method{network.DHCP4}}
	all := map[string]State{
		"dhcp":         over(network.Config{}, v4, dhcpLease()),
		"default":      over(network.Config{}, network.Interface{}, dhcpLease(), slaacLease()),
		"slaac":        over(network.Config{}, network.Interface{Methods: []network.Method{network.Auto6}}, slaacLease()),
		"peerdns-0":    over(network.Config{IgnorePeerDNS: true, Resolvers: []netip.Addr{addr("9.9.9.9")}}, network.Interface{}, dhcpLease()),
		"link-local":   over(network.Config{}, network.Interface{Methods: []network.Method{network.Link6}}, network.Lease{Method: network.Link6, Address: prefix("fe80::5054:ff:fe12:3402/64")}),
		"dhcp-options": over(dhcpOptions()),
		"static-v4":    over(staticV4()),
		"static-v6":    over(staticV6()),
		"dhcp6": over(network.Config{}, network.Interface{Methods: []network.Method{network.DHCP6}}, network.Lease{
			Method: network.DHCP6, Address: prefix("2001:db8::77/128"), Server: addr("fe80::2"), Resolvers: []netip.Addr{addr("2001:db8::53")}, Valid: time.Hour, Since: since,
		}),
	}
	named := over(network.Config{Naming: network.Naming{Rules: []network.NameRule{{Name: "bootnet", MAC: mac(2).String()}}}}, v4, dhcpLease())
	named.Active[0].Link.Name = "bootnet"
	all["ifname"] = named
	peer := network.Lease{Method: network.Static, Address: prefix("192.0.2.10/24"), Peer: addr("192.0.2.1"), Routes: dhcpLease().Routes}
	all["peer"] = over(network.Config{}, network.Interface{Methods: []network.Method{network.Static}}, peer)
	all["vlan"], all["bond"], all["bridge"], all["vlan-on-bond"], all["two"] = vlanState(), bondState(), bridgeState(), vlanOnBond(), twoLinks()
	for name, s := range all {
		s.Metric = metric
		all[name] = s
	}
	return all
}

// metric tells links and versions of IP apart, as that of the routes does.
func metric(l network.Link, a netip.Addr) int {
	if a.Is4() {
		return 60 + l.Index
	}
	return 1024 + l.Index
}

func dhcpOptions() (network.Config, network.Interface, network.Lease) {
	resolver, route := addr("198.51.100.53"), network.Route{Destination: prefix("198.51.100.0/24"), Gateway: addr("192.0.2.9")}
	lease := dhcpLease()
	lease.MTU, lease.Resolvers, lease.Routes = 1400, append([]netip.Addr{resolver}, lease.Resolvers...), append(lease.Routes, route)
	return network.Config{Resolvers: []netip.Addr{resolver}, Routes: []network.StaticRoute{{Route: route}}},
		network.Interface{Methods: []network.Method{network.DHCP4}, Hostname: "node9", MTU: 1400, MAC: mac(0x99).String()}, lease
}

func staticV4() (network.Config, network.Interface, network.Lease) {
	i := network.Interface{Methods: []network.Method{network.Static}, Address: prefix("192.0.2.10/24"), Gateway: addr("203.0.113.1"), Resolvers: []netip.Addr{addr("192.0.2.53")}, Hostname: "node10"}
	return network.Config{}, i, network.Lease{
		Method: network.Static, Address: i.Address, Resolvers: i.Resolvers, Since: since,
		Routes: []network.Route{{Destination: prefix("0.0.0.0/0"), Gateway: i.Gateway}, {Destination: prefix("198.51.100.0/24"), Gateway: addr("192.0.2.9")}, {Destination: prefix("203.0.113.0/28")}},
	}
}

func staticV6() (network.Config, network.Interface, network.Lease) {
	i := network.Interface{Methods: []network.Method{network.Static}, Address: prefix("2001:db8::10/64"), Gateway: addr("fe80::1"), Resolvers: []netip.Addr{addr("2001:db8::53")}}
	return network.Config{}, i, network.Lease{
		Method: network.Static, Address: i.Address, Resolvers: i.Resolvers, Since: since,
		Routes: []network.Route{{Destination: prefix("::/0"), Gateway: i.Gateway}},
	}
}

func vlanState() State {
	e, v := eth(2, "enp1s0"), made(4, "enp1s0.5", vlan)
	return State{
		Config: network.Config{VLANs: []network.VLAN{{Name: v.Name, Parent: network.Selector{Name: e.Name}, ID: 5}}},
		Active: []network.Active{{Link: v, Leases: []network.Lease{dhcpLease()}, Primary: true, Parent: &e}},
		Links:  []network.Link{e, v, eth(3, "enp2s0")},
	}
}

func bondState() State {
	b := made(4, "bond0", bond)
	ports := []network.Link{port(eth(2, "enp1s0"), b), port(eth(3, "enp2s0"), b)}
	return State{
		Config: network.Config{Bonds: []network.Bond{{Name: "bond0", Ports: []network.Selector{{Name: "enp1s0"}, {Name: "enp2s0"}}, Options: []network.BondOption{{Name: "mode", Value: "active-backup"}, {Name: "miimon", Value: "100"}}, MTU: 9000}}},
		Active: []network.Active{{Link: b, Leases: []network.Lease{dhcpLease()}, Primary: true, Ports: ports}},
	}
}

func bridgeState() State {
	b := made(4, "br0", bridge)
	return State{
		Config: network.Config{Bridges: []network.Bridge{{Name: "br0", Ports: []network.Selector{{Name: "enp1s0"}}}}},
		Active: []network.Active{{Link: b, Leases: []network.Lease{dhcpLease()}, Primary: true, Ports: []network.Link{port(eth(2, "enp1s0"), b)}}},
	}
}

// vlanOnBond has links below links, which only the list of all links tells.
func vlanOnBond() State {
	b := made(4, "bond0", bond)
	v := made(5, "vlan0007", vlan)
	s := bondState()
	s.Config.VLANs = []network.VLAN{{Name: v.Name, Parent: network.Selector{Name: b.Name}, ID: 7}}
	s.Links = append(s.Active[0].Ports, b, v)
	s.Active[0].Link, s.Active[0].Ports = v, nil
	return s
}

func twoLinks() State {
	e := eth(3, "enp2s0")
	lease := network.Lease{Method: network.Static, Address: prefix("198.51.100.10/24"), Since: since}
	return State{
		Config: network.Config{Hostname: "node1"},
		Active: []network.Active{
			{Link: eth(2, "enp1s0"), Interface: network.Interface{Link: network.Selector{Name: "enp1s0"}, Methods: []network.Method{network.DHCP4}}, Leases: []network.Lease{dhcpLease()}, Primary: true},
			{Link: e, Interface: network.Interface{Link: network.Selector{Name: e.Name}, Methods: []network.Method{network.Static}, Address: lease.Address}, Leases: []network.Lease{lease}},
		},
	}
}

// TestFiles compares the files of each state with its golden file.
func TestFiles(t *testing.T) {
	for name, state := range states() {
		t.Run(name, func(t *testing.T) {
			files := Files(state)
			var got bytes.Buffer
			for _, f := range files {
				fmt.Fprintf(&got, "-- %s %v --\n%s", f.Path, f.Mode, f.Content)
			}
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (go test ./pkg/network/handover -update writes it)", err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("Files(%s) (-want +got):\n%s", name, diff)
			}
			checkFiles(t, state, files)
		})
	}
}

// Routes without a metric of their own are handed over as such.
func TestNoMetric(t *testing.T) {
	s := states()["dhcp"]
	s.Metric = nil
	for _, f := range Files(s) {
		for _, word := range []string{"route-metric=62", "RouteMetric=62"} {
			if bytes.Contains(f.Content, []byte(word)) {
				t.Errorf("%s says %s, want the metric 0", f.Path, word)
			}
		}
		if strings.HasSuffix(f.Path, ".network") && !bytes.Contains(f.Content, []byte("RouteMetric=0\n")) {
			t.Errorf("%s says no RouteMetric=0:\n%s", f.Path, f.Content)
		}
	}
}

// checkFiles looks for what must hold for every state.
func checkFiles(t *testing.T, state State, files []File) {
	t.Helper()
	seen := make(map[string]bool)
	for _, f := range files {
		if seen[f.Path] {
			t.Errorf("%s is there twice", f.Path)
		}
		seen[f.Path] = true
		if !fs.ValidPath(f.Path) {
			t.Errorf("%q is no path", f.Path)
		}
		if strings.HasPrefix(f.Path, "run/systemd/system/") {
			t.Errorf("%s makes programs believe that systemd runs, sd_booted(3)", f.Path)
		}
		if strings.HasSuffix(f.Path, ".nmconnection") != (f.Mode == 0o600) {
			t.Errorf("%s has the mode %v", f.Path, f.Mode)
		}
	}
	for _, a := range state.Active {
		for _, path := range []string{
			"run/systemd/network/05-liveboot-" + a.Link.Name + ".network",
			"run/NetworkManager/system-connections/liveboot-" + a.Link.Name + ".nmconnection",
			fmt.Sprint("run/NetworkManager/devices/", a.Link.Index),
		} {
			if !seen[path] {
				t.Errorf("there is no %s", path)
			}
		}
	}
	var d Description
	last := files[len(files)-1]
	for _, f := range files {
		if strings.HasSuffix(f.Path, ".json") {
			last = f
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(last.Content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		t.Errorf("read %s: %v", last.Path, err)
	}
	if diff := cmp.Diff(describe(state), d); diff != "" {
		t.Errorf("%s read back (-want +got):\n%s", last.Path, diff)
	}
}

// The profile of a card has the same name on every boot, and another one than that of another card or of a VLAN on it.
func TestUUID(t *testing.T) {
	e := eth(2, "enp1s0")
	renamed := e
	renamed.Name, renamed.Index = "eth7", 9
	if a, b := uuidOf(e), uuidOf(renamed); a != b {
		t.Errorf("uuidOf(%s) = %s, and %s under another name, want the same", e.Name, a, b)
	}
	for _, other := range []network.Link{eth(3, "enp1s0"), made(4, "enp1s0.5", vlan), made(4, "enp1s0", bridge)} {
		if a, b := uuidOf(e), uuidOf(other); a == b {
			t.Errorf("uuidOf(%+v) = %s, the same as of %+v", other, b, e)
		}
	}
	if got := uuidOf(e); len(got) != 36 || got[14] != '5' || !strings.ContainsRune("89ab", rune(got[19])) {
		t.Errorf("uuidOf(%s) = %s, want version 5 of RFC 9562", e.Name, got)
	}
}

func TestRoot(t *testing.T) {
	hostname := File{Path: "etc/hostname", Mode: 0o644, Content: []byte("node7\n"), OnlyIfMissing: true}
	resolv := File{Path: "etc/resolv.conf", Mode: 0o644, Content: []byte("search lab.example\nnameserver 192.0.2.53\n"), OnlyIfMissing: true}
	filled := func(f File) File { f.OnlyIfMissing = false; return f }
	file := func(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }
	link := func(target string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink}
	}
	dhcp := states()["dhcp"]
	for _, tt := range []struct {
		name string
		in   fstest.MapFS
		s    State
		want []File
	}{
		{"nothing there", fstest.MapFS{}, dhcp, []File{hostname, resolv}},
		{"nothing known", fstest.MapFS{}, states()["link-local"], nil},
		{"both there", fstest.MapFS{"etc/hostname": file("live\n"), "etc/resolv.conf": file("nameserver 127.0.0.1\n")}, dhcp, nil},
		{"link of systemd-resolved, to nowhere yet", fstest.MapFS{"etc/resolv.conf": link("../run/systemd/resolve/stub-resolv.conf")}, dhcp, []File{hostname}},
		{"link to an empty file", fstest.MapFS{"etc/resolv.conf": link("resolv.empty"), "etc/resolv.empty": file("")}, dhcp, []File{hostname}},
		{"empty files", fstest.MapFS{"etc/hostname": file(""), "etc/resolv.conf": file("\n")}, dhcp, []File{filled(hostname), filled(resolv)}},
		{"only comments", fstest.MapFS{"etc/resolv.conf": file("# Made by the build\n; empty\n"), "etc/hostname": file("#\nname\n")}, dhcp, []File{filled(resolv)}},
		{"only options", fstest.MapFS{"etc/resolv.conf": file("options edns0\n"), "etc/hostname": file("localhost\n")}, dhcp, []File{filled(hostname)}},
		{"folders", fstest.MapFS{"etc/resolv.conf/x": file(""), "etc/hostname/x": file("")}, dhcp, nil},
		{"the name that was asked for", fstest.MapFS{"etc/resolv.conf": file("options edns0\n")}, twoLinks(), []File{{Path: "etc/hostname", Mode: 0o644, Content: []byte("node1\n"), OnlyIfMissing: true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Root(tt.in, tt.s)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Root (-want +got):\n%s", diff)
			}
		})
	}
}

// A root that cannot be read is an error and no reason to write.
func TestRootUnreadable(t *testing.T) {
	if files, err := Root(broken{}, states()["dhcp"]); err == nil || files != nil {
		t.Errorf("Root(broken) = %v, %v, want an error", files, err)
	}
}

type broken struct{ fs.ReadLinkFS }

func (broken) Lstat(name string) (fs.FileInfo, error) {
	return nil, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrPermission}
}
