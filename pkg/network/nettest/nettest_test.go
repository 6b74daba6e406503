package nettest_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// Goroutines see the namespace and nothing else, and a cable can be unplugged.
func TestNamespace(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "lan")
		names := make(chan []string)
		for range 8 {
			go func() { names <- links(t) }()
		}
		for range 8 {
			if got := strings.Join(<-names, " "); got != "eth0 lo" {
				t.Errorf("a goroutine sees the links %q, want %q", got, "eth0 lo")
			}
		}
		n.IP("link set eth0 up")
		waitForOperstate(t, "up")
		n.Unplug("eth0")
		waitForOperstate(t, "down")
		n.Plug("eth0")
		waitForOperstate(t, "up")
		if got := n.IP("-6 address show dev eth0"); !strings.Contains(got, "inet6 fe80::") {
			t.Errorf("eth0 has the addresses %q, want a link-local one", got)
		}
		n.Sysctl("ipv6/conf/eth0/accept_ra", "0")
		n.FarSysctl("ipv6/conf/lan/forwarding", "1")
	})
}

// links is what /sys shows, which must be the same as what the kernel's sockets say.
func links(t *testing.T) []string {
	entries, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Error(err)
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.Name() == "bonding_masters" { // a file of the bonding driver
			continue
		}
		if _, err := net.InterfaceByName(e.Name()); err != nil {
			t.Error(err)
		}
		names = append(names, e.Name())
	}
	return names
}

func waitForOperstate(t *testing.T, want string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		state, err := os.ReadFile("/sys/class/net/eth0/operstate")
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(state)) == want {
			return
		}
		<-tick.C
	}
	t.Fatalf("eth0 is not %s within a minute", want)
}

// A file is fetched from nginx across a switch, and dnsmasq knows its name.
func TestServers(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port0")
		n.Veth("eth1", "port1")
		n.Bridge("lan", "port0", "port1")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		n.FarIP("address add fd00:1::1/64 dev lan nodad")
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("world"), 0o644); err != nil {
			t.Fatal(err)
		}
		web := n.Nginx(dir, "10.1.0.1:80", "[fd00:1::1]:80")
		names := n.Dnsmasq("--port=53", "--address=/image.test/10.1.0.1", "--log-queries")
		n.IP("link set eth0 up")
		n.IP("address add 10.1.0.2/24 dev eth0")
		resolver := &net.Resolver{PreferGo: true, Dial: dial("10.1.0.1:53")}
		if got, err := resolver.LookupHost(t.Context(), "image.test"); err != nil || len(got) != 1 || got[0] != "10.1.0.1" {
			t.Errorf("LookupHost(image.test) = %q, %v, want 10.1.0.1", got, err)
		}
		names.Wait(`image.test is 10.1.0.1`)
		if got := get(t, "10.1.0.1:80", "/hello"); !strings.HasSuffix(got, "world") {
			t.Errorf("GET /hello = %q, want world", got)
		}
		web.Wait(`GET /hello`)
		if got := web.Count(`GET /nothing`); got != 0 {
			t.Errorf("Count(GET /nothing) = %d, want 0", got)
		}
	})
}
