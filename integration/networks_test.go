package integration

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/liveboot/liveboot/integration/livefacts"
	"github.com/liveboot/liveboot/integration/liveiso"
	"github.com/liveboot/liveboot/integration/webserver"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/qemu"
)

// onTaps plugs the machine's cards into tap devices, and into nothing else.
func onTaps(taps ...*os.File) func(*qemu.Config) {
	return func(c *qemu.Config) {
		c.NICs = nil
		for _, tap := range taps {
			c.NICs = append(c.NICs, qemu.NIC{Tap: tap})
		}
	}
}

// smallISO is a small live ISO that names the addresses of the machine.
func smallISO(t *testing.T) string { return liveISO(t, liveiso.Config{Layout: liveiso.Squashfs}) }

// Four cards of four kinds, of which one has a cable.
func TestFourNICs(t *testing.T) {
	t.Parallel()
	url := nginx(t, smallISO(t), nil)
	m := boot(t, "root=live:"+url, func(c *qemu.Config) {
		c.NICs = []qemu.NIC{
			{Model: "e1000e", Network: qemu.Silent}, {Model: "rtl8139", Network: qemu.Silent}, {Model: "vmxnet3", Network: qemu.Silent}, {},
		}
	})
	for i := range 3 {
		if err := m.SetLink(m.ctx, i, false); err != nil {
			t.Fatal(err)
		}
	}
	f := m.facts()
	// Their order is that in which their drivers were ready.
	i := slices.IndexFunc(f.Links, func(l livefacts.Link) bool { return l.MAC == "0e:00:00:00:00:04" })
	if i < 0 || !slices.ContainsFunc(f.Links[i].Addresses, func(a string) bool { return strings.HasPrefix(a, "10.0.2.15/") }) {
		t.Errorf("links of the live system: %+v, want the one of the fourth card to have the address", f.Links)
	}
}

// Two cards with a network each whose numbers are the same; the image's server is in the second, and answers later.
func TestTwoNetworksOneServer(t *testing.T) {
	full(t)
	t.Parallel()
	iso := smallISO(t)
	wrong, right := nettest.Far(t), nettest.Far(t)
	taps := make([]*os.File, 2)
	for i, n := range []*nettest.Net{wrong, right} {
		taps[i] = n.Tap("lan")
		n.FarIP("address add 192.168.7.1/24 dev lan")
	}
	right.FarIP("address add 192.168.7.9/24 dev lan")
	right.Nginx(filepath.Dir(iso), "192.168.7.9:80")
	wrong.Dnsmasq("--interface=lan", "--dhcp-range=192.168.7.100,192.168.7.110,1h")
	right.Dnsmasq("--interface=lan", "--dhcp-range=192.168.7.200,192.168.7.210,1h")
	m := boot(t, "root=live:http://192.168.7.9/"+filepath.Base(iso), onTaps(taps...))
	m.see(said(network, `192\.168\.7\.2\d\d/24`), anyFailure())
	m.facts()
}

// The only way out is a VLAN.
func TestVLAN(t *testing.T) {
	full(t)
	t.Parallel()
	iso := smallISO(t)
	n := nettest.Far(t)
	port := n.VLAN("lan", 5)
	n.FarIP("address add 10.5.0.1/24 dev lan")
	n.Nginx(filepath.Dir(iso), "10.5.0.1:80")
	n.Dnsmasq("--interface=lan", "--dhcp-range=10.5.0.100,10.5.0.110,1h")
	m := boot(t, "vlan=vlan0005:eth0 ip=vlan0005:dhcp root=live:http://10.5.0.1/"+filepath.Base(iso), func(c *qemu.Config) {
		c.NICs = []qemu.NIC{{Wire: port}}
	})
	m.see(said(network, `vlan0005 \(.*\) 10\.5\.0\.1\d\d/24`), anyFailure())
	m.facts()
}

