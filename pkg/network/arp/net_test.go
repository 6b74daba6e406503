package arp

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/liveboot/liveboot/pkg/network"
	"github.com/liveboot/liveboot/pkg/network/nettest"
)

// patient waits for an answer that must come, on a machine that may have no time for the test.
func patient() Prober { return Prober{patience: time.Minute} }

// cable makes eth0, which is up, with the link "lan" of the far side at its other end, and returns both.
func cable(t *testing.T, n *nettest.Net) (near network.Link, far *net.Interface) {
	t.Helper()
	n.Veth("eth0", "lan")
	n.IP("link set eth0 up")
	for !strings.Contains(n.FarIP("link show lan"), "state UP") {
		// Until its kernel has seen the carrier the far side drops what it sends. Each look takes a while.
	}
	i, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	n.Far(func() (err error) {
		far, err = net.InterfaceByName("lan")
		return err
	})
	return network.Link{Index: i.Index, Name: i.Name, MAC: i.HardwareAddr}, far
}

// station opens a packet socket on the far side.
func station(n *nettest.Net, far *net.Interface) *packet.Conn {
	var conn *packet.Conn
	n.Far(func() (err error) {
		conn, err = packet.Listen(far, packet.Datagram, unix.ETH_P_ARP, nil)
		return err
	})
	return conn
}

func wantDuplicate(t *testing.T, what string, err error, owner net.HardwareAddr) {
	t.Helper()
	var duplicate *network.DuplicateError
	if !errors.As(err, &duplicate) || !slices.Equal(duplicate.Owner, owner) {
		t.Errorf("%s = %v, want a duplicate of %v", what, err, owner)
	}
}

func TestProbeKernel(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		near, far := cable(t, n)
		n.FarIP("address add 10.0.2.2/24 dev lan")
		begin := time.Now()
		wantDuplicate(t, "Probe of the kernel's address", patient().Probe(t.Context(), near, other), far.HardwareAddr)
		t.Logf("taken: %v", time.Since(begin))
		begin = time.Now()
		if err := (Prober{}).Probe(t.Context(), near, address); err != nil {
			t.Errorf("Probe of a free address = %v, want nil", err)
		}
		t.Logf("free: %v", time.Since(begin))
	})
}

// A switch that tracks its clients asks one of them; a machine that wants the address asks everybody.
func TestProbeMeetsProbe(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		near, far := cable(t, n)
		conn := station(n, far)
		defer conn.Close()
		for _, tt := range []struct {
			to     net.HardwareAddr
			prober Prober
		}{{near.MAC, Prober{}}, {broadcast(), patient()}} {
			answered := make(chan error, 1)
			go func() {
				b := make([]byte, 100)
				if _, _, err := conn.ReadFrom(b); err != nil {
					answered <- err
					return
				}
				_, err := conn.WriteTo(probe(far.HardwareAddr, address).marshal(), &packet.Addr{HardwareAddr: tt.to})
				answered <- err
			}()
			err := tt.prober.Probe(t.Context(), near, address)
			if failed := <-answered; failed != nil {
				t.Fatal(failed)
			}
			if slices.Equal(tt.to, near.MAC) {
				if err != nil {
					t.Errorf("Probe beside a switch's question = %v, want nil", err)
				}
				continue
			}
			wantDuplicate(t, "Probe beside another one", err, far.HardwareAddr)
		}
	})
}

func TestWatchKernel(t *testing.T) {
	nettest.Run(t, func(t *testing.T, n *nettest.Net) {
		near, far := cable(t, n)
		conn := station(n, far)
		defer conn.Close()
		n.IP("address add 10.0.2.15/24 dev eth0")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		watched := make(chan error, 1)
		go func() { watched <- Prober{}.Watch(ctx, near, address) }()

		// hear waits for an announcement of the near side.
		hear := func(what string) {
			t.Helper()
			b := make([]byte, 100)
			for {
				k, _, err := conn.ReadFrom(b)
				if err != nil {
					t.Fatal(err)
				}
				if m, err := parse(b[:k]); err == nil && m.claims(address) && m.to == address && slices.Equal(m.sender, near.MAC) {
					t.Logf("heard %s", what)
					return
				}
			}
		}
		claim := func() {
			t.Helper()
			if _, err := conn.WriteTo(announcement(far.HardwareAddr, address).marshal(), &packet.Addr{HardwareAddr: broadcast()}); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		hear("the announcement")
		claim()
		hear("the contradiction")
		claim()
		wantDuplicate(t, "Watch", <-watched, far.HardwareAddr)
	})
}
