// Package uptest tries network.Up with all its real parts, against real servers, each test in a network namespace.
package uptest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/arp"
	"github.com/liveboot/liveboot/pkg/network/dhcp4"
	"github.com/liveboot/liveboot/pkg/network/dhcp6"
	"github.com/liveboot/liveboot/pkg/network/nettest"
	"github.com/liveboot/liveboot/pkg/network/reach"
	"github.com/liveboot/liveboot/pkg/network/rtnl"
)

// limit is how long a network may take to be up where nothing hinders it. Under an emulated processor everything takes its time.
const limit = 3 * time.Minute

// lan is a network on the far side.
type lan struct {
	n *nettest.Net
	// link of the far side, which has the addresses 10.1.0.1/24 and fd00:1::1/64.
	link string
}

// newLAN makes a switch of links of the far side, and serves the image, a file with one word, from there.
func newLAN(t *testing.T, n *nettest.Net, ports ...string) lan {
	t.Helper()
	n.Bridge("lan", ports...)
	return onLink(t, n, "lan")
}

// onLink is newLAN on a link that is not to be the port of a switch.
func onLink(t *testing.T, n *nettest.Net, link string) lan {
	t.Helper()
	n.FarIP("address add 10.1.0.1/24 dev " + link)
	n.FarIP("address add fd00:1::1/64 nodad dev " + link)
	serve(t, n, "10.1.0.1:80", "[fd00:1::1]:80")
	return lan{n, link}
}

// serve serves the image on the far side.
func serve(t *testing.T, n *nettest.Net, listen ...string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "image"), []byte("served"), 0o644); err != nil {
		t.Fatal(err)
	}
	n.Nginx(dir, listen...)
}

// dhcp starts a server that gives 10.1.0.100 and more.
func (l lan) dhcp(more ...string) *nettest.Server {
	return l.dnsmasq(append([]string{"--dhcp-range=10.1.0.100,10.1.0.150,255.255.255.0,10m", "--dhcp-option=option:dns-server,10.1.0.53"}, more...)...)
}

func (l lan) dnsmasq(more ...string) *nettest.Server {
	return l.n.Dnsmasq(append([]string{"--interface=" + l.link}, more...)...)
}

// up brings the network up, and must succeed; then the image is fetched from its host.
func up(t *testing.T, c network.Config, host string) *network.Network {
	t.Helper()
	start := time.Now()
	n, err := network.Up(within(t, limit), c, environment(t, host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	for _, a := range n.Active() {
		t.Logf("up after %v: %+v", time.Since(start), a)
	}
	fetch(t, host)
	return n
}

// within is a context for so long.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), d)
	t.Cleanup(cancel)
	return ctx
}

// environment is the machine as liveboot has it, but for the names of the links.
func environment(t *testing.T, host string) network.Environment {
	t.Helper()
	clients := dhcp6.Clients(network.Timeouts{}.OrDefault())
	clients[network.DHCP4] = dhcp4.Client{}
	return network.Environment{
		Kernel:  new(rtnl.System),
		Clients: clients,
		Prober:  arp.Prober{},
		Reach:   reach.Any([]reach.Endpoint{{Host: host, Port: 80}}),
		Report:  func(e network.Event) { fmt.Println(e) },
	}
}

// fetch gets the image.
func fetch(t *testing.T, host string) {
	t.Helper()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	r, err := http.NewRequestWithContext(within(t, time.Minute), http.MethodGet, "http://"+host+"/image", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "served" {
		t.Errorf("GET %v = %q, %v, want served", r.URL, body, err)
	}
}

// primary is the link over which the image comes, which must have that name and a lease by that method.
func primary(t *testing.T, n *network.Network, link string, method network.Method) (network.Active, network.Lease) {
	t.Helper()
	active := n.Active()
	if len(active) == 0 || !active[0].Primary || active[0].Link.Name != link {
		t.Fatalf("the links that are up are %+v, want %s first", active, link)
	}
	for _, lease := range active[0].Leases {
		if lease.Method == method {
			return active[0], lease
		}
	}
	t.Fatalf("the leases are %+v, want one by %s", active[0].Leases, method)
	return network.Active{}, network.Lease{}
}

// only asks for one interface.
func only(i network.Interface) network.Config {
	return network.Config{Interfaces: []network.Interface{i}}
}

// by asks for one method on every link.
func by(m network.Method) network.Config {
	return only(network.Interface{Methods: []network.Method{m}})
}

func contains(t *testing.T, output string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(output, w) {
			t.Errorf("no %q in:\n%s", w, output)
		}
	}
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
