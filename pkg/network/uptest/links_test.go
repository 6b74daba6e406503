package uptest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// shorter is c with as little patience as a network needs in which nobody will answer.
func shorter(c network.Config) network.Config {
	c.Timeouts = network.Timeouts{
		Link: 5 * time.Second, Carrier: 5 * time.Second, Lease: 20 * time.Second, Answer: 10 * time.Second, Router: 5 * time.Second, Duplicate: 20 * time.Second,
	}
	return c
}

// Two links of which only one leads somewhere: the other has no cable, or a switch on which nobody answers.
func TestOneDead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		dead func(*nettest.Net)
	}{
		{"no cable", func(n *nettest.Net) { n.Unplug("eth0") }},
		{"nobody answers", func(*nettest.Net) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			nettest.Run(t, func(t *testing.T, n *nettest.Net) {
				n.Veth("eth0", "dead")
				n.Veth("eth1", "port")
				tt.dead(n)
				newLAN(t, n, "port").dhcp()
				primary(t, up(t, by(network.DHCP4), "10.1.0.1"), "eth1", network.DHCP4)
			})
		})
	}
}

// Two networks have the same numbers, and only one has the image's host: what a route lookup cannot tell.
func TestSameSubnet(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		wrong := n.Elsewhere()
		wrong.Veth("eth0", "lan")
		wrong.FarIP("address add 10.1.0.2/24 dev lan")
		lan{wrong, "lan"}.dnsmasq("--dhcp-range=10.1.0.200,10.1.0.250,255.255.255.0,10m")
		n.Veth("eth1", "port")
		newLAN(t, n, "port").dhcp()
		primary(t, up(t, by(network.DHCP4), "10.1.0.1"), "eth1", network.DHCP4)
		if routes := n.IP("route show"); strings.Contains(routes, "eth0") {
			t.Errorf("the routes are %s, want none of eth0 left", routes)
		}
	})
}

// The cable gives carrier when the boot has waited for a while; in the whole set, as long as a switch with the spanning tree protocol takes.
func TestLateCarrier(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		late := 5 * time.Second
		if os.Getenv("LIVEBOOT_TEST") == "full" {
			late = 30 * time.Second
		}
		n.Veth("eth0", "port")
		newLAN(t, n, "port").dhcp()
		n.Unplug("eth0")
		result := make(chan error, 1)
		go func() {
			up, err := network.Up(within(t, limit), by(network.DHCP4), environment(t, "10.1.0.1"))
			if err == nil {
				up.Close()
			}
			result <- err
		}()
		select {
		case err := <-result:
			t.Fatalf("Up without carrier = %v, want it to wait", err)
		case <-time.After(late):
		}
		n.Plug("eth0")
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		fetch(t, "10.1.0.1")
	})
}

// The card appears when the boot has waited for a while, as one does whose driver is slow, or that is plugged in.
func TestLateLink(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth1", "port")
		newLAN(t, n, "port").dhcp()
		n.Unplug("eth1")
		result := make(chan error, 1)
		go func() {
			up, err := network.Up(within(t, limit), by(network.DHCP4), environment(t, "10.2.0.1"))
			if err == nil {
				up.Close()
			}
			result <- err
		}()
		select {
		case err := <-result:
			t.Fatalf("Up without a link that leads anywhere = %v, want it to wait", err)
		case <-time.After(2 * time.Second):
		}
		n.Veth("usb0", "lan2")
		n.FarIP("address add 10.2.0.1/24 dev lan2")
		serve(t, n, "10.2.0.1:80")
		lan{n, "lan2"}.dnsmasq("--dhcp-range=10.2.0.100,10.2.0.150,255.255.255.0,10m")
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		fetch(t, "10.2.0.1")
	})
}

// Two cards are plugged into one switch. Each has its own address, and only one of the two is kept.
func TestTwoOnOneSwitch(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "port0")
		n.Veth("eth1", "port1")
		newLAN(t, n, "port0", "port1").dhcp()
		up := up(t, network.Config{}, "10.1.0.1")
		if active := up.Active(); len(active) != 1 {
			t.Errorf("the links that are up are %+v, want one", active)
		}
		if addresses := n.IP("-4 -o address show scope global"); strings.Count(addresses, "\n") != 1 {
			t.Errorf("the addresses are %s, want one", addresses)
		}
	})
}

// Of sixteen links, all with carrier, the last one leads to the image.
func TestSixteenLinks(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		for i := range 16 {
			n.Veth(fmt.Sprintf("eth%d", i), fmt.Sprintf("port%d", i))
		}
		newLAN(t, n, "port15").dhcp()
		active, _ := primary(t, up(t, network.Config{}, "10.1.0.1"), "eth15", network.DHCP4)
		if active.Link.Index == 0 {
			t.Errorf("the link is %+v, want one with an index", active.Link)
		}
		if addresses := n.IP("-4 -o address show scope global"); strings.Count(addresses, "\n") != 1 {
			t.Errorf("the addresses are %s, want one", addresses)
		}
	})
}

// When all fails, the error says of each link how far it came.
func TestNothingWorks(t *testing.T) {
	t.Parallel()
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		n.Veth("eth0", "unplugged")
		n.Unplug("eth0")
		n.Veth("eth1", "silent")
		n.Veth("eth2", "port")
		n.Bridge("lan", "port")
		n.FarIP("address add 10.1.0.1/24 dev lan")
		lan{n, "lan"}.dhcp()
		_, err := network.Up(within(t, limit), shorter(by(network.DHCP4)), environment(t, "10.99.0.1"))
		if err == nil {
			t.Fatal("Up found an image where there is none")
		}
		t.Log(err)
		contains(t, err.Error(), "eth0 (", "no carrier", "eth1 (", "no answer", "eth2 (", "10.1.0.1", "10.99.0.1:80 does not answer")
	})
}
