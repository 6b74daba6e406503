package rtnl

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// patience is how long a test waits for what the kernel does by itself.
const patience = 60 * time.Second

// link returns the link of that name as it is now.
func link(t *testing.T, name string) network.Link {
	t.Helper()
	links, err := list()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no link %s among %+v", name, links)
	return network.Link{}
}

// change changes the link of that name, and must succeed.
func change(t *testing.T, s *System, name string, c network.Change) network.Link {
	t.Helper()
	if err := s.Change(link(t, name), c); err != nil {
		t.Fatal(err)
	}
	if c.Name != "" {
		name = c.Name
	}
	return link(t, name)
}

// raise sets a link up and waits until it has carrier.
func raise(t *testing.T, s *System, name string) network.Link {
	t.Helper()
	change(t, s, name, network.Change{Up: true})
	return await(t, watch(t, s), func(l network.Link) bool { return l.Name == name && l.Carrier })
}

// watch watches until the end of the test.
func watch(t *testing.T, s *System) <-chan network.Link {
	t.Helper()
	links, err := s.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return links
}

// await waits for a link.
func await(t *testing.T, links <-chan network.Link, want func(network.Link) bool) network.Link {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case l, ok := <-links:
			if !ok {
				t.Fatal("Watch ended")
			}
			if want(l) {
				return l
			}
		case <-timeout:
			t.Fatalf("the link that is waited for did not come within %v", patience)
		}
	}
}

// poll waits for something of which there are no news.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < patience; <-tick.C {
		if done() {
			return
		}
	}
	t.Fatalf("%s: not so within %v", what, patience)
}

// configure gives a link a static address, and must succeed.
func configure(t *testing.T, s *System, l network.Link, address string, routes ...network.Route) network.Lease {
	t.Helper()
	lease := network.Lease{Method: network.Static, Address: netip.MustParsePrefix(address), Routes: routes}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Configure(ctx, l, lease); err != nil {
		t.Fatal(err)
	}
	return lease
}

func via(destination, gateway string) network.Route {
	r := network.Route{Destination: netip.MustParsePrefix(destination)}
	if gateway != "" {
		r.Gateway = netip.MustParseAddr(gateway)
	}
	return r
}

// talk sends a packet of that size, in bytes of IPv4, to an address of the far side until it comes back. It must not be fragmented.
func talk(t *testing.T, n *nettest.Net, address string, size int) {
	t.Helper()
	talkOver(t, n, "", address, size)
}

// talkOver is talk over one link only; the empty one leaves that to the routes.
func talkOver(t *testing.T, n *nettest.Net, link, address string, size int) {
	t.Helper()
	var server net.PacketConn
	n.Far(func() (err error) {
		server, err = net.ListenPacket("udp4", address+":7007")
		return err
	})
	defer server.Close()
	go echo(server)
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			_ = unix.BindToDevice(int(fd), link)
		})
	}}
	client, err := d.DialContext(t.Context(), "udp4", address+":7007")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	packet := make([]byte, size-28) // the headers of IPv4 and UDP
	for began := time.Now(); time.Since(began) < patience; {
		if err := client.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(packet); err != nil {
			t.Fatalf("send %d bytes to %s: %v", size, address, err)
		}
		if length, err := client.Read(packet); err == nil && length == len(packet) {
			return
		}
	}
	t.Fatalf("no packet of %d bytes comes back from %s over %q", size, address, link)
}

func echo(server net.PacketConn) {
	packet := make([]byte, 1<<16)
	for {
		length, from, err := server.ReadFrom(packet)
		if err != nil {
			return
		}
		_, _ = server.WriteTo(packet[:length], from) // the near side asks again
	}
}