// Two cards as one, of which the first has no cable. (802.3ad needs a switch that speaks LACP: pkg/network/rtnl has one in its tests.)
func TestBond(t *testing.T) {
	full(t)
	t.Parallel()
	iso := smallISO(t)
	n := nettest.Far(t)
	taps := []*os.File{n.Tap("lan0"), n.Tap("lan1")}
	n.Bridge("lan", "lan0", "lan1")
	n.FarIP("address add 10.6.0.1/24 dev lan")
	n.Nginx(filepath.Dir(iso), "10.6.0.1:80")
	n.Dnsmasq("--interface=lan", "--dhcp-range=10.6.0.100,10.6.0.110,1h")
	m := boot(t, "bond=bond0:eth0,eth1:mode=active-backup,miimon=100 ip=bond0:dhcp root=live:http://10.6.0.1/"+filepath.Base(iso), onTaps(taps...))
	if err := m.SetLink(m.ctx, 0, false); err != nil {
		t.Fatal(err)
	}
	m.see(said(network, `bond0 \(.*\) 10\.6\.0\.1\d\d/24`), anyFailure())
	m.facts()
}

// A network with IPv6 only, by each of the ways to get an address.
func TestIPv6Only(t *testing.T) {
	for _, tt := range []struct {
		name, words, dnsmasq, address string
		full                          bool
	}{
		{"no ip=", "", "fd00:7::100,fd00:7::1ff,64,1h", `fd00:7::1[0-9a-f]{2}/128 from`, false},
		{"DHCPv6", "ip=dhcp6", "fd00:7::100,fd00:7::1ff,64,1h", `fd00:7::1[0-9a-f]{2}/128 from`, true},
		{"SLAAC", "ip=auto6", "fd00:7::,ra-stateless,64,1h", `fd00:7::[0-9a-f:]+/64 from fe80::`, true},
		{"what the router says", "ip=either6", "fd00:7::,ra-only,64,1h", `fd00:7::[0-9a-f:]+/64 from fe80::`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.full {
				full(t)
			}
			t.Parallel()
			iso := smallISO(t)
			n := nettest.Far(t)
			tap := n.Tap("lan")
			n.FarIP("address add fd00:7::1/64 dev lan nodad")
			n.Dnsmasq("--interface=lan", "--enable-ra", "--dhcp-range="+tt.dnsmasq, "--dhcp-option=option6:dns-server,[fd00:7::1]", "--port=53", "--address=/boot.test/fd00:7::1")
			config := webserver.Config(t, filepath.Dir(iso), netip.MustParseAddrPort("[fd00:7::1]:8443"), trusted(t))
			n.Start(`using the ".*" event method`, "nginx", "nginx-light", "-c", config, "-e", "stderr")
			m := boot(t, fmt.Sprintf("%s root=live:https://[fd00:7::1]:8443/%s", tt.words, filepath.Base(iso)), onTaps(tap))
			m.see(said(network, tt.address), anyFailure())
			m.facts()
		})
	}
}

// Static addresses, in each form that the command line has for them.
func TestStatic(t *testing.T) {
	for _, tt := range []struct{ name, words, address string }{
		{"long", "ip=10.8.0.5::10.8.0.1:255.255.255.0:lab5:eth0:none:10.8.0.1", `10\.8\.0\.5/24`},
		{"PXELINUX", "ip=10.8.0.5:10.8.0.1:10.8.0.1:255.255.255.0 BOOTIF=01-0e-00-00-00-00-01 nameserver=10.8.0.1", `10\.8\.0\.5/24`},
		{"Anaconda", "ip=10.8.0.5 netmask=255.255.255.0 gateway=10.8.0.1 nameserver=10.8.0.1", `10\.8\.0\.5/24`},
		{"IPv6", "ip=[fd00:8::5]::[fd00:8::1]:64::eth0:none nameserver=[fd00:8::1]", `fd00:8::5/64`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name != "long" {
				full(t)
			}
			t.Parallel()
			iso := smallISO(t)
			n := nettest.Far(t)
			tap := n.Tap("lan")
			n.FarIP("address add 10.8.0.1/24 dev lan")
			n.FarIP("address add fd00:8::1/64 dev lan nodad")
			n.Nginx(filepath.Dir(iso), "10.8.0.1:80", "[fd00:8::1]:80")
			n.Dnsmasq("--interface=lan", "--port=53", "--address=/boot.test/10.8.0.1", "--address=/boot.test/fd00:8::1")
			m := boot(t, tt.words+" root=live:http://boot.test/"+filepath.Base(iso), onTaps(tap))
			m.see(said(network, tt.address), anyFailure())
			f := m.facts()
			if want := "nameserver "; !strings.Contains(f.ResolvConf, want) {
				t.Errorf("the live system's resolv.conf is %q, want a nameserver", f.ResolvConf)
			}
		})
	}
}
